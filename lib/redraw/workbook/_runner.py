"""A run: one study at one preset becomes one version under reports/, written whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from redraw import data
from redraw.workbook._batched import batched, told_of
from redraw.workbook._card import Card, CardError, ParameterError
from redraw.workbook._command import command
from redraw.workbook._digest import sha256_file
from redraw.workbook._estimate import Watch
from redraw.workbook._judge import Verdict
from redraw.workbook._meaning import meaning, meaning_of_source
from redraw.workbook._notebooks import execute_notebook, undisturbed
from redraw.workbook._project import Project, default_jobs
from redraw.workbook._provenance import devices, environment
from redraw.workbook._records import RECORDS, write_records
from redraw.workbook._rulings import changed_parameters, rule
from redraw.workbook._seeding import account, bodies, told
from redraw.workbook._startup import importing
from redraw.workbook._store import Store, canonical
from redraw.workbook._trials import Engine, Progress, Trial, datasets, reachable, run_trials, trial_table
from redraw.workbook._versions import Version, manifest_problems, versions


@dataclass(frozen=True)
class Run:
    """What `run_study` did: the version it published or found, and why claims are blocked, if they are."""

    version: Version
    published: bool
    blocked: str
    verdicts: list[dict]


class RunTimedOut(RuntimeError):
    """A run that was not done by its deadline."""

    outcome = "timed out"


class _DeadlinePassed(BaseException):
    """Raised by the alarm; no Exception, so that no trial takes it for an error of its own."""


def run_study(
    project: Project,
    study: str,
    *,
    preset: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    store: Store | None = None,
    engine: Engine | None = None,
    device: str | None = None,
    device_asked: bool = True,
    deadline: float | None = None,
    level: float = 0.95,
    looks: Mapping[str, Any] | None = None,
    execute: Callable[..., Any] = execute_notebook,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Run the study's trials, execute its notebook, rule on its claims and publish the version.

    A version with the same inputs is left as it is if its trials are stored here; one that came with the checkout is
    not taken on trust but run again, into a version of its own. Until all of it is there the folder is
    `<hash>.partial`; a run that does not come to its end leaves there what there is of the notebook, a run.json that
    says how it ended (exit_reason: failed, killed, timed out or interrupted, and a message of one line) and
    traceback.txt, if an error ended it. The next run with the same inputs goes on from the trials that were stored.
    store: where trials are kept; one with a version's records (`find_records`) takes from them what it has not itself.
    engine: what computes the trials instead of local processes (`_engines`).
    device: where trials that are alike run together, "cpu" or "cuda" (`_batched`); by default each runs by itself.
    device_asked: whether `device` was asked for, so that a study which offers nothing of the kind is to say so.
    deadline: minutes after which the run is ended, its processes killed; needs the main thread.
    level: the confidence of the verdicts; looks: how often they were looked at before, for run.json.
    execute: what executes the notebook, for one that was started before this call (`kernel_at_hand`).
    Raises ParameterError, CardError, NotebookError for a wrong request and DataCorrupt for a damaged file of data that
    cannot be replaced, before anything is written; TrialError, NotebookFailed or RunTimedOut when the work failed.
    """
    watch = Watch(project, study, preset, jobs or default_jobs(), elsewhere=engine is not None)
    with _deadline(deadline) as disarm:
        card, notebook, module = project.card(study), project.notebook(study), project.module(study)
        parameters = card.resolve(preset, overrides)
        try:
            trials = module.plan(**parameters)
        except ValueError as error:
            raise ParameterError(f"parameter {error}") from None
        single, trials = trials, batched(trials, device)
        if device and all(one is same for one, same in zip(single, trials, strict=True)):
            if device_asked:
                say(f"{study} has no batched trial functions: its trials run one by one")
            device = None
        store = store or Store()
        planned, (trials, blocked) = trials, reachable(trials)
        identity = _identity(card, notebook, module, preset, parameters, planned, blocked, level)
        folder = project.reports / study
        with _alone(folder, say):
            if done := _published(project, study, identity, trials, store, say):
                claims = json.loads((done.path / "results.json").read_text())["claims"]
                return Run(done, False, blocked, claims)
            partial = folder / f"{identity}.partial"
            begun = _begin(partial, trials, store, say)
            with _recorded(partial, card, preset, parameters, project.root, store, device):
                results = run_trials(
                    trials, store=store, jobs=jobs, engine=engine, on_progress=on_progress, on_missing=watch.foresee
                )
                watch.computed()
                if store.damaged:
                    again = "replaced" if store.source else "computed again"
                    say(f"{len(store.damaged)} stored trials did not match their checksums and were {again}")
                came = account(trials, results, store, begun["stored"]) | {"batched": told_of(results)}
                if store.source:
                    say(told(came))
                table = trial_table(trials, results)

                def meanwhile() -> tuple[list[Verdict], dict, list[Card]]:
                    """What needs no notebook: the verdicts, where this runs, and the cards for the board."""
                    with importing():
                        for name in ("_report", "_board", "_study_page"):  # what is needed when the notebook is done
                            import_module(f"redraw.workbook.{name}")
                    recorded = bodies(trials, results, store)
                    write_records(partial / RECORDS, recorded)
                    samples = module.measure(table, **parameters)
                    verdicts = rule(card, samples, preset, parameters, blocked, level=level)
                    where = devices(recorded, here=() if watch.elsewhere else {trial.key for trial in watch.missing})
                    return verdicts, environment(project.root, where), _all_cards(project, say)

                say("executing the notebook")
                verdicts, surroundings, cards = execute(
                    project.notebook_path(study),
                    partial / "report.ipynb",
                    {"preset": preset, **parameters},
                    environment={
                        "REDRAW_FIGURES": str(partial / "figures"),
                        "REDRAW_STORE": str(store.root),
                        "REDRAW_RECORDS": str(store.records or ""),
                        "REDRAW_JOBS": str(jobs or 1),
                        "REDRAW_HOME": str(project.root),
                        "REDRAW_LEVEL": repr(level),
                        "REDRAW_BATCHED": device or "",
                    },
                    meanwhile=meanwhile,
                )
                number = 1 + max((v.number for v in versions(project.reports, study)), default=0)
                version = Version(study, number, preset, identity, folder / f"{number:04d}-{preset}-{identity}")
                _write(
                    partial,
                    card,
                    version,
                    parameters,
                    trials,
                    table,
                    verdicts,
                    begun,
                    blocked,
                    project,
                    level,
                    looks,
                    came,
                    surroundings | watch.record(),
                )
            disarm()
            partial.rename(version.path)
    from redraw.workbook._board import write_board

    write_board(project.reports, cards)
    say(watch.told())
    return Run(version, True, blocked, [verdict.to_dict() for verdict in verdicts])


