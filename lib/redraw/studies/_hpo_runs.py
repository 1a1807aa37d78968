"""The trials of the study of hyperparameter search: searches in a recorded table, on test functions and on a real
net."""

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import combinations
from math import isfinite

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats

from redraw import data
from redraw.hpo import (
    TOY_GRID,
    TOY_SPACE,
    Float,
    Int,
    Population,
    Search,
    Space,
    Table,
    asha,
    bbob,
    hyperband,
    model_search,
    population_based_training,
    random_search,
    successive_halving,
    toy_quadratic,
)
from redraw.seeds import generator
from redraw.studies import _hpo_net as made

FULL = made.BUDGETS[-1]  # thousand examples
SAMPLERS = {
    "random": ("random", {}),
    "tpe": ("tpe", {"multivariate": False}),
    "tpe_multivariate": ("tpe", {"multivariate": True}),
    "gp": ("gp", {}),
    "cma_es": ("cma_es", {}),
}


# Population based training's toy (Jaderberg et al. 2017, Figure 2) -------------------------------------------


def toy_search(seed: int, exploit: bool, explore: bool, steps: int = 200, interval: int = 4) -> Population:
    """Two workers who begin with h = (1, 0) and (0, 1); exploring draws both anew, for 1.2 times nothing is nothing."""
    ways = {"exploit": "truncation" if exploit else None, "explore": "resample" if explore else None}
    sizes = {"population": 2, "interval": interval, "total": steps, "initial": TOY_GRID}
    return population_based_training(toy_quadratic, TOY_SPACE, **sizes, **ways, seed=seed, maximize=True)


def toy(*, seed: int, exploit: bool, explore: bool) -> dict:
    """The toy with or without either half. best: Q of the better worker at the end; path: of both, round by round."""
    found = toy_search(seed, exploit, explore)
    wide = found.frame().pivot(index="fidelity", columns="trial", values="value")
    return {"best": found.best.value, "steps": wide.index.tolist(), "path": wide.to_numpy().T.tolist()}


# Population based training on a real net ---------------------------------------------------------------------

NET = {"batch": 100, "hidden": (64, 64)}
NET_SPACE = Space(
    lr=Float(1e-3, 1.0, log=True), dropout=Float(0.01, 0.5, log=True), weight_decay=Float(1e-5, 1e-1, log=True)
)
INTERVAL = 2  # epochs


def net_objective(dataset: str, config: Mapping[str, float], fidelity: float, seed: int, state) -> tuple[float, dict]:
    """The validation error (%) of a perceptron after `fidelity` epochs of SGD with momentum 0.9.

    config: lr, dropout, weight_decay (L2), as they are from the epoch where it goes on. Order of examples and dropout
    are drawn anew from `seed` each epoch, so that going on is training in one go.
    """
    examples = data.load(dataset, validation=made.VALIDATION)
    layers, state = _train_on(examples, config, int(fidelity), seed, state)
    (error,) = made.error_of(layers, examples.validation_x, examples.validation_y)
    return 100 * error if error is not None else float("nan"), state


def _train_on(examples, config: Mapping[str, float], epochs: int, seed: int, state):
    """Train from `state` (None: the start) up to `epochs`; the layers and the state."""
    layers = made._initial(tuple(examples.train_x.shape[1:]), NET["hidden"], examples.classes, range(seed, seed + 1))
    tensors = [tensor for layer in layers for tensor in layer]
    update = made._optimizer("sgd", tensors, config["weight_decay"])
    done = 0
    if state is not None:
        done = state["epochs"]
        with torch.no_grad():
            for tensor, held, momentum in zip(tensors, state["weights"], state["momenta"], strict=True):
                tensor.copy_(held)
                update.state[tensor]["momentum_buffer"] = momentum.clone()
    update.param_groups[0]["lr"] = config["lr"]
    whole = len(examples.train_x) // NET["batch"] * NET["batch"]
    for epoch in range(done, epochs):
        order = torch.randperm(len(examples.train_x), generator=generator(seed, "batches", epoch))[:whole]
        draws = [generator(seed, "dropout", epoch)]
        for index in order.split(NET["batch"]):
            logits = made.forward(layers, examples.train_x[index], config["dropout"], draws)
            update.zero_grad(set_to_none=True)
            F.cross_entropy(logits[0], examples.train_y[index]).backward()
            update.step()
    momenta = [update.state[tensor]["momentum_buffer"] for tensor in tensors]
    return layers, {"epochs": epochs, "weights": [t.detach() for t in tensors], "momenta": momenta}


