"""A checkout in a temporary folder with a small study of its own, and the `redraw` command run inside it."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]

# A job in the background is started with these ignored, and so would be all that the tests start: they send them.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def single_thread():
    """One thread, and subnormals as zero: as trials run."""
    from redraw.workbook._trials import _single_thread  # what loads torch, only where it is asked for

    with _single_thread():
        yield


CARD = """\
study: tiny
title: A tiny study
question: Is the mean of uniform numbers one half?
topic: tests
papers:
  - {key: paper, title: Uniform numbers, authors: [A. Author], year: 2026, url: "https://example.org/paper"}
parameters:
  seeds: {type: int, range: [1, 1000], role: nuisance, help: independent repetitions}
  seconds: {type: float, range: [0, 3600], role: nuisance, help: how long a trial takes at least}
  dataset: {type: str, choices: [none, mnist], role: fixed, help: what a trial asks for}
presets:
  smoke: {help: seconds, values: {seeds: 3, seconds: 0.0, dataset: none}}
  laptop: {help: minutes, values: {seeds: 10, seconds: 0.0, dataset: none}}
  paper: {help: longer, values: {seeds: 30, seconds: 0.0, dataset: none}}
claims:
  - id: C1
    statement: The mean of a uniform number is one half.
    paper: paper
    place: Section 1
    kind: value
    metric: mean of 1,000 uniform numbers
    reference: {value: 0.5, decimals: 1}
    criterion: {margin: 0.05, basis: half of the last printed digit}
    main: true
    scope: {smoke: reimplemented, laptop: reimplemented, paper: reimplemented}
"""

MODULE = '''\
"""Trials that take as long as they are told."""

import time

import torch

from redraw.seeds import generator
from redraw.workbook import Samples, Trial


def uniform_mean(*, seed, seconds, **data):
    time.sleep(seconds)
    return {"mean": torch.rand(1000, generator=generator(seed, "uniform")).mean().item()}


def plan(*, seeds, seconds, dataset):
    asked = {"seconds": seconds} if dataset == "none" else {"seconds": seconds, "dataset": dataset}
    return [Trial(f"{__name__}:uniform_mean", asked, seed) for seed in range(seeds)]


def measure(table, **knobs):
    return {"C1": Samples.of(table["mean"]) if len(table) else Samples.not_tested("no trials")}
'''

PARAMETERS = """\
preset: str = "smoke"  # the card's preset
seeds: int = 3  # independent repetitions
seconds: float = 0.0  # how long a trial takes at least
dataset: str = "none"  # what a trial asks for"""

VERDICTS = """\
from redraw.studies import tiny as study
from redraw.workbook import find_project, gather, rule, verdict_table

card = find_project().card("tiny")
knobs = card.resolve(preset, {name: globals()[name] for name in card.parameters})
verdicts = rule(card, study.measure(gather(study.plan(**knobs)), **knobs), preset, knobs)
print(verdict_table(verdicts))"""


def make_notebook(*sources: str) -> nbformat.NotebookNode:
    """A notebook with the parameters of the tiny study, then code cells with prose between them."""
    cells = [
        new_markdown_cell("# Tiny\n\n| | the paper says | where |\n|---|---|---|\n| C1 | One half. | Section 1 |"),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
    ]
    for source in sources:
        cells += [new_markdown_cell("Then this."), new_code_cell(source)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return new_notebook(cells=cells)


@dataclass
class Ran:
    """How a command ended: exit code, output, and the processor time of it alone."""

    code: int
    out: str
    err: str
    cpu: float

    @property
    def line(self) -> str:
        """What it said on stderr, which is one line."""
        (line,) = self.err.splitlines()
        return line


@dataclass
class Checkout:
    """A project in a temporary folder, with the environment in which commands run there."""

    root: Path
    env: dict = field(default_factory=dict)

    @property
    def card(self) -> Path:
        return self.root / "params" / "tiny.yaml"

    @property
    def notebook(self) -> Path:
        return self.root / "notebooks" / "tiny.ipynb"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def write_notebook(self, *sources: str) -> None:
        self.notebook.write_text(nbformat.writes(make_notebook(*sources)))

    def start(self, *arguments: str, **env: str) -> subprocess.Popen:
        """Start `redraw` with these arguments; its output goes to `said` and `errors` in the temporary folder."""
        with open(self.root.parent / "said", "wb") as out, open(self.root.parent / "errors", "wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "redraw.cli", *arguments],
                cwd=self.root,
                env={**os.environ, **self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def wait(self, process: subprocess.Popen) -> Ran:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out, err = ((self.root.parent / name).read_text("utf-8") for name in ("said", "errors"))
        return Ran(process.returncode, out, err, usage.ru_utime + usage.ru_stime)

    def redraw(self, *arguments: str, **env: str) -> Ran:
        return self.wait(self.start(*arguments, **env))

    def files(self) -> set[str]:
        """Every file of the project outside lib."""
        folders = self.root / "params", self.root / "notebooks", self.reports
        return {str(path.relative_to(self.root)) for folder in folders for path in folder.rglob("*")}

    def processes(self) -> list[psutil.Process]:
        """Those that carry this checkout's mark in their environment, however they were started."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("REDRAW_HOME") == str(self.root) and process.status() != "zombie"
        except (psutil.Error, OSError):
            return False

    def version(self) -> Path:
        """The only version of the tiny study."""
        (path,) = [path for path in (self.reports / "tiny").iterdir() if path.name[0] == "0"]
        return path

    def partial(self) -> Path:
        """The only unfinished version of the tiny study."""
        (path,) = (self.reports / "tiny").glob("*.partial")
        return path

    def record(self) -> dict:
        return json.loads((self.partial() / "run.json").read_text())


def make_checkout(base: Path) -> Checkout:
    """A checkout with the tiny study in `base/project`; everything it keeps is below `base`."""
    root = base / "project"
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("params", "notebooks", "reports"):
        (root / name).mkdir()
    (root / "params" / "tiny.yaml").write_text(CARD)
    (root / "lib" / "redraw" / "studies" / "tiny.py").write_text(MODULE)
    env = {
        "PYTHONPATH": str(root / "lib"),
        "REDRAW_HOME": str(root),
        "REDRAW_STORE": str(base / "store"),
        "XDG_CACHE_HOME": str(base / "cache"),
        "REDRAW_DATA": "",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    made = Checkout(root, env)
    made.write_notebook(VERDICTS)
    return made


@pytest.fixture(scope="session", name="make_checkout")
def _make_checkout():
    """`make_checkout(folder)` for tests that share one."""
    return make_checkout


@pytest.fixture
def enter(monkeypatch):
    """`enter(checkout)` lets this process see the checkout's study and use its folders."""
    import redraw.studies
    from redraw.workbook import _meaning

    def forget():
        sys.modules.pop("redraw.studies.tiny", None)
        importlib.invalidate_caches()
        for kept in vars(_meaning).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
        for path in [path for path in _meaning._LOADED if path.name == "tiny.py"]:
            del _meaning._LOADED[path]

    def _enter(checkout):
        studies = str(checkout.root / "lib" / "redraw" / "studies")
        monkeypatch.setattr(redraw.studies, "__path__", [*redraw.studies.__path__, studies])
        for name, value in checkout.env.items():
            monkeypatch.setenv(name, value)
        forget()

    yield _enter
    forget()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a small study named tiny."""
    return make_checkout(tmp_path)
