"""From a study's trials to its verdicts: shared by the notebook, the runner and the check of committed reports."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from redraw.workbook._batched import batched
from redraw.workbook._card import Card
from redraw.workbook._claims import Claim, Samples
from redraw.workbook._judge import Outlook, Verdict, judge_all, outlook
from redraw.workbook._numbers import decimals_for, number
from redraw.workbook._trials import Trial, reachable, run_trials, trial_table


def gather(trials: Iterable[Trial], **options) -> pd.DataFrame:
    """Run what is missing of `trials` and return their table, a row per trial (`trial_table`).

    Trials whose data cannot be reached are left out, which a line says, so that a notebook goes on with the others.
    Those of a run whose trials were batched are found as it stored them (REDRAW_BATCHED). `options` go to `run_trials`.
    """
    trials, blocked = reachable(batched(trials, os.environ.get("REDRAW_BATCHED")))
    if blocked:
        print(f"blocked: {blocked}")
    return trial_table(trials, run_trials(trials, **options))


def rule(
    card: Card,
    samples: Mapping[str, Samples],
    preset: str,
    parameters: Mapping[str, Any],
    blocked: str = "",
    *,
    level: float | None = None,
) -> list[Verdict]:
    """The verdicts on a card's claims, in its order, Holm-corrected (`judge_all`).

    level: their confidence; by default that of the run which executes this notebook (REDRAW_LEVEL), or 0.95.
    parameters: those of the run. One that is not a nuisance and differs from the preset's makes every claim that
      training decides a reduced one: another dataset or budget is not what the preset's scope speaks of.
    blocked: why data could not be reached; claims that could not be tested for it are blocked.
    """
    changed = changed_parameters(card, preset, parameters)
    claims = [_reduced(claim) if changed else claim for claim in card.claims]
    verdicts = judge_all(claims, _blocked(samples, blocked), preset, level=level or run_level())
    note = f"the preset's {', '.join(changed)} was changed for this run"
    return [replace(v, remarks=(*v.remarks, note)) if changed and v.scope == "reduced" else v for v in verdicts]


def run_level() -> float:
    """The confidence of the run that executes this notebook, else 0.95."""
    return float(os.environ.get("REDRAW_LEVEL") or 0.95)


def foresee(
    card: Card, samples: Mapping[str, Samples], preset: str, id: str, blocked: str = "", *, level: float = 0.95
) -> Outlook:
    """What seeds do for the claim called `id` among the card's: its `Outlook` at the levels `rule` gives it."""
    return outlook(card.claims, _blocked(samples, blocked), preset, id, level=level)


def _blocked(samples: Mapping[str, Samples], reason: str) -> Mapping[str, Samples]:
    if not reason:
        return samples
    return {i: Samples.blocked(reason) if s.missing == "not_tested" else s for i, s in samples.items()}


def changed_parameters(card: Card, preset: str, parameters: Mapping[str, Any]) -> list[str]:
    """Names of the scientific and fixed parameters that differ from the preset's values."""
    values = card.resolve(preset)
    return [n for n, p in card.parameters.items() if p.role != "nuisance" and parameters[n] != values[n]]


def _reduced(claim: Claim) -> Claim:
    if claim.kind == "exact":
        return claim
    return claim.model_copy(update={"scope": dict.fromkeys(claim.scope, "reduced")})


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """The verdicts as lines of text: id, outcome, scope, n (seeds, or what else it is over), measured, its interval."""
    rows = [("claim", "outcome", "scope", "n", "measured", "interval")]
    for v in verdicts:
        values = v.measured if isinstance(v.measured, tuple) else (v.measured,)
        ends = v.strength.interval
        decimals = decimals_for(*ends, [edge for part in v.parts for edge in part.region]) if ends else None
        measured = ", ".join(_number(value, decimals) for value in values if value is not None)
        interval = " to ".join(_number(end, decimals) for end in ends) if ends else ""
        rows.append((v.id, v.outcome.replace("_", " "), v.scope, str(v.strength.seeds or ""), measured, interval))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _number(value: float, decimals: int | None) -> str:
    return number(value, decimals).replace("\N{MINUS SIGN}", "-").replace("\N{INFINITY}", "inf")
