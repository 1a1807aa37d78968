"""What tests of engines share: trials of `engine_trials`, what a store holds, and a Dask cluster on loopback."""

import os
import subprocess
import sys
import time
from pathlib import Path

from redraw.workbook import Trial
from redraw.workbook._batched import batched

HERE = Path(__file__).resolve().parent
LIB = HERE.parents[1] / "lib"


def trial(name, seed=0, needs=None, **parameters):
    return Trial(f"engine_trials:{name}", parameters, seed, needs or {})


def diamond(seed):
    numbers = [trial("number", seed, n=n) for n in (1, 2)]
    return trial("add", seed, {"left": numbers[0], "right": numbers[1]})


def walks_in_rounds(seeds, device="cpu"):
    """Two rounds of trials that run together, their scales different."""
    first = [trial("walked", seed, scale=1.0 + seed) for seed in range(seeds)]
    return batched([trial("walked", one.seed, {"before": one}, scale=2.0) for one in first], device)


def kept(store):
    """What a store holds, bit for bit, without the times and who ran beside whom."""
    found = {}
    for path in sorted(store.root.glob("??/*")):
        result = store.get(path.name)
        body = {name: part for name, part in result.body.items() if name not in ("seconds", "busy_seconds", "batched")}
        found[path.name] = body, {name: value.tolist() for name, value in result.tensors.items()}
    return found


def environment(**more):
    """For processes that are to import this checkout and the trials of these tests."""
    path = os.pathsep.join([str(LIB), str(HERE)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def until(condition, seconds=60):
    """Wait for something that happens elsewhere; a bound, so that a failure does not hang."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


class Cluster:
    """A Dask scheduler and workers, each a process of its own, on loopback."""

    def __init__(self, folder):
        self.folder, self.file, self.processes = folder, folder / "scheduler.json", []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0")
        until(self.file.exists)

    @property
    def address(self):
        import json

        return json.loads(self.file.read_text())["address"]

    def worker(self, *options, **env):
        return self._start("worker", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", *options, **env)

    def _start(self, what, *options, **env):
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file), *options]
        with open(self.folder / f"{what}-{len(self.processes)}.log", "wb") as log:
            self.processes.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment(**env), cwd=self.folder)
            )
        return self.processes[-1]

    def close(self):
        """Nobody takes leave of anybody, which takes long; a worker dies with its nanny."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()
