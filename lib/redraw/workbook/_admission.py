"""Whether a worker that some other program started may compute for a run: the same code, data, libraries and store.

The command writes a ticket before it sends anything away, and whoever is to compute compares it with what it has.
"""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from redraw import data
from redraw.workbook._meaning import meaning
from redraw.workbook._store import Store
from redraw.workbook._trials import (
    Trial,
    TrialError,
    Work,
    _attempt,
    _line,
    datasets,
    fingerprint,
    label_of,
    numeric_stack,
    trials_of,
)

# how trials are run and stored, beside their own functions
MACHINERY = {"redraw.workbook._trials:execute", "redraw.workbook._trials:execute_together"}
VISIBLE_SECONDS = 90  # how long a network file system may take to show here what was written there


@dataclass(frozen=True)
class Ticket:
    """What a worker must agree with: the meaning of every function, the fingerprint of every dataset, the libraries,
    a file in the store that holds `id`, and whether a CUDA device is needed."""

    id: str
    token: Path
    code: dict[str, str]
    data: dict[str, dict]
    stack: dict[str, str]
    cuda: bool


@dataclass(frozen=True)
class Refusal:
    """A worker's own word that it cannot compute for this run, and why."""

    worker: str
    differs: tuple[str, ...]

    def __str__(self) -> str:
        return f"worker {self.worker} is refused: {'; '.join(self.differs)}"


@contextmanager
def ticket(trials: Iterable[Trial], store: Store) -> Iterator[Ticket]:
    """A ticket for the trials, whose token lies in the store while the block lasts."""
    trials, name = list(trials), uuid.uuid4().hex
    token = store.root / "tokens" / name
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(name)
    try:
        yield Ticket(
            id=name,
            token=token,
            code={name: meaning(name) for name in sorted(MACHINERY.union(*map(_functions, trials)))},
            data={dataset: fingerprint(dataset) for dataset in datasets(trials)},
            stack=numeric_stack() | {name: one for trial in trials for name, one in trial.libraries.items()},
            cuda=any(map(_needs_cuda, trials)),
        )
    finally:
        token.unlink(missing_ok=True)


def _functions(trial: Trial) -> set[str]:
    return {trial.function, *([trial.batched.function] if trial.batched else [])}


def _needs_cuda(trial: Trial) -> bool:
    device = trial.batched.device if trial.batched else trial.parameters.get("device")
    return str(device).partition(":")[0] == "cuda"


def differences(wanted: Ticket) -> tuple[str, ...]:
    """What of a ticket this process does not agree with, in words; () where it may compute. Gets the data it lacks."""
    return tuple(_differences(wanted))


def _differences(wanted: Ticket) -> Iterator[str]:
    if not _appears(wanted.token):
        yield f"it does not see the run's store {wanted.token.parents[1]}"
    if wanted.cuda and not torch.cuda.is_available():
        yield "it has no CUDA device"
    here = numeric_stack()
    for name, what in wanted.stack.items():
        if (found := here.get(name) or _installed(name)) != what:
            yield f"{name} is {found}, not {what}"
    for function, expected in wanted.code.items():
        try:
            same = meaning(function) == expected
        except Exception as error:  # a module that is not there, or older than the function
            yield f"{function} cannot be read ({_line(error)})"
        else:
            if not same:
                yield f"the code of {function} is another version"
    for dataset, expected in wanted.data.items():
        try:
            if fingerprint(dataset) != expected:
                yield f"dataset {dataset} has other checksums or another reader"
            data.fetch([dataset])  # reads the files, whose sums are verified
        except (data.DataUnavailable, data.UnknownDataset) as error:
            yield str(error).splitlines()[0]


def attempt_rest(work: Work, store: Store):
    """Run what was sent here, less what is stored already, once what it needs is seen; returns what `_attempt` does.

    A worker that was lost, a job that was requeued may have stored some of it. Where needs are not seen in time,
    running says so.
    """
    left = [trial for trial in trials_of(work) if store.own(trial.key) is None]
    if not left:
        return None
    for need in {need.key for trial in left for need in trial.needs.values()}:
        if store.records is None:
            _appears(store.folder(need) / "record.json")
    return _attempt(work if isinstance(work, Trial) else left, store)


def await_stored(work: Work, store: Store) -> None:
    """Wait until results that another machine has stored are seen here. Raises TrialError when they are not."""
    if not all(_appears(store.folder(trial.key) / "record.json") for trial in trials_of(work)):
        raise TrialError(f"{label_of(work)}: done by a worker, but not seen in the store {store.root}", "")


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
