"""The trials of `pruning_at_init`: finding masks, training under them, masks that evolve, and layer collapse."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from math import log

import torch
from torch import Tensor, nn

from redraw import data
from redraw.models import conv, initialize, lenet_300_100, resnet_18, strided_conv
from redraw.pruning import (
    Masks,
    collapsed,
    concrete_ticket_search,
    connected,
    cosine_decay,
    erk,
    exponential,
    flops,
    gradual_magnitude_pruning,
    granet,
    grasp,
    grasp_scores,
    keep,
    magnitude_scores,
    random_pruning,
    rigl,
    shuffle,
    snip,
    snip_scores,
    sparse_evolutionary_training,
    synflow,
    synflow_scores,
    training_flops,
)
from redraw.seeds import generator
from redraw.training import batches, evaluate, steps
from redraw.workbook import Batched, Result

NETWORKS = {
    "lenet_300_100": lenet_300_100,
    "strided_conv": strided_conv,
    "conv_6": lambda shape, classes: conv(6, shape, classes),
    "resnet_18": resnet_18,
}
PER_CLASS = 10  # examples that SNIP and GraSP score on, as in GraSP's code; SNIP's script takes 100 in all
UNTIL = 0.75  # share of the steps in which masks evolve
SHOWN = 5  # of the rounds to one weight per layer, every fifth is kept for the figure
HESSIAN = 3  # a gradient and a Hessian-vector product cost about as much as three gradients


@dataclass(frozen=True)
class Recipe:
    """How a network of this study is trained: SGD with momentum 0.9 and weight decay 5e-4 in mini-batches, the learning
    rate falling to zero as a cosine over `steps`. Networks of one seed see the same batches in the same order.

    rewind: the step at which tickets, concrete tickets and what they are compared with are rewound to; from there the
    learning rate and the order of the batches go on as they did, with fresh momentum.
    """

    dataset: str
    network: str
    steps: int
    rewind: int
    batch_size: int
    learning_rate: float
    device: str


# Finding masks ----------------------------------------------------------------------------------------------------


def at_init(*, seed: int, method: str, remaining: float, **recipe) -> dict:
    """Masks found before training: `random` (with Erdos-Renyi-Kernel rates), `snip`, `grasp` or `synflow`."""
    recipe = Recipe(**recipe)
    model, (x, y) = _start(recipe, seed), _scoring(recipe, seed)
    one = 3 * flops(model, x)
    began = time.perf_counter()
    if method == "random":
        masks, cost = _random(model, remaining, seed), 0
    elif method == "synflow":
        masks, cost = synflow(model, x, remaining), 100 * one
    elif method == "grasp":
        masks, cost = grasp(model, x, y, remaining), HESSIAN * one * len(x)
    else:
        masks, cost = snip(model, x, y, remaining), one * len(x)
    return _found(recipe, model, masks, time.perf_counter() - began, cost)


def one_shot(*, seed: int, remaining: float, dense: Result, **recipe) -> dict:
    """Masks of the largest weights of the trained dense network, over the whole network at once."""
    recipe = Recipe(**recipe)
    model = _network(recipe)
    model.load_state_dict(_weights(dense))
    masks = keep(magnitude_scores(model), Masks.dense(model), remaining)
    return _found(recipe, model, masks, dense["training_seconds"], dense["training_flops"])


def searched(*, seed: int, objective: str, remaining: float, search_steps: int, **recipe) -> dict:
    """Masks found by Concrete Ticket Search at the step that tickets are rewound to."""
    recipe, began = Recipe(**recipe), time.perf_counter()
    model, (x, y) = _start(recipe, seed, rewound=True), _examples(recipe)[:2]
    order = batches(x, y, recipe.batch_size, generator(seed, "search order"))
    one = flops(model, x[:1]) * recipe.batch_size
    search = concrete_ticket_search(
        model, order, remaining, iterations=search_steps, generator=generator(seed, "coins"), objective=objective
    )
    seconds = time.perf_counter() - began
    cost = search_steps * one * (3 if objective == "cross_entropy" else 4) + 3 * one * recipe.rewind
    return _found(recipe, model, search.masks, seconds, cost) | {"expected_density": search.density[-1]}


def ticket(*, seed: int, round: int, rate: float, previous: Result | None = None, **recipe) -> dict:
    """Round `round` of iterative magnitude pruning over the whole network: what is left of the previous round's masks,
    trained from the step that is rewound to. Round 0 is the dense network, trained from the start."""
    recipe = Recipe(**recipe)
    model = _start(recipe, seed, rewound=round > 0)
    masks, spent = Masks.dense(model), (0.0, 0)
    if previous is not None:
        scores = {name: weight.abs() for name, weight in _weights(previous).items() if name in masks}
        masks = keep(scores, _masks(previous, model), (1 - rate) ** round)
        spent = previous["all_seconds"], previous["all_flops"]
    found = _found(recipe, model, masks, *spent)
    record = _train(recipe, model, masks, seed, first=recipe.rewind if round else 0)
    weights = {f"weights.{name}": value.cpu() for name, value in model.state_dict().items()}
    totals = {
        "all_seconds": spent[0] + record["training_seconds"],
        "all_flops": spent[1] + record["training_flops"],
    }
    return found | record | totals | {"tensors": found["tensors"] | weights}


# Training ---------------------------------------------------------------------------------------------------------


def trained(*, seed: int, check: str, rewound: bool, masks_of: str, level: int, found: Result, **recipe) -> dict:
    """A network trained under masks that were found; `masks_of` and `level` only name them.

    check: `none`; `shuffle`: as many weights in each layer, in random places; `reinit`: another initialization, which
      is trained densely up to the same step where the masks are those of rewound networks.
    """
    recipe = Recipe(**recipe)
    model = _start(recipe, seed, "reinitialized" if check == "reinit" else "theta", rewound=rewound)
    masks = _masks(found, model)
    if check == "shuffle":
        masks = shuffle(masks, generator(seed, "shuffle"))
    return _train(recipe, model, masks, seed, first=recipe.rewind if rewound else 0)


def evolved(*, seed: int, method: str, remaining: float, every: int, **recipe) -> dict:
    """A network whose masks evolve while it trains: `set`, `rigl`, `rigl_random` (RigL with random growth) from random
    masks, `gmp` and `granet` from dense. `static` keeps the random masks and trains longer, for as many operations as
    RigL spends."""
    recipe = Recipe(**recipe)
    model = _start(recipe, seed)
    masks, until = _random(model, remaining, seed), round(UNTIL * recipe.steps)
    if method == "static":
        updates, dense = until // every, flops(model, _examples(recipe)[0][:1])
        sparse = flops(model, _examples(recipe)[0][:1], masks)
        spent = (recipe.steps - updates) * 3 * sparse + updates * (2 * sparse + dense)
        longer = replace(recipe, steps=round(spent / (3 * sparse)))
        return _train(longer, model, masks, seed)
    chance = generator(seed, "growth")
    evolve = {
        "set": lambda o: sparse_evolutionary_training(model, o, masks, until=until, every=every, generator=chance),
        "rigl": lambda o: rigl(model, o, masks, until=until, every=every),
        "rigl_random": lambda o: rigl(model, o, masks, until=until, every=every, grow="random", generator=chance),
        "gmp": lambda o: gradual_magnitude_pruning(model, o, remaining, until=until, every=every),
        "granet": lambda o: granet(model, o, remaining, until=until, every=every),
    }[method]
    return _train(recipe, model, masks, seed, evolve=evolve)


def _train(
    recipe: Recipe, model: nn.Module, masks: Masks, seed: int, first: int = 0, last: int | None = None, evolve=None
) -> dict:
    """Train from step `first` (to `last`), under masks that stay or that `evolve(optimizer)` moves; test at the end."""
    x, y, test_x, test_y = _examples(recipe)
    order = batches(x, y, recipe.batch_size, generator(seed, "order"))
    for _ in range(first):
        next(order)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=0.9, weight_decay=5e-4, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: cosine_decay((first + i) / recipe.steps, 1.0))
    evolution = evolve(optimizer) if evolve else None
    if evolution is None and masks.kept < masks.total:
        masks.hold(model, optimizer)
    masks = evolution.masks if evolution else masks
    taken, began = (last or recipe.steps) - first, time.perf_counter()
    for _ in steps(model, order, optimizer, taken):
        schedule.step()
    seconds = time.perf_counter() - began
    if last is not None:
        return {}
    operations = training_flops(model, x[:1], taken, masks, evolution) * recipe.batch_size
    record = {"test_accuracy": evaluate(model, test_x, test_y)[1], "training_seconds": seconds}
    if evolution is not None:
        masks = evolution.masks
        record["regrown"] = sum(update.grown for update in evolution.updates)
    survivors = {"kept": masks.kept, "remaining": masks.remaining, "survivors": masks.survivors()}
    costs = {"training_flops": operations, "training_steps": taken}
    return record | survivors | costs | _left(recipe, model, masks)


# What `_pruning_batched` trains side by side: networks under masks that stay. Those of one group take the same steps;
# which masks they have, who found them and where they start may differ.
BATCHED = {
    "ticket": Batched("redraw.studies._pruning_batched:tickets", ("round", "rate"), alone=("resnet_18",)),
    "trained": Batched("redraw.studies._pruning_batched:trained", ("check", "masks_of", "level"), alone=("resnet_18",)),
}


# Layer collapse ---------------------------------------------------------------------------------------------------


def critical(*, seed: int, method: str, rounds: int, **recipe) -> dict:
    """How far a network can be pruned at initialization before a layer has no weight left.

    Single shots (`random`, `magnitude`, `snip`, `grasp`) rank once: the critical compression follows from the place of
    each layer's best weight. `synflow` goes down to one weight per layer in `rounds` rounds; what counts is the last
    one without a collapsed layer. Nothing is trained.
    share: log of the critical compression over log of the maximal one, which leaves one weight per layer.
    """
    recipe = Recipe(**recipe)
    model, (x, y) = _start(recipe, seed), _scoring(recipe, seed)
    masks = Masks.dense(model)
    fractions = exponential(len(masks) / masks.total, rounds)
    if method == "synflow":
        path = []
        for fraction in fractions:
            masks = keep(synflow_scores(model, x, masks), masks, fraction)
            path.append(_profile(masks))
        found = min((p["remaining"] for p in path if all(p["layers"])), default=1.0)
        profile = path[SHOWN - 1 :: SHOWN]
    else:
        scores = {
            "random": lambda: {n: torch.rand(m.shape, generator=generator(seed, n)) for n, m in masks.items()},
            "magnitude": lambda: magnitude_scores(model),
            "snip": lambda: snip_scores(model, x, y),
            "grasp": lambda: grasp_scores(model, x, y),
        }[method]()
        weakest = min(score.max() for score in scores.values())  # of the layers, the one whose best weight is worst
        found = sum(int((score >= weakest).sum()) for score in scores.values()) / masks.total
        profile = [_profile(keep(scores, masks, fraction)) for fraction in fractions[SHOWN - 1 :: SHOWN]]
    return {
        "critical": 1 / found,
        "maximal": masks.total / len(masks),
        "share": log(found) / log(len(masks) / masks.total),
        "profile": profile,
    }


def _profile(masks: Masks) -> dict:
    return {"remaining": masks.remaining, "layers": [n / masks[name].numel() for name, n in masks.survivors().items()]}


# What they share --------------------------------------------------------------------------------------------------


@lru_cache(2)
def _arrays(dataset: str, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    arrays = data.reader(dataset)(data.locate(dataset))
    return tuple(part.to(device) for part in arrays)


def _examples(recipe: Recipe) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training inputs and labels, test inputs and labels. Nothing is chosen by accuracy, so none are held out."""
    return _arrays(recipe.dataset, recipe.device)


