"""A run: one study at one preset becomes one version under reports/, written whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from redraw import data
from redraw.workbook._board import write_board
from redraw.workbook._card import Card, ParameterError
from redraw.workbook._judge import Verdict
from redraw.workbook._meaning import meaning, meaning_of_source
from redraw.workbook._notebooks import execute_notebook
from redraw.workbook._project import Project
from redraw.workbook._provenance import environment
from redraw.workbook._report import write_report
from redraw.workbook._rulings import changed_parameters, rule
from redraw.workbook._store import Store, canonical, sha256_file
from redraw.workbook._trials import Progress, Trial, run_trials, trial_table
from redraw.workbook._versions import Version, versions


@dataclass(frozen=True)
class Run:
    """What `run_study` did: the version it published or found, and why claims are blocked, if they are."""

    version: Version
    published: bool
    blocked: str
    verdicts: list[dict]


def run_study(
    project: Project,
    study: str,
    *,
    preset: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Run the study's trials, execute its notebook, rule on its claims and publish the version.

    A version with the same inputs is left as it is. Until all of it is there the folder is `<hash>.partial`; a run
    that fails or is interrupted leaves that to look at, and the next one with the same inputs goes on from the trials
    that were stored.
    Raises ParameterError, CardError, NotebookError for a wrong request, before anything is written; TrialError or
    NotebookFailed when the work failed.
    """
    card, notebook, module = project.card(study), project.notebook(study), project.module(study)
    parameters = card.resolve(preset, overrides)
    try:
        trials = module.plan(**parameters)
    except ValueError as error:
        raise ParameterError(f"parameter {error}") from None
    store = store or Store()
    blocked = _fetch(trials)
    identity = _identity(card, notebook, module, preset, parameters, trials, blocked)
    folder = project.reports / study
    with _alone(folder, identity, say):
        if done := [v for v in versions(project.reports, study) if v.hash == identity]:
            return Run(done[-1], False, blocked, json.loads((done[-1].path / "results.json").read_text())["claims"])
        partial = folder / f"{identity}.partial"
        begun = _begin(partial, trials, store)
        results = [] if blocked else run_trials(trials, store=store, jobs=jobs, on_progress=on_progress)
        if store.damaged:
            say(f"{len(store.damaged)} stored trials did not match their checksums and were computed again")
        say("executing the notebook")
        execute_notebook(
            project.notebook_path(study),
            partial / "report.ipynb",
            {"preset": preset, **parameters},
            environment={
                "REDRAW_FIGURES": str(partial / "figures"),
                "REDRAW_STORE": str(store.root),
                "REDRAW_JOBS": str(jobs or 1),
                "REDRAW_HOME": str(project.root),
            },
        )
        table = trial_table([] if blocked else trials, results)
        verdicts = rule(card, module.measure(table, **parameters), preset, parameters, blocked)
        number = 1 + max((v.number for v in versions(project.reports, study)), default=0)
        version = Version(study, number, preset, identity, folder / f"{number:04d}-{preset}-{identity}")
        _write(partial, card, version, parameters, table, verdicts, begun, blocked, project)
        partial.rename(version.path)
    write_board(project.reports, [project.card(name) for name in project.studies()])
    return Run(version, True, blocked, [verdict.to_dict() for verdict in verdicts])


def _fetch(trials: list[Trial]) -> str:
    """Get the data the trials need; returns "" or, in one line, why they could not be had."""
    try:
        data.fetch({trial.parameters["dataset"] for trial in trials if "dataset" in trial.parameters})
    except data.DataUnavailable as error:
        return str(error).splitlines()[0]
    return ""


def _identity(card, notebook, module, preset, parameters, trials, blocked) -> str:
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
        "notebook": meaning_of_source(code),
        "prose": prose,
        "blocked": bool(blocked),
    }
    return hashlib.sha256(canonical(material).encode()).hexdigest()[:8]


@contextmanager
def _alone(folder: Path, identity: str, say: Callable[[str], None]):
    """One run of a study at a time; a second waits, and then finds its work done or goes on with its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run of this study is in progress: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _begin(partial: Path, trials: list[Trial], store: Store) -> dict:
    """What was there when the work on this version began: kept over interruptions, so that they change no result."""
    begun = partial / "begun.json"
    if not begun.exists():
        partial.mkdir(parents=True, exist_ok=True)
        stored = sorted({trial.key for trial in trials if store.get(trial.key)})
        _atomic(begun, json.dumps({"started": datetime.now(UTC).isoformat(timespec="seconds"), "stored": stored}))
    shutil.rmtree(partial / "figures", ignore_errors=True)
    (partial / "figures").mkdir()
    return json.loads(begun.read_text()) | {"clock": time.time()}


def _write(
    partial: Path,
    card: Card,
    version: Version,
    parameters: dict,
    table: pd.DataFrame,
    verdicts: list[Verdict],
    begun: dict,
    blocked: str,
    project: Project,
) -> None:
    """Everything beside the notebook, the manifest last."""
    seconds = round(time.time() - datetime.fromisoformat(begun["started"]).timestamp(), 1)
    reused = len(set(table.get("key", ())) & set(begun["stored"]))
    results = {
        "study": card.study,
        "version": version.name,
        "preset": version.preset,
        "parameters": parameters,
        "claims": [verdict.to_dict() for verdict in verdicts],
        "started": begun["started"],
        "seconds": seconds,
        "trials": {"total": len(table), "reused": reused, "computed": len(table) - reused},
    }
    datasets = sorted({parameters[name] for name in parameters if name == "dataset"})
    run = {
        "study": card.study,
        "version": version.name,
        "command": _command(card, version.preset, parameters),
        "preset": version.preset,
        "parameters": parameters,
        "changed": changed_parameters(card, version.preset, parameters),
        "claims_hash": card.claims_hash,
        "claims": [claim.model_dump(mode="json") for claim in card.claims],
        "data": {name: data.checksums(name) for name in datasets},
        "seeds": sorted(table["seed"].unique().tolist()) if len(table) else [],
        "trial_seconds": round(float(table["seconds"].sum()), 1) if len(table) else 0.0,
        "blocked": blocked,
        "exit_reason": "blocked" if blocked else "completed",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(project.root),
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


def _command(card: Card, preset: str, parameters: dict) -> str:
    """The command that asks for this run again."""
    values = card.resolve(preset)
    changed = [f"-p {name}={_plain(value)}" for name, value in parameters.items() if value != values[name]]
    return " ".join(["redraw run", card.study, f"--preset {preset}", *changed])


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _relative_paths(notebook: Path, root: Path) -> None:
    """Take this machine's folders out of the notebook's metadata and tracebacks, where papermill puts them."""
    content = nbformat.read(notebook, as_version=4)
    for name in ("input_path", "output_path"):
        content.metadata.get("papermill", {}).pop(name, None)
    text = nbformat.writes(content).replace(f"{root}/", "").replace(str(Path.home()), "~")
    _atomic(notebook, text)


def _atomic(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    with open(temporary) as file:
        os.fsync(file.fileno())
    temporary.replace(path)
