"""How a benchmark measures and reports: interleaved blocks, `record_ratio`, and the report that `make bench` asks for.

With REDRAW_BENCHMARKS naming a folder, what all benchmarks of the session recorded is written there at its end.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from redraw._benchmarks import Ratio, write_benchmarks

ROOT = Path(__file__).parents[2]
RATIOS = pytest.StashKey[list]()
ABSENT = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[RATIOS], config.stash[ABSENT] = [], []


@pytest.fixture
def record_ratio(request, capsys):
    """`record_ratio(name, values, limit=..., better="lower", unit="x", what="...")`: report, print, and hold the limit.

    values: one a repetition; their median is held to the limit, and the test fails where it is beyond (without a
    limit it is only reported). What is recorded is kept, whether it holds or not. Returns the median.
    """

    def record(name, values: float | Iterable[float], *, limit=None, better="lower", unit="x", what=""):
        values = (values,) if isinstance(values, int | float) else tuple(map(float, values))
        ratio = Ratio(name, values, limit, better, unit, what)
        request.config.stash[RATIOS].append(ratio)
        with capsys.disabled():
            print(f"\n{ratio}", end="")
        assert ratio.held is not False, str(ratio)
        return ratio.median

    return record


@pytest.fixture
def interleaved():
    """`interleaved(one, other, blocks)`: per block the time of `one` over that of `other`, each first in turn.

    Both run once before. times: how often a side runs in a block. clock: `time.process_time` where the work is all in
    this process and single-threaded, so that what else the machine does counts little.
    """

    def measure(
        one: Callable, other: Callable, blocks: int, *, times: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> list[float]:
        one(), other()
        ratios = []
        for block in range(blocks):
            taken = {}
            for side in (one, other) if block % 2 else (other, one):
                started = clock()
                for _ in range(times):
                    side()
                taken[side] = clock() - started
            ratios.append(taken[one] / taken[other])
        return ratios

    return measure


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped:
        item.config.stash[ABSENT].append((item.name, str(call.excinfo.value)))
    elif report.failed and not isinstance(call.excinfo.value, AssertionError):
        item.config.stash[ABSENT].append((item.name, f"failed: {type(call.excinfo.value).__name__}"))


def pytest_sessionfinish(session):
    folder, ratios = os.environ.get("REDRAW_BENCHMARKS"), session.config.stash[RATIOS]
    if folder and ratios:
        from redraw.workbook import Project
        from redraw.workbook._board import write_board
        from redraw.workbook._provenance import environment

        project, folder = Project(ROOT), Path(folder).resolve()
        page = write_benchmarks(folder, ratios, environment(ROOT), session.config.stash[ABSENT])
        if folder.parent == project.reports:
            write_board(project.reports, [project.card(study) for study in project.studies()])  # it leads there
        print(f"\n\nwrote {os.path.relpath(page)}")
