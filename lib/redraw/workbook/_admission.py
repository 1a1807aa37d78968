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

from redraw import data
from redraw.workbook._meaning import meaning
from redraw.workbook._store import Store
from redraw.workbook._trials import Trial, TrialError, _line, datasets, fingerprint, numeric_stack

MACHINERY = "redraw.workbook._trials:execute"  # how a trial is run and stored, beside its own function
VISIBLE_SECONDS = 90  # how long a network file system may take to show here what was written there


@dataclass(frozen=True)
class Ticket:
    """What a worker must agree with: the meaning of every function, the fingerprint of every dataset, the libraries,
    and a file in the store that holds `id`."""

    id: str
    token: Path
    code: dict[str, str]
    data: dict[str, dict]
    stack: dict[str, str]


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
            code={name: meaning(name) for name in sorted({MACHINERY, *(trial.function for trial in trials)})},
            data={dataset: fingerprint(dataset) for dataset in datasets(trials)},
            stack=numeric_stack() | {name: one for trial in trials for name, one in trial.libraries.items()},
        )
    finally:
        token.unlink(missing_ok=True)


def differences(wanted: Ticket) -> tuple[str, ...]:
    """What of a ticket this process does not agree with, in words; () where it may compute. Gets the data it lacks."""
    return tuple(_differences(wanted))


def _differences(wanted: Ticket) -> Iterator[str]:
    if not _appears(wanted.token):
        yield f"it does not see the run's store {wanted.token.parents[1]}"
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


def await_stored(trial: Trial, store: Store) -> None:
    """Wait until a result that another machine has stored is seen here. Raises TrialError when it is not."""
    if not _appears(store.folder(trial.key) / "record.json"):
        raise TrialError(f"{trial.label}: done by a worker, but not seen in the store {store.root}", "")


def await_needs(trial: Trial, store: Store) -> None:
    """Wait until what a trial needs is seen here; where it is not, running the trial says so."""
    for need in trial.needs.values():
        if store.records is None:
            _appears(store.folder(need.key) / "record.json")


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
