"""What `redraw predict` and `redraw fit FILE.csv` do. Numerical libraries load only when the request has been read."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path

from redraw._csv import number, read_rows

KINDS = {
    "surface": "L = E + A/N^alpha + B/D^beta; columns N, D, loss",
    "saturating": "L = E + A/x^alpha; columns x, loss",
    "power": "y = c x1^p1 x2^p2 ...; the last column by all others",
    "sweep": "best learning rate c N^p D^q and batch c D^q; columns N, D, lr, batch, loss",
}
COLUMNS = {
    "surface": ("N", "D", "loss"),
    "saturating": ("x", "loss"),
    "sweep": ("N", "D", "lr", "batch", "loss"),
}
OPTIONS = {"delta": ("surface", "saturating"), "threshold": ("sweep",)}  # which kinds take them
MOST_PARAMETERS = 3  # of a law of a sweep: c, p and q
MAY_DIVERGE = "loss"  # of a sweep: runs without a finite loss are left out, and counted


class FitError(ValueError):
    """A file or request that cannot be fitted or predicted from; one line that names the file and line, or field."""


# redraw predict ------------------------------------------------------------------------------------------------


def predictions(params: float, tokens: float, law: str | None = None, loss: float | None = None, level: float = 0.95):
    """What the laws say for `params` non-vocabulary parameters and `tokens` training tokens, for `--json`.

    law: one of them, else all. loss: expected final loss, which two laws need for their batch. level: of intervals.
    Per law: lr, batch (tokens a step), their intervals and notes; None where the law defines none.
    Raises FitError on a request that no law can answer, or that the law asked for cannot.
    """
    from redraw.scaling import LAWS, ScalingError, optimal_hyperparameters
    from redraw.scaling._errors import scalar

    given = {"params": params, "tokens": tokens} | ({} if loss is None else {"loss": loss})
    try:
        for name, value in given.items():
            if not math.isfinite(value):
                raise FitError(f"{name}: must be a finite number greater than 0, not {value:g}")
            scalar(name, value)
        scalar("level", level, 0, 1)
    except ScalingError as error:
        raise FitError(str(error)) from None
    rows = []
    for name in LAWS if law is None else (law,):
        try:
            rows.append(_prediction(optimal_hyperparameters, params, tokens, name, loss, level))
        except ScalingError as error:
            said = str(error).replace("N, D, loss:", "params, tokens, loss:").replace("N: must", "params: must")
            if law is not None:
                raise FitError(said) from None
            rows.append({"law": name, "lr": None, "lr_interval": None, "batch": None, "batch_interval": None,
                         "notes": [said]})  # fmt: skip
    for row in rows:
        known = LAWS[row["law"]]
        row |= {"source": known.source, "lr_formula": known.lr_formula, "batch_formula": known.batch_formula}
    return {"params": params, "tokens": tokens, "loss": loss, "level": level, "laws": rows}


def _prediction(predict, params, tokens, law, loss, level) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is warned of is among the notes
        found = predict(params, tokens, law=law, loss=loss, level=level)
    return {
        "law": law,
        "lr": found.lr,
        "lr_interval": found.lr_interval,
        "batch": found.batch,
        "batch_interval": found.batch_interval,
        "notes": list(found.notes),
    }


def prediction_table(found: Mapping):
    """A rich table of `predictions`, a row per law, the notes under it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    title = f"{found['params']:.4g} parameters without vocabulary, {found['tokens']:.4g} tokens"
    table = Table("law", "peak learning rate", "batch (tokens a step)", "source", title=title)
    for row in found["laws"]:
        cells = (
            _with_interval(row[name], row[f"{name}_interval"], "none" if row[f"{name}_formula"] == "none" else "?")
            for name in ("lr", "batch")
        )
        table.add_row(row["law"], *cells, escape(row["source"].partition(",")[0]))
    notes = [f"[yellow]{row['law']}:[/] {escape(note)}" for row in found["laws"] for note in row["notes"]]
    if any(row["lr_interval"] for row in found["laws"]):
        notes.append(
            f"in brackets: {100 * found['level']:g} % intervals of the law itself, where its source gives them"
        )
    return Group(table, *notes)


def _with_interval(value, interval, missing: str) -> str:
    if value is None:
        return missing
    return f"{value:.4g}" + (f" [{interval[0]:.3g} to {interval[1]:.3g}]".replace("[", r"\[") if interval else "")


# redraw fit ----------------------------------------------------------------------------------------------------


