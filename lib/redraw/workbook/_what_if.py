"""A verdict shown inside a notebook as the report shows it, and ruled on again under another criterion."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from pydantic import ValidationError

from . import _pages as pages
from ._card import ParameterError
from ._claims import Claim
from ._project import Project
from ._ruling import Ruling, read_json, rule_rows
from ._rulings import rule
from ._versions import Version, find_version, read_trials

_STYLE = """
.redraw-finding {background: #fdfdfb; color: #1d2024; border: 1px solid #d9d9d2; border-radius: 4px; max-width: 34rem;
  padding: .7rem 1.1rem .8rem;
  font: 14px/1.45 system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif}
.redraw-finding p {margin: 0 0 .4rem} .redraw-finding small, .redraw-finding text {color: #555b64; fill: #555b64}
.redraw-finding .says {font: 16px/1.4 Charter, Cambria, Georgia, serif} .redraw-finding b {font-size: 17px}
.redraw-finding .ruling {width: 100%; max-width: 25rem; display: block} .redraw-finding text {font-size: 11px}
.redraw-finding .axis {stroke: #d9d9d2} .redraw-finding .holds {fill: #dcebdf} .redraw-finding .margin {stroke: #4d7a5c}
.redraw-finding .paper {stroke: #1d2024; stroke-width: 1.2; stroke-dasharray: 3 2.5}
.redraw-finding .interval {stroke: #1d2024; stroke-width: 2; fill: none}
.redraw-finding .paper-name {text-anchor: middle}
.redraw-finding .estimate {fill: #1d2024; stroke: #fdfdfb; stroke-width: 1.5}
"""
_COLOURS = {"reproduced": "#17663a", "contradicted": "#a8231b", "inconclusive": "#7d4b00", "paper_error": "#1d559c"}


@dataclass(frozen=True)
class Finding:
    """One verdict: `print` says it in a line, a notebook shows it with its picture."""

    ruling: Ruling

    def __repr__(self) -> str:
        return (
            f"{self.ruling.id} {pages.OUTCOMES.get(self.ruling.outcome, self.ruling.outcome)}: {self.ruling.sentence}"
        )

    def _repr_html_(self) -> str:
        ruling, colour = self.ruling, _COLOURS.get(self.ruling.outcome, "#555b64")
        outcome = escape(pages.OUTCOMES.get(ruling.outcome, ruling.outcome))
        return (
            f'<style>{_STYLE}</style><div class="redraw-finding" style="border-top: 4px solid {colour}">'
            f'<p class="says">{escape(ruling.statement)}</p><p><small>{escape(ruling.place)}</small></p>'
            f'<p><b style="color: {colour}">{outcome}</b> <small>scope: {escape(ruling.scope)}</small></p>'
            f"<p>{escape(ruling.sentence)}</p>{ruling.picture}</div>"
        )


def explain(project: Project, study: str, claim: str, version: str = "newest") -> Finding:
    """The verdict on a claim in a version of a study: its number, its name, or newest.

    Raises ParameterError, one line, where there is no such version or claim.
    """
    found = find_version(project, study, version)
    results, run = read_json(found.path / "results.json"), read_json(found.path / "run.json")
    return _finding(rule_rows(results, run, project.card(study)), claim, found)


def what_if(project: Project, study: str, claim: str, version: str = "newest", **criterion: Any) -> Finding:
    """The verdict that the trials of that version give on the claim under another `criterion`: `margin=0.5`,
    `bound=1.0`. The card is as it was; nothing is written.

    Raises ParameterError, one line, where there is no such version or claim, its trials cannot be read, or the
    criterion is none for it.
    """
    found = find_version(project, study, version)
    results, run = read_json(found.path / "results.json"), read_json(found.path / "run.json")
    card = project.card(study)
    claims = {one.id: one.model_dump(mode="json") for one in card.claims}
    if claim not in claims:
        raise ParameterError(f"claim {claim!r}: must be one of {', '.join(claims)}")
    claims[claim]["criterion"] |= criterion
    try:
        changed = card.model_copy(update={"claims": [Claim.model_validate(plain) for plain in claims.values()]})
    except ValidationError as error:
        said = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise ParameterError(f"criterion of {claim}: {said}") from None
    parameters = results["parameters"]
    samples = project.module(study).measure(read_trials(found), **parameters)
    level = run.get("level", 0.95)
    verdicts = rule(changed, samples, found.preset, parameters, run.get("blocked", ""), level=level)
    again = {"claims": [verdict.to_dict() for verdict in verdicts]}
    return _finding(rule_rows(again, {}, changed), claim, found)


def _finding(rulings: list[Ruling], claim: str, version: Version) -> Finding:
    for ruling in rulings:
        if ruling.id == claim:
            return Finding(ruling)
    raise ParameterError(f"claim {claim!r}: {version.name} rules on {', '.join(ruling.id for ruling in rulings)}")
