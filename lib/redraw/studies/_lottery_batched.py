"""The trials of the study `lottery_ticket`, many at once: each its own split, start, masks and data order.

The functions take the keyword arguments of each trial and return what its trial function returns, to rounding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from redraw import data
from redraw.models import initialize
from redraw.pruning import Masks
from redraw.seeds import generator
from redraw.studies.lottery_ticket import MODELS, OPTIMIZERS, Recipe, _prune, _trained, rounds_to
from redraw.training import fit_many

Call = Mapping[str, Any]


@dataclass
class _Member:
    """A network about to train: how, from which weights, under which masks and in which order of the data."""

    recipe: Recipe
    model: nn.Module
    masks: Masks
    order: torch.Generator


def tickets(calls: Sequence[Call], device: str) -> list[dict]:
    """As `ticket`: a round of iterative pruning of each."""

    def member(start, recipe, seed, round, previous=None):
        model = start("theta_0")
        masks = Masks.dense(model)
        if previous is not None:
            weights, masks = _trained(previous)
            masks = _prune(recipe, weights, masks)
        return _Member(recipe, model, masks, generator(seed, "order", "ticket", round))

    members, records = _train(calls, member, device)
    for one, record in zip(members, records, strict=True):
        weights = {f"weights.{name}": value for name, value in one.model.state_dict().items()}
        record["tensors"] = weights | {f"masks.{name}": bits for name, bits in one.masks.pack().items()}
    return records


def reinitialized(calls: Sequence[Call], device: str) -> list[dict]:
    """As `reinitialized`: each ticket's masks on a fresh initialization."""

    def member(start, recipe, seed, draw, ticket):
        _, masks = _trained(ticket)
        order = generator(seed, "order", "reinitialized", draw)
        return _Member(recipe, start("reinitialization", draw), masks, order)

    return _train(calls, member, device)[1]


def one_shot(calls: Sequence[Call], device: str) -> list[dict]:
    """As `one_shot`: each trained dense network pruned once, its survivors trained from theta_0."""

    def member(start, recipe, seed, remaining, dense):
        weights, masks = _trained(dense)
        masks = _prune(recipe, weights, masks, rounds_to(remaining, recipe, masks))
        return _Member(recipe, start("theta_0"), masks, generator(seed, "order", "one_shot"))

    return _train(calls, member, device)[1]


def _train(calls: Sequence[Call], member, device: str) -> tuple[list[_Member], list[dict]]:
    """The members made of each call by `member(start, recipe, seed, ...)`, trained, and the record of each.

    `start(*stream)` is a freshly initialized network of the member's seed.
    """
    fields, members = Recipe.__dataclass_fields__, []
    shared = Recipe(**{name: calls[0][name] for name in fields})  # as for its data and steps
    splits = data.load_splits(shared.dataset, validation=shared.validation, seeds=[call["seed"] for call in calls])

    def start(recipe: Recipe, seed: int, *stream) -> nn.Module:
        model = MODELS[recipe.model](tuple(splits.x.shape[1:]), splits.classes)
        return initialize(model, recipe.initialization, generator(seed, *stream))

    for call in calls:
        recipe = Recipe(**{name: call[name] for name in fields})
        own = {name: value for name, value in call.items() if name not in fields}
        members.append(member(partial(start, recipe, call["seed"]), recipe, **own))
    histories = fit_many(
        [one.model for one in members],
        splits,
        lambda groups: OPTIMIZERS[shared.optimizer](groups, shared.learning_rate),
        learning_rates=[one.recipe.learning_rate for one in members],
        iterations=shared.iterations,
        batch_size=shared.batch_size,
        evaluate_every=shared.evaluate_every,
        generators=[one.order for one in members],
        masks=[one.masks for one in members],
        device=device,
    )
    return members, [
        asdict(history) | {"kept": one.masks.kept, "remaining": one.masks.remaining, "survivors": one.masks.survivors()}
        for one, history in zip(members, histories, strict=True)
    ]
