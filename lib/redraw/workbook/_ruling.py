"""A claim's ruling as one row that is ready to be read: what report, board and study page have in common."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import ValidationError

from . import _pages as pages
from ._card import Card, Paper
from ._claims import Claim, how_many, told_of
from ._numbers import decimals_for, decimals_of, number, with_unit
from ._picture import draw, draw_parts, ends_in_words

_TELLING = (*pages.UNTESTED, "paper_error")  # outcomes whose remarks are half of the verdict


class ReportError(ValueError):
    """A version that cannot be reported: one line naming the file and what is wrong with it."""


@dataclass(frozen=True)
class Ruling:
    """One row of the claims table, every field ready to be read; `open` shows the remarks unfolded.

    sentence: the verdict and what it follows from, in words. over: what its `seeds`, as results.json calls them, are.
    statement, place, basis, notes: as the card has them now, as long as the claim means what it meant, so that a word
    that was put right is right on every page. plain: the ruling as results.json has it.
    """

    id: str
    outcome: str
    scope: str
    statement: str
    place: str
    paper: str
    main: bool
    reference: str
    source: str
    measured: str
    interval: str
    metric: str
    criterion: str
    basis: str
    notes: str
    seeds: int
    over: str
    p_value: str
    seeds_needed: int | None
    remarks: tuple[str, ...]
    open: bool
    picture: Markup
    sentence: str
    plain: Mapping[str, Any]

    @property
    def tested(self) -> bool:
        return self.outcome not in pages.UNTESTED

    @property
    def count(self) -> str:
        """How many values it rests on: 5 seeds, 9 tasks."""
        return how_many(self.seeds, self.over)

    @property
    def holds_if(self) -> str:
        """The criterion with its two letters, which only the card explains, as the words that they stand for."""
        return re.sub(r"^a / b\b", "ratio", re.sub(r"^a - b\b", "difference", self.criterion))


def read_json(path: Path, missing: dict | None = None) -> dict[str, Any]:
    """The JSON object in the file, or `missing` when there is no file; ReportError, one line, otherwise."""
    if missing is not None and not path.is_file():
        return missing
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(one_line(f"{path.parent.name}/{path.name}: cannot be read ({error})")) from None
    if not isinstance(value, dict):
        raise ReportError(f"{path.parent.name}/{path.name}: must be a JSON object")
    return value


def one_line(text: str) -> str:
    return " ".join(text.split())


def rule_rows(results: Mapping, run: Mapping, card: Card, *, pictures: bool = True) -> list[Ruling]:
    """The rulings of results.json, in the order of the claims that were ruled on: those that run.json keeps, or
    the card's. A claim of the card without a ruling counts as not tested. `pictures` may be left undrawn."""
    ruled = {str(plain.get("id")): plain for plain in results.get("claims", ()) if isinstance(plain, Mapping)}
    claims = {claim.id: claim for claim in _claims_of(run)}
    for claim in card.claims:
        claims.setdefault(claim.id, claim)
    nothing = {"outcome": "not_tested", "remarks": ["this run says nothing about the claim"]}
    order = [*claims, *(id for id in ruled if id not in claims)]
    return [_ruling(id, ruled.get(id, nothing), claims.get(id), card, pictures) for id in order]


def _claims_of(run: Mapping) -> list[Claim]:
    """The claims as they were when the run was ruled on; those that cannot be read are left to the card."""
    try:
        return [Claim.model_validate(plain) for plain in run.get("claims", ())]
    except ValidationError:
        return []


