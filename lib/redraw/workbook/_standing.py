"""Where each claim of a study stands: one answer for the board, its tables and the commands that ask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._card import PRESETS, Card
from ._claims import Claim
from ._pages import UNTESTED
from ._ruling import ReportError, read_json
from ._versions import Version, versions


def standings(reports: Path, card: Card, preset: str | None = None) -> dict[str, tuple[Version, Mapping[str, Any]]]:
    """By the id of a claim the version in which it stands, and its ruling there as results.json has it.

    A claim stands in the newest version of the strongest preset (paper, laptop, smoke) that tested it. A later run of
    that preset which was made with other parameters, and so did not test it, does not unsay what the older one found.
    A claim that none tested stands in the newest version of the strongest preset.

    Claims: the card's, and those no longer in it on which the newest version of a preset ruled. preset: look at its
    versions alone. Versions that cannot be read are passed over; where there is none, the answer is empty.
    """
    there = versions(reports, card.study)
    found: dict[str, tuple[Version, Mapping[str, Any]]] = {}
    for name in [name for name in reversed(PRESETS) if preset in (None, name)]:
        newest = True
        for version in [version for version in reversed(there) if version.preset == name]:
            if not newest and all(_tested(ruling) for _, ruling in found.values()):
                break
            try:
                rulings = _rulings(version, card)
            except ReportError:
                continue
            for id, ruling in rulings.items():
                if _tested(ruling) and not _tested(found[id][1]) if id in found else newest:
                    found[id] = version, ruling
            newest = False
    return found


def _tested(ruling: Mapping[str, Any]) -> bool:
    return ruling["outcome"] not in UNTESTED


def _rulings(version: Version, card: Card) -> dict[str, Mapping[str, Any]]:
    """What the version says of each claim. Raises ReportError, one line, when it cannot be read."""
    said = read_json(version.path / "results.json").get("claims")
    read_json(version.path / "run.json", missing={})  # a page that shows the ruling needs it
    said = [ruling for ruling in said if isinstance(ruling, Mapping)] if isinstance(said, list) else []
    ruled = {str(ruling.get("id")): ruling for ruling in said if "outcome" in ruling}
    return ruled | {claim.id: _silence(claim) for claim in card.claims if claim.id not in ruled}


def _silence(claim: Claim) -> dict[str, Any]:
    """The ruling on a claim that came into the card after the run."""
    return {
        "id": claim.id,
        "outcome": "not_tested",
        "scope": "",
        "strength": {"seeds": 0, "interval": None, "level": None, "p_value": None, "seeds_needed": None},
        "measured": None,
        "reference": claim.reference.value,
        "criterion": "",
        "remarks": ["this run says nothing about the claim"],
    }
