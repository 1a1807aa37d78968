"""Rewinding tickets to an early iteration (Frankle et al. 2019, 2020, arXiv 1903.01611, 1912.05671): when networks are
stable to the order of their data, which tickets match them, and what else can be done with a pruned network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch
from scipy import stats

from redraw.dynamics import barrier, distance, line_errors
from redraw.pruning import Masks, magnitude
from redraw.studies._interval import mean_interval
from redraw.studies._requests import each_once
from redraw.studies._rewound import (
    Checkpoint,
    Recipe,
    checkpoint_at,
    fresh,
    learning_rate,
    make,
    state_of,
    structured_masks,
    tested,
    train,
)
from redraw.workbook import Result, Samples, Trial

# LeNet and ResNet-20 are those of 1912.05671, Table 1 (recalled), LeNet for 1,000 of 24,000 iterations; the rest, ours.
SETTINGS = {
    "lenet_digits": Recipe("digits", "lenet", "adam", 1.2e-3, "constant", 0.0, 60, 120, False, "cpu"),
    "lenet_mnist": Recipe("mnist", "lenet", "adam", 1.2e-3, "constant", 0.0, 60, 1_000, False, "cpu"),
    "conv_2_fashion": Recipe("fashion_mnist", "conv_2", "sgd", 0.03, "step", 0.0, 64, 400, False, "cpu"),
    "resnet_fashion": Recipe("fashion_mnist", "small_resnet", "sgd", 1.0, "step", 0.0, 64, 800, False, "cpu"),
    "resnet_20_cifar10": Recipe("cifar10", "resnet_20", "sgd", 0.1, "step", 1e-4, 128, 63_000, True, "cpu"),
}
DEEP = ("resnet_20_cifar10", "resnet_fashion", "conv_2_fashion")  # the first that a run has is what its claims mean
CONVOLUTIONAL = "conv_2_fashion"  # what claims with a c after their name mean
STATISTICS = 2000  # training examples that batch-norm statistics on a line are computed from
STABLE = 2.0  # per cent of error, the bound of 1912.05671
COMMON = (0.0, 0.02, 0.05)  # kept whatever is asked for, so that runs that rewind to some of these share networks
EARLY = 0.1  # of the training: the latest rewinding that claims about early iterations speak of


# Each trial function is offered a `checkpoint`, in which hours of training keep their middle (`_rewound.train`).


def dense(*, seed: int, keep: Sequence[int], checkpoint=None, **recipe) -> dict:
    """The whole network trained once; the iterations `keep` are stored with the optimizer's state, and the end."""
    recipe = Recipe(**recipe)
    dataset, model = make(recipe, seed, "theta_0")
    masks, start = Masks.dense(model), fresh(model)
    kept = train(recipe, model, masks, dataset, start, (seed, "dense"), keep=keep, saved=checkpoint)
    tensors = {name: value for one in kept for name, value in one.tensors().items()}
    return tested(model, dataset) | {"remaining": 1.0, "tensors": tensors | _final(recipe, model)}


def ticket(
    *,
    seed: int,
    k: int,
    round: int,
    rate: float,
    dense: Result,
    previous: Result | None = None,
    checkpoint=None,
    **recipe,
) -> dict:
    """Round `round` of iterative magnitude pruning with rewinding to iteration k: what is left of the previous round's
    network (at first the dense one) when the fraction `rate` that is smallest over the whole network has gone, from the
    dense network's state at k to the end, in a data order of its own."""
    recipe = Recipe(**recipe)
    dataset, model = make(recipe, seed, "theta_0")
    before = previous or dense
    masks = magnitude(_end(before, recipe), _masks(before, model), rate, scope="global")
    start = checkpoint_at(dense.tensors, k)
    train(recipe, model, masks, dataset, start, (seed, "ticket", k, round), saved=checkpoint)
    return tested(model, dataset) | {
        "remaining": masks.remaining,
        "distance": _distance(_end(dense, recipe), state_of(model), masks),
        "tensors": _final(recipe, model) | _packed(masks),
    }


