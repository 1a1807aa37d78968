"""The board: `reports/index.html` with every study and where its claims stand (`_standing`), the same for machines, and
a page for each study (`_study_page`)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from . import _pages as pages
from ._board_picture import draw_board
from ._card import PRESETS, Card
from ._ruling import ReportError, Ruling, read_json, rule_rows, short
from ._standing import standings
from ._versions import Version, newest_versions

_FIGURE = re.compile(r'"figure": "([A-Za-z0-9_.-]+)"')
_SHARE = ["reproduced", "contradicted", "inconclusive", "paper_error"]


@dataclass(frozen=True)
class Entry:
    """A version on the board: its rulings, or in `problem` why they cannot be read.

    seconds: from the start of the run to its end; computing: of its trials on one core, whenever they were made.
    """

    version: Version
    href: str
    started: str
    seconds: Any
    rulings: list[Ruling]
    computing: Any = None
    problem: str = ""

    @property
    def date(self) -> str:
        return pages.moment(self.started, day=True)

    @property
    def took(self) -> str:
        """The computing time: a run whose trials were stored says little about a study in its own seconds."""
        return f"{pages.duration(self.computing)} of computing" if self.computing else pages.duration(self.seconds)

    @property
    def scopes(self) -> list[str]:
        """The scopes of the claims that were tested, strongest first."""
        tested = {ruling.scope for ruling in self.rulings if ruling.tested}
        return [scope for scope in pages.SCOPES if scope in tested]


@dataclass(frozen=True)
class Standing:
    """Where a claim stands: its ruling, the entry it is from, and the name of its place on the board."""

    ruling: Ruling
    entry: Entry
    anchor: str

    @property
    def link(self) -> str:
        return f"{self.entry.href}#claim-{quote(self.ruling.id)}"


@dataclass(frozen=True)
class Row:
    """A study on the board: the newest version of each preset, strongest first, and the address of its picture; where
    its claims stand; and `counting`, those versions and the older ones in which a claim stands, in the same order and
    of each preset the newest first."""

    card: Card
    papers: list[str]
    entries: list[Entry]
    picture: str | None
    standing: list[Standing]
    counting: list[Entry]

    @property
    def newest(self) -> str:
        """When the newest of the versions began, as ISO text; empty where there is none."""
        return max((entry.started for entry in self.entries), default="")

    @property
    def tally(self) -> list[tuple[str, int]]:
        return pages.tally([standing.ruling.outcome for standing in self.standing])

    @property
    def counts(self) -> dict[str, int]:
        """How many claims stand at each outcome that a reader may sort by."""
        return {outcome: dict(self.tally).get(outcome, 0) for outcome in _SHARE}


def write_board(reports: Path, cards: Sequence[Card]) -> Path:
    """Write `index.html`, `index.json`, `index.csv` and `board.svg` into `reports`, and `index.html` into the folder of
    each study that has a version; return the path of the board.

    Each study is listed in the order of `cards` with its newest complete version of each preset (paper, laptop,
    then smoke); one that was never run is listed as such. A claim stands where the strongest preset that tested it
    says, in its newest version that did (`standings`), and `index.html#STUDY.CLAIM` leads to it whatever version that
    is; the files for machines list an older version too where a claim still stands in it.

    Links and pictures are relative; the page fetches nothing from outside its folder, and runs one script, which its
    content policy names by hash and without which it only cannot be filtered. Files are replaced in one step each, and
    only where they change; the same reports and cards give the same bytes. A study's page is made again only when one
    of its files has changed.
    """
    reports = Path(reports)
    reports.mkdir(parents=True, exist_ok=True)
    rows = [_row(reports, card) for card in cards]
    for row in rows:
        if row.entries:
            from ._study_page import write_study_page  # loads pandas only where a page is made

            write_study_page(reports, row.card)
    files = {
        "index.json": json.dumps({"studies": [_plain(row) for row in rows]}, indent=1, ensure_ascii=False) + "\n",
        "index.csv": _table(rows),
        "board.svg": board_drawing(rows),
        "index.html": board_page(rows, benchmarks=(reports / "benchmarks" / "index.html").is_file()),
    }
    for name, text in files.items():
        pages.write_if_changed(reports / name, text)
    return reports / "index.html"


def board_drawing(rows: Sequence[Row]) -> str:
    """The board as an SVG document, for pages that show a picture and no HTML."""
    return draw_board([(row.card.title, [standing.ruling.outcome for standing in row.standing]) for row in rows])


def board_page(rows: Sequence[Row], *, alone: bool = False, benchmarks: bool = False) -> str:
    """The board as HTML; `alone` without pictures and links that lead out of it, to be shown inside another page.

    benchmarks: whether there is a page of them to lead to.
    """
    standings = [standing.ruling for row in rows for standing in row.standing]
    found = {standing.scope for standing in standings if standing.tested}
    return pages.render(
        "board.html.j2",
        images="data:" if alone else "'self' file: data:",
        script="board.js.j2",
        rows=rows,
        alone=alone,
        benchmarks=benchmarks,
        tally=pages.tally([standing.outcome for standing in standings]),
        topics=sorted({row.card.topic for row in rows}),
        papers=sorted({paper for row in rows for paper in row.papers}),
        scopes=[scope for scope in pages.SCOPES if scope in found],
    )


def show_board(reports: Path, cards: Sequence[Card], height: int = 640):
    """The board inside a notebook, in a frame of its own: an IPython display object, `height` in pixels."""
    from IPython.display import HTML

    page = board_page([_row(Path(reports), card) for card in cards], alone=True)
    frame = '<div><iframe srcdoc="{}" title="The board" width="100%" height="{}"></iframe></div>'
    return HTML(str(Markup(frame).format(page, int(height))))


def _row(reports: Path, card: Card) -> Row:
    entries = [_entry(version, card) for version in newest_versions(reports, card.study).values()]
    picture = next(filter(None, map(_picture, entries)), None)
    read, standing = {entry.version: entry for entry in entries}, []
    for id, (version, _) in standings(reports, card).items():
        if version not in read:
            read[version] = _entry(version, card)
        ruling = next(ruling for ruling in read[version].rulings if ruling.id == id)
        standing.append(Standing(ruling, read[version], f"{card.study}.{id}"))
    counting = sorted(read.values(), key=_strength, reverse=True)
    return Row(card, [short(paper) for paper in card.papers], entries, picture, standing, counting)


def _strength(entry: Entry) -> tuple[int, int, str]:
    version = entry.version
    return PRESETS.index(version.preset), version.number, version.name


def _entry(version: Version, card: Card) -> Entry:
    href = quote(f"{version.study}/{version.name}/report.html")
    try:
        results, run = (
            read_json(version.path / "results.json"),
            read_json(version.path / "run.json", missing={}),
        )
        rulings = rule_rows(results, run, card, pictures=False)
    except ReportError as error:
        return Entry(version, href, "", None, [], problem=str(error))
    started, seconds = str(results.get("started") or ""), results.get("seconds")
    return Entry(version, href, started, seconds, rulings, run.get("trial_seconds"))


def _picture(entry: Entry) -> str | None:
    """The figure that the version's notebook shows first, or else its first by name, relative to the board."""
    drawn = {figure.stem: figure.name for figure in sorted((entry.version.path / "figures").glob("*.svg"))}
    if not drawn:
        return None
    try:
        shown = _FIGURE.findall((entry.version.path / "report.ipynb").read_text("utf-8"))
    except (OSError, ValueError):
        shown = []
    name = next((drawn[name] for name in shown if name in drawn), next(iter(drawn.values())))
    return quote(f"{entry.version.study}/{entry.version.name}/figures/{name}")


