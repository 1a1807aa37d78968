"""`redraw power`: the seeds that would decide a claim at its margin, and what they would cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from ._card import Card
from ._claims import Claim, how_many, told_of
from ._command import command
from ._history import read_versions
from ._judge import MOST_SEEDS, POWER, Outlook
from ._project import Project, default_jobs
from ._rulings import foresee
from ._standing import standings
from ._versions import Version, read_trials

Status = Literal["open", "at_the_margin", "decided", "exact", "blocked", "never_tested"]


@dataclass(frozen=True)
class Power:
    """What seeds would do for one claim, as the version in which it stands saw it.

    seeds: those of that version (or what else the claim is `over`); `power` the chance that as many new ones would
    give the outcome `towards` which the estimate points at; `seeds_needed` the fewest that would with power 0.8; `more`
    how many of those lack. seconds_per_seed: what all of the study's trials of a seed took on one core there;
    `core_seconds` what the lacking seeds would take on one core, and `wall_seconds` on the `cores` of this machine.
    words: the same for a reader, a sentence each.
    """

    study: str
    claim: str
    status: Status
    version: str | None
    preset: str | None
    outcome: str | None
    words: tuple[str, ...]
    seeds: int = 0
    towards: str | None = None
    power: float | None = None
    seeds_needed: int | None = None
    more: int | None = None
    seconds_per_seed: float | None = None
    core_seconds: float | None = None
    wall_seconds: float | None = None
    cores: int | None = None
    over: str = "seeds"
    command: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self) | {"words": list(self.words)}


def power_of(project: Project, study: str, claim: str, *, preset: str | None = None, cores: int | None = None) -> Power:
    """How many seeds would decide a claim, from the spread in a version's trials.csv and today's card.

    Takes the version in which the claim stands (`standings`), or would stand if there were `preset` alone. The number
    of seeds is the judge's own (`Strength.seeds_needed`: power 0.8 at the level that Holm grants the claim in its
    study, were the truth what was seen). `cores`: how many to spread the trials over (default: this machine's).
    Raises ParameterError, one line, for an unknown study, claim or preset.
    """
    card = project.card(study)
    asked = card.claim(claim)
    if preset is not None:
        card.resolve(preset)
    version, ruling = standings(project.reports, card, preset).get(claim, (None, {}))
    if version is None or ruling["outcome"] == "not_tested":
        return _never(project, card, asked, preset, ruling)
    about = {"study": study, "claim": claim, "version": version.name, "preset": version.preset}
    if asked.kind == "exact":
        words = ("The claim is exact: it is decided by counting, and no seed changes the count.",)
        return Power(**about, status="exact", outcome=ruling["outcome"], words=words)
    results, run = (json.loads((version.path / name).read_text("utf-8")) for name in ("results.json", "run.json"))
    table, parameters, level = read_trials(version), results["parameters"], run.get("level", 0.95)
    samples = project.module(study).measure(table, **parameters)
    found = foresee(card, samples, version.preset, claim, run.get("blocked", ""), level=level)
    drift = _drift(card, run, asked)
    if found.verdict.outcome == "blocked":
        words = (f"The claim is blocked: {'; '.join(found.verdict.remarks)}.", "Seeds do not help; the data does.")
        return Power(**about, status="blocked", outcome="blocked", words=words)
    if found.verdict.outcome == "not_tested":
        return _never(project, card, asked, preset, found.verdict.to_dict())
    cost = _cost(card, version, parameters, table, found, cores or default_jobs())
    if asked.over != "seeds":
        cost = {"more": cost.get("more")}
    status, words = _words(found, cost, asked.over, study)
    return Power(
        **about,
        status=status,
        outcome=found.verdict.outcome,
        words=words + drift,
        seeds=found.seeds,
        towards=found.towards,
        power=found.power,
        seeds_needed=found.needed,
        over=asked.over,
        **cost,
    )


def _never(project: Project, card: Card, claim: Claim, preset: str | None, ruling: Mapping[str, Any]) -> Power:
    """No version tested the claim: why, by the ruling in the version where it stands, and what may test it."""
    able = [name for name in ("laptop", "paper", "smoke") if name in claim.scope and preset in (None, name)]
    where = f" under the {preset} preset" if preset else ""
    reason = f" ({'; '.join(ruling['remarks'])})" if able and ruling.get("remarks") else ""
    words = [f"The claim was never tested{where}{reason}, so no spread has been seen."]
    there = read_versions(project.reports, card.study)
    ran = [name for name in able if any(_leaves_out(card, name, claim, *read[:2]) for read in there)]
    first = next((command(card, name, {}) for name in able if name not in ran), None)
    if first:
        words.append(f"Test it first: {first}")
    elif ran:
        words.append(
            f"The {ran[0]} preset as it is does not test it; `redraw show {card.study}` lists what can be turned."
        )
    else:
        words.append(f"The {preset} preset cannot decide it; it takes {' or '.join(claim.scope)}.")
    return Power(card.study, claim.id, "never_tested", None, preset, None, tuple(words), command=first)


def _leaves_out(card: Card, preset: str, claim: Claim, version: Version, results: Mapping[str, Any]) -> bool:
    """Whether the version ran the preset as it is when there was the claim, which no version tested."""
    as_it_is = version.preset == preset and results["parameters"] == card.resolve(preset)
    return as_it_is and any(ruling["id"] == claim.id for ruling in results["claims"])


def _cost(card: Card, version: Version, parameters: dict, table: pd.DataFrame, found: Outlook, cores: int) -> dict:
    """Time for the seeds that lack, from the seconds that trials.csv recorded for each seed."""
    per_seed = float(table.groupby("seed")["seconds"].sum().mean()) if len(table) else None
    cost: dict[str, Any] = {"seconds_per_seed": per_seed, "cores": cores}
    if found.needed is None:
        return cost
    more = max(found.needed - found.seeds, 0)
    cost["more"] = more
    if per_seed is not None:
        cost |= {"core_seconds": more * per_seed, "wall_seconds": more * per_seed / min(cores, max(more, 1))}
    if more and type(parameters.get("seeds")) is int:
        known = {name: value for name, value in parameters.items() if name in card.parameters}
        cost["command"] = command(card, version.preset, known | {"seeds": found.needed})
    return cost


def _drift(card: Card, run: dict, claim: Claim) -> tuple[str, ...]:
    """A remark where the claim has changed since the version was published."""
    if run.get("claims_hash") == card.claims_hash:
        return ()
    for plain in run.get("claims", ()):
        if plain["id"] == claim.id and Claim.model_validate(plain).meaning() == claim.meaning():
            return ()
    return ("The claim has changed in the card since that version; this is by the card as it is now.",)


def _words(found: Outlook, cost: dict, over: str, study: str) -> tuple[Status, tuple[str, ...]]:
    verdict, seeds = found.verdict, how_many(found.seeds, over)
    chance = f"{found.power:.0%}" if found.power is not None else ""
    if verdict.outcome != "inconclusive":
        words = [f"The claim is decided: {verdict.outcome.replace('_', ' ')} with {seeds}."]
        if found.power is not None:
            fewest = f"; {found.needed} would do with {POWER:.0%}" if found.needed else ""
            words.append(f"At the spread seen, {seeds} decide it so with a chance of {chance}{fewest}.")
        return "decided", tuple(words)
    if found.power is None:
        return "open", (
            f"The claim is open at {seeds}: {told_of('; '.join(verdict.remarks), over)}.",
            *_price(found, cost, over, study),
        )
    points = {"reproduced": "holds", "contradicted": "fails"}[found.towards]
    words = [f"The claim is open at {seeds}. What was seen points to a claim that {points}."]
    words.append(f"At the spread seen, as many {over} again would show it with a chance of {chance}.")
    if found.needed is None:
        words.append(
            f"The effect sits at the margin: more than {MOST_SEEDS} {over} would be needed; more are no way out."
        )
        return "at_the_margin", tuple(words)
    return "open", (*words, *_price(found, cost, over, study))


def _price(found: Outlook, cost: dict, over: str, study: str) -> list[str]:
    if not cost.get("more"):
        return []
    words = [f"{found.needed} {over} would decide it with a chance of {POWER:.0%}: {cost['more']} more."]
    if found.power is None:
        words = [f"{found.needed} {over} are the fewest that show a spread: {cost['more']} more."]
    if over != "seeds":
        return [*words, f"The study's parameters decide how many {over} there are: `redraw show {study}` lists them."]
    if cost.get("core_seconds") is not None:
        words.append(
            f"They cost {_time(cost['core_seconds'])} on one core ({_time(cost['seconds_per_seed'])} a seed, all of "
            f"the study's trials counted), {_time(cost['wall_seconds'])} on the {cost['cores']} cores here."
        )
    if cost.get("command"):
        words.append(f"Run them: {cost['command']}")
    return words


def _time(seconds: float) -> str:
    minutes = seconds / 60
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(minutes)} min" if minutes < 90 else f"{minutes / 60:.1f} h"