def _scoring(recipe: Recipe, seed: int) -> tuple[Tensor, Tensor]:
    """Ten random examples of each class."""
    x, y, _, _ = _examples(recipe)
    order = torch.randperm(len(y), generator=generator(seed, "scoring")).to(y.device)
    chosen = torch.cat([order[y[order] == label][:PER_CLASS] for label in y.unique()])
    return x[chosen], y[chosen]


def _network(recipe: Recipe) -> nn.Module:
    x, y, _, _ = _examples(recipe)
    return NETWORKS[recipe.network](tuple(x.shape[1:]), int(y.max()) + 1).to(recipe.device)


def _start(recipe: Recipe, seed: int, stream: str = "theta", *, rewound: bool = False) -> nn.Module:
    """The network at initialization, or after `rewind` steps of dense training."""
    x, y, _, _ = _examples(recipe)
    model = NETWORKS[recipe.network](tuple(x.shape[1:]), int(y.max()) + 1)
    model = initialize(model, "kaiming_normal", generator(seed, stream)).to(recipe.device)
    if rewound and recipe.rewind:
        _train(recipe, model, Masks.dense(model), seed, last=recipe.rewind)
    return model


def _random(model: nn.Module, remaining: float, seed: int) -> Masks:
    return random_pruning(model, erk(Masks.dense(model), remaining), generator(seed, "mask"))


def _found(recipe: Recipe, model: nn.Module, masks: Masks, seconds: float, cost: int) -> dict:
    packed = {f"masks.{name}": bits.cpu() for name, bits in masks.pack().items()}
    found = {"finding_seconds": seconds, "finding_flops": cost, "tensors": packed}
    counts = {"kept": masks.kept, "remaining": masks.remaining, "survivors": masks.survivors()}
    return found | counts | _left(recipe, model, masks)


def _left(recipe: Recipe, model: nn.Module, masks: Masks) -> dict:
    """Layers that collapsed, and the kept weights that are on a path from an input to an output."""
    return {"collapsed": len(collapsed(masks)), "connected": connected(model, _examples(recipe)[0][:1], masks).kept}


def _masks(found: Result, model: nn.Module) -> Masks:
    packed = {n.removeprefix("masks."): v for n, v in found.tensors.items() if n.startswith("masks.")}
    return Masks.unpack(packed, model.state_dict())


def _weights(result: Result) -> dict[str, Tensor]:
    return {n.removeprefix("weights."): v for n, v in result.tensors.items() if n.startswith("weights.")}