_STRENGTH = ("seeds", "interval", "level", "p_value", "seeds_needed")


def _said(ruling: Ruling) -> dict[str, Any]:
    """A ruling for machines: its numbers as results.json has them."""
    strength = ruling.plain.get("strength") or {}
    return {
        "id": ruling.id,
        "outcome": ruling.outcome,
        "scope": ruling.scope,
        "statement": ruling.statement,
        "paper": ruling.paper,
        "place": ruling.place,
        "main": ruling.main,
        "metric": ruling.metric,
        "reference": ruling.plain.get("reference"),
        "measured": ruling.plain.get("measured"),
        **{name: strength.get(name) for name in _STRENGTH},
        "criterion": ruling.criterion,
    }


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
            "claims": [_said(ruling) | {"link": f"{entry.href}#claim-{ruling.id}"} for ruling in entry.rulings],
        }
        for entry in row.counting
    ]
    return {
        "study": row.card.study,
        "title": row.card.title,
        "question": row.card.question,
        "topic": row.card.topic,
        "papers": [paper.key for paper in row.card.papers],
        "stands": [
            {
                "id": standing.ruling.id,
                "outcome": standing.ruling.outcome,
                "version": standing.entry.version.name,
                "link": f"index.html#{standing.anchor}",
            }
            for standing in row.standing
        ],
        "versions": versions,
    }


_COLUMNS = [
    *("study", "topic", "version", "preset", "started", "stands", "id", "outcome", "scope", "statement", "paper"),
    *("place", "main", "metric", "reference", "measured", "low", "high", "level", "seeds", "p_value", "seeds_needed"),
    *("criterion", "link"),
]


def _table(rows: Sequence[Row]) -> str:
    """Every claim of every version on the board as CSV, a row each; `stands` marks a claim's one row that counts."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        counting = {(standing.entry.version.name, standing.ruling.id) for standing in row.standing}
        for entry in row.counting:
            version = entry.version
            common = {"study": row.card.study, "topic": row.card.topic, "version": version.name}
            common |= {"preset": version.preset, "started": entry.started}
            for ruling in entry.rulings:
                said = _said(ruling)
                low, high = said["interval"] if isinstance(said["interval"], list) else (None, None)
                said |= {"low": low, "high": high, "link": f"{entry.href}#claim-{ruling.id}"}
                said["stands"] = (version.name, ruling.id) in counting
                writer.writerow({name: _cell(value) for name, value in (common | said).items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value as CSV has it; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value