def fit_file(
    path: str | Path,
    kind: str = "surface",
    columns: str = "",
    *,
    delta: float | None = None,
    threshold: float | None = None,
) -> dict:
    """A law fitted to a CSV file with a header, one run a row, for `--json`: the kind as in `KINDS`.

    columns: where the file's names differ, "N=params,loss=val_loss"; for kind power, the ones to use, the target last
    ("width,tokens,loss"). delta: of the Huber loss, for surface and saturating. threshold: which runs of a cell of a
    sweep count as its best. None is the fit's own default. An error or interval that cannot be told is None, and a
    warning says why; an open end of an interval is None. Raises FitError on anything that is not right.
    """
    if kind not in KINDS:
        raise FitError(f"kind: must be one of {', '.join(KINDS)}, not {kind!r}")
    given = {name: value for name, value in (("delta", delta), ("threshold", threshold)) if value is not None}
    for name in given:
        if kind not in OPTIONS[name]:
            raise FitError(f"{name}: must be given with kind {' or '.join(OPTIONS[name])} only, got kind {kind}")
    table, dropped = read_columns(path, _wanted(kind, columns), kind)
    from redraw.scaling import ScalingError, ScalingWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ScalingWarning)
        try:
            found = _FITS[kind](table, **given)
        except ScalingError as error:
            raise FitError(f"{path}: {error}") from None
    told = list(dict.fromkeys(str(warning.message) for warning in caught))
    found["parameters"] = {name: _told(row) for name, row in found["parameters"].items()}
    if lost := [name for name, row in found["parameters"].items() if row["interval"] is None]:
        few = found.get("cells", math.inf) <= MOST_PARAMETERS
        why = "it takes more cells (N and D) than parameters to see how much cells differ" if few else _NO_SPREAD
        told.append(f"no interval of {', '.join(lost)}: {why}")
    if dropped:
        told.append(f"{dropped} runs without a finite loss were left out")
    head = {"file": Path(path).name, "kind": kind, "law": KINDS[kind].partition(";")[0]}
    return head | {"runs": len(next(iter(table.values())))} | found | {"warnings": told}


_NO_SPREAD = "what the law leaves over of these runs is too little to tell a spread from"


def _told(row: Mapping) -> dict:
    """An estimate with its error and interval as JSON has them: None for what is no finite number, an open end of the
    interval too, and for an interval that is none."""
    estimate, error = (value if math.isfinite(value) else None for value in (row["estimate"], row["standard_error"]))
    if any(math.isnan(end) for end in row["interval"]):
        return {"estimate": estimate, "standard_error": None, "interval": None}
    ends = [end if math.isfinite(end) else None for end in row["interval"]]
    return {"estimate": estimate, "standard_error": error, "interval": ends}


def _wanted(kind: str, columns: str) -> dict[str, str]:
    """The names of the fit -> those of the file; empty for kind power when all columns are to be used."""
    given = [part.strip() for part in columns.split(",") if part.strip()]
    if kind == "power":
        if any("=" in part for part in given):
            raise FitError("columns: must be names of the file's columns for kind power, the target last")
        if len(set(given)) < len(given) or len(given) == 1:
            raise FitError("columns: must name at least one predictor and then the target, each once")
        return {name: name for name in given}
    wanted = {name: name for name in COLUMNS[kind]}
    for part in given:
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if not equals or ours not in wanted or not theirs:
            raise FitError(f"columns: must be NAME=COLUMN with NAME one of {', '.join(wanted)}, not {part!r}")
        wanted[ours] = theirs
    named = [part.partition("=")[0].strip() for part in given]
    for names, what in ((named, "NAME"), (list(wanted.values()), "COLUMN")):
        if len(set(names)) < len(names):
            raise FitError(f"columns: must give each {what} once, got {', '.join(names)}")
    return wanted


def read_columns(path: str | Path, wanted: Mapping[str, str], kind: str) -> tuple[dict[str, list[float]], int]:
    """Columns of a CSV file by our names, all finite and positive, and how many rows of a sweep were left out.

    wanted: our name -> the header's; empty for all columns. Raises FitError: a file that is missing, unreadable or not
    text; no header, no rows, a column that is missing or there twice, a value that is not a positive number (with its
    line).
    """
    path = Path(path)
    rows = read_rows(path, FitError)
    if len(rows) < 2:
        raise FitError(f"{path}: must hold a header and at least one row")
    header = rows[0][1]
    wanted = dict(wanted) or {name: name for name in header}
    for name in wanted.values():
        if header.count(name) != 1:
            found = "it is there twice" if name in header else f"it is not in the header ({', '.join(header)})"
            raise FitError(f"{path}: must have the column {name!r} once; {found}")
    places = {ours: header.index(theirs) for ours, theirs in wanted.items()}
    table: dict[str, list[float]] = {name: [] for name in wanted}
    dropped = 0
    for line, row in rows[1:]:
        cells = {name: row[at] if at < len(row) else "" for name, at in places.items()}
        if kind == "sweep" and _diverged(cells[MAY_DIVERGE]):
            dropped += 1
            continue
        for name, cell in cells.items():
            value = number(cell)
            if value is None or not 0 < value < float("inf"):
                where = f"{path}, line {line}, column {wanted[name]}"
                raise FitError(f"{where}: must be a finite positive number, not {cell[:40]!r}")
            table[name].append(value)
    return table, dropped


