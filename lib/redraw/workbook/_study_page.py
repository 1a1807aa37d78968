"""The page of a study, `reports/<study>/index.html`: its runs side by side, and how each verdict got where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from . import _pages as pages
from ._card import PRESETS, Card
from ._command import overrides, shown
from ._diff import changes
from ._history import Read, differences, histories, read_versions
from ._picture import draw_parts
from ._ruling import Ruling, is_number, rule_rows, short
from ._versions import Version, versions

_MOST_STEPS = 16
_MADE_BY = (
    *("_diff.py", "_history.py", "_numbers.py", "_pages.py", "_picture.py", "_ruling.py", "_study_page.py"),
    *("templates/page.css", "templates/parts.html.j2", "templates/study.html.j2"),
)


@dataclass(frozen=True)
class Column:
    """A way to run the study, by the newest version that ran it so: preset and the parameters changed from it.

    also: what else was not as the preset is today, since the preset has changed or a nuisance was, without which two
    columns look more alike than they are.
    """

    version: Version
    changed: str
    also: str
    started: str
    rulings: dict[str, Ruling]

    @property
    def href(self) -> str:
        return quote(f"{self.version.name}/report.html")


@dataclass(frozen=True)
class Step:
    """A version on the time line: its verdicts counted, what differs from the one before of its preset, what moved."""

    version: Version
    started: str
    tally: list[tuple[str, int]]
    before: str
    because: list[str]
    moved: list[tuple[str, str, str]]

    @property
    def href(self) -> str:
        return quote(f"{self.version.name}/report.html")


@dataclass(frozen=True)
class Trail:
    """A claim over the versions: a drawing of those with an interval, and the steps in words."""

    id: str
    statement: str
    picture: Markup
    steps: list[dict[str, Any]]


def write_study_page(reports: Path, card: Card) -> bool:
    """Write the page of a study that has versions; whether it had to be made.

    It is made again only when a version was added or taken away, one's manifest, the card or this code changed: what
    it was made from is hashed into the page.
    """
    page = Path(reports) / card.study / "index.html"
    made_from = _made_from(reports, card)
    if f'name="made-from" content="{made_from}"' in _opening(page):
        return False
    there = read_versions(Path(reports), card.study)
    found = differences(there)
    columns = _columns(card, there)
    text = pages.render(
        "study.html.j2",
        images="data:",
        made_from=made_from,
        card=card,
        papers=[short(paper) for paper in card.papers],
        columns=columns,
        claims=_claims(card, columns),
        steps=[_step(read, found) for read in reversed(there)],
        trails=[_trail(row) for row in histories(card, there, found)],
    )
    pages.write_atomically(page, text)
    return True


def _opening(page: Path) -> str:
    try:
        with page.open(encoding="utf-8") as file:
            return file.read(2000)
    except (OSError, ValueError):
        return ""


def _made_from(reports: Path, card: Card) -> str:
    found = hashlib.sha256(_own_code())
    found.update(card.model_dump_json().encode())
    for version in versions(reports, card.study):
        found.update(version.name.encode() + b"\0" + (version.path / "MANIFEST.sha256").read_bytes())
    return found.hexdigest()


@cache
def _own_code() -> bytes:
    """A digest of the modules and templates that the page comes from."""
    here, found = Path(__file__).parent, hashlib.sha256()
    for name in _MADE_BY:
        found.update(name.encode() + b"\0" + (here / name).read_bytes())
    return found.digest()


# --- runs side by side ---------------------------------------------------------------------------------------


def _columns(card: Card, there: Sequence[Read]) -> list[Column]:
    """The newest version of each way to run the study, strongest preset first, the preset as it is before changed
    ones. More or other seeds are no other way."""
    newest: dict[tuple[str, str], Column] = {}
    for version, results, run in there:
        changed = _changed(card, version.preset, results, run)
        rulings = {ruling.id: ruling for ruling in rule_rows(results, run, card, pictures=False)}
        also = _also(card, version.preset, results, run)
        newest[version.preset, changed] = Column(version, changed, also, str(results.get("started") or ""), rulings)
    strongest = [*reversed(PRESETS)]
    return sorted(newest.values(), key=lambda c: (strongest.index(c.version.preset), c.changed != "", c.version.number))


def _changed(card: Card, preset: str, results: Mapping, run: Mapping) -> str:
    """The parameters that were changed for a run, nuisances and seeds apart: `dataset=fashion_mnist`."""
    values = overrides(card, preset, results.get("parameters") or {})
    named = run.get("changed")
    names = [name for name in values if not isinstance(named, list) or name in named]
    return ", ".join(f"{name}={_cut(shown(values[name]))}" for name in names if name != "seeds")


def _also(card: Card, preset: str, results: Mapping, run: Mapping) -> str:
    """The other parameters that are not as the preset has them today, seeds apart: `steps=1500`."""
    named = run.get("changed")
    values = overrides(card, preset, results.get("parameters") or {}) if isinstance(named, list) else {}
    return ", ".join(f"{name}={_cut(shown(value))}" for name, value in values.items() if name not in {*named, "seeds"})


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _claims(card: Card, columns: Sequence[Column]) -> list[tuple[str, str, list[Ruling | None]]]:
    """Per claim: id, statement and its ruling in each column; the card's claims first."""
    ids = dict.fromkeys([*(claim.id for claim in card.claims), *(id for column in columns for id in column.rulings)])
    rows = []
    for id in ids:
        rulings = [column.rulings.get(id) for column in columns]
        rows.append((id, next((ruling.statement for ruling in rulings if ruling), id), rulings))
    return rows


# --- over the versions ---------------------------------------------------------------------------------------


def _step(read: Read, found: Mapping[str, Mapping[str, Any]]) -> Step:
    version, results, _ = read
    difference = found.get(version.name)
    tally = pages.tally([str(claim.get("outcome")) for claim in results.get("claims", ())])
    started = str(results.get("started") or "")
    if not difference:
        return Step(version, started, tally, "", [], [])
    moved = [
        (verdict["id"], (verdict["a"] or {}).get("outcome", ""), (verdict["b"] or {}).get("outcome", ""))
        for verdict in difference["verdicts"]
        if verdict["moved"]
    ]
    return Step(version, started, tally, difference["versions"][0], [_cut_long(w) for w in changes(difference)], moved)


def _cut_long(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"


def _trail(row: Mapping[str, Any]) -> Trail:
    steps = row["steps"][-_MOST_STEPS:]
    drawable = [
        step
        for step in steps
        if step["outcome"] not in pages.UNTESTED and is_number(step["measured"]) and step["interval"] and step["region"]
    ]
    parts = [{"name": f"{step['version'][:4]} {step['preset']}", **step} for step in drawable]
    picture = draw_parts(parts, unit=row["unit"]) if len(parts) > 1 else Markup("")
    return Trail(row["id"], row["statement"], picture, steps)
