"""`redraw run --dry-run`: what runs would cost and decide, as plain data and as a page for the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from redraw.workbook._project import Project, default_jobs
from redraw.workbook._startup import importing, without_compiler

PRESETS = "smoke", "laptop", "paper"
HERE = "processes", "serial"
"""The engines whose time can be told: those of this machine's own processes."""


class DryRun(NamedTuple):
    """A document per study, and the same to be read."""

    plain: list[dict[str, Any]]
    page: Group


def dry_run(
    project: Project,
    studies: Sequence[str],
    preset: str,
    overrides: Mapping[str, Any],
    jobs: int | None,
    records: Path | None,
    batch: bool | None,
    has_cuda: Callable[[], bool],
    engine: str,
) -> DryRun:
    """Estimate the runs of `studies`, of the preset that is asked for and of the others; nothing is run or written.

    records: the version's file of records that the run would start from. batch: whether seeds train side by side was
    asked for, or asked not to; has_cuda: as `engine_of` tells. engine: as asked for; with Dask or SLURM the seconds are
    nevertheless those of processes of this machine. The estimate's seconds are those of the run itself;
    `loading_seconds` is what this command took to load what the run would load too.
    """
    started = time.perf_counter()
    with importing():
        from redraw import data
        from redraw.workbook import Store
        from redraw.workbook._batched import device_of
        from redraw.workbook._estimate import forecast
        from redraw.workbook._trials import datasets

        modules = {study: project.module(study) for study in studies}
    without_compiler()
    loading, store, speed = time.perf_counter() - started, Store(records=records), None
    device, plain = device_of(batch, has_cuda), []
    for study in studies:
        card, found = project.card(study), {}
        for name in [preset, *(other for other in PRESETS if other != preset)]:
            given = overrides if name == preset else {}
            where = {"jobs": jobs or default_jobs(name), "store": store, "device": device, "speed": speed}
            found[name] = forecast(project, study, preset=name, overrides=given, **where)
            speed = speed or found[name].speed
        planned = modules[study].plan(**card.resolve(preset, overrides))
        absent = [name for name in datasets(planned) if not data.available(name)]
        others = {name: found[name].to_dict() for name in PRESETS}
        more = {"engine": engine, "loading_seconds": loading, "to_fetch": absent, "presets": others}
        plain.append(found[preset].to_dict() | more)
    return DryRun(plain, Group(*(part for document in plain for part in _page(document)), *_total(plain)))


def _page(document: Mapping[str, Any]) -> list[Any]:
    """What is said of one study."""
    words = [f"[bold]{document['study']}[/] {document['preset']}: {_trials(document)}"]
    if document["to_fetch"]:
        words.append(f"data to fetch first: {', '.join(document['to_fetch'])}")
    words.append(f"time: {_time(document)}")
    words += [f"  {line}" for line in _grounds(document)]
    words.append(f"operations: {_operations(document)}")
    words.append(f"memory: {_memory(document)}")
    table = Table("preset", "trials", "stored", "time", "can decide (main claims in bold)")
    for name, other in document["presets"].items():
        claims = [f"[bold]{escape(id)}[/]" if id in other["main"] else escape(id) for id in other["decides"]]
        said = ", ".join(claims) or "none"
        if claims and not other["decided"]:
            said = f"at most {said}"
        table.add_row(name, f"{other['trials']:,}", f"{other['stored']:,}", _short(other), said)
    return [*words, table, ""]


def _trials(document: Mapping[str, Any]) -> str:
    counts = f"{document['trials']:,} trials, those needed by others included: {document['stored']:,} stored"
    return f"{counts}, {document['to_compute']:,} to compute"


def _time(document: Mapping[str, Any]) -> str:
    if document["seconds"] is None:
        return "unknown: never run"
    words = f"{_short(document)} with {document['jobs']} processes" if document["jobs"] > 1 else _short(document)
    return f"{words}, and {document['loading_seconds']:.0f} s to load"


def _grounds(document: Mapping[str, Any]) -> list[str]:
    """What the time is made of and what it rests on."""
    from redraw.workbook._pages import duration

    said = []
    if document["engine"] not in HERE:
        said.append(f"on this machine, by its processes; the time with --engine {document['engine']} is not estimated")
    if document["trial_seconds"]:
        said.append(f"trials: {duration(document['trial_seconds'])} one after another")
    if document["together"]:
        of = f"{document['together']:,} trials run together"
        said.append(f"{of}: each taken as its share of a recorded group's time, whatever the size of its group now")
    if document["beside_seconds"] is not None:
        said.append(f"notebook, verdicts and report: {duration(document['beside_seconds'])}, as the last run took")
    else:
        said.append("notebook, verdicts and report: not counted, since no run of the study tells")
    for name, count in document["unknown"].items():
        said.append(f"unknown: never run: {name} ({count:,} trials)")
    if document["to_compute"] and document["seconds"] is not None and not document["calibrated"]:
        said.append(
            "some of the recorded trials do not say how fast their machine was: taken to be as fast as this one"
        )
    return said


def _short(document: Mapping[str, Any]) -> str:
    from redraw.workbook._pages import duration

    if document["seconds"] is None:
        return "unknown: never run"
    return f"{'at least ' if document['unknown'] else ''}{duration(document['seconds'])}"


def _operations(document: Mapping[str, Any]) -> str:
    if not document["to_compute"]:
        return "none"
    if document["flops"] is None:
        return "not counted by the trials of this study"
    return f"{document['flops']:.2g} in training, of the {document['flops_of']:,} trials that count them"


def _memory(document: Mapping[str, Any]) -> str:
    memory = document["memory"]
    if memory is None:
        return "not recorded"
    most = memory["own"] + document["jobs"] * memory["other"]
    return f"at most {most:.1f} GiB: {memory['own']:.1f} here and {memory['other']:.1f} in each other process"


def _total(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    from redraw.workbook._pages import duration

    if len(plain) < 2:
        return []
    least = "at least " if any(document["unknown"] for document in plain) else ""
    seconds = sum(document["seconds"] or 0.0 for document in plain)
    return [f"[bold]all {len(plain)} studies[/]: {least}{duration(seconds)}"]
