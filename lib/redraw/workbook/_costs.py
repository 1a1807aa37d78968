"""What a run cost: time as it was recorded, work as it was counted, energy as an estimate that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._numbers import number
from ._pages import duration
from ._past import by_engine

WATTS_PER_CORE = (5.0, 15.0)
"""What one busy core of a server or laptop may draw, from low to high: an assumption, nothing is measured."""


def costs(results: Mapping[str, Any], run: Mapping[str, Any], flops: float | None = None) -> list[tuple[str, str]]:
    """The costs of a version as (name, words).

    results, run: the version's results.json and run.json. flops: floating-point operations of its trials, where the
    study counted them. The energy is that of the trials' computing time t, a trial on one core:
    E = t P for P between the two ends of `WATTS_PER_CORE`; data, memory, cooling and idle cores are left out. Of
    trials that ran on a GPU it is not estimated.
    """
    trials, seconds = results.get("trials") or {}, run.get("trial_seconds")
    device = (run.get("determinism") or {}).get("device") or "cpu"
    where = "one core" if device == "cpu" else device
    reused = trials.get("reused") if isinstance(trials, Mapping) else None
    told = [("This run", f"{duration(results.get('seconds'))} from start to end")]
    if _is_number(seconds):
        words = f"{duration(seconds)} on {where}, over all trials of this version"
        told.append(("Computing time", f"{words}, those too that earlier runs had stored" if reused else words))
    told += _foretold(run) + _memory(run)
    if flops is not None:
        told.append(("Work", f"{flops:.2g} floating-point operations, as the trials counted them"))
    else:
        told.append(("Work", "floating-point operations were not counted by the trials of this study"))
    if _is_number(seconds) and device != "cpu":
        told.append(("Energy", f"not estimated: what {device} drew is not known"))
    elif _is_number(seconds):
        low, high = (seconds * watts / 3600 for watts in WATTS_PER_CORE)
        between = f"{number(float(f'{low:.1g}'))} to {number(float(f'{high:.1g}'))} Wh"
        assumed = f"{WATTS_PER_CORE[0]:g} to {WATTS_PER_CORE[1]:g} W"
        words = f"about {between}: an estimate, from the computing time at {assumed} a core; not measured"
        told.append(("Energy", words))
    return told


def _foretold(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was expected to take, of a version that recorded it."""
    estimate = run.get("estimate")
    if not isinstance(estimate, Mapping) or not _is_number(took := estimate.get("took")):
        return []
    trials, jobs = estimate.get("trials"), estimate.get("jobs")
    if by_engine(run):
        computed = f", {trials:,} trials computed" if trials else ""
        return [("Expected", f"nothing: a run by Dask or SLURM is not estimated; it took {duration(took)}{computed}")]
    words = f"{duration(took)}, {f'{trials:,} trials computed, {jobs} at a time' if trials else 'all trials stored'}"
    if not _is_number(expected := estimate.get("seconds")):
        return [("Expected", f"nothing: no trial like these had been run; it took {words}")]
    unknown = estimate.get("unknown") or {}
    least = f" at least, {', '.join(unknown)} never having been run" if unknown else ""
    return [("Expected", f"{duration(expected)}{least}; it took {words}")]


def _memory(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    memory = run.get("memory")
    if not isinstance(memory, Mapping) or not all(_is_number(memory.get(name)) for name in ("own", "other")):
        return []
    own, other = (number(memory[name], 1) for name in ("own", "other"))
    if by_engine(run):
        return [("Memory", f"{own} GiB at its peak; what the workers of Dask or SLURM held was not measured")]
    return [("Memory", f"{own} GiB at its peak, {other} GiB in the largest of its other processes")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