def _ruling(id: str, plain: Mapping, claim: Claim | None, card: Card, pictures: bool) -> Ruling:
    strength = plain.get("strength") or {}
    today = next((claim for claim in card.claims if claim.id == id), None)
    over = today.over if today else "seeds"
    same = claim is not None and today is not None and claim.meaning() == today.meaning()
    words = today if same else claim
    unit = str(plain.get("unit", claim.unit if claim else ""))
    measured, interval = plain.get("measured"), strength.get("interval")
    given = plain.get("reference", claim.reference.value if claim else None)
    decimals = _decimals(plain, claim)
    written = with_unit(number(measured, decimals), unit if measured is not None else "")
    between = _interval(interval, strength.get("level"), decimals)
    printed = _reference(given, claim, unit)
    return Ruling(
        id=id,
        outcome=str(plain.get("outcome", "not_tested")),
        scope=str(plain.get("scope", "")),
        statement=str(plain.get("statement") or (words.statement if words else id)),
        place=_place({} if same else plain, words, card),
        paper=str(plain.get("paper", claim.paper if claim else "")),
        main=bool(claim and claim.main),
        reference=printed,
        source=_source(claim),
        measured=written,
        interval=between,
        metric=claim.metric if claim else "",
        criterion=str(plain.get("criterion") or ""),
        basis=words.criterion.basis if words else "",
        notes=words.notes if words else "",
        seeds=int(strength.get("seeds") or 0),
        over=over,
        p_value=_p_value(strength.get("p_value")),
        seeds_needed=strength.get("seeds_needed"),
        remarks=_remarks(plain, over),
        open=plain.get("outcome") in _TELLING or bool(claim and claim.kind == "ordering"),
        picture=_picture(plain, claim, unit) if pictures else Markup(""),
        sentence=_sentence(plain, claim, unit, written, between, printed, over),
        plain=plain,
    )


def _remarks(plain: Mapping, over: str) -> tuple[str, ...]:
    """The remarks in words: what varies by its name, and not the letters that a difference's networks have."""
    said = [told_of(str(remark), over) for remark in plain.get("remarks", ())]
    return tuple(re.sub(r"(trained no network) for: (a(, b)?|b)$", r"\1 for it", remark) for remark in said)


def _decimals(plain: Mapping, claim: Claim | None) -> int | None:
    """How many digits after the point what was measured and its interval are shown with; None: as they come."""
    measured, reference = plain.get("measured"), claim.reference if claim else None
    if claim and claim.kind == "exact" and reference.decimals >= 0:
        if is_number(measured) and is_number(reference.value):
            return decimals_of(measured, reference.value, reference.decimals)
        return reference.decimals + 1
    ends = [end for end in (plain.get("strength") or {}).get("interval") or () if is_number(end)]
    regions = [_part(part)["region"] for part in plain.get("parts") or ()] or [region(claim) if claim else None]
    return decimals_for(*ends, [edge for held in regions for edge in held or ()]) if len(ends) == 2 else None


def _place(plain: Mapping, claim: Claim | None, card: Card) -> str:
    key, place = (
        plain.get("paper", claim.paper if claim else ""),
        plain.get("place", claim.place if claim else ""),
    )
    named = {paper.key: short(paper) for paper in card.papers}
    return ", ".join(str(part) for part in (named.get(key, key), place) if part)


def short(paper: Paper) -> str:
    """A paper as it is named in running text: `Frankle & Carbin 2019`, and `Li et al. 2025` for more than two."""
    named = [author for author in paper.authors if author not in unnamed(paper)]
    last = [author.split(",")[0].strip() if "," in author else author.split()[-1] for author in named]
    alone = len(named) == len(paper.authors) and len(last) < 3
    names = " & ".join(last) if alone else f"{last[0]} et al."
    return f"{names} {paper.year}"


def unnamed(paper: Paper) -> list[str]:
    """Those of a paper's authors that are none: `et al.`, as a card says that there are more than it names."""
    return [author for author in paper.authors if author.strip().rstrip(".").lower() in ("et al", "others")]


def _reference(value: Any, claim: Claim | None, unit: str) -> str:
    if value is None:
        return ""
    places = claim.reference.decimals if claim else None
    text = number(value, places if places is not None and places >= 0 else None)
    if claim and claim.reference.spread is not None:
        text += f" ± {number(claim.reference.spread)}"
    return with_unit(text, unit)


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
    low, high = (number(end, decimals) if end is not None else None for end in interval)
    share = f"{100 * level:.3g} % " if isinstance(level, int | float) else ""
    return f"{share}interval {low or '−∞'} to {high or '∞'}"


