"""How each verdict got where it is: a claim's estimate with its interval over the versions of its study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ._card import PRESETS, Card
from ._claims import Claim
from ._diff import changes, diff, meaning, ruling
from ._project import Project
from ._ruling import ReportError, read_json, region
from ._versions import Version, versions

Read = tuple[Version, dict[str, Any], dict[str, Any]]
"""A version with its results.json and run.json."""


def read_versions(reports: Path, study: str) -> list[Read]:
    """The complete versions of a study that can be read, oldest first."""
    there = []
    for version in versions(reports, study):
        with suppress(ReportError):
            there.append((version, read_json(version.path / "results.json"), read_json(version.path / "run.json")))
    return there


def differences(there: Sequence[Read]) -> dict[str, dict[str, Any]]:
    """Per version that has one of the same preset before it: its name, and what differs from that one (`diff`)."""
    before = _before([version for version, _, _ in there])
    return {name: diff(older, newer) for name, (older, newer) in before.items()}


def history(project: Project, card: Card) -> list[dict[str, Any]]:
    """Per claim of the card: {study, id, statement, unit, region, steps}, the steps oldest first, as JSON data.

    region: [low, high] in which the claim holds by the card as it is now (null where open), or null when it is no
      one interval.
    A step is a version: {version, preset, over, outcome, scope, seeds, measured, interval, level, region, drifted,
      because}, `over` naming what its seeds are.
      region: where the claim held by what it said then; drifted: its criterion, reference or metric was another one
    then than the card's now. `because` says what differs from the version of the same preset before it, of what can
    move this claim's verdict; on the first of a preset it is empty. Where that is nothing while the outcome moved, the
    rules or the study's measure changed. A version that cannot be read is left out.
    """
    there = read_versions(project.reports, card.study)
    return histories(card, there, differences(there))


def histories(card: Card, there: Sequence[Read], found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`history` of versions that were read (`read_versions`) and compared (`differences`) before."""
    rows = []
    for claim in card.claims:
        steps: list[dict[str, Any]] = []
        last: dict[str, dict[str, Any]] = {}
        for version, results, run in there:
            plain = next((plain for plain in results["claims"] if plain["id"] == claim.id), None)
            if plain is None:
                continue
            because = changes(found[version.name], claim.id) if version.name in found else []
            step = {"version": version.name, "preset": version.preset, "over": claim.over, **ruling(plain)}
            then = next((plain for plain in run.get("claims", ()) if plain["id"] == claim.id), None)
            drifted = then is not None and meaning(then) != claim.meaning()
            step |= {"region": _region_then(then) if drifted else _region(claim), "drifted": drifted}
            step["because"] = because
            older = last.get(version.preset)
            if older and older["outcome"] != step["outcome"] and not because:
                step["because"] = ["the rules or the study's measure changed: nothing else did"]
            last[version.preset] = step
            steps.append(step)
        row = {"study": card.study, "id": claim.id, "statement": claim.statement, "unit": claim.unit}
        rows.append(row | {"region": _region(claim), "steps": steps})
    return rows


def _region(claim: Claim) -> list[float | None] | None:
    holds = region(claim)
    return list(holds) if holds and claim.kind != "exact" else None


def _region_then(plain: Mapping[str, Any]) -> list[float | None] | None:
    try:
        return _region(Claim.model_validate(plain))
    except ValidationError:
        return None


def _before(there: Sequence[Version]) -> dict[str, tuple[Version, Version]]:
    """Each version's name with the one of the same preset before it, and itself."""
    pairs = {}
    for preset in PRESETS:
        same = [version for version in there if version.preset == preset]
        pairs |= {newer.name: (older, newer) for older, newer in zip(same, same[1:], strict=False)}
    return pairs


def bars(row: dict[str, Any], width: int = 20) -> list[str]:
    """One text drawing per step, all on one scale: the interval `├──●──┤` over `░`, where the claim holds.

    Empty where a step has no interval or followed another criterion; an arrow head marks an interval that is open.
    """
    steps = [step for step in row["steps"] if _drawable(step)]
    numbers = [step["measured"] for step in steps]
    numbers += [end for step in steps for end in step["interval"] if end is not None]
    numbers += [end for end in row["region"] or () if end is not None]
    if not steps:
        return [""] * len(row["steps"])
    low, high = min(numbers), max(numbers)
    air = 0.08 * (high - low) or 1.0
    low, high = low - air, high + air

    def column(x: float | None, otherwise: int) -> int:
        return otherwise if x is None else min(max(round((x - low) / (high - low) * (width - 1)), 0), width - 1)

    drawn = []
    for step in row["steps"]:
        if not _drawable(step):
            drawn.append("")
            continue
        cells = [" "] * width
        if row["region"]:
            left, right = column(row["region"][0], 0), column(row["region"][1], width - 1)
            cells[left : right + 1] = "░" * (right + 1 - left)
        left, right = column(step["interval"][0], 0), column(step["interval"][1], width - 1)
        cells[left : right + 1] = "─" * (right + 1 - left)
        cells[left] = "◄" if step["interval"][0] is None else "├"
        cells[right] = "►" if step["interval"][1] is None else "┤"
        cells[column(step["measured"], 0)] = "●"
        drawn.append("".join(cells))
    return drawn


def _drawable(step: dict[str, Any]) -> bool:
    value = step["measured"]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and bool(step["interval"]) and not step["drifted"]
