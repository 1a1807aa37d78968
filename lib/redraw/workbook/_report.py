"""The report of one version: `report.html`, one file that opens offline, fetches nothing and runs no script."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import ValidationError

from . import _pages as pages
from ._card import Card, Paper
from ._claims import Claim
from ._command import command, overrides, shown
from ._picture import draw, draw_parts
from ._story import read_figures, tell

LIMIT = 3_000_000
"""The most bytes a report may have."""
_STORY = 2_600_000


class ReportError(ValueError):
    """A version that cannot be reported: one line naming the file and what is wrong with it."""


_TELLING = (*pages.UNTESTED, "paper_error")  # outcomes whose remarks are half of the verdict


@dataclass(frozen=True)
class Ruling:
    """One row of the claims table, every field ready to be read; `open` shows the remarks unfolded."""

    id: str
    outcome: str
    scope: str
    statement: str
    place: str
    main: bool
    reference: str
    source: str
    measured: str
    interval: str
    metric: str
    criterion: str
    basis: str
    seeds: int
    p_value: str
    seeds_needed: int | None
    remarks: tuple[str, ...]
    open: bool
    picture: Markup

    @property
    def tested(self) -> bool:
        return self.outcome not in pages.UNTESTED


def write_report(folder: Path, card: Card) -> None:
    """Write `report.html` into a version's folder, from its results.json, run.json, report.ipynb and figures.

    The page holds the claims first, then how far to trust them, the notebook's story, how it was run and what to
    cite. It needs nothing but itself (links to the CSV files beside it aside) and is under 3 MB; the same folder
    and card give the same bytes. Raises ReportError, one line, when a file is missing or cannot be read.
    """
    folder = Path(folder)
    results, run = read_json(folder / "results.json"), read_json(folder / "run.json", missing={})
    try:
        notebook = (folder / "report.ipynb").read_text("utf-8")
        story, figures = tell(notebook, read_figures(folder), _STORY)
    except (OSError, ValueError) as error:
        raise ReportError(_one_line(f"{folder.name}: {error}")) from None
    rulings = rule_rows(results, run, card)
    text = pages.render(
        "report.html.j2",
        images="data:",
        card=card,
        results=results,
        rulings=sorted(rulings, key=lambda ruling: not ruling.tested),
        tally=pages.tally([ruling.outcome for ruling in rulings]),
        drifted=_drifted(run, card),
        scopes=_scopes(rulings),
        open_claims=[ruling for ruling in rulings if ruling.outcome == "inconclusive"],
        parameters=_parameters(results, card),
        papers=[(paper, links(paper)) for paper in card.papers],
        story=story,
        figures=figures,
        sentences=_sentences(results, run),
        origins=_origins(run),
        facts=_facts(run),
        command=_command(results, run, card),
        bibtex="\n\n".join(bibtex(paper) for paper in card.papers),
        version=str(results.get("version", folder.name)),
        started=pages.moment(results.get("started")),
    )
    if len(text.encode()) >= LIMIT:
        raise ReportError(f"{folder.name}: report.html must be under {LIMIT:,} bytes; claims or run.json are too long")
    pages.write_atomically(folder / "report.html", text)


def read_json(path: Path, missing: dict | None = None) -> dict[str, Any]:
    """The JSON object in the file, or `missing` when there is no file; ReportError, one line, otherwise."""
    if missing is not None and not path.is_file():
        return missing
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(_one_line(f"{path.parent.name}/{path.name}: cannot be read ({error})")) from None
    if not isinstance(value, dict):
        raise ReportError(f"{path.parent.name}/{path.name}: must be a JSON object")
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- claims --------------------------------------------------------------------------------------------------


def rule_rows(results: Mapping, run: Mapping, card: Card) -> list[Ruling]:
    """The rulings of results.json, in the order of the claims that were ruled on: those that run.json keeps, or
    the card's. A claim of the card without a ruling counts as not tested."""
    ruled = {str(plain.get("id")): plain for plain in results.get("claims", ()) if isinstance(plain, Mapping)}
    claims = {claim.id: claim for claim in _claims_of(run)}
    for claim in card.claims:
        claims.setdefault(claim.id, claim)
    nothing = {"outcome": "not_tested", "remarks": ["this run says nothing about the claim"]}
    order = [*claims, *(id for id in ruled if id not in claims)]
    return [_ruling(id, ruled.get(id, nothing), claims.get(id), card) for id in order]


def _claims_of(run: Mapping) -> list[Claim]:
    """The claims as they were when the run was ruled on; those that cannot be read are left to the card."""
    try:
        return [Claim.model_validate(plain) for plain in run.get("claims", ())]
    except ValidationError:
        return []


