"""The Lottery Ticket Hypothesis (Frankle & Carbin 2019, arXiv 1803.03635): tickets, reinitializations, one-shot pruning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from redraw import data
from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, compound, magnitude
from redraw.seeds import generator
from redraw.training import fit
from redraw.workbook import Result

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
