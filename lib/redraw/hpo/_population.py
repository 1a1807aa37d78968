"""Population based training: members train side by side, the worst go on from the best, with other hyperparameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Unpack

import numpy as np

from redraw.hpo._checks import SearchError, as_fidelity, count, number, one_of, stream
from redraw.hpo._methods import Batches, InBatches
from redraw.hpo._objective import Objective, evaluate
from redraw.hpo._result import Evaluation, Search
from redraw.hpo._run import Job, Options, run
from redraw.hpo._samplers import random_configs
from redraw.hpo._space import Config, Space

if TYPE_CHECKING:
    import pandas as pd

EXPLOIT = ("truncation", "binary_tournament", None)
EXPLORE = ("perturb", "resample", None)


@dataclass(frozen=True)
class Population(Search):
    """A search by population based training: a trial is a member, and its configuration changes as it trains."""

    def ancestry(self, member: int | None = None) -> tuple[Evaluation, ...]:
        """The evaluations that led to the last weights of `member`, in order; by default to those of the best one.

        They are the member's own back to where it copied another, then that one's, and so on to the beginning.
        """
        by_key = {(e.trial, e.fidelity): e for e in self.evaluations}
        if member is None:
            last = self.best
        else:
            mine = [e for e in self.evaluations if e.trial == member and e.error is None]
            if not mine:
                raise SearchError(f"member: must be one that has a result, not {member!r}")
            last = max(mine, key=lambda e: e.fidelity)
        path = [last]
        while path[0].origin is not None:
            path.insert(0, by_key[path[0].origin])
        return tuple(path)

    def schedule(self, member: int | None = None) -> "pd.DataFrame":
        """The hyperparameters that the weights of `member` (the best one) saw, one row a stretch of training.

        Columns: start, stop (fidelities), member (who trained the stretch), value at its end, then a column for each
        hyperparameter.
        """
        import pandas as pd

        path = self.ancestry(member)
        rows = [
            {
                "start": e.origin[1] if e.origin else 0,
                "stop": e.fidelity,
                "member": e.trial,
                "value": e.value,
                **e.config,
            }
            for e in path
        ]
        return pd.DataFrame(rows)

    def steps(self, member: int | None = None) -> list[tuple[Config, float]]:
        """The schedule as what `replay` takes: (configuration, fidelity until which it holds), in order."""
        return [(e.config, e.fidelity) for e in self.ancestry(member)]

    def lineage(self) -> "pd.DataFrame":
        """Who went on from whom: a row a member and round, in order.

        Columns: round, member, fidelity, source (the member whose weights it went on from, itself as a rule; missing at
        the start), copied (whether they were another's), value, survives (whether the best last weights come from it).
        """
        import pandas as pd

        kept = {(e.trial, e.fidelity) for e in self.ancestry()}
        rows = [
            {
                "round": e.info["round"],
                "member": e.trial,
                "fidelity": e.fidelity,
                "source": e.origin[0] if e.origin else None,
                "copied": e.origin is not None and e.origin[0] != e.trial,
                "value": e.value,
                "survives": (e.trial, e.fidelity) in kept,
            }
            for e in sorted(self.evaluations, key=lambda e: (e.info["round"], e.trial))
        ]
        return pd.DataFrame(rows).astype({"source": "Int64"})


def population_based_training(
    objective: Objective,
    space: Space,
    *,
    population: int,
    interval: float,
    total: float,
    exploit: str | None = "truncation",
    explore: str | None = "perturb",
    fraction: float = 0.2,
    resample_probability: float = 0.0,
    initial: Sequence[Config] | None = None,
    **options: Unpack[Options],
) -> Population:
    """`population` members train until fidelity `total`; every `interval` the worst go on from the best ones' weights.

    exploit: "truncation": each of the worst `fraction` (one at least) copies weights and hyperparameters of one of the
        best `fraction`, at random. "binary_tournament": each member draws another and copies it if that is better.
        None: nobody copies. Equal values are put in an order by lot, so that members that tie do copy. A member whose
        evaluation failed copies one of the best (in a tournament: if it draws one that did not fail); without exploit
        it tries again from its last weights.
    explore: what a copied configuration goes through (every one's, where exploit is None). "perturb": each number times
        0.8 or 1.2, kept within its range, a whole number by 1 at least, a choice to a neighbour; with
        `resample_probability` each is drawn anew from the space instead. "resample": all are drawn anew. None: kept.
    initial: the first configurations, one a member; by default random ones.

    All members finish a round before any is copied: the paper's are asynchronous, ours give the same search on any
    number of workers. options: see `Options`.

    Source: Jaderberg et al. 2017 (arXiv 1711.09846), sections 3 and 4.1.1: truncation of 20 %, perturbation by 1.2 or
    0.8. Resampling within perturbation is that of Ray Tune. Raises SearchError: fewer than 2 members; interval not
    positive or above total; a fraction outside (0, 0.5]; an initial configuration outside the space or not one a
    member; an option out of its range.
    """
    population = count("population", population, 2)
    total = as_fidelity("total", total)
    interval = as_fidelity("interval", interval, 0, total)
    one_of("exploit", exploit, EXPLOIT)
    one_of("explore", explore, EXPLORE)
    number("fraction", fraction, 0, 0.5, ends="(]")
    number("resample_probability", resample_probability, 0, 1)
    seed = count("seed", options.get("seed", 0), 0)
    if initial is None:
        drawn = random_configs(space, seed)
        configs = [next(drawn) for _ in range(population)]
    elif len(initial) != population:
        raise SearchError(f"initial: must have one configuration for each of {population} members, not {len(initial)}")
    else:
        configs = [space.check(config) for config in initial]
    if exploit is None:
        sources = _nobody
    else:
        tail = max(round(fraction * population), 1)
        sources = _Truncation(tail) if exploit == "truncation" else _tournament

    def changed(config: Config, rng: np.random.Generator) -> Config:
        return config if explore is None else _explored(space, config, rng, explore, resample_probability)

    batches = _rounds(configs, _fidelities(interval, total), sources, changed, exploit is None, seed)
    header = {
        "method": "population_based_training",
        **{"population": population, "interval": interval, "total": total, "exploit": exploit, "explore": explore},
        **{"fraction": fraction, "resample_probability": resample_probability, "initial": initial},
    }
    done = run(InBatches(batches), objective, space, header, **options)
    return Population(tuple(done), space, bool(options.get("maximize", False)))


def _fidelities(interval: float, total: float) -> list[float]:
    out, r = [], 1
    while r * interval < total - 1e-9 * total:
        out.append(r * interval)
        r += 1
    return [*out, total]


def _rounds(configs: list[Config], fidelities: Sequence[float], sources, changed, alone: bool, seed: int) -> Batches:
    configs, origins = list(configs), [None] * len(configs)
    for r, fidelity in enumerate(fidelities):
        more = fidelity != fidelities[-1]
        jobs = [Job(m, c, fidelity, origins[m], more, {"round": r}) for m, c in enumerate(configs)]
        values = yield jobs
        for m, value in enumerate(values):
            if isfinite(value):
                origins[m] = (m, fidelity)
        if not more:
            return
        chosen = sources(values, stream(seed, "exploit", r))
        moved = [(origins[s], configs[s]) for s in chosen]
        for m, source in enumerate(chosen):
            origins[m], configs[m] = moved[m]
            if source != m or alone:
                configs[m] = changed(configs[m], stream(seed, "explore", r, m))


def _order(values: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Members from best to worst, equals by lot, those that failed last."""
    return list(np.lexsort((rng.random(len(values)), values)))


def _nobody(values: Sequence[float], rng: np.random.Generator) -> list[int]:
    return list(range(len(values)))


@dataclass(frozen=True)
class _Truncation:
    tail: int

    def __call__(self, values: Sequence[float], rng: np.random.Generator) -> list[int]:
        order = _order(values, rng)
        best = [m for m in order[: self.tail] if isfinite(values[m])]
        out = list(range(len(values)))
        for place, m in enumerate(order):
            if best and m not in best and (place >= len(order) - self.tail or not isfinite(values[m])):
                out[m] = int(best[rng.integers(len(best))])
        return out


def _tournament(values: Sequence[float], rng: np.random.Generator) -> list[int]:
    place = {m: i for i, m in enumerate(_order(values, rng))}
    out = []
    for m in range(len(values)):
        other = int(rng.integers(len(values) - 1))
        other += other >= m
        out.append(other if place[other] < place[m] and isfinite(values[other]) else m)
    return out


def _explored(
    space: Space, config: Mapping, rng: np.random.Generator, explore: str, resample_probability: float
) -> Config:
    """A changed configuration. What a changed choice brings in is drawn anew, what it takes out is gone."""
    out: Config = {}
    for name, parameter in space.parameters.items():
        lot, coin, fresh = rng.random(3)  # drawn for what is not there too, so that one never shifts another
        if not space.active(name, out):
            continue
        if explore == "resample" or name not in config or lot < resample_probability:
            out[name] = parameter.from_unit(fresh)
        else:
            out[name] = parameter.perturb(config[name], 0.8 if coin < 0.5 else 1.2)
    return out


def replay(objective: Objective, steps: Sequence[tuple[Config, float]], seed: int = 0) -> list[float]:
    """Train along a schedule, from the beginning: the value at each step's end.

    steps: (configuration, fidelity until which it holds), in order, as `Population.steps` gives them; a constant one is
    [(config, total)]. After a failure the rest is NaN.
    """
    values, state, before = [], None, 0.0
    for config, fidelity in steps:
        before = number("steps: fidelity", fidelity, before, ends="(]")
        reply = evaluate(objective, [(config, fidelity)], count("seed", seed, 0), state, True)
        values.append(reply.value)
        if reply.error is not None:
            return values + [float("nan")] * (len(steps) - len(values))
        if reply.state is None and len(values) < len(steps):
            raise SearchError("objective: must return its state, else a schedule cannot be followed")
        state = reply.state
    return values