def _ruling(id: str, plain: Mapping, claim: Claim | None, card: Card) -> Ruling:
    strength = plain.get("strength") or {}
    unit = str(plain.get("unit", claim.unit if claim else ""))
    measured, interval = plain.get("measured"), strength.get("interval")
    given = plain.get("reference", claim.reference.value if claim else None)
    ends = [end for end in interval or () if end is not None]
    decimals = pages.decimals_for(*ends) if len(ends) == 2 else None
    if claim and claim.kind == "exact" and claim.reference.decimals >= 0:
        decimals = claim.reference.decimals + 1
    return Ruling(
        id=id,
        outcome=str(plain.get("outcome", "not_tested")),
        scope=str(plain.get("scope", "")),
        statement=str(plain.get("statement") or (claim.statement if claim else id)),
        place=_place(plain, claim, card),
        main=bool(claim and claim.main),
        reference=_reference(given, claim, unit),
        source=_source(claim),
        measured=pages.with_unit(pages.number(measured, decimals), unit if measured is not None else ""),
        interval=_interval(interval, strength.get("level"), decimals),
        metric=claim.metric if claim else "",
        criterion=str(plain.get("criterion") or ""),
        basis=" · ".join(filter(None, (claim.criterion.basis, claim.notes))) if claim else "",
        seeds=int(strength.get("seeds") or 0),
        p_value=_p_value(strength.get("p_value")),
        seeds_needed=strength.get("seeds_needed"),
        remarks=tuple(str(remark) for remark in plain.get("remarks", ())),
        open=plain.get("outcome") in _TELLING or bool(claim and claim.kind == "ordering"),
        picture=_picture(plain, claim, unit),
    )


def _place(plain: Mapping, claim: Claim | None, card: Card) -> str:
    key, place = (
        plain.get("paper", claim.paper if claim else ""),
        plain.get("place", claim.place if claim else ""),
    )
    named = {paper.key: short(paper) for paper in card.papers}
    return ", ".join(str(part) for part in (named.get(key, key), place) if part)


def short(paper: Paper) -> str:
    """A paper as it is named in running text: `Frankle & Carbin 2019`."""
    last = [author.split(",")[0].strip() if "," in author else author.split()[-1] for author in paper.authors]
    names = " & ".join(last) if len(last) < 3 else f"{last[0]} et al."
    return f"{names} {paper.year}"


def _reference(value: Any, claim: Claim | None, unit: str) -> str:
    if value is None:
        return ""
    places = claim.reference.decimals if claim else None
    text = pages.number(value, places if places is not None and places >= 0 else None)
    if claim and claim.reference.spread is not None:
        text += f" ± {pages.number(claim.reference.spread)}"
    return pages.with_unit(text, unit)


def _source(claim: Claim | None) -> str:
    if claim is None or claim.reference.value is None:
        return ""
    said = {"digitised": "read off a figure", "author_code": "from the authors' code", "derived": "derived"}
    parts = [said.get(claim.reference.source, "")]
    if claim.reference.n:
        parts.append(f"{claim.reference.n} runs")
    return ", ".join(part for part in parts if part)


def _interval(interval: Any, level: Any, decimals: int | None) -> str:
    if not interval:
        return ""
    low, high = (pages.number(end, decimals) if end is not None else None for end in interval)
    share = f"{100 * level:.3g} % " if isinstance(level, int | float) else ""
    return f"{share}interval {low or '−∞'} to {high or '∞'}"


def _p_value(p: Any) -> str:
    if not isinstance(p, int | float):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _picture(plain: Mapping, claim: Claim | None, unit: str) -> Markup:
    measured, reference = plain.get("measured"), plain.get("reference")
    interval = (plain.get("strength") or {}).get("interval")
    if parts := plain.get("parts"):
        return draw_parts([_part(part) for part in parts], unit=unit)
    if not _is_number(measured) or claim is None:
        return Markup("")
    reference = reference if _is_number(reference) else None
    return draw(measured, interval, region(claim), reference, unit=unit, log=claim.kind == "ratio")


def _part(plain: Mapping) -> dict[str, Any]:
    """A part of a verdict with what is no number taken out, since results.json may have been written by anyone."""

    def ends(pair: Any) -> list[float | None] | None:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        return [end if _is_number(end) else None for end in pair]

    measured = plain.get("measured")
    return {
        "name": str(plain.get("name", "")),
        "measured": measured if _is_number(measured) else None,
        "interval": ends(plain.get("interval")),
        "region": ends(plain.get("region")),
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def region(claim: Claim) -> tuple[float | None, float | None] | None:
    """Where the claim holds, on the scale of its measurement (None: open); None when it is no one interval."""
    criterion, reference = claim.criterion, claim.reference
    if claim.kind == "ordering":
        return _side(criterion.all[0].op, criterion.all[0].margin) if len(criterion.all) == 1 else None
    if criterion.bound is not None:
        return _side(criterion.op, criterion.bound)
    value = 0.0 if reference.value is None else reference.value
    if isinstance(value, list):
        return None
    if claim.kind == "ratio":
        factor = max(criterion.margin, 1 + reference.rounding / value)
        return value / factor, value * factor
    margin = max(criterion.margin or 0.0, reference.rounding)
    return value - margin, value + margin


def _side(op: str, bound: float) -> tuple[float | None, float | None]:
    if op == "=":
        return -bound, bound
    return {">": (bound, None), "<": (None, bound), ">=": (-bound, None), "<=": (None, bound)}[op]


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
    return command(card, results.get("preset"), results.get("parameters", {}), looks=run.get("looks"), source=source)


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
    "changed",
    "claims",
    "command",
    "looks",
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
    return said + _seeded(trials, run.get("seeded_from")) + _looks(run.get("looks"))


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


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def bibtex(paper: Paper) -> str:
    """The paper as a BibTeX entry, its title in braces so that capitals stay."""
    fields = {
        "title": "{" + _one_line(paper.title).translate(_TEX) + "}",
        "author": " and ".join(_one_line(author).translate(_TEX) for author in paper.authors),
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