def sibling(
    *,
    seed: int,
    k: int,
    round: int,
    points: int,
    examples: int,
    dense: Result,
    first: Result | None = None,
    checkpoint=None,
    **recipe,
) -> dict:
    """The network `first` (the dense one, or a ticket of rewinding to k) trained once more from the dense network's
    state at k in another order of the data, and the test error (%) at `points` places between the two, on the first
    `examples` of the test set. The instability is the height of the barrier; for networks with batch normalization its
    statistics are computed anew at every place, and `instability_interpolated` is that with interpolated ones."""
    recipe = Recipe(**recipe)
    dataset, model = make(recipe, seed, "theta_0")
    masks = _masks(first or dense, model)
    start = checkpoint_at(dense.tensors, k)
    train(recipe, model, masks, dataset, start, (seed, "sibling", k, round), saved=checkpoint)
    ends = (_end(first or dense, recipe), state_of(model))
    x, y, found = dataset.test_x[:examples], dataset.test_y[:examples], tested(model, dataset)
    plain = [100 * e for e in line_errors(model, *ends, x, y, points=points)]
    normalized = any("running_mean" in name for name in ends[0])
    statistics = dataset.train_x[:STATISTICS]
    errors = (
        [100 * e for e in line_errors(model, *ends, x, y, points=points, batch_norm=statistics)]
        if normalized
        else plain
    )
    return found | {
        "remaining": masks.remaining,
        "errors": errors,
        "instability": barrier(errors),
        "instability_interpolated": barrier(plain),
        "apart": distance(*ends, masks),
    }


def retrained(*, seed: int, arm: str, k: int, remaining: float, dense: Result, checkpoint=None, **recipe) -> dict:
    """The dense network pruned once to the fraction `remaining` (smallest weights over the whole network) and then:

    rewound        trained from its state at iteration k to the end
    reset          trained from its initial state to the end
    lr_rewound     trained on from its final weights with the learning rates from k on
    finetuned      trained on from its final weights for as long, at the last learning rate
    reinitialized  trained from fresh weights to the end

    After Renda et al. 2020 (arXiv 2003.02389), section 3; all in the same order of the data.
    """
    recipe = Recipe(**recipe)
    dataset, model = make(recipe, seed, "reinitialization" if arm == "reinitialized" else "theta_0")
    masks = magnitude(_end(dense, recipe), Masks.dense(model), 1 - remaining, scope="global")
    rates = [learning_rate(recipe, i) for i in range(recipe.iterations)]
    trained = Checkpoint(0, _end(dense, recipe), {})
    start, rates = {
        "rewound": lambda: (checkpoint_at(dense.tensors, k), rates[k:]),
        "reset": lambda: (checkpoint_at(dense.tensors, 0), rates),
        "lr_rewound": lambda: (trained, rates[k:]),
        "finetuned": lambda: (trained, rates[-1:] * len(rates[k:])),
        "reinitialized": lambda: (fresh(model), rates),
    }[arm]()
    train(recipe, model, masks, dataset, start, (seed, "retrained"), rates=rates, saved=checkpoint)
    return tested(model, dataset) | {"remaining": masks.remaining}