def _p_value(p: Any) -> str:
    if not isinstance(p, int | float):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _picture(plain: Mapping, claim: Claim | None, unit: str) -> Markup:
    measured, reference = plain.get("measured"), plain.get("reference")
    interval = (plain.get("strength") or {}).get("interval")
    parts = plain.get("parts")
    if parts and plain.get("outcome") not in pages.UNTESTED:
        return draw_parts([_part(part) for part in parts], unit=unit)
    if not is_number(measured) or claim is None or plain.get("outcome") in pages.UNTESTED:
        return Markup("")
    reference = reference if is_number(reference) else None
    return draw(measured, interval, region(claim), reference, unit=unit, log=claim.kind == "ratio")


def _part(plain: Mapping) -> dict[str, Any]:
    """A part of a verdict with what is no number taken out, since results.json may have been written by anyone."""

    def ends(pair: Any) -> list[float | None] | None:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        return [end if is_number(end) else None for end in pair]

    measured = plain.get("measured")
    return {
        "name": str(plain.get("name", "")),
        "measured": measured if is_number(measured) else None,
        "interval": ends(plain.get("interval")),
        "region": ends(plain.get("region")),
    }


_SIDES = {
    "reproduced": "lies wholly where the claim holds",
    "contradicted": "lies wholly outside of where the claim holds",
    "inconclusive": "reaches across the edge of where the claim holds",
}


def _sentence(
    plain: Mapping, claim: Claim | None, unit: str, measured: str, interval: str, reference: str, over: str = "seeds"
) -> str:
    """The verdict and what it follows from, in words for the first screen."""
    outcome, remarks = plain.get("outcome"), _remarks(plain, over)
    if outcome in pages.UNTESTED or measured == "–":
        said = remarks[0] if remarks else "this run does not test it"
        return f"{said[:1].upper()}{said[1:]}."
    if outcome == "paper_error":
        return f"The paper prints {reference}; by its own definitions it is {measured}."
    if claim and claim.kind == "exact":
        equal = "equal to" if outcome == "reproduced" else "not equal to"
        return f"Computed {measured}, {equal} the paper's {reference} at the printed precision."
    if len(parts := [_part(part) for part in plain.get("parts") or ()]) > 1:
        return _of_parts(parts)
    holds = region(claim) if claim else None
    if not interval or not holds or outcome not in _SIDES:
        return f"Measured {measured}" + (f"; {remarks[0]}." if remarks else ".")
    return f"Measured {measured}; the {interval} {_SIDES[outcome]}, {ends_in_words(holds, unit)}."


def _of_parts(parts: Sequence[Mapping]) -> str:
    """How many of a claim's comparisons hold, fail and are open."""
    holding = sum(_within(part["interval"], part["region"]) for part in parts)
    failing = sum(_beyond(part["interval"], part["region"]) for part in parts)
    if len(parts) in (holding, failing):
        return f"{'Both' if len(parts) == 2 else f'All {len(parts)}'} comparisons {'hold' if holding else 'fail'}."
    words = [f"{n} {word}{'s' if n == 1 else ''}" for n, word in ((holding, "hold"), (failing, "fail")) if n]
    words += [f"{n} {'is' if n == 1 else 'are'} open" for n in [len(parts) - holding - failing] if n]
    listed = " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
    return f"Of {len(parts)} comparisons, {listed}."


def _within(interval: Any, held: Any) -> bool:
    """Whether the interval lies wholly in the region; an open end only in one that is open there."""
    if not interval or not held:
        return False
    low, high = (
        edge is None or end is not None and (end >= edge if first else end <= edge)
        for end, edge, first in zip(interval, held, (True, False), strict=True)
    )
    return low and high


def _beyond(interval: Any, held: Any) -> bool:
    """Whether the interval lies wholly outside of the region."""
    if not interval or not held:
        return False
    (low, high), (left, right) = interval, held
    above = low is not None and right is not None and low > right
    return above or high is not None and left is not None and high < left


def is_number(value: Any) -> bool:
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
