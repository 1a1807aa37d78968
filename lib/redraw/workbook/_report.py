"""The report of one version: `report.html`, one file that opens offline, fetches nothing and runs no script."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _pages as pages
from ._card import Card, Paper
from ._command import command, overrides, shown
from ._costs import costs
from ._ruling import ReportError, Ruling, one_line, read_json, rule_rows, short, unnamed
from ._story import read_figures, tell

LIMIT = 3_000_000
"""The most bytes a report may have."""
_STORY = 2_600_000
_MOST_FINDINGS = 6


def write_report(folder: Path, card: Card) -> None:
    """Write `report.html` into a version's folder, from its results.json, run.json, report.ipynb and figures.

    The page holds what was found first, then how far to trust it, the notebook's story, how it was run, where that
    deviates from the paper, what it cost, the data and what to cite. It needs nothing but itself (links to the CSV
    files beside it aside) and is under 3 MB; the same folder and card give the same bytes. Raises ReportError, one
    line, when a file is missing or cannot be read.
    """
    folder = Path(folder)
    results, run = read_json(folder / "results.json"), read_json(folder / "run.json", missing={})
    try:
        notebook = (folder / "report.ipynb").read_text("utf-8")
        drawn = read_figures(folder)
        story, figures = tell(notebook, drawn, _STORY)
    except (OSError, ValueError) as error:
        raise ReportError(one_line(f"{folder.name}: {error}")) from None
    rulings = rule_rows(results, run, card)
    text = pages.render(
        "report.html.j2",
        images="data:",
        card=card,
        results=results,
        rulings=sorted(rulings, key=lambda ruling: not ruling.tested),
        findings=_findings(rulings),
        tally=pages.tally([ruling.outcome for ruling in rulings]),
        drifted=_drifted(run, card),
        scopes=_scopes(rulings),
        open_claims=[ruling for ruling in rulings if ruling.outcome == "inconclusive"],
        parameters=_parameters(results, card),
        papers=[(paper, short(paper), links(paper)) for paper in card.papers],
        story=story,
        figures=figures,
        sentences=_sentences(results, run),
        origins=_origins(run),
        facts=_facts(run),
        command=_command(results, run, card),
        costs=costs(results, run, _flops(folder / "trials.csv")),
        tables=[figure for figure in drawn.values() if figure.csv],
        notes=[ruling for ruling in rulings if ruling.notes],
        rendered=_rendered(folder),
        bibtex="\n\n".join([_own_bibtex(results, card), *(bibtex(paper) for paper in card.papers)]),
        version=str(results.get("version", folder.name)),
        started=pages.moment(results.get("started")),
    )
    if len(text.encode()) >= LIMIT:
        raise ReportError(f"{folder.name}: report.html must be under {LIMIT:,} bytes; claims or run.json are too long")
    pages.write_atomically(folder / "report.html", text)


def _findings(rulings: list[Ruling]) -> list[Ruling]:
    """What the first screen shows: the main claims that were tested, or else the first that were."""
    tested = [ruling for ruling in rulings if ruling.tested]
    shown = ([ruling for ruling in tested if ruling.main] or tested)[:_MOST_FINDINGS]
    return sorted(shown, key=lambda ruling: not ruling.picture)


def _flops(trials: Path) -> float | None:
    """The sum of the column `flops` of trials.csv, where the study counts them."""
    try:
        with trials.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "flops" not in (rows.fieldnames or ()):
                return None
            return sum(float(row["flops"]) for row in rows if row["flops"])
    except (OSError, ValueError, csv.Error):
        return None


def _rendered(folder: Path) -> str:
    """When the page was last set again, if it was; see `_rerender`."""
    again = read_json(folder / "rendered.json", missing={}).get("rendered") or [{}]
    return pages.moment(again[-1].get("at", "")) if isinstance(again, list) and isinstance(again[-1], dict) else ""


def _drifted(run: Mapping, card: Card) -> bool:
    return "claims_hash" in run and run["claims_hash"] != card.claims_hash


def _scopes(rulings: list[Ruling]) -> list[tuple[str, list[str]]]:
    """The scopes of the claims that were tested, strongest first, each with the claims it is said of."""
    tested = [ruling for ruling in rulings if ruling.tested]
    found = [(scope, [ruling.id for ruling in tested if ruling.scope == scope]) for scope in pages.SCOPES]
    return [(scope, ids) for scope, ids in found if ids]


# --- parameters ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One row of the parameters table: `changed` when set for this run, `differs` when not as in the paper."""

    name: str
    help: str
    unit: str
    role: str
    value: str
    paper: str
    changed: bool
    differs: bool


