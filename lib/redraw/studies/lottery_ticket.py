"""The Lottery Ticket Hypothesis (Frankle & Carbin 2019, arXiv 1803.03635): tickets and what they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial

import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from redraw import data
from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, compound, magnitude
from redraw.seeds import generator
from redraw.studies._requests import fits
from redraw.training import fit
from redraw.workbook import Batched, Result, Samples, Trial

MODELS = {
    "lenet_300_100": lenet_300_100,
    "conv_2": lambda shape, classes: conv(2, shape, classes),
    "conv_4": lambda shape, classes: conv(4, shape, classes),
    "conv_6": lambda shape, classes: conv(6, shape, classes),
}

OPTIMIZERS = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, fused=True),
}


@dataclass(frozen=True)
class Recipe:
    """How one network of this study is made, trained and pruned. Rates are the fractions a round removes."""

    dataset: str
    model: str
    initialization: str
    optimizer: str
    learning_rate: float
    batch_size: int
    iterations: int
    evaluate_every: int
    validation: int
    scope: str
    hidden_rate: float
    conv_rate: float
    output_rate: float


def ticket(*, seed: int, round: int, previous: Result | None = None, **recipe) -> dict:
    """Round `round` of iterative pruning: the previous round's survivors from theta_0; round 0 is the dense network.

    theta_0 and the split into training and validation belong to the seed; each network sees its own data order.
    """
    recipe = Recipe(**recipe)
    dataset, model = _prepare(recipe, seed, "theta_0")
    masks = Masks.dense(model)
    if previous is not None:
        weights, masks = _trained(previous)
        masks = _prune(recipe, weights, masks)
    record = _train(recipe, model, masks, dataset, generator(seed, "order", "ticket", round))
    weights = {f"weights.{name}": value for name, value in model.state_dict().items()}
    return record | {"tensors": weights | {f"masks.{name}": bits for name, bits in masks.pack().items()}}


def reinitialized(*, seed: int, draw: int, ticket: Result, **recipe) -> dict:
    """A ticket's masks on a fresh initialization, the `draw`-th."""
    recipe = Recipe(**recipe)
    dataset, model = _prepare(recipe, seed, "reinitialization", draw)
    _, masks = _trained(ticket)
    return _train(recipe, model, masks, dataset, generator(seed, "order", "reinitialized", draw))


def one_shot(*, seed: int, remaining: float, dense: Result, **recipe) -> dict:
    """The trained dense network pruned once to the fraction `remaining`, its survivors trained from theta_0."""
    recipe = Recipe(**recipe)
    dataset, model = _prepare(recipe, seed, "theta_0")
    weights, masks = _trained(dense)
    masks = _prune(recipe, weights, masks, rounds_to(remaining, recipe, masks))
    return _train(recipe, model, masks, dataset, generator(seed, "order", "one_shot"))


# What `_lottery_batched` trains side by side. Networks of one group have the same steps; what is pruned and how fast
# they learn may differ.
FREE = ("learning_rate", "initialization", "scope", "hidden_rate", "conv_rate", "output_rate")
BATCHED = {
    "ticket": Batched("redraw.studies._lottery_batched:tickets", ("round", *FREE)),
    "reinitialized": Batched("redraw.studies._lottery_batched:reinitialized", ("draw", *FREE)),
    "one_shot": Batched("redraw.studies._lottery_batched:one_shot", ("remaining", *FREE)),
}


def rounds_to(remaining: float, recipe: Recipe, masks: Masks) -> float:
    """The number of rounds, rarely whole, after which the recipe's rates leave the fraction `remaining` of all weights.

    Solves sum_l n_l (1 - r_l)^k = remaining * sum_l n_l for k, with n_l weights and rate r_l in layer l.
    """
    rates = _rates(recipe, masks)

    def excess(rounds):
        left = sum(mask.numel() * (1 - rates[name]) ** rounds for name, mask in masks.items())
        return left / masks.total - remaining

    return brentq(excess, 0, 1000)


def _prepare(recipe: Recipe, seed: int, *stream) -> tuple[data.Dataset, nn.Module]:
    dataset = data.load(recipe.dataset, validation=recipe.validation, seed=seed)
    model = MODELS[recipe.model](tuple(dataset.train_x.shape[1:]), dataset.classes)
    return dataset, initialize(model, recipe.initialization, generator(seed, *stream))


def _trained(result: Result) -> tuple[dict[str, Tensor], Masks]:
    tensors = result.tensors
    weights = {n.removeprefix("weights."): v for n, v in tensors.items() if n.startswith("weights.")}
    packed = {n.removeprefix("masks."): v for n, v in tensors.items() if n.startswith("masks.")}
    return weights, Masks.unpack(packed, weights)


