"""What a Dask cluster of this machine costs against its process pool, and what it adds to a trial of no time."""

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


def test_throughput_of_trials_of_five_seconds(tmp_path, record_ratio):
    trials, found = [trial("computes", seed, seconds=5.0) for seed in range(4 * JOBS)], []
    for i in range(2):
        pool = between(trials, tmp_path / f"pool {i}")
        found.append(pool / between(trials, tmp_path / f"dask {i}", engine_of("dask", JOBS).engine))
    what = f"throughput of trials that compute for 5 s, a local Dask cluster against the process pool, {JOBS} workers"
    record_ratio("Dask / process pool", found, limit=0.9, better="higher", what=what)


def test_overhead_of_two_thousand_trials_that_take_no_time(tmp_path, record_ratio):
    count, few = 2000, 200
    here = between([trial("tiny", seed) for seed in range(few)], tmp_path / "here", jobs=1) / (few - 1)
    dask = between([trial("tiny", seed) for seed in range(count)], tmp_path / "dask", engine_of("dask", JOBS).engine)
    what = f"{count:,} trials that take no time: a trial's time beyond its execution in one process, {JOBS} workers"
    record_ratio("Dask, overhead of a trial", 1e3 * (dask / (count - 1) - here / JOBS), limit=20, unit="ms", what=what)
