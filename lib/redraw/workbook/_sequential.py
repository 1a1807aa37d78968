"""Adding seeds until the main claims are decided, without deciding by looking often: a group-sequential run.

The rule. Seeds come in equal batches (the first is the number asked for), with a look at the verdicts after
each and at most K = 5 looks, fixed before the first; Pocock (1977, Biometrika 64) found little to gain from
more. Alpha is spent linearly over the looks (Lan and DeMets 1983, Biometrika 70, alpha(t) = alpha t), so each
look has alpha / K, and it is judged at that level as if it were the only one (Slud and Wei 1982, JASA 77:
increments of alpha; here without the correlation between looks, which depends on the statistic). By the union
bound the chance that any look calls a false claim of the study reproduced is at most K * alpha / K = alpha,
and that of any false "contradicted" too: for every kind of claim, censored or not, for any number of seeds,
and wherever the run stops. What it costs: a claim that is decided at the first look is decided at alpha / K.

One version is published, with the seeds and the level of the last look taken. Versions published earlier are
no looks of this run: their verdicts were other, complete analyses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ._batched import batched, on_cuda
from ._card import Card, ParameterError
from ._judge import Verdict
from ._notebooks import execute_notebook
from ._project import Project, default_jobs
from ._rulings import rule
from ._runner import Run, _deadline, run_study
from ._store import Store
from ._trials import Engine, Progress, Trial, reachable, run_trials, trial_table

LOOKS = 5
ALPHA = 0.05


@dataclass(frozen=True)
class Look:
    """One look: the seeds it had, the confidence it was judged at and the main claims it left open."""

    seeds: int
    level: float
    open: tuple[str, ...]


def plan_looks(first: int, most: float) -> list[int]:
    """The numbers of seeds at which to look: `first`, twice that ... up to K times, none above `most`."""
    return [k * first for k in range(1, LOOKS + 1) if k == 1 or k * first <= most]


def look_level(looks: int) -> float:
    """The confidence at each of at most `looks` looks: 1 - alpha / looks."""
    return 1 - ALPHA / looks


def look(
    seeds: Sequence[int], verdicts: Callable[[int, float], Sequence[Verdict]], awaited: Sequence[str]
) -> Iterator[Look]:
    """The looks, one by one, until none of the `awaited` claims is inconclusive or all are taken.

    seeds: their numbers at each look. verdicts(n, level): the study's verdicts at n seeds and that confidence.
    """
    level = look_level(len(seeds))
    for n in seeds:
        outcomes = {verdict.id: verdict.outcome for verdict in verdicts(n, level)}
        taken = Look(n, level, tuple(id for id in awaited if outcomes[id] == "inconclusive"))
        yield taken
        if not taken.open:
            return


def until_decided(
    project: Project,
    study: str,
    *,
    budget_minutes: float,
    preset: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    store: Store | None = None,
    engine: Engine | None = None,
    device: str | None = None,
    device_asked: bool = True,
    deadline: float | None = None,
    execute: Callable[..., Any] = execute_notebook,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Run a study with more and more seeds until the main claims that the preset can decide are decided.

    Starts from the card's `seeds` parameter and adds as many again at each look (see the module for the rule). A
    batch that the trials so far expect to end after `budget_minutes` is not begun; the first always is, and one
    that was begun is finished, unless `deadline` ends the run. Publishes one version (`run_study`), whose run.json
    says under `looks` how many there were, the level of each and why it stopped. Trials that are stored are reused,
    so that the same command goes on where an interrupted one was.
    Raises ParameterError when the card has no integer parameter `seeds`, and what `run_study` raises.
    """
    card, started = project.card(study), time.monotonic()
    if "seeds" not in card.parameters or card.parameters["seeds"].type != "int":
        raise ParameterError("until-decided: needs a card with a parameter `seeds` of type int")
    asked = card.resolve(preset, overrides)
    project.notebook(study)
    module = project.module(study)
    schedule = plan_looks(asked["seeds"], (card.parameters["seeds"].range or [0, math.inf])[1])
    store, jobs, computed = store or Store(), jobs or default_jobs(), 0

    def trials_of(seeds: int) -> list[Trial]:
        try:
            return batched(module.plan(**asked | {"seeds": seeds}), device)
        except ValueError as error:
            raise ParameterError(f"parameter {error}") from None

    def counted(missing: list[Trial], total: int) -> None:
        nonlocal computed
        computed += len(missing)

    def verdicts(seeds: int, level: float) -> list[Verdict]:
        trials, blocked = reachable(trials_of(seeds))
        options = {"store": store, "jobs": jobs, "engine": engine, "on_progress": on_progress, "on_missing": counted}
        table = trial_table(trials, run_trials(trials, **options))
        parameters = asked | {"seeds": seeds}
        return rule(card, module.measure(table, **parameters), preset, parameters, blocked, level=level)

    taken: list[Look] = []
    stopped = f"all {len(schedule)} looks are taken"
    with _deadline(deadline):
        for current in look(schedule, verdicts, _awaited(card, preset)):
            taken.append(current)
            say(_told(current, len(taken), len(schedule)))
            if not current.open:
                stopped = "no main claim that seeds can decide under this preset is open"
            elif len(taken) < len(schedule):
                left = 60 * budget_minutes - (time.monotonic() - started)
                if _expected(trials_of(schedule[len(taken)]), store, jobs) > left:
                    stopped = f"another batch of seeds would go beyond the budget of {budget_minutes:g} minutes"
                    break
    say(f"no more seeds: {stopped}")
    return run_study(
        project,
        study,
        preset=preset,
        overrides=dict(overrides or {}) | {"seeds": taken[-1].seeds},
        jobs=jobs,
        store=store,
        engine=engine,
        device=device,
        device_asked=device_asked,
        deadline=None if deadline is None else max(deadline - (time.monotonic() - started) / 60, 1e-3),
        level=taken[-1].level,
        looks=_record(schedule, taken, stopped, budget_minutes, computed),
        execute=execute,
        on_progress=on_progress,
        say=say,
    )