def net_test_error(dataset: str, steps: list[tuple[dict, float]], seed: int) -> float:
    """The test error (%) of the net trained along a schedule, `steps` as `replay` takes them; guessing if it
    diverged."""
    examples, state = data.load(dataset, validation=made.VALIDATION), None
    for config, epochs in steps:
        layers, state = _train_on(examples, config, int(epochs), seed, state)
    (error,) = made.error_of(layers, examples.test_x, examples.test_y)
    return 100 * (made.CHANCE if error is None else error)


def populated(*, seed: int, members: int, epochs: int, replays: int, dataset: str) -> dict:
    """A population against as many constant settings drawn at random, `epochs` each, and what each found trained again.

    Both begin from the same settings, and all networks of a seed from the same weights. population, constant: the
    validation error (%) of the best; population_test, constant_test: its test error. replayed, constant_again: the mean
    test error over `replays` other seeds of the population's schedule from the start and of the best constant setting.
    rounds: value, source and config of each member by round; schedule: what the best one's weights saw.
    """
    objective = partial(net_objective, dataset)
    sizes = {"population": members, "interval": min(INTERVAL, epochs), "total": epochs}
    found = population_based_training(objective, NET_SPACE, **sizes, seed=seed)
    fixed = random_search(objective, NET_SPACE, trials=members, fidelity=epochs, seed=seed)
    schedule, single = found.steps(), [(fixed.best.config, epochs)]
    others = [1000 * (seed + 1) + k for k in range(replays)]  # seeds of training that no search has seen
    test = partial(net_test_error, dataset)
    configs = found.frame().rename(columns=lambda name: name.removeprefix("config."))
    configs = configs[["trial", "fidelity", *NET_SPACE.names]].rename(columns={"trial": "member"})
    rounds = found.lineage().merge(configs, on=["member", "fidelity"])
    record = {"population": found.best.value, "constant": fixed.best.value}
    record |= {"population_test": test(schedule, seed), "constant_test": test(single, seed)}
    record["replayed"] = float(np.mean([test(schedule, other) for other in others]))
    record["constant_again"] = float(np.mean([test(single, other) for other in others]))
    return record | {
        "schedule": _plain(found.schedule()),
        "rounds": _plain(rounds),
        "best_constant": fixed.best.config,
    }


