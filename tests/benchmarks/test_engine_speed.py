"""What a Dask cluster of this machine costs against its process pool, and what it adds to a trial that takes no time.

Run with `pytest tests/benchmarks -s` on a machine that does nothing else.
"""

import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workbook"))

from engine_tools import environment, trial

from redraw.workbook import Store, run_trials
from redraw.workbook._engines import engine_of

JOBS = 2


@pytest.fixture(autouse=True)
def workers_see_the_trials(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])


def between(trials, root, engine=None, jobs=JOBS):
    """Seconds from the first trial that is done to the last: engines start once, trials many times."""
    done = []

    def on_progress(progress):
        if progress.computed:
            done.append(time.perf_counter())

    run_trials(trials, store=Store(root), jobs=jobs, engine=engine, on_progress=on_progress)
    return done[-1] - done[0]


def test_throughput_of_trials_of_five_seconds(tmp_path):
    """At least 0.9 of the process pool's."""
    trials = [trial("sleeps", seed, seconds=5.0) for seed in range(4 * JOBS)]
    pool = between(trials, tmp_path / "pool")
    dask = between(trials, tmp_path / "dask", engine_of("dask", JOBS)[0])
    print(f"throughput: {pool / dask:.3f} of the process pool's")
    assert pool / dask >= 0.9


def test_overhead_of_two_thousand_trials_that_take_no_time(tmp_path):
    """What a trial costs beyond its execution in one process: under 20 ms."""
    count, few = 2000, 100
    here = between([trial("tiny", seed) for seed in range(few)], tmp_path / "here", jobs=1) / (few - 1)
    dask = between([trial("tiny", seed) for seed in range(count)], tmp_path / "dask", engine_of("dask", JOBS)[0])
    dask /= count - 1
    print(f"a trial: {1e3 * here:.1f} ms here, {1e3 * dask:.1f} ms on Dask with {JOBS} workers")
    assert dask - here / JOBS < 0.020