def _rates(recipe: Recipe, masks: Mapping[str, Tensor]) -> dict[str, float]:
    """What a round removes per layer: convolutions, hidden layers, and the output layer, which is the last.

    Under global pruning every layer counts towards the one rate, as in open_lth.
    """
    if recipe.scope == "global":
        return dict.fromkeys(masks, recipe.hidden_rate)
    rates = {name: recipe.conv_rate if mask.ndim == 4 else recipe.hidden_rate for name, mask in masks.items()}
    return rates | {list(masks)[-1]: recipe.output_rate}


def _prune(recipe: Recipe, weights: Mapping[str, Tensor], masks: Masks, rounds: float = 1) -> Masks:
    """Magnitude pruning as much as `rounds` rounds do; globally, the output layer keeps its weights."""
    rates = {name: compound(rate, rounds) for name, rate in _rates(recipe, masks).items()}
    if recipe.scope == "global":
        output = list(masks)[-1]
        return magnitude(weights, masks, rates[output], scope="global", exclude=(output,))
    return magnitude(weights, masks, rates)


def _train(recipe: Recipe, model: nn.Module, masks: Masks, dataset: data.Dataset, order: torch.Generator) -> dict:
    optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), recipe.learning_rate)
    if masks.kept < masks.total:
        masks.hold(model, optimizer)
    history = fit(
        model,
        dataset,
        optimizer,
        iterations=recipe.iterations,
        batch_size=recipe.batch_size,
        evaluate_every=recipe.evaluate_every,
        generator=order,
    )
    return asdict(history) | {"kept": masks.kept, "remaining": masks.remaining, "survivors": masks.survivors()}


# What the study runs --------------------------------------------------------------------------------------------


# Per network: Adam's learning rate and the iterations of Figure 2; open_lth's defaults exist for LeNet only.
PAPER = {
    "lenet_300_100": (1.2e-3, 50_000),
    "conv_2": (2e-4, 20_000),
    "conv_4": (3e-4, 25_000),
    "conv_6": (3e-4, 30_000),
}


