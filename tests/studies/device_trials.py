"""Every trial function that takes a `device`, here and on the emulated device: prints, as JSON, what differs.

A process of its own, since the device stays registered with torch for as long as a process lives.
"""

import json
import sys
from functools import partial, wraps
from pathlib import Path

import torch

from redraw import data
from redraw.models import resnet_18
from redraw.studies import _pruning_batched, _pruning_trials, _rewound, data_diet, late_rewinding
from redraw.training import _many
from redraw.training._replay import replayed

sys.path.insert(0, str(Path(__file__).parents[1]))
from emulated_device import DEVICE, OnDevice, emulated_cuda, taped

torch.set_num_threads(1)
chance = torch.Generator().manual_seed(0)


def pictures(channels=1, side=12, n=120):
    x, y = torch.randn(n, channels, side, side, generator=chance), torch.arange(n) % 10
    return data.Arrays(x, y, x[:40].flip(0), y[:40].flip(0))


def flat():
    grey = pictures()
    return data.Arrays(grey.train_x.flatten(1), grey.train_y, grey.test_x.flatten(1), grey.test_y)


ARRAYS = {"flat": flat(), "grey": pictures(), "colour": pictures(3, 16, 40)}


def split(name, seed, device):
    arrays = ARRAYS[name]
    parts = dict(train_x=arrays.train_x[20:], train_y=arrays.train_y[20:], validation_x=arrays.train_x[:20])
    parts |= dict(validation_y=arrays.train_y[:20], test_x=arrays.test_x, test_y=arrays.test_y)
    return data.Dataset(name=name, classes=10, **{part: value.to(device) for part, value in parts.items()})


# Where steps are recorded on CUDA they are here.
_many.replayed = lambda work, device: (replayed if device.type == "cpu" else taped)(work, device)
_rewound.dataset_of = split
_pruning_trials._arrays = lambda name, device: tuple(part.to(device) for part in ARRAYS[name])
data_diet._arrays = ARRAYS.get
data_diet.NETWORKS = data_diet.NETWORKS | {"resnet_18": partial(resnet_18, width=4)}

found: dict[str, str] = {}


class Result(dict):
    """What a later trial takes of an earlier one: its values, and `tensors`."""


def both(function, apart=0.0, **given):
    """The trial's result here; `found` has what another device makes of it, if its tensors are further `apart`."""
    values = {}
    for device in ("cpu", DEVICE):
        with emulated_cuda():
            values[device] = dict(function(seed=0, device=device, **given))
    here, there = values.values()
    tensors, others = here.pop("tensors", {}), there.pop("tensors", {})
    wrong = [name for name in here if "seconds" not in name and here[name] != there[name]]
    wrong += [f"{name} is left on the device" for name in others if isinstance(others[name], OnDevice)]
    like = partial(torch.allclose, rtol=0.0, atol=apart) if apart else torch.equal
    wrong += [name for name in tensors if not wrong and not like(tensors[name], others[name])]
    name = f"{function.__module__}:{function.__name__}".removeprefix("redraw.studies.")
    found[name] = "; ".join(filter(None, [found.get(name, ""), *wrong]))

    result = Result(here)
    result.tensors = tensors
    return result


def late(network, optimizer, dataset, **more):
    recipe = {"dataset": dataset, "network": network, "optimizer": optimizer, "learning_rate": 0.01} | more
    recipe |= {"schedule": "step", "weight_decay": 1e-4, "batch_size": 20, "iterations": 3}
    dense = both(late_rewinding.dense, keep=[0, 2], **recipe)
    if network == "resnet_20":
        return
    ticket = both(late_rewinding.ticket, k=2, round=1, rate=0.5, dense=dense, **recipe)
    both(late_rewinding.sibling, k=2, round=1, points=3, examples=20, dense=dense, first=ticket, **recipe)
    for arm in ("rewound", "lr_rewound", "reinitialized"):
        both(late_rewinding.retrained, arm=arm, k=2, remaining=0.3, dense=dense, **recipe)
    if network == "lenet":
        for arm in ("ticket", "scratch", "finetuned"):
            both(late_rewinding.structured, arm=arm, keep=0.5, dense=dense, **recipe)