def _parameters(results: Mapping, card: Card) -> list[Setting]:
    values = results.get("parameters", {})
    changed = overrides(card, results.get("preset"), values)
    paper = card.presets["paper"].values
    settings = []
    for name, value in values.items():
        declared = card.parameters.get(name)
        settings.append(
            Setting(
                name,
                declared.help if declared else "no longer in the card",
                declared.unit if declared else "",
                declared.role if declared else "",
                shown(value).replace(",", ", "),
                shown(paper[name]).replace(",", ", ") if name in paper else "–",
                name in changed,
                name in paper and paper[name] != value,
            )
        )
    return settings


def _command(results: Mapping, run: Mapping, card: Card) -> str:
    """The command that runs this version again."""
    source = (run.get("seeded_from") or {}).get("version")
    more = {"looks": run.get("looks"), "source": source, "batched": bool(run.get("batched"))}
    return command(card, results.get("preset"), results.get("parameters", {}), **more)


# --- provenance ----------------------------------------------------------------------------------------------

_LABELS = {
    "blocked": "Blocked",
    "claims_hash": "Claims (SHA-256)",
    "code": "Code",
    "data": "Data (SHA-256)",
    "exit_reason": "Ended",
    "finished": "Finished",
    "hardware": "Hardware",
    "level": "Confidence of each verdict",
    "seeds": "Seeds",
    "trial_seconds": "Computing time of the trials",
    "python": "Python",
    "determinism": "Determinism",
    "libraries": "Libraries",
}
_ELSEWHERE = {
    "batched",
    "busy_calibration",
    "calibration",
    "changed",
    "claims",
    "command",
    "estimate",
    "looks",
    "memory",
    "parameters",
    "preset",
    "seconds",
    "seeded_from",
    "started",
    "study",
    "trials",
    "trials_from",
    "version",
}


def _sentences(results: Mapping, run: Mapping) -> list[str]:
    said = [f"Started {pages.moment(results.get('started'))}; took {pages.duration(results.get('seconds'))}."]
    trials = results.get("trials") or {}
    if "total" in trials:
        said.append(
            f"{_count(trials['total'], 'trial')}: {trials.get('computed', 0):,} computed in this run, "
            f"{trials.get('reused', 0):,} taken from the store because nothing that could change them had changed."
        )
    return said + _seeded(trials, run.get("seeded_from")) + _together(run.get("batched")) + _looks(run.get("looks"))


def _together(batched: Any) -> list[str]:
    """That networks trained side by side as one program, and what that means for repeating the run."""
    if not isinstance(batched, Mapping):
        return []
    return [
        f"{_count(batched.get('trials', 0), 'trial')} trained side by side as one program on {batched.get('device')}, "
        f"up to {batched.get('largest group')} at a time: what they come to is what single runs come to up to "
        "rounding, not bit for bit."
    ]


def _seeded(trials: Mapping, source: Any) -> list[str]:
    """What the run took from the version that it was asked to start from, and what did not come out the same here."""
    if not isinstance(source, Mapping):
        return []
    version, odd = source.get("version"), source.get("disagreeing") or ()
    said = [f"Taken from the records of {version} and not computed again: {_count(trials.get('seeded', 0), 'trial')}."]
    if odd:
        said.append(
            f"{_count(len(odd), 'trial')} computed here did not come out, bit for bit, as {version} recorded them, so "
            f"that machine and this one differ: {', '.join(map(str, odd))}. What was computed here counts."
        )
    return said


