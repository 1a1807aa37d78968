"""Trial functions for tests of engines, in a module that workers elsewhere can import."""

import os
import signal
import time
import uuid
from pathlib import Path

import torch

from redraw.seeds import generator
from redraw.workbook import Batched


def number(*, seed, n):
    """Values and a tensor that depend on the seed."""
    x = torch.randn(64, 64, generator=generator(seed, n))
    return {"n": n, "sum": (x @ x).sum().item(), "threads": torch.get_num_threads(), "tensors": {"x": x}}


def add(*, seed, left, right):
    return {"sum": left["sum"] + right["sum"], "tensors": {"both": left.tensors["x"] + right.tensors["x"]}}


def on_digits(*, seed, dataset):
    from redraw import data

    return {"examples": len(data.load(dataset, seed=seed).train_x)}


def waits(*, seed, folder):
    """Says in a file of its own where it runs, and goes on when there is a file `go`."""
    (Path(folder) / f"{seed}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return {"done": seed}


def dies(*, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(*, seed):
    raise ValueError("lr: must be positive\nand more")


def large(*, seed, megabytes):
    return {"tensors": {"x": torch.full((megabytes, 1 << 18), float(seed))}}


def tiny(*, seed):
    return {"seed": seed}


def computes(*, seed, seconds):
    """Keeps a core busy until it has had so many seconds of it."""
    x = torch.randn(128, 128, generator=generator(seed))
    x, began = x / torch.linalg.matrix_norm(x, 2), time.thread_time()
    while time.thread_time() - began < seconds:
        x = x @ x.T
    return {"seed": seed}


def walks(*, seed, steps, folder, signals=(), checkpoint):
    """A random walk that keeps its middle: at step i it sends itself the signals {i: name}, each once."""
    g, start, x = generator(seed, "walk"), 0, torch.zeros(8, dtype=torch.float64)
    if kept := checkpoint.load():
        start, x = kept[0]["step"], kept[1]["x"]
        g.set_state(kept[1]["generator"])
    with open(Path(folder) / f"began-{seed}", "a") as file:
        file.write(f"{start}\n")
    for step in range(start, steps):
        x = x + torch.randn(8, dtype=torch.float64, generator=g)
        for at, name in signals:
            once = Path(folder) / f"{seed}-{at}"
            if at == step and not once.exists():
                once.touch()
                os.kill(os.getpid(), getattr(signal, name))
        if checkpoint.due:
            checkpoint.save({"step": step + 1}, {"x": x, "generator": g.get_state()})
    return {"end": x.tolist()}


def walked(*, seed, scale, before=None):
    """A few steps further, `scale` each."""
    x = before.tensors["x"] if before else torch.zeros(8, dtype=torch.float64)
    x = x + scale * torch.randn(8, dtype=torch.float64, generator=generator(seed, "walked"))
    return {"end": x.sum().item(), "tensors": {"x": x}}


def walked_together(calls, device):
    return [walked(**call) for call in calls]


def waited_for(*, seed, folder):
    return {"done": seed}


def waited_together(calls, device):
    """Says in a file who is together and where, and goes on when there is a file `go`."""
    folder, seeds = Path(calls[0]["folder"]), "+".join(str(call["seed"]) for call in calls)
    (folder / f"{seeds}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    return [waited_for(**call) for call in calls]


def fails_together(calls, device):
    raise ValueError("lr: must be positive\nand more")


BATCHED = {
    "walked": Batched("engine_trials:walked_together", varying=("scale",)),
    "waited_for": Batched("engine_trials:waited_together"),
    "tiny": Batched("engine_trials:fails_together"),
}