def _awaited(card: Card, preset: str) -> list[str]:
    """The main claims that seeds can decide under the preset."""
    able = (claim for claim in card.claims if claim.main and preset in claim.scope)
    return [claim.id for claim in able if claim.kind != "exact" and claim.over == "seeds"]


def _expected(trials: Sequence[Trial], store: Store, jobs: int) -> float:
    """Seconds that the missing ones of `trials` would take: each like the stored ones of its function on average."""
    seconds: dict[str, list[float]] = {}
    missing = []
    for trial in {trial.key: trial for trial in trials}.values():
        if (result := store.get(trial.key)) is None:
            missing.append(trial)
        else:
            seconds.setdefault(trial.function, []).append(result.seconds)
    everything = [value for values in seconds.values() for value in values]
    at_once = 1 if on_cuda(missing) else jobs
    return sum(_mean(seconds.get(trial.function) or everything) for trial in missing) / at_once


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _told(current: Look, number: int, most: int) -> str:
    state = f"open: {', '.join(current.open)}" if current.open else "nothing is open"
    return f"look {number} of at most {most}: {current.seeds} seeds at level {current.level:g}; {state}"


def _record(schedule: list[int], taken: list[Look], stopped: str, budget: float, computed: int) -> dict[str, Any]:
    """How the number of seeds came about, as JSON data for run.json."""
    return {
        "rule": f"alpha = {ALPHA:g} spent evenly over at most {len(schedule)} looks (Lan and DeMets 1983; union bound)",
        "planned": schedule,
        "taken": [asdict(item) | {"open": list(item.open)} for item in taken],
        "stopped": stopped,
        "budget_minutes": budget,
        "trials_computed": computed,
    }