def structured(*, seed: int, arm: str, keep: float, dense: Result, checkpoint=None, **recipe) -> dict:
    """A network of which each layer keeps the fraction `keep` of its units, those with the largest weights in L1 norm:

    ticket     from its initial weights to the end
    scratch    from fresh weights to the end
    finetuned  from its final weights, a quarter as long, at the last learning rate

    After Liu et al. 2019 (arXiv 1810.05270), who fine-tune 40 epochs of 160. For networks without batch normalization,
    which would let removed units speak.
    """
    recipe = Recipe(**recipe)
    dataset, model = make(recipe, seed, "reinitialization" if arm == "scratch" else "theta_0")
    masks = structured_masks(_end(dense, recipe), Masks.dense(model), keep)
    last = learning_rate(recipe, recipe.iterations - 1)
    start, rates = {
        "ticket": lambda: (checkpoint_at(dense.tensors, 0), None),
        "scratch": lambda: (fresh(model), None),
        "finetuned": lambda: (Checkpoint(0, _end(dense, recipe), {}), [last] * (recipe.iterations // 4)),
    }[arm]()
    train(recipe, model, masks, dataset, start, (seed, "structured"), rates=rates, saved=checkpoint)
    return tested(model, dataset) | {"remaining": masks.remaining}


def _final(recipe: Recipe, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return Checkpoint(recipe.iterations, state_of(model), {}).tensors()


def _end(result: Result, recipe: Recipe) -> dict[str, torch.Tensor]:
    return checkpoint_at(result.tensors, recipe.iterations).state


def _packed(masks: Masks) -> dict[str, torch.Tensor]:
    return {f"masks.{name}": bits.cpu() for name, bits in masks.pack().items()}


def _masks(result: Result, model: torch.nn.Module) -> Masks:
    """The masks a network was trained under, on the CPU; all weights kept where the trial has none."""
    packed = {n.removeprefix("masks."): v for n, v in result.tensors.items() if n.startswith("masks.")}
    state = state_of(model)
    return Masks.unpack(packed, state) if packed else Masks({n: m.cpu() for n, m in Masks.dense(model).items()})


def _distance(whole: Mapping[str, torch.Tensor], sparse: Mapping[str, torch.Tensor], masks: Masks) -> float:
    """Between a ticket and the same weights of the dense network, both trained."""
    return distance({name: whole[name] * mask for name, mask in masks.items()}, sparse, masks)


# What the study runs --------------------------------------------------------------------------------------------


def recipe_of(setting: str, budget: float, device: str) -> Recipe:
    """The recipe of a setting, trained for `budget` times its iterations on `device`."""
    recipe = SETTINGS[setting]
    return replace(recipe, iterations=round(budget * recipe.iterations), device=device)


def plan(
    *,
    settings: Sequence[str],
    budget: float,
    rewind: Sequence[float],
    rounds: int,
    rate: float,
    points: int,
    examples: int,
    retrain: Sequence[str],
    retrain_remaining: float,
    structured: Sequence[str],
    structured_keep: float,
    structured_rates: Sequence[float],
    seeds: int,
    device: str,
) -> list[Trial]:
    """The trials of the study, per setting: the dense network; for each rewinding point its sibling, the tickets of the
    rounds and the last one's sibling; where asked for, the ways to go on with a pruned network.

    Raises ValueError without a setting, for names or rates given twice, without a rewinding to 0, for two points that
    are one iteration, or a network with batch normalization among those pruned by units.
    """
    trials: list[Trial] = []
    for field, names, least in (("settings", settings, 1), ("retrain", retrain, 0), ("structured", structured, 0)):
        each_once(field, names, least)
    each_once("structured_rates", structured_rates, 1 if structured else 0)
    if 0 not in rewind:
        raise ValueError(f"rewind: must have 0, the initialization, got {rewind}")
    if norm := [name for name in structured if SETTINGS[name].network.endswith(("resnet", "resnet_20"))]:
        raise ValueError(f"structured: must be settings without batch normalization, got {norm[0]}")
    for setting in settings:
        recipe = recipe_of(setting, budget, device)
        ks = [round(f * recipe.iterations) for f in rewind]
        if len(set(ks)) < len(ks):
            raise ValueError(f"rewind: {rewind} are iterations {ks} of {recipe.iterations} in {setting}, some twice")
        for seed in range(seeds):
            trials += _pruned(recipe, seed, ks, rounds, rate, {"points": points, "examples": examples})
            early = early_k(rewind, recipe.iterations)
            if setting in retrain and early:
                parent, more = _dense(recipe, seed, ks), {"remaining": retrain_remaining, "k": early}
                arms = ("rewound", "reset", "lr_rewound", "finetuned", "reinitialized")
                trials += [_trial("retrained", recipe, seed, {"dense": parent}, arm=arm, **more) for arm in arms]
            if setting in structured:
                for learning in structured_rates:
                    other = replace(recipe, learning_rate=learning)
                    parent = _dense(other, seed, ks)
                    trials += [parent] if learning != recipe.learning_rate else []
                    arms = ("ticket", "scratch", "finetuned")
                    needs = {"dense": parent}
                    trials += [_trial("structured", other, seed, needs, arm=arm, keep=structured_keep) for arm in arms]
    return trials


def early_k(rewind: Iterable[float], iterations: int) -> int | None:
    """The latest rewinding within the first tenth of the training, in iterations; None where there is none."""
    early = [f for f in rewind if 0 < f <= EARLY]
    return round(max(early) * iterations) if early else None


def _pruned(recipe: Recipe, seed: int, ks: Sequence[int], rounds: int, rate: float, line: dict) -> list[Trial]:
    parent = _dense(recipe, seed, ks)
    trials = [parent]
    for k in ks:
        trials.append(_trial("sibling", recipe, seed, {"dense": parent}, k=k, round=0, **line))
        needs = {"dense": parent}
        for number in range(1, rounds + 1):
            trials.append(_trial("ticket", recipe, seed, needs, k=k, round=number, rate=rate))
            needs = {"dense": parent, "previous": trials[-1]}
        if rounds:
            needs = {"dense": parent, "first": trials[-1]}
            trials.append(_trial("sibling", recipe, seed, needs, k=k, round=rounds, **line))
    return trials


def _dense(recipe: Recipe, seed: int, ks: Sequence[int]) -> Trial:
    kept = {round(f * recipe.iterations) for f in COMMON} | set(ks)
    return _trial("dense", recipe, seed, {}, keep=sorted(kept))


def _trial(function: str, recipe: Recipe, seed: int, needs: dict[str, Trial], **more) -> Trial:
    return Trial(f"{__name__}:{function}", asdict(recipe) | more, seed, needs)


# What it measures -----------------------------------------------------------------------------------------------


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, one number per seed: instabilities in per cent of error, accuracies in per cent.

    Sparse claims are about the sparsest tickets of the run, early ones about the latest rewinding in the first tenth.
    Those about a deep network are about the run's first of `DEEP`, and with a c after their name about Conv-2.
    Those about other ways to go on with a pruned network are about the first of the settings that it names for them.
    """
    deep = next((name for name in DEEP if name in knobs["settings"]), DEEP[0])
    found = {
        "S1": instability(table, "lenet_mnist", 0, 0, **knobs),
        "T1": instability(table, "lenet_mnist", 0, None, **knobs),
        "T2": _gap(table, "lenet_mnist", 0, **knobs),
        "T7": _together(table, **knobs),
    }
    for suffix, setting in (("", deep), ("c", CONVOLUTIONAL)):
        found |= {f"{name}{suffix}": values for name, values in _of_deep(table, setting, **knobs).items()}
    ways = {arm: _arm(table, "retrained", arm, knobs["retrain"]) for arm in ("rewound", "lr_rewound", "finetuned")}
    found |= {"F1": (ways["rewound"], ways["finetuned"]), "F2": (ways["lr_rewound"], ways["rewound"])}
    units = {arm: _arm(table, "structured", arm, knobs["structured"]) for arm in ("ticket", "scratch", "finetuned")}
    found |= {"R1": (units["scratch"], units["finetuned"]), "R2": (units["ticket"], units["scratch"])}
    samples = {name: _samples(values) for name, values in found.items()}
    for name, other in (("T9", "T3"), ("T9c", "T3c")):
        if found[name].empty and not found[other].empty:
            samples[name] = Samples.not_tested("there is no rewinding point at which its tickets are stable")
    return samples


def _of_deep(table: pd.DataFrame, setting: str, **knobs) -> dict[str, pd.Series | tuple[pd.Series, pd.Series]]:
    """What is ruled on about a deep network, by the claims' names."""
    early = early_k(knobs["rewind"], recipe_of(setting, knobs["budget"], knobs["device"]).iterations)
    late, start = _gap(table, setting, early, **knobs), _gap(table, setting, 0, **knobs)
    return {
        "S2": instability(table, setting, 0, 0, **knobs),
        "S3": instability(table, setting, early, 0, **knobs),
        "T3": start,
        "T4": late,
        "T5": instability(table, setting, early, None, **knobs),
        "T6": (late - start).dropna(),
        "T8": instability(table, setting, 0, None, **knobs),
        "T9": _where_stable(table, setting, **knobs),
        "D1": tuple(_ticket(table, setting, k, "distance", **knobs) for k in (early, 0)),
    }


def rows(table: pd.DataFrame, function: str, setting: str, rate: float | None = None) -> pd.DataFrame:
    """The rows of a trial function in a setting, at the setting's own learning rate unless another is named."""
    if table.empty:
        return table
    recipe = SETTINGS[setting]
    same = (table["function"] == function) & (table["network"] == recipe.network)
    return table[
        same & (table["dataset"] == recipe.dataset) & (table["learning_rate"] == (rate or recipe.learning_rate))
    ]


def instability(table: pd.DataFrame, setting: str, k: int | None, round: int | None, **knobs) -> pd.Series:
    """Instabilities (%) by seed, from iteration k, of the tickets of a round; None is the last, 0 the dense network."""
    found = rows(table, "sibling", setting)
    if found.empty or k is None or (round is None and not knobs["rounds"]):
        return pd.Series(dtype=float)
    wanted = knobs["rounds"] if round is None else round
    return _by_seed(found[(found["k"] == k) & (found["round"] == wanted)], "instability")


def best_rate(table: pd.DataFrame, setting: str) -> float | None:
    """Of the learning rates that a setting's networks were pruned by units at, the one whose dense networks validate
    best; None where none were."""
    if table.empty:
        return None
    mine = table[(table["network"] == SETTINGS[setting].network) & (table["dataset"] == SETTINGS[setting].dataset)]
    tried = mine.loc[mine["function"] == "structured", "learning_rate"]
    parents = mine[(mine["function"] == "dense") & mine["learning_rate"].isin(tried)]
    return float(parents.groupby("learning_rate")["validation_accuracy"].mean().idxmax()) if len(parents) else None


def _ticket(table: pd.DataFrame, setting: str, k: int | None, column: str, **knobs) -> pd.Series:
    found = rows(table, "ticket", setting)
    if found.empty or k is None:
        return pd.Series(dtype=float)
    return _by_seed(found[(found["k"] == k) & (found["round"] == knobs["rounds"])], column)


def _gap(table: pd.DataFrame, setting: str, k: int | None, **knobs) -> pd.Series:
    """Test accuracy of the sparsest tickets less that of their dense networks (pp), by seed."""
    tickets, whole = _ticket(table, setting, k, "test_accuracy", **knobs), rows(table, "dense", setting)
    if tickets.empty:
        return tickets
    return (tickets - _by_seed(whole, "test_accuracy")).dropna()


def _where_stable(table: pd.DataFrame, setting: str, **knobs) -> pd.Series:
    """By seed, the gap of the sparsest tickets, its mean over those rewinding points at which the seeds' mean
    instability is below `STABLE`; empty where there are none."""
    iterations = recipe_of(setting, knobs["budget"], knobs["device"]).iterations
    cells = []
    for k in (round(f * iterations) for f in knobs["rewind"]):
        apart, gap = instability(table, setting, k, None, **knobs), _gap(table, setting, k, **knobs)
        if len(apart) and len(gap) and apart.mean() < STABLE:
            cells.append(gap)
    return pd.concat(cells, axis=1).dropna().mean(axis=1) if cells else pd.Series(dtype=float)


def _together(table: pd.DataFrame, **knobs) -> pd.Series:
    """Per seed, Spearman's correlation of instability and gap over settings and rewinding points, at least 4."""
    cells = []
    for setting in knobs["settings"]:
        recipe = recipe_of(setting, knobs["budget"], knobs["device"])
        for k in (round(f * recipe.iterations) for f in knobs["rewind"]):
            both = {"x": instability(table, setting, k, None, **knobs), "y": _gap(table, setting, k, **knobs)}
            cells.append(pd.DataFrame(both).dropna())
    cells = pd.concat(cells) if cells else pd.DataFrame()
    counts = cells.groupby(level=0).size() if len(cells) else pd.Series(dtype=int)
    seeds = counts.index[counts >= 4]
    found = {seed: stats.spearmanr(cells.loc[seed, "x"], cells.loc[seed, "y"]).statistic for seed in seeds}
    return pd.Series(found, dtype=float).dropna()


def _arm(table: pd.DataFrame, function: str, arm: str, settings: Sequence[str]) -> pd.Series:
    """Test accuracies (%) by seed of one way to go on, in the first of the settings; of networks pruned by units those
    at the best learning rate."""
    if table.empty or not settings:
        return pd.Series(dtype=float)
    setting = settings[0]
    found = rows(table, function, setting, best_rate(table, setting) if function == "structured" else None)
    return _by_seed(found[found["arm"] == arm], "test_accuracy") if len(found) else pd.Series(dtype=float)


def _by_seed(found: pd.DataFrame, column: str) -> pd.Series:
    return found.set_index("seed")[column].astype(float).sort_index()


def _samples(values: pd.Series | tuple[pd.Series, pd.Series]) -> Samples:
    arms = values if isinstance(values, tuple) else (values,)
    if any(arm.empty for arm in arms):
        return Samples.not_tested("this run trained no networks for it")
    return Samples.pair(*arms) if len(arms) == 2 else Samples.of(values)


# What its figures show ------------------------------------------------------------------------------------------

NAMES = {
    "lenet_digits": "LeNet, digits",
    "lenet_mnist": "LeNet, MNIST",
    "conv_2_fashion": "narrow Conv-2, Fashion-MNIST",
    "resnet_fashion": "small ResNet, Fashion-MNIST",
    "resnet_20_cifar10": "ResNet-20, CIFAR-10",
}
SETTING = {(recipe.dataset, recipe.network): name for name, recipe in SETTINGS.items()}
ARMS = {
    "rewound": "rewound",
    "reset": "reset to the start",
    "lr_rewound": "learning rate rewound",
    "finetuned": "fine-tuned",
    "reinitialized": "from scratch",
    "ticket": "from its initial weights",
    "scratch": "from scratch",
}


def instabilities(table: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """Tidy rows: network (with what remains of it), rewound (% of the training), seed, instability (%), both ways."""
    parts = []
    for setting in settings:
        found = rows(table, "sibling", setting)
        for remaining, some in found.groupby("remaining", sort=False) if len(found) else []:
            name = NAMES[setting] if remaining == 1 else f"{NAMES[setting]}, {100 * remaining:.2g} % left"
            done = 100 * some["k"] / some["iterations"]
            parts.append(some[["seed", "instability", "instability_interpolated"]].assign(network=name, rewound=done))
    return _joined(parts, ["network", "rewound", "seed", "instability", "instability_interpolated"])


def along(table: pd.DataFrame, setting: str, sparse: bool) -> pd.DataFrame:
    """Tidy rows: rewound (in words), alpha, seed, test error (%) between siblings, dense ones or the sparsest."""
    found, parts = rows(table, "sibling", setting), []
    if found.empty:  # its data could not be had, say
        return _joined(parts, ["rewound", "alpha", "seed", "error"])
    found = found[found["round"] == (found["round"].max() if sparse else 0)]
    for row in found.sort_values("k").itertuples():
        part = pd.DataFrame({"alpha": np.linspace(0, 1, len(row.errors)), "error": row.errors})
        parts.append(part.assign(rewound=f"from iteration {row.k:,.0f}", seed=row.seed))
    return _joined(parts, ["rewound", "alpha", "seed", "error"])


def accuracies(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Tidy rows: rewound (in words), remaining (%), seed, test accuracy (%); the dense network opens every curve."""
    found, parts = rows(table, "ticket", setting), []
    for k, some in found.sort_values("k").groupby("k") if len(found) else []:
        both = pd.concat([rows(table, "dense", setting), some])
        part = both[["seed", "test_accuracy"]].rename(columns={"test_accuracy": "accuracy"})
        part = part.assign(remaining=(100 * both["remaining"]).round(2))
        parts.append(part.assign(rewound=f"rewound to iteration {k:,.0f}"))
    return _joined(parts, ["rewound", "remaining", "seed", "accuracy"])


def distances(table: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """Tidy rows: network, rewound (% of the training), seed, distance of the sparsest ticket to the dense network."""
    parts = []
    for setting in settings:
        found = rows(table, "ticket", setting)
        some = found[found["round"] == found["round"].max()] if len(found) else found
        if len(some):
            done = 100 * some["k"] / some["iterations"]
            parts.append(some[["seed", "distance"]].assign(network=NAMES[setting], rewound=done))
    return _joined(parts, ["network", "rewound", "seed", "distance"])


def ways(table: pd.DataFrame, function: str) -> pd.DataFrame:
    """What became of a pruned network, its accuracy less that of its dense network (pp): label, estimate, low and high
    (95 % over seeds), what (the network and its learning rate). function: retrained or structured."""
    parts = []
    found = table[table["function"] == function] if len(table) else table
    by = ["dataset", "network", "learning_rate", "arm"]
    for (dataset, network, rate, arm), some in found.groupby(by, sort=False) if len(found) else []:
        name = SETTING[dataset, network]
        whole = rows(table, "dense", name, rate)
        gap = (_by_seed(some, "test_accuracy") - _by_seed(whole, "test_accuracy")).dropna()
        part = dict(zip(("estimate", "low", "high"), mean_interval(gap), strict=True)) | {"label": ARMS[arm]}
        parts.append(pd.DataFrame([part | {"what": f"{NAMES[name]}, learning rate {rate:g}"}]))
    return _joined(parts, ["label", "estimate", "low", "high", "what"])


def rates_in_words(table: pd.DataFrame, settings: Sequence[str]) -> str:
    """At which of the learning rates tried the first of the settings, pruned by units, validates best."""
    best = best_rate(table, settings[0]) if settings else None
    if best is None:
        return "No network was pruned by units."
    mine = rows(table, "structured", settings[0], best)
    same = (table["dataset"] == mine["dataset"].iloc[0]) & (table["network"] == mine["network"].iloc[0])
    tried = sorted(table.loc[same & (table["function"] == "structured"), "learning_rate"].unique())
    if len(tried) == 1:
        return f"{NAMES[settings[0]]} was pruned by units at {best:g} alone: whether it is the best rate is not known."
    edge = "" if tried[0] < best < tried[-1] else ", which is at the edge: a better one may lie beyond"
    return f"{NAMES[settings[0]]} validates best at {best:g} out of {', '.join(f'{rate:g}' for rate in tried)}{edge}."


def in_words(frame: pd.DataFrame, by: str, x: str, y: str, unit: str) -> str:
    """A figure as a sentence: the mean of each group at its ends."""
    parts = []
    for group, some in frame.groupby(by, sort=False):
        means = some.groupby(x)[y].mean()
        ends = "; ".join(
            f"{means[at]:.3g} {unit} at {at:.3g}" for at in dict.fromkeys((means.index[0], means.index[-1]))
        )
        parts.append(f"{group}: {ends}")
    return ". ".join(parts) + "."


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
