"""The trials of `pruning_at_init` that train a network under masks that stay, many at once.

The functions take the keyword arguments of each trial and return what its trial function returns, to rounding; times
are shares of the group's. They train where the group runs, whatever `device` their recipes name; where a group does not
fit into the memory of a device it is halved. Running statistics of batch normalization are each member's own.

What a group brings depends on the network. A perceptron takes one batched product a layer, which is faster than single
runs on a CPU too. The members of a convolutional network become groups of grouped convolutions, which on a CPU take
about as long as one network after the other. On CUDA neither has been measured for this study; ResNet-18, of which one
fills a device, is not offered.
"""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from redraw.pruning import Masks, cosine_decay, keep, shuffle, training_flops
from redraw.seeds import generator
from redraw.studies._pruning_trials import Recipe, _examples, _found, _left, _masks, _start, _weights
from redraw.training import evaluate, orders, train_many
from redraw.training._replay import exact

Call = Mapping[str, Any]


@dataclass
class _Member:
    """A network about to train, and the masks that it trains under. stream: which initialization of its seed it has."""

    seed: int
    masks: Masks
    model: nn.Module
    stream: str = "theta"


def trained(calls: Sequence[Call], device: str) -> list[dict]:
    """As `trained`: each network under its masks, from its initialization or from the step that is rewound to."""
    recipe = _recipe(calls[0], device)

    def member(*, seed, check, rewound, masks_of, level, found):
        stream = "reinitialized" if check == "reinit" else "theta"
        model = _start(recipe, seed, stream)
        masks = _masks(found, model)
        if check == "shuffle":
            masks = shuffle(masks, generator(seed, "shuffle"))
        return _Member(seed, masks, model, stream)

    members = [member(**_own(call)) for call in calls]
    return _train(recipe, members, first=recipe.rewind if calls[0]["rewound"] else 0)


def tickets(calls: Sequence[Call], device: str) -> list[dict]:
    """As `ticket`: a round of iterative magnitude pruning of each; all are dense networks, or none is."""
    recipe, members, before = _recipe(calls[0], device), [], []
    for call in calls:
        previous = call.get("previous")
        model = _start(recipe, call["seed"])
        masks, spent = Masks.dense(model), (0.0, 0)
        if previous is not None:
            scores = {name: weight.abs() for name, weight in _weights(previous).items() if name in masks}
            masks = keep(scores, _masks(previous, model), (1 - call["rate"]) ** call["round"])
            spent = previous["all_seconds"], previous["all_flops"]
        members.append(_Member(call["seed"], masks, model))
        before.append((spent, _found(recipe, model, masks, *spent)))
    records = _train(recipe, members, first=recipe.rewind if calls[0]["round"] else 0)
    for i, (one, record, (spent, found)) in enumerate(zip(members, records, before, strict=True)):
        weights = {f"weights.{name}": value.cpu() for name, value in one.model.state_dict().items()}
        totals = {
            "all_seconds": spent[0] + record["training_seconds"],
            "all_flops": spent[1] + record["training_flops"],
        }
        records[i] = found | record | totals | {"tensors": found["tensors"] | weights}
    return records


def _recipe(call: Call, device: str) -> Recipe:
    return Recipe(**{name: call[name] for name in Recipe.__dataclass_fields__} | {"device": device})


def _own(call: Call) -> Call:
    return {name: value for name, value in call.items() if name not in Recipe.__dataclass_fields__}


def _train(recipe: Recipe, members: Sequence[_Member], first: int) -> list[dict]:
    """Train the members from step `first`, rewound to it if it is not 0, and test them at the end: a record of each."""
    x, _, test_x, test_y = _examples(recipe)
    if first:
        _rewind(recipe, members, first)
    models, seeds, masks = zip(*((one.model, one.seed, one.masks) for one in members), strict=True)
    began, taken = time.perf_counter(), recipe.steps - first
    _take(recipe, models, seeds, first, recipe.steps, masks)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    seconds = (time.perf_counter() - began) / len(members)
    with exact(x.device):
        accuracies = [evaluate(model, test_x, test_y)[1] for model in models]
    records = []
    for one, accuracy in zip(members, accuracies, strict=True):
        operations = training_flops(one.model, x[:1], taken, one.masks) * recipe.batch_size
        record = {"test_accuracy": accuracy, "training_seconds": seconds}
        survivors = {"kept": one.masks.kept, "remaining": one.masks.remaining, "survivors": one.masks.survivors()}
        costs = {"training_flops": operations, "training_steps": taken}
        records.append(record | survivors | costs | _left(recipe, one.model, one.masks))
    return records


def _rewind(recipe: Recipe, members: Sequence[_Member], steps: int) -> None:
    """Train each member's network densely up to the step that is rewound to; those that start alike are trained
    once."""
    starts = {(one.seed, one.stream): deepcopy(one.model) for one in members}
    _take(recipe, list(starts.values()), [seed for seed, _ in starts], 0, steps)
    for one in members:
        one.model.load_state_dict(starts[one.seed, one.stream].state_dict())


def _take(
    recipe: Recipe,
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    first: int,
    last: int,
    masks: Sequence[Masks] | None = None,
) -> None:
    """Steps `first` to `last` of the recipe's training, with fresh momentum."""
    x, y, _, _ = _examples(recipe)
    everything = torch.arange(len(x), device=x.device).expand(len(seeds), len(x))
    data = orders(everything, recipe.batch_size, [generator(seed, "order") for seed in seeds])
    for _ in range(first):
        next(data)
    train_many(
        models,
        x,
        y,
        data,
        lambda groups: torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, weight_decay=5e-4, fused=True),
        last - first,
        learning_rates=[recipe.learning_rate] * len(seeds),
        schedule=lambda i: cosine_decay((first + i) / recipe.steps, 1.0),
        masks=masks,
    )
