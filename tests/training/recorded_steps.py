"""Networks trained side by side on the emulated device, where their steps are recorded once and replayed, and on the
CPU: prints, as JSON, how far apart they end.

A process of its own, since the device stays registered with torch for as long as a process lives.
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch

from redraw import data
from redraw.models import initialize, lenet_300_100, strided_conv
from redraw.pruning import Masks, cosine_decay, magnitude
from redraw.seeds import generator
from redraw.training import _batched, _many, fit_many, orders, train_many
from redraw.training._replay import replayed

sys.path.insert(0, str(Path(__file__).parents[1]))
from emulated_device import DEVICE, emulated_cuda, taped

torch.set_num_threads(1)
_many.replayed = _batched.replayed = lambda work, device: (replayed if device.type == "cpu" else taped)(work, device)
SGD = partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4)
NETWORKS = {"lenet": partial(lenet_300_100, (1, 8, 8)), "strided": partial(strided_conv, (1, 8, 8), width=4)}
X, Y = torch.randn(100, 1, 8, 8, generator=generator(0, "x")), torch.arange(100) % 10
STEPS, SEEDS = 12, (0, 1, 2)


def members(network, device):
    models = [initialize(NETWORKS[network](), "kaiming_normal", generator(s)).to(device) for s in SEEDS]
    return models, [magnitude(model.state_dict(), Masks.dense(model), 0.5) for model in models]


def scheduled(network, optimizer, device):
    models, masks = members(network, device)
    order = orders(torch.arange(100, device=device).expand(3, 100), 20, [generator(s, "order") for s in SEEDS])
    how = {"learning_rates": [0.05, 0.05, 0.02], "schedule": lambda i: cosine_decay(i / STEPS, 1.0), "masks": masks}
    train_many(models, X.to(device), Y.to(device), order, optimizer, STEPS, **how)
    return models


def stopped_early(device):
    models, masks = members("lenet", "cpu")
    histories = fit_many(
        models,
        data.splits("these", data.Arrays(X, Y, X[:40], Y[:40]), 20, SEEDS),
        partial(torch.optim.Adam, fused=True),
        learning_rates=[1e-2] * 3,
        iterations=STEPS,
        batch_size=20,
        evaluate_every=2,
        generators=[generator(s, "order") for s in SEEDS],
        masks=masks,
        device=device,
    )
    losses = torch.tensor([history.validation_loss for history in histories])
    return [*models, torch.nn.ParameterList([losses])]


def distance(one, other):
    here, there = ([v.cpu().double() for m in models for v in m.state_dict().values()] for models in (one, other))
    return max((a - b).abs().max().item() for a, b in zip(here, there, strict=True))


def frozen(group, rate):
    group.setdefault("first_rate", rate)
    group["lr"] = torch.tensor(group["first_rate"]).to(DEVICE)


apart = {}
with emulated_cuda():
    for network, name, optimizer in (
        ("lenet", "fused", partial(SGD, fused=True)),
        ("lenet", "plain", SGD),
        ("lenet", "foreach, nesterov", partial(SGD, foreach=True, nesterov=True)),
        ("lenet", "adam", partial(torch.optim.Adam, foreach=True)),
        ("strided", "fused", partial(SGD, fused=True)),
    ):
        apart[f"{network} {name}"] = distance(*(scheduled(network, optimizer, d) for d in ("cpu", DEVICE)))
    apart["stopped early"] = distance(*(stopped_early(d) for d in ("cpu", DEVICE)))
    right = scheduled("lenet", SGD, "cpu")
    _many._set_rate = frozen
    apart["frozen"] = distance(right, scheduled("lenet", SGD, DEVICE))
print(json.dumps(apart))
