"""The board: `reports/index.html` and `index.json`, every study with its newest verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import _pages as pages
from ._card import Card
from ._report import ReportError, Ruling, read_json, rule_rows, short
from ._versions import Version, newest_versions


@dataclass(frozen=True)
class Entry:
    """The newest version of one preset: its rulings, or in `problem` why they cannot be read."""

    version: Version
    href: str
    started: str
    seconds: Any
    rulings: list[Ruling]
    problem: str = ""

    @property
    def date(self) -> str:
        return pages.moment(self.started, day=True)

    @property
    def took(self) -> str:
        return pages.duration(self.seconds)

    @property
    def scopes(self) -> list[str]:
        """The scopes of the claims that were tested, strongest first."""
        tested = {ruling.scope for ruling in self.rulings if ruling.tested}
        return [scope for scope in pages.SCOPES if scope in tested]


@dataclass(frozen=True)
class Row:
    """A study on the board: its versions, strongest preset first, and the address of its picture."""

    card: Card
    papers: str
    entries: list[Entry]
    picture: str | None


def write_board(reports: Path, cards: Sequence[Card]) -> Path:
    """Write `index.html` and `index.json` into `reports` and return the path of the page.

    Each study is listed in the order of `cards` with its newest complete version of each preset (paper, laptop,
    then smoke); one that was never run is listed as such. Links and pictures are relative, the page fetches
    nothing from outside its folder and runs no script. Both files are replaced in one step each; the same reports
    and cards give the same bytes.
    """
    reports = Path(reports)
    reports.mkdir(parents=True, exist_ok=True)
    rows = [_row(reports, card) for card in cards]
    standings = [ruling.outcome for row in rows for ruling in _standing(row)]
    html = pages.render("board.html.j2", images="'self' file: data:", rows=rows, tally=pages.tally(standings))
    plain = json.dumps({"studies": [_plain(row) for row in rows]}, indent=1, ensure_ascii=False)
    pages.write_atomically(reports / "index.json", plain + "\n")
    pages.write_atomically(reports / "index.html", html)
    return reports / "index.html"


def _row(reports: Path, card: Card) -> Row:
    entries = [_entry(version, card) for version in newest_versions(reports, card.study).values()]
    papers = "; ".join(short(paper) for paper in card.papers)
    return Row(card, papers, entries, next(filter(None, map(_picture, entries)), None))


def _entry(version: Version, card: Card) -> Entry:
    href = quote(f"{version.study}/{version.name}/report.html")
    try:
        results, run = (
            read_json(version.path / "results.json"),
            read_json(version.path / "run.json", missing={}),
        )
        rulings = rule_rows(results, run, card)
    except ReportError as error:
        return Entry(version, href, "", None, [], str(error))
    return Entry(version, href, str(results.get("started") or ""), results.get("seconds"), rulings)


def _picture(entry: Entry) -> str | None:
    """The version's first figure by name, as an address relative to the board."""
    figures = sorted((entry.version.path / "figures").glob("*.svg"))
    return quote(f"{entry.version.study}/{entry.version.name}/figures/{figures[0].name}") if figures else None


def _standing(row: Row) -> list[Ruling]:
    """Where each claim of a study stands: the strongest preset's ruling that tested it, or else the strongest's."""
    standing: dict[str, Ruling] = {}
    for entry in row.entries:
        for ruling in entry.rulings:
            if ruling.id not in standing or ruling.tested and not standing[ruling.id].tested:
                standing[ruling.id] = ruling
    return list(standing.values())


def _plain(row: Row) -> dict[str, Any]:
    """The row for machines."""
    versions = [
        {
            "version": entry.version.name,
            "preset": entry.version.preset,
            "report": entry.href,
            "started": entry.started,
            "seconds": entry.seconds,
            "problem": entry.problem,
            "claims": [
                {
                    "id": ruling.id,
                    "outcome": ruling.outcome,
                    "scope": ruling.scope,
                    "statement": ruling.statement,
                    "link": f"{entry.href}#claim-{ruling.id}",
                }
                for ruling in entry.rulings
            ],
        }
        for entry in row.entries
    ]
    return {
        "study": row.card.study,
        "title": row.card.title,
        "topic": row.card.topic,
        "papers": [paper.key for paper in row.card.papers],
        "versions": versions,
    }