def at_init():
    trials, recipe = _pruning_trials, {"dataset": "flat", "network": "lenet_300_100"}
    recipe |= {"steps": 4, "rewind": 1, "batch_size": 20, "learning_rate": 0.1}
    dense = both(trials.ticket, round=0, rate=0.5, **recipe)
    both(trials.ticket, round=1, rate=0.5, previous=dense, **recipe)
    both(trials.one_shot, remaining=0.1, dense=dense, **recipe)
    for method in ("random", "snip", "grasp", "synflow"):
        masks = both(trials.at_init, method=method, remaining=0.1, **recipe)
        both(trials.critical, method=method, rounds=5, **recipe)
    for objective in ("reverse_kl", "cross_entropy"):
        both(trials.searched, objective=objective, remaining=0.1, search_steps=2, **recipe)
    for check in ("none", "shuffle", "reinit"):
        both(trials.trained, check=check, rewound=True, masks_of="synflow", level=1, found=masks, **recipe)
    for method in ("set", "rigl", "rigl_random", "gmp", "granet", "static"):
        both(trials.evolved, method=method, remaining=0.2, every=2, **recipe)


def side_by_side(function):
    """What takes trials that run together as one."""

    @wraps(function)
    def records(*, seed, device, calls):
        values = function([{"seed": seed + i, "device": device, **call} for i, call in enumerate(calls)], device)
        tensors = {f"{i}.{n}": v for i, one in enumerate(values) for n, v in one.pop("tensors", {}).items()}
        return {f"{i}.{n}": v for i, one in enumerate(values) for n, v in one.items()} | {"tensors": tensors}

    return records


def together(network, dataset):
    tickets, trained = map(side_by_side, (_pruning_batched.tickets, _pruning_batched.trained))
    recipe = {"network": network, "dataset": dataset, "steps": 9, "rewind": 5, "batch_size": 20, "learning_rate": 0.1}
    rounding = 1e-6  # learning rates that are scheduled are of single precision there
    dense = both(tickets, rounding, calls=[{"round": 0, "rate": 0.5, **recipe}] * 2)
    first = Result(all_seconds=1.0, all_flops=1)
    first.tensors = {n.removeprefix("0."): v for n, v in dense.tensors.items() if n.startswith("0.")}
    both(tickets, rounding, calls=[{"round": 1, "rate": 0.5, "previous": first, **recipe}] * 2)
    more = {"rewound": True, "masks_of": "ltr", "level": 1, "found": first, **recipe}
    both(trained, calls=[{"check": check, **more} for check in ("none", "shuffle", "reinit")])


def diet(network, dataset, **more):
    recipe = {"dataset": dataset, "network": network, "examples": 40, "steps": 4, "batch_size": 10} | more
    recipe |= {"learning_rate": 0.05, "noise": 0.1}
    scores = both(data_diet.scored, score_epoch=1, **recipe)
    assert all(value.isfinite().all() for value in scores.tensors.values())
    mean = both(data_diet.averaged, groups=1, net_000=scores, net_001=scores, **recipe)
    both(data_diet.unforgotten, net_000=scores, net_001=scores, **recipe)
    both(data_diet.ranked, own=scores, mean=mean, **recipe)
    both(data_diet.compared, own=scores, mean=mean, **recipe)
    for score in ("random", "el2n"):
        how = {"score": score, "keep": 0.5, "skip": 0.1, "matched": "iterations", "source": "all"}
        both(data_diet.trained, scores=mean, **how, **recipe)


late("lenet", "adam", "flat", augment=False)
late("small_resnet", "sgd", "grey", augment=False)
late("resnet_20", "sgd", "colour", augment=True)
at_init()
together("lenet_300_100", "flat")
together("strided_conv", "grey")
diet("mlp", "flat", augment=False)
diet("resnet_18", "colour", augment=True)
print(json.dumps(found))