def _diverged(cell: str) -> bool:
    """Whether a table of runs says so: no finite loss, or none at all."""
    value = number(cell or "nan")
    return value is not None and not abs(value) < float("inf")


def _surface(table: dict, **options: float) -> dict:
    from redraw.scaling import fit_loss_surface

    fit = fit_loss_surface(table["N"], table["D"], table["loss"], **options)
    return _summary(fit) | {"compute_exponent": fit.surface.a}


def _saturating(table: dict, **options: float) -> dict:
    from redraw.scaling import fit_saturating_power_law

    return _summary(fit_saturating_power_law(table["x"], table["loss"], **options))


def _summary(fit) -> dict:
    parameters = {
        name: {"estimate": fit[name], "standard_error": fit.standard_errors[name], "interval": fit.intervals[name]}
        for name in fit.names
    }
    rms = float((fit.residuals**2).mean() ** 0.5)
    return {
        "parameters": parameters,
        "interval": "95 % profile likelihood",
        "objective": fit.objective,
        "rms_log_residual": rms,
        "condition": fit.condition,
        "starts": fit.starts,
        "starts_agreeing": fit.agree,
        "identified": fit.identified,
    }


def _power(table: dict) -> dict:
    from redraw.scaling import fit_power_law

    *predictors, target = table
    fit = fit_power_law({name: table[name] for name in predictors}, table[target])
    return {"target": target} | {"parameters": _exponents(fit)} | _quality(fit)


def _sweep(table: dict, **options: float) -> dict:
    from redraw.scaling import cell_minima, fit_step_law, sweep_table

    cell = [f"N={N!r} D={D!r}" for N, D in zip(table["N"], table["D"], strict=True)]
    runs = sweep_table(cell, *(table[name] for name in COLUMNS["sweep"]))
    fit = fit_step_law(runs, **options)
    edges = int(cell_minima(runs)["edge"].sum())
    parameters = {f"lr {name}": value for name, value in _exponents(fit.lr, fit.cells).items()}
    parameters |= {f"batch {name}": value for name, value in _exponents(fit.batch, fit.cells).items()}
    parameters["batch, with N too: N"] = _exponents(fit.batch_full, fit.cells)["N"]
    return {
        "parameters": parameters,
        "interval": "95 % t, clustered by cell",
        "cells": fit.cells,
        "near_optimal_runs": fit.runs,
        "cells_with_the_best_at_an_edge": edges,
    }


def _exponents(fit, cells: float = math.inf) -> dict:
    """The parameters of a power law. As many cells as parameters are fitted exactly, and leave no spread between them
    to see: errors that are clustered by cell would come out as nothing, and are unknown."""
    if cells <= len(fit.names):
        unknown = {"standard_error": math.nan, "interval": (math.nan, math.nan)}
        return {name: {"estimate": fit[name]} | unknown for name in fit.names}
    return {
        name: {"estimate": fit[name], "standard_error": fit.standard_errors[name], "interval": fit.interval(name)}
        for name in fit.names
    }


def _quality(fit) -> dict:
    return {
        "interval": "95 % t",
        "r_squared": fit.r_squared,
        "condition": fit.condition,
        "identified": fit.identified,
    }


_FITS = {"surface": _surface, "saturating": _saturating, "power": _power, "sweep": _sweep}


def fit_table(found: Mapping):
    """A rich table of `fit_file`, a row per parameter, what else there is to know under it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    title = f"{found['file']}: {found['runs']:,} runs, {found['law']}"
    table = Table("parameter", "estimate", "standard error", found["interval"], title=escape(title))
    for name, row in found["parameters"].items():
        estimate, error, interval = row["estimate"], row["standard_error"], row["interval"] or [math.nan] * 2
        low, high = (bound if end is None else end for bound, end in zip((-math.inf, math.inf), interval, strict=True))
        table.add_row(
            escape(name),
            "beyond all numbers" if estimate is None else f"{estimate:.5g}",
            "unknown" if error is None else f"{error:.2g}",
            "none" if row["interval"] is None else f"{low:.4g} to {high:.4g}",
        )
    told = {"file", "runs", "law", "kind", "parameters", "interval", "warnings"}
    facts = [f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in found.items() if name not in told]
    return Group(table, *map(escape, facts), *(f"[yellow]warning:[/] {escape(text)}" for text in found["warnings"]))


def _plain(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