def _origins(run: Mapping) -> list[tuple[str, str, str, int]]:
    """For a run that started from a version: where its trials came from, as (origin, trial, seeds, how many)."""
    if not run.get("seeded_from"):
        return []
    named = {"computed": "computed in this run", "store": "stored on this machine before"}
    return [
        (named.get(part["origin"], part["origin"]), part["function"], _seeds(part["seeds"]), part["trials"])
        for part in run.get("trials_from", ())
    ]


def _seeds(seeds: list[int]) -> str:
    """`0 to 4` for a run of them, else `0, 2, 3`."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _looks(looks: Any) -> list[str]:
    """How the number of seeds came about, where it was not fixed before."""
    if not isinstance(looks, Mapping) or not looks.get("taken"):
        return []
    taken = [f"{look.get('seeds')} seeds at level {look.get('level'):.4g}" for look in looks["taken"]]
    return [
        f"Seeds were added until the main claims were decided, in {_count(len(taken), 'look')} of at most "
        f"{len(looks.get('planned', taken))}: {', '.join(taken)}. The verdicts are those of the last look, at its "
        f"level; the rule: {looks.get('rule', '')}. It stopped because {looks.get('stopped', '')}."
    ]


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _facts(run: Mapping) -> list[tuple[str, Any]]:
    """What run.json records and the report does not show elsewhere, labelled: the known facts first."""
    known = sorted((key for key in run if key in _LABELS), key=list(_LABELS).index)
    others = [key for key in run if key not in _LABELS and key not in _ELSEWHERE]
    said = {"trial_seconds": pages.duration, "finished": pages.moment}
    facts = []
    for key in known + others:
        if run[key] not in ("", None, [], {}):
            facts.append((_LABELS.get(key, key.replace("_", " ")), said.get(key, _fact)(run[key])))
    return facts


def _fact(value: Any) -> Any:
    """Text, or a list of named facts; the template shows both."""
    if isinstance(value, Mapping):
        return [(str(key).replace("_", " "), _fact(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return ", ".join(shown(item) if not isinstance(item, Mapping) else json.dumps(item) for item in value) or "none"
    if value is None or value == "":
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


# --- citation ------------------------------------------------------------------------------------------------


def links(paper: Paper) -> list[tuple[str, str]]:
    """Where to find the paper: (words, address)."""
    found = []
    if paper.arxiv:
        found.append((f"arXiv {paper.arxiv}", f"https://arxiv.org/abs/{paper.arxiv}"))
    if paper.doi:
        found.append((f"doi {paper.doi}", f"https://doi.org/{paper.doi}"))
    if paper.url:
        found.append(("web page", paper.url))
    return found


def _own_bibtex(results: Mapping, card: Card) -> str:
    """This version of the study as a BibTeX entry."""
    version, started = str(results.get("version", "")), str(results.get("started") or "")
    number = version.partition("-")[0]
    fields = {
        "title": "{" + one_line(f"{card.title}: the claims run again").translate(_TEX) + "}",
        "author": "{The Redraw authors}",
        "year": started[:4] if started[:4].isdecimal() else "",
        "howpublished": "Redraw, study " + card.study.translate(_TEX),
        "note": "version " + one_line(version).translate(_TEX),
    }
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value.strip("{}"))
    key = f"redraw_{card.study}_{number}"
    return f"@misc{{{key if key.replace('_', '').isalnum() else 'redraw'},\n{body}}}"


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def bibtex(paper: Paper) -> str:
    """The paper as a BibTeX entry, its title in braces so that capitals stay; `others` where authors are not named."""
    more = unnamed(paper)
    fields = {
        "title": "{" + one_line(paper.title).translate(_TEX) + "}",
        "author": " and ".join(["others" if a in more else one_line(a).translate(_TEX) for a in paper.authors]),
        "year": str(paper.year),
    }
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archiveprefix": "arXiv"}
    if paper.doi:
        fields["doi"] = paper.doi
    if paper.url or paper.arxiv:
        fields["url"] = paper.url or f"https://arxiv.org/abs/{paper.arxiv}"
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{paper.key},\n{body}}}"
