"""The network that our own table is about: a small perceptron on MNIST1D, trained under one setting of a grid."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from redraw import data
from redraw.models import initialize, perceptron
from redraw.schedules import constant, cosine
from redraw.seeds import generator

# The grid: 1,152 settings.
GRID = {
    "lr": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "batch": (150, 500),  # examples
    "width": (8, 24, 72),  # units of each hidden layer
    "depth": (1, 3),  # hidden layers
    "weight_decay": (1e-4, 1e-2),
    "dropout": (0.0, 0.2),
    "schedule": ("constant", "cosine"),
    "optimizer": ("sgd", "adamw"),
}
DATASET = "mnist1d"
TUNING, TEST = (0, 1, 2), (3, 4, 5)  # seeds of training
BUDGETS = (
    1,
    2,
    3,
    5,
    7,
    9,
    13,
    18,
    27,
    38,
    54,
    81,
)  # thousand examples; a third, a ninth... of the last are among them
THOUSAND = 1000

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = {"constant": constant, "cosine": cosine}
VALIDATION = 1000  # of the 4,000 training examples, the same for every seed
CHANCE = 0.9  # the error of guessing one of ten digits


def table_run(
    *,
    seed: int,
    seeds: int,
    lr: float,
    batch: int,
    width: int,
    depth: int,
    weight_decay: float,
    dropout: float,
    schedule: str,
    optimizer: str,
    dataset: str,
) -> dict:
    """Train one setting from `seeds` consecutive seeds, `seed` the first, and follow each on the validation set.

    A perceptron of `depth` hidden layers of `width` ReLU units, each followed by dropout, trained for 81,000 examples
    (27 epochs of the 3,000 that are left to train on). `optimizer`: sgd (momentum 0.9; weight decay as an L2 penalty)
    or adamw (decoupled). `schedule`: a function of `redraw.schedules`, over all steps. A seed decides initial weights,
    order of the examples and dropout; which examples are held out is the same for all.

    error: for each seed, the validation error (fraction) after each of `BUDGETS`, None once a weight is not finite.
    test_error: for each seed, on the test set at the end; None likewise. cpu: seconds of processor time a seed took.
    Raises ValueError for another optimizer or schedule.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer: must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    examples = data.load(dataset, validation=VALIDATION)
    started = time.process_time()
    many = range(seed, seed + seeds)
    layers = _initial(tuple(examples.train_x.shape[1:]), depth * (width,), examples.classes, many)
    update = _optimizer(optimizer, [tensor for layer in layers for tensor in layer], weight_decay)
    stops = {steps_after(budget, batch): budget for budget in BUDGETS}
    total = max(stops)
    rates = lr * SCHEDULES[schedule](np.arange(total) / total)
    order = _order(len(examples.train_x), batch, total, many)
    draws = [generator(s, "dropout") for s in many]
    errors = []
    for step in range(total):
        index = order[:, step]
        x, y = examples.train_x[index], examples.train_y[index]
        logits = forward(layers, x, dropout, draws)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / batch
        update.zero_grad(set_to_none=True)
        loss.backward()
        update.param_groups[0]["lr"] = float(rates[step])
        update.step()
        if step + 1 in stops:
            errors.append(error_of(layers, examples.validation_x, examples.validation_y))
    return {
        "error": [list(curve) for curve in zip(*errors, strict=True)],
        "test_error": error_of(layers, examples.test_x, examples.test_y),
        "cpu": (time.process_time() - started) / seeds,
    }


def steps_after(budget: int, batch: int) -> int:
    """The steps of `batch` examples that a budget (thousand examples) makes, at least one."""
    return max(1, round(THOUSAND * budget / batch))


def _initial(
    shape: tuple[int, ...], hidden: tuple[int, ...], classes: int, seeds: range
) -> list[tuple[Tensor, Tensor]]:
    """Each layer's weights (S, inputs, outputs) and biases (S, 1, outputs) for S seeds, set by `initialize`."""
    models = [initialize(perceptron(shape, hidden, classes), "kaiming_normal", generator(s, "weights")) for s in seeds]
    found = []
    for same in zip(*([m for m in model if isinstance(m, torch.nn.Linear)] for model in models), strict=True):
        weight = torch.stack([layer.weight.detach().T for layer in same]).contiguous().requires_grad_()
        found.append((weight, torch.stack([layer.bias.detach()[None] for layer in same]).requires_grad_()))
    return found


def _optimizer(name: str, tensors: list[Tensor], weight_decay: float) -> torch.optim.Optimizer:
    """Updates are elementwise: training stacked networks is training each."""
    if name == "sgd":
        return torch.optim.SGD(tensors, lr=0.0, momentum=0.9, weight_decay=weight_decay, fused=True)
    return torch.optim.AdamW(tensors, lr=0.0, weight_decay=weight_decay, fused=True)


def _order(examples: int, batch: int, steps: int, seeds: range) -> Tensor:
    """The examples (S, steps, batch) of every step: a permutation per epoch, its incomplete last batch left out."""
    whole, parts = examples // batch, []
    for s in seeds:
        draws = generator(s, "batches")
        epochs = [torch.randperm(examples, generator=draws)[: whole * batch] for _ in range(-(-steps // whole))]
        parts.append(torch.cat(epochs).view(-1, batch)[:steps])
    return torch.stack(parts)


def forward(layers: list[tuple[Tensor, Tensor]], x: Tensor, dropout: float = 0.0, draws=()) -> Tensor:
    """Logits (S, B, classes) of S stacked networks on x (S, B, inputs), or (B, inputs) for all; each has its draws."""
    x = x.expand(len(layers[0][0]), *x.shape) if x.ndim == 2 else x
    for weight, bias in layers[:-1]:
        x = torch.baddbmm(bias, x, weight).relu()
        if dropout:
            kept = torch.empty_like(x, requires_grad=False)
            for part, draw in zip(kept, draws, strict=True):
                part.uniform_(generator=draw)
            x = x * (kept >= dropout) / (1 - dropout)
    weight, bias = layers[-1]
    return torch.baddbmm(bias, x, weight)


@torch.no_grad()
def error_of(layers: list[tuple[Tensor, Tensor]], x: Tensor, y: Tensor) -> list[float | None]:
    """The error (fraction) of each of S stacked networks on x (N, inputs), y (N,); None if outputs are not finite."""
    logits = forward(layers, x)
    wrong = (logits.argmax(2) != y).double().mean(1).tolist()
    finite = logits.isfinite().all(2).all(1).tolist()
    return [value if fine else None for value, fine in zip(wrong, finite, strict=True)]