def _plain(frame) -> dict[str, list]:
    """A frame as lists by column, missing as None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


# The recorded table ------------------------------------------------------------------------------------------


@lru_cache(1)
def recorded(dataset: str) -> tuple[dict[str, list], np.ndarray, np.ndarray, np.ndarray]:
    """The measured table as arrays over its grid.

    levels: each hyperparameter's values, in the order of `GRID`; errors (*levels, 6 seeds, 12 budgets): validation
    errors (%), NaN once diverged; test (*levels, 6 seeds): test errors (%), of guessing where it diverged; cpu
    (*levels,): seconds.
    """
    (frame,) = data.tables(dataset).values()
    levels = {name: [v for v in made.GRID[name] if v in set(frame[name])] for name in made.GRID}
    places = [frame[name].map({v: i for i, v in enumerate(values)}) for name, values in levels.items()]
    frame = frame.assign(**dict(zip(levels, places, strict=True))).sort_values([*levels, "seed"])
    shape, seeds = tuple(map(len, levels.values())), len(made.TUNING + made.TEST)
    errors = 100 * frame[[f"error_{b}" for b in made.BUDGETS]].to_numpy().reshape(*shape, seeds, len(made.BUDGETS))
    test = 100 * frame["test_error"].fillna(made.CHANCE).to_numpy().reshape(*shape, seeds)
    return levels, errors, test, frame["cpu"].to_numpy().reshape(*shape, seeds).mean(axis=-1)


def as_table(dataset: str, fixed: Mapping[str, object] = {}) -> tuple[Table, np.ndarray]:  # noqa: B006
    """The recorded table for searching, a hyperparameter a whole number: its place among its values in order.

    fixed: hyperparameters that are not searched, by name, with their value. Returns the `Table`, its costs in seconds,
    and the test error (%) of each of its rows, the mean over the test seeds.
    """
    levels, errors, test, cpu = recorded(dataset)
    at = tuple(levels[name].index(fixed[name]) if name in fixed else slice(None) for name in levels)
    free = {name: values for name, values in levels.items() if name not in fixed}
    space = Space(**{name: Int(0, len(values) - 1) for name, values in free.items()})
    shape = tuple(map(len, free.values()))
    configs = [dict(zip(free, map(int, place), strict=True)) for place in np.ndindex(shape)]
    values = errors[at].reshape(len(configs), *errors.shape[-2:])
    costs = cpu[at].reshape(-1, 1) * np.array(made.BUDGETS) / FULL
    table = Table(space, configs, made.BUDGETS, values, costs=costs)
    return table, test[at].reshape(len(configs), -1)[:, list(made.TEST)].mean(axis=1)


def improvements(search: Search, tested=lambda config: None, fidelity: float | None = None) -> list[list]:
    """Each time the best so far at `fidelity` (None: any) got better: evaluations until then, training spent, its
    value, and what `tested` says of its configuration. Failures are no improvement."""
    spent, best, found = 0.0, float("inf"), []
    for n, e in enumerate(search.evaluations, 1):
        spent += e.fidelity - (e.origin[1] if e.origin else 0)
        if (fidelity is None or e.fidelity == fidelity) and isfinite(e.value) and e.value < best:
            best = e.value
            found.append([n, spent, best, tested(e.config)])
    return found


def searched_table(*, seed: int, sampler: str, settings: dict, trials: int, fixed: dict, dataset: str) -> dict:
    """A search in the table with full training of each: the objective is the mean validation error over the tuning
    seeds.

    improved: [evaluations, thousand examples spent, validation error (%), test error (%) over the test seeds] at each
    new best.
    """
    table, test = as_table(dataset, fixed)
    search = _search(table.on(made.TUNING), table.space, sampler, settings, trials, seed, FULL)
    return {"improved": improvements(search, lambda config: float(test[table.row(config)]))}


def searched_function(*, seed: int, sampler: str, settings: dict, trials: int, problem: str, dimension: int) -> dict:
    """A search on a test function, its shift and rotation by `seed`. improved: [evaluations, the same, f - f_opt,
    None]."""
    f = bbob(problem, dimension, seed)
    found = improvements(_search(f.objective, f.space, sampler, settings, trials, seed, 1))
    return {"improved": [[n, spent, value - f.value, None] for n, spent, value, _ in found]}


def _search(objective, space: Space, sampler: str, settings: dict, trials: int, seed: int, fidelity: float) -> Search:
    if sampler == "random":
        return random_search(objective, space, trials=trials, seed=seed, fidelity=fidelity)
    return model_search(
        objective, space, trials=trials, sampler=sampler, settings=settings, seed=seed, fidelity=fidelity
    )


ETA, SLOTS = 3, 9
HALVED = 81  # configurations that successive halving begins with


def stopped(*, seed: int, method: str, dataset: str) -> dict:
    """A search that stops most trainings early, on the whole table, with nine workers on the simulated clock.

    method: successive_halving, asha (both begin with 81 settings), hyperband, or bohb (Hyperband with TPE's proposals).
    improved: as in `searched_table`, fully trained settings only. spent: full trainings' worth of examples; busy: the
    share of the workers' time, in recorded seconds, that was spent on training. begun: settings.
    """
    table, test = as_table(dataset)
    options = {"low": 1, "high": FULL, "eta": ETA, "seed": seed, "slots": SLOTS, "cost": table.cost}
    objective = table.on(made.TUNING)
    if method in ("hyperband", "bohb"):
        search = hyperband(objective, table.space, sampler="tpe" if method == "bohb" else "random", **options)
    else:
        halve = {"successive_halving": successive_halving, "asha": asha}[method]
        search = halve(objective, table.space, trials=HALVED, **options)
    last = search.evaluations
    spent = sum(e.fidelity - (e.origin[1] if e.origin else 0) for e in last) / FULL
    busy = sum(e.end - e.start for e in last) / (SLOTS * max(e.end for e in last))
    improved = improvements(search, lambda config: float(test[table.row(config)]), FULL)
    return {"improved": improved, "spent": spent, "busy": busy, "begun": len({e.trial for e in last})}


# What is kept of a search -------------------------------------------------------------------------------------


def told(*, seed: int, task: str, sampler: str, own: str, trials: int, search: Mapping) -> dict:
    """A search as a row of a table: `improved` as JSON text. task, sampler, own (settings), trials: what it was."""
    return {"improved": json.dumps(search["improved"])}


def told_stopped(*, seed: int, method: str, search: Mapping) -> dict:
    """A search that stops early as a row of a table: spent, busy, begun, and `improved` as JSON text."""
    return {name: search[name] for name in ("spent", "busy", "begun")} | {"improved": json.dumps(search["improved"])}


def trained_again(*, seed: int, dataset: str, lr, batch, width, depth, weight_decay, dropout, schedule, optimizer, run):
    """A row of the table beside the same trained anew (`run`, by `table_run`): validation errors after full training
    (%), again and recorded; of guessing where it diverged."""
    asked = (lr, batch, width, depth, weight_decay, dropout, schedule, optimizer)
    levels, errors, _, _ = recorded(dataset)
    place = tuple(values.index(value) for values, value in zip(levels.values(), asked, strict=True))
    (curve,) = run["error"]
    again, before = made.CHANCE if curve[-1] is None else curve[-1], float(errors[(*place, seed, -1)])
    return {"again": 100 * again, "recorded": 100 * made.CHANCE if np.isnan(before) else before}


# Seeds -------------------------------------------------------------------------------------------------------

AMONG = 20  # settings, the best by one seed, whose order by two others is compared


def chosen(*, seed: int, size: int, dataset: str) -> dict:
    """What tuning on few seeds does, in the `seed`-th of the disjoint random subsets of `size` settings.

    Validation errors (%) after full training, all on the same examples. gap_one: error over the other five seeds less
    error on the tuning seed, of the setting that is best on that one seed, a mean over every seed in this role;
    gap_three: error over three seeds less error over the other three, on which the setting is the best, a mean over all
    twenty ways. Settings share a seed's order of examples, and those of one size its initial weights, so that a seed
    may be a lucky one for all good settings: only when every seed plays both parts does this cancel. loss_one,
    loss_three: error of these on the seeds that they were not tuned on, less the least of any setting there. tau:
    Kendall's rank correlation of the order by one tuning seed with that by another, among the `AMONG` best by a third;
    tau_all: among all. places: of the ten best by the first tuning seed on each.
    """
    _, errors, _, _ = recorded(dataset)
    final = errors[..., -1].reshape(-1, errors.shape[-2])
    final = np.where(np.isnan(final), 100 * made.CHANCE, final)
    order = torch.randperm(len(final), generator=generator(0, "subsets")).numpy()
    mine = final[order[seed * size : (seed + 1) * size]]
    if len(mine) < size:
        raise ValueError(f"seed: must be one of {len(final) // size} subsets of {size} settings, got {seed}")
    one, three = (_tuned_on(mine, count) for count in (1, 3))
    tuning = mine[:, list(made.TUNING)]
    pairs = [(0, 1, 2), (0, 2, 1), (1, 2, 0)]
    best = {c: np.argsort(tuning[:, c], kind="stable")[:AMONG] for c in range(3)}
    return {
        "gap_one": one[0],
        "gap_three": three[0],
        "loss_one": one[1],
        "loss_three": three[1],
        "tau": float(np.mean([stats.kendalltau(tuning[best[c], a], tuning[best[c], b])[0] for a, b, c in pairs])),
        "tau_all": float(np.mean([stats.kendalltau(tuning[:, a], tuning[:, b])[0] for a, b, _ in pairs])),
        "places": [[int(np.sum(tuning[:, s] < tuning[row, s])) + 1 for s in range(3)] for row in best[0][:10]],
    }


def _tuned_on(errors: np.ndarray, count: int) -> tuple[float, float]:
    """The best setting by each `count` of the seeds of `errors` (settings, seeds): how much worse it is on the other
    seeds than on these, and than the best setting is on the others; means over all choices of seeds."""
    found = []
    for tuning in combinations(range(errors.shape[1]), count):
        seen, new = errors[:, tuning].mean(axis=1), np.delete(errors, tuning, axis=1).mean(axis=1)
        pick = seen.argmin()
        found.append((new[pick] - seen[pick], new[pick] - new.min()))
    gap, loss = np.mean(found, axis=0)
    return float(gap), float(loss)