@contextmanager
def _deadline(minutes: float | None) -> Iterator[Callable[[], None]]:
    """Raise in the block when `minutes` have passed, told as RunTimedOut; the block may disarm it."""
    if minutes is None:
        yield lambda: None
        return

    def passed(*_):
        raise _DeadlinePassed

    def disarm():
        signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, passed)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield disarm
    except _DeadlinePassed as error:
        stopped = RunTimedOut(f"timed out: the run's deadline of {minutes:g} minutes has passed")
        for note in getattr(error, "__notes__", ()):
            stopped.add_note(note)
        raise stopped from None
    finally:
        disarm()
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _recorded(
    partial: Path, card: Card, preset: str, parameters: dict, root: Path, store: Store, device: str | None
) -> Iterator[None]:
    """Whatever ends the block early is written down in the partial folder before it goes on its way."""
    try:
        yield
    except BaseException as error:
        with undisturbed():
            reason, message = _how_it_ended(error)
            record = {
                "study": card.study,
                "command": command(card, preset, parameters, source=store.source, batched=bool(device)),
                "preset": preset,
                "parameters": parameters,
                "claims_hash": card.claims_hash,
                "exit_reason": reason,
                "message": message,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            details = getattr(error, "details", None)
            if details is None and isinstance(error, Exception):
                details = "".join(traceback.format_exception(error))
            with suppress(OSError):  # a full disk must not hide what happened
                if details:
                    _atomic(partial / "traceback.txt", details)
                _atomic(partial / "run.json", json.dumps(record, indent=1) + "\n")
                there = {"run.json": "run.json", "report.ipynb": "the notebook", "traceback.txt": "the traceback"}
                *most, last = (words for name, words in there.items() if (partial / name).is_file())
                kept = f"{', '.join(most)} and {last} are" if most else f"{last} is"
                error.add_note(f"{kept} kept in {_relative(partial, root)}")
        raise


def _how_it_ended(error: BaseException) -> tuple[str, str]:
    """The exit reason and a message of one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C or SIGTERM"
    if isinstance(error, _DeadlinePassed):
        return "timed out", "the run's deadline has passed"
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    if reason := getattr(error, "outcome", None):
        return reason, message.removeprefix(f"{reason}: ")
    return "failed", f"{type(error).__name__}: {message}"


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _published(
    project: Project, study: str, identity: str, trials: list[Trial], store: Store, say: Callable[[str], None]
) -> Version | None:
    """The newest version with these inputs, if it is as it was published and its trials are in the store."""
    same = [version for version in versions(project.reports, study) if version.hash == identity]
    if not same:
        return None
    if any(manifest_problems(same[-1])):
        say(f"{same[-1].name} was changed after it was published (see `redraw check`): making it again")
        return None
    if any(store.get(trial.key) is None for trial in trials):
        say(f"{same[-1].name} has the same inputs but was not computed here: running it")
        return None
    return same[-1]


def _all_cards(project: Project, say: Callable[[str], None]) -> list[Card]:
    """For the board; a study whose card is malformed is left out, which is no fault of this run."""
    cards = []
    for name in project.studies():
        try:
            cards.append(project.card(name))
        except CardError as error:
            say(f"left out of the board: {error}")
    return cards


def _identity(card, notebook, module, preset, parameters, trials, blocked, level) -> str:
    """Eight hex digits over everything that decides what a version says; how it is set in HTML is left out."""
    code = "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    prose = "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] != "code")
    material = {
        "study": card.study,
        "preset": preset,
        "parameters": parameters,
        "claims": card.claims_hash,
        "trials": [trial.key for trial in trials],
        "measure": meaning(module.measure, outside=("redraw.data", "redraw.workbook")),
        "rules": meaning(rule),
        "level": level,
        "notebook": meaning_of_source(code),
        "prose": prose,
        "blocked": bool(blocked),
    }
    return hashlib.sha256(canonical(material).encode()).hexdigest()[:8]


@contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One run of a study at a time; a second waits, and then finds its work done or goes on with its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run of this study is in progress: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _begin(partial: Path, trials: list[Trial], store: Store, say: Callable[[str], None]) -> dict:
    """What was there when the work on this version began: kept over interruptions, so that they change no result.

    Everything else that an earlier attempt left is removed, so that none of it is published.
    """
    begun = partial / "begun.json"
    try:
        content = json.loads(begun.read_text())
    except (OSError, ValueError):
        partial.mkdir(parents=True, exist_ok=True)
        stored = sorted({trial.key for trial in trials if store.own(trial.key) is not None})
        content = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "stored": stored}
        _atomic(begun, json.dumps(content))
    else:
        say(f"going on from an attempt that {_last_end(partial)}")
    for path in partial.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != begun:
            path.unlink()
    (partial / "figures").mkdir()
    return content


def _last_end(partial: Path) -> str:
    """How the last attempt ended; one that left no record was killed outright, together with its runner."""
    try:
        run = json.loads((partial / "run.json").read_text())
        return f"{'' if run['exit_reason'] == 'failed' else 'was '}{run['exit_reason']} ({run['message']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "left no record (killed?)"


def _write(
    partial: Path,
    card: Card,
    version: Version,
    parameters: dict,
    trials: list[Trial],
    table: pd.DataFrame,
    verdicts: list[Verdict],
    begun: dict,
    blocked: str,
    project: Project,
    level: float,
    looks: Mapping[str, Any] | None,
    came: dict,
    surroundings: dict,
) -> None:
    """Everything beside the notebook and the records, the manifest last."""
    from redraw.workbook._report import write_report

    seconds = round(time.time() - datetime.fromisoformat(begun["started"]).timestamp(), 1)
    results = {
        "study": card.study,
        "version": version.name,
        "preset": version.preset,
        "parameters": parameters,
        "claims": [verdict.to_dict() for verdict in verdicts],
        "started": begun["started"],
        "seconds": seconds,
        "trials": came["counts"],
    }
    run = {
        "study": card.study,
        "version": version.name,
        "command": command(
            card, version.preset, parameters, looks=looks, source=came["source"], batched=bool(came["batched"])
        ),
        "preset": version.preset,
        "parameters": parameters,
        "changed": changed_parameters(card, version.preset, parameters),
        "level": level,
        "looks": looks,
        "trials_from": came["origins"],
        "batched": came["batched"],
        "seeded_from": came["seeded_from"],
        "claims_hash": card.claims_hash,
        "claims": [claim.model_dump(mode="json") for claim in card.claims],
        "data": {name: data.checksums(name) for name in datasets(trials)},
        "seeds": sorted(table["seed"].unique().tolist()) if len(table) else [],
        "trial_seconds": round(float(table["seconds"].sum()), 1) if len(table) else 0.0,
        "blocked": blocked,
        "exit_reason": "blocked" if blocked else "completed",
        "wall_seconds": seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **surroundings,
    }
    scalars = table[[name for name in table if not table[name].map(lambda v: isinstance(v, list | dict)).any()]]
    scalars.to_csv(partial / "trials.csv", index=False)
    (partial / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (partial / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    _relative_paths(partial / "report.ipynb", project.root)
    write_report(partial, card)
    (partial / "begun.json").unlink()
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    lines = [f"{sha256_file(path)}  {path.relative_to(partial).as_posix()}\n" for path in files]
    _atomic(partial / "MANIFEST.sha256", "".join(lines))


def _relative_paths(notebook: Path, root: Path) -> None:
    """Take this machine's folders out of the notebook's metadata and tracebacks, where papermill puts them."""
    content = nbformat.read(notebook, as_version=4)
    for name in ("input_path", "output_path"):
        content.metadata.get("papermill", {}).pop(name, None)
    text = nbformat.writes(content).replace(f"{root}/", "")
    home = str(Path.home())
    _atomic(notebook, text.replace(f"{home}/", "~/") if home != "/" else text)


def _atomic(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    with open(temporary) as file:
        os.fsync(file.fileno())
    temporary.replace(path)