def settings(
    *, dataset: str, model: str, protocol: str, budget: float, evaluate_every: int
) -> dict[str, str | int | float]:
    """The trial parameters of a protocol, its iterations scaled by `budget`.

    paper     Adam, batch 60, Glorot normal, every layer pruned by its own rate: 20 % of hidden weights a round (10 % of
              convolutional ones, 15 % in Conv-6), 10 % of the output layer's   (arXiv 1803.03635, Figure 2)
    open_lth  SGD 0.1, batch 128, Kaiming normal, 40 epochs, 20 % over the whole network but for the output layer
              (facebookresearch/open_lth, models/mnist_lenet.py)

    Raises ValueError for open_lth with a convolutional network, which it has no defaults for.
    """
    validation = data.describe(dataset).validation
    common = {"dataset": dataset, "model": model, "evaluate_every": evaluate_every, "validation": validation}
    if protocol == "paper":
        learning_rate, iterations = PAPER[model]
        return common | {
            "initialization": "glorot_normal",
            "optimizer": "adam",
            "learning_rate": learning_rate,
            "batch_size": 60,
            "iterations": round(budget * iterations),
            "scope": "layer",
            "hidden_rate": 0.2,
            "conv_rate": 0.15 if model == "conv_6" else 0.1,
            "output_rate": 0.1,
        }
    if model != "lenet_300_100":
        raise ValueError(f"model: must be lenet_300_100 under protocol open_lth, got {model}")
    return common | {
        "initialization": "kaiming_normal",
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "batch_size": 128,
        "iterations": round(budget * 40 * (55_000 // 128)),
        "scope": "global",
        "hidden_rate": 0.2,
        "conv_rate": 0.2,
        "output_rate": 0.2,
    }


def plan(
    *,
    dataset: str,
    model: str,
    protocol: str,
    budget: float,
    evaluate_every: int,
    seeds: int,
    rounds: int,
    reinit_rounds: Sequence[int],
    reinit_draws: int,
    one_shot_levels: Sequence[float],
) -> list[Trial]:
    """The trials of the study: per seed, tickets of rounds 0 (dense) to `rounds`; `reinit_draws` reinitializations of
    the tickets of `reinit_rounds`; one-shot tickets at the fractions `one_shot_levels` of weights remaining.

    Raises ValueError for a model that cannot take the dataset's inputs, a reinitialized round that is not pruned to, or
    a budget shorter than one evaluation.
    """
    fits("model", model, MODELS, dataset)
    common = settings(dataset=dataset, model=model, protocol=protocol, budget=budget, evaluate_every=evaluate_every)
    if common["iterations"] < evaluate_every:
        raise ValueError(f"evaluate_every: must be at most the {common['iterations']} iterations of this budget")
    if beyond := [k for k in reinit_rounds if k > rounds]:
        raise ValueError(f"reinit_rounds: must be at most rounds ({rounds}), got {beyond[0]}")
    tickets: dict[tuple[int, int], Trial] = {}
    for seed in range(seeds):
        for k in range(rounds + 1):
            needs = {"previous": tickets[seed, k - 1]} if k else {}
            tickets[seed, k] = _trial("ticket", common, seed, needs, round=k)
    return [
        *tickets.values(),
        *(
            _trial("reinitialized", common, seed, {"ticket": tickets[seed, k]}, draw=draw)
            for k in reinit_rounds
            for draw in range(reinit_draws)
            for seed in range(seeds)
        ),
        *(
            _trial("one_shot", common, seed, {"dense": tickets[seed, 0]}, remaining=remaining)
            for remaining in one_shot_levels
            for seed in range(seeds)
        ),
    ]


def _trial(function: str, common: dict, seed: int, needs: dict[str, Trial], **more) -> Trial:
    return Trial(f"{__name__}:{function}", common | more, seed, needs)


# What it measures -----------------------------------------------------------------------------------------------

# The rounds whose levels the paper names, by percentage of weights remaining (claim L0 shows that they are).
ROUND_AT = {51.3: 3, 21.1: 7, 13.5: 9, 7.0: 12, 3.6: 15, 2.9: 16, 1.9: 18}


@cache
def levels(rounds: int, *, model: str = "lenet_300_100", protocol: str = "paper") -> tuple[float, ...]:
    """Percentage of weights remaining after 0 to `rounds` rounds: pruning by magnitude, without any training."""
    rules = Recipe(**settings(dataset="mnist", model=model, protocol=protocol, budget=1, evaluate_every=100))
    network = initialize(_network(model), rules.initialization, generator(0, "levels"))
    masks, found = Masks.dense(network), []
    for _ in range(rounds + 1):
        found.append(100 * masks.remaining)
        masks = _prune(rules, network.state_dict(), masks)
    return tuple(found)


def weights_of(model: str) -> int:
    """Number of weights, biases left out, of one of the study's networks on images of its paper's dataset."""
    return Masks.dense(_network(model)).total


def _network(model: str) -> nn.Module:
    return MODELS[model]((1, 28, 28) if model == "lenet_300_100" else (3, 32, 32), 10)


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    Accuracies are on the test set at the early stop, in per cent; stops in iterations; one number per seed.
    A claim that speaks of networks this run did not train is not tested.
    """
    arm, stop, accuracy = partial(find_arm, table), "stop_iteration", "stop_test_accuracy"
    dense = arm("ticket", remaining=100)
    at = {level: arm("ticket", remaining=level) for level in ROUND_AT}
    fresh = {level: arm("reinitialized", remaining=level) for level in ROUND_AT}
    shots = {level: arm("one_shot", remaining=level) for level in (95, 67.5, 17.6, 5.17)}
    counted = levels(max(ROUND_AT.values()))
    return {
        "L0": Samples.exact([counted[k] for k in ROUND_AT.values()]),
        "L1a": _pair(stop, at[21.1], dense),
        "L1b": _pair(stop, at[21.1], dense),
        "L2a": _pair(accuracy, at[13.5], dense),
        "L2b": _pair(accuracy, at[3.6], dense),
        "L3a": _many(accuracy, dense=dense, ticket=at[7.0], reinitialized=fresh[7.0]),
        "L3b": _many(accuracy, dense=dense, **{f"reinitialized_at_{p}": fresh[p] for p in (21.1, 51.3)}),
        "L3c": _many(accuracy, dense=dense, **{f"ticket_at_{p}": at[p] for p in (2.9, 3.6)}),
        "L3d": _pair(stop, fresh[21.1], at[21.1]),
        "L3e": _pair(accuracy, at[21.1], fresh[21.1]),
        "L4a": _many(stop, dense=dense, **{f"one_shot_{p}": shots[p] for p in (67.5, 17.6)}),
        "L4b": _many(accuracy, dense=dense, **{f"one_shot_{p}": shots[p] for p in shots}),
        "L5a": Samples.exact([weights_of("conv_2"), weights_of("conv_4")]),
        "L5b": Samples.exact(weights_of("conv_6")),
    }


def find_arm(table: pd.DataFrame, function: str, *, remaining: float) -> pd.DataFrame:
    """The rows of one condition, a row per seed (reinitializations averaged over their draws), by seed.

    `remaining` is in per cent, as the paper prints it: the level of the run nearest to it is taken when it is within
    5 % of it. The frame is empty when the run has no such networks.
    """
    if table.empty:
        return table
    rows = table[table["function"] == function]
    off = (100 * rows["remaining"] / remaining - 1).abs()
    rows = rows[(off < 0.05) & (off <= off.min() + 1e-9)]
    columns = ["stop_iteration", "stop_test_accuracy", "final_test_accuracy", "censored"]
    return rows.groupby("seed")[columns].mean()


def _values(column: str, arm: pd.DataFrame) -> pd.Series:
    return 100 * arm[column] if "accuracy" in column else arm[column]


def _many(column: str, **arms: pd.DataFrame) -> Samples:
    if lacking := [name for name, arm in arms.items() if arm.empty]:
        return Samples.not_tested(f"this run trained no network for: {', '.join(lacking)}")
    censored = {name: (arm["censored"] > 0).to_numpy() for name, arm in arms.items() if column == "stop_iteration"}
    return Samples.many({name: _values(column, arm) for name, arm in arms.items()}, censored)


def _pair(column: str, a: pd.DataFrame, b: pd.DataFrame) -> Samples:
    return _many(column, a=a, b=b)


# What its figures show ------------------------------------------------------------------------------------------

ARMS = {"ticket": "ticket", "reinitialized": "reinitialized", "one_shot": "one-shot"}

# Section 2, Figure 4, relative to the dense network of the same figure: (arm, % remaining, metric, factor, summand).
PAPER_FIGURE_4 = [
    ("ticket", 21.1, "early stop", 0.62, 0.0),
    ("reinitialized", 21.1, "early stop", 0.62 * 2.51, 0.0),
    ("ticket", 13.5, "accuracy", 1.0, 0.3),
    ("ticket", 3.6, "accuracy", 1.0, 0.0),
]


def arms(table: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows for the figures: arm, remaining (%), seed, early stop (iterations), censored, accuracy (%, at the stop)
    and final accuracy (%). The dense network opens every arm's curve."""
    columns = ["arm", "remaining", "seed", "early stop", "censored", "accuracy", "final accuracy"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    tidy = pd.DataFrame(
        {
            "arm": table["function"].map(ARMS),
            "remaining": (100 * table["remaining"]).round(2),
            "seed": table["seed"],
            "early stop": table["stop_iteration"],
            "censored": table["censored"].astype(bool),
            "accuracy": 100 * table["stop_test_accuracy"],
            "final accuracy": 100 * table["final_test_accuracy"],
        }
    )
    dense = tidy[tidy["remaining"] == 100]
    others = [arm for arm in dict.fromkeys(tidy["arm"]) if arm != "ticket"]
    tidy = pd.concat([tidy, *(dense.assign(arm=arm) for arm in others)], ignore_index=True)
    tidy = tidy.groupby(["arm", "remaining", "seed"], sort=False).mean(numeric_only=True).reset_index()
    return tidy.sort_values(["remaining"], ascending=False, kind="stable")[columns].reset_index(drop=True)


def paper_values(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The paper's values of `metric` (early stop or accuracy) beside our dense network: arm, remaining, metric."""
    dense = frame.loc[frame["remaining"] == 100, metric].mean()
    rows = [(a, p, factor * dense + summand) for a, p, m, factor, summand in PAPER_FIGURE_4 if m == metric]
    return pd.DataFrame([row for row in rows if row[0] in set(frame["arm"])], columns=["arm", "remaining", metric])


def training_curves(table: pd.DataFrame, rounds: Sequence[int]) -> pd.DataFrame:
    """Validation accuracy (%) while training, of the tickets of some rounds: network, iteration, seed, accuracy."""
    parts = []
    for k in rounds:
        rows = table[(table["function"] == "ticket") & (table["round"] == k)] if len(table) else table
        for _, row in rows.iterrows():
            accuracy = [100 * value for value in row["validation_accuracy"]]
            part = pd.DataFrame({"iteration": row["iterations"], "accuracy": accuracy})
            parts.append(part.assign(network=f"{100 * row['remaining']:.1f} %", seed=row["seed"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["network", "iteration", "accuracy"])


def in_words(frame: pd.DataFrame, metric: str, unit: str) -> str:
    """A figure of `arms` as a sentence for those who cannot see it: each arm's mean at its ends."""
    parts = []
    for arm, rows in frame.groupby("arm", sort=False):
        means = rows.groupby("remaining")[metric].mean()
        ends = [f"{means[p]:.4g} {unit} at {p:g} %" for p in (means.index.max(), means.index.min())]
        parts.append(f"{arm} from {ends[0]} to {ends[1]}")
    return "; ".join(parts) + "."
