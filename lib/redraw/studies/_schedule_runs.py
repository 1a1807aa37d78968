"""The training runs of the study of learning-rate schedules: its trial functions.

A task is given whole by a trial's parameters (`Recipe`). Runs of one seed share initial weights and data order, so that
they differ by their schedule alone; all seeds share the split of the data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from math import ceil, exp, isfinite, log

import torch
from prodigyopt import Prodigy
from schedulefree import AdamWScheduleFree, SGDScheduleFree
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from redraw import data
from redraw.models import (
    initialize,
    initialize_transformer,
    lenet_5,
    perceptron,
    small_conv,
    transformer,
)
from redraw.schedules import (
    ScheduleLR,
    auto_lrs,
    constant,
    cosine,
    cosine_power,
    exponential,
    inverse_sqrt,
    linear,
    one_cycle,
    refine,
    rex,
    step,
    tabulated,
    wsd,
)
from redraw.seeds import generator
from redraw.training import batches, evaluate
from redraw.training import steps as training_steps
from redraw.workbook import Result

CURVE = 25  # points of a run's loss curve

DECAY = 0.2  # share of a warmup-stable-decay run that decays

SCHEDULES = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "step": step,
    "exponential": exponential,
    "one_cycle": one_cycle,
    "rex": rex,
    "cosine_power": cosine_power,
    "inverse_sqrt": inverse_sqrt,
    "wsd": partial(wsd, decay=DECAY),
}

MODELS = {
    "logistic": lambda shape, classes: perceptron(shape, (), classes),
    "mlp": lambda shape, classes: perceptron(shape, (100,), classes),
    "small_conv": small_conv,
    "lenet_5": lenet_5,
}
TRANSFORMER = {"width": 32, "layers": 2, "heads": 2, "context": 32}

OPTIMIZERS = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
}


@dataclass(frozen=True)
class Recipe:
    """What is trained: `examples` of the data in batches of `batch_size`, tested on `tested` others; for a text these
    are windows, and `examples` is not used. task: its name, which decides nothing."""

    task: str
    dataset: str
    model: str
    optimizer: str
    batch_size: int
    examples: int
    tested: int


# The trials -----------------------------------------------------------------------------------------------------


def tuning(
    *,
    seed: int,
    schedule: str,
    steps: int,
    lrs: Sequence[float],
    norms: bool = False,
    base: Result | None = None,
    **recipe,
) -> dict:
    """A run of `steps` steps for each base learning rate of `lrs` (for Prodigy: each d_coef).

    Lists by learning rate: validation_loss, validation_error, validation_score, diverged; best: the rate with the
    lowest validation score, by loss where scores are equal; edge: it is the first or last; optimum: the rate at the
    lowest point of a parabola through the lowest validation loss and its neighbours, in log rate.
    norms: keep those of the best run, (steps,) as tensor "norms", l2 for SGD, l1 for Adam, and what `refine` makes of
    them: see `_shape`.
    base: the tuning whose norms the schedule `refined` is made of.
    """
    recipe, found, kept = Recipe(**recipe), [], {}
    for lr in lrs:
        run = _run(recipe, seed, _named(schedule, recipe, base), schedule, lr, steps, norms=norms)
        found.append(run.measure("validation"))
        kept[lr] = run.norms
    names = ("loss", "error", "score")
    record = {f"validation_{name}": [values[f"validation_{name}"] for values in found] for name in names}
    record |= {"diverged": [values["diverged"] for values in found]}
    best = min(range(len(lrs)), key=lambda i: (found[i]["validation_score"], found[i]["validation_loss"]))
    record |= {"best": lrs[best], "edge": best in (0, len(lrs) - 1), "optimum": _lowest(lrs, record["validation_loss"])}
    if norms:
        record |= _shape(kept[lrs[best]], recipe.optimizer) | {"tensors": {"norms": torch.tensor(kept[lrs[best]])}}
    return record


def _lowest(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The vertex of the parabola through the lowest loss and its neighbours, in log rate; at an edge the edge."""
    i = min(range(len(lrs)), key=losses.__getitem__)
    if i in (0, len(lrs) - 1):
        return lrs[i]
    a, b, c = (log(lr) for lr in lrs[i - 1 : i + 2])
    low, here, high = losses[i - 1 : i + 2]
    left, right = (b - a) * (here - high), (b - c) * (here - low)
    return exp(b - ((b - a) * left - (b - c) * right) / (2 * (left - right))) if left != right else lrs[i]


def _shape(norms: Sequence[float], optimizer: str) -> dict:
    """Of the schedule refined from these norms: peak, where it is highest (fraction of the run); late, its value at
    nine tenths of the run when its mean is 1/2 like that of linear decay (which has 0.1 there); refined and
    norms_curve, both thinned."""
    schedule = refine(norms, optimizer=optimizer)
    late = schedule[len(schedule) * 9 // 10] / (2 * schedule.mean())
    curves = {"refined": _thinned(schedule.tolist()), "norms_curve": _thinned(norms)}
    return {"peak": int(schedule.argmax()) / len(schedule), "late": float(late)} | curves


def judged(*, seed: int, schedule: str, steps: int, tuning: Result, base: Result | None = None, **recipe) -> dict:
    """A run with the best base learning rate of `tuning`: see `_measured`."""
    recipe = Recipe(**recipe)
    run = _run(recipe, seed, _named(schedule, recipe, base), schedule, tuning["best"], steps)
    return {"lr": tuning["best"]} | _measured(run)


def searched(*, seed: int, steps: int, low: float, high: float, pay: bool, **recipe) -> dict:
    """A run by AutoLRS within [low, high], its search counted among the steps (`pay`) or not: see `_measured`.

    The first stage takes a sixteenth of the steps, but at least 50, so that a candidate is tried for five; the longest
    is four times as long. Where the steps do not suffice for that stage and its search (below 100, or 50 if the search
    is not counted) it is shorter, down to two steps, and says little: see `redraw.schedules.auto_lrs`.
    rates: the learning rate at each point of the curve; trained, searched: steps.
    """
    recipe = Recipe(**recipe)
    run = _Run(recipe, seed, "auto_lrs", low)
    loop, stage = run.steps(), max(steps // 16, 50)
    done = auto_lrs(
        run.model,
        run.optimizer,
        lambda: next(loop).item(),
        steps=steps,
        low=low,
        high=high,
        stage=stage,
        longest=4 * stage,
        pay=pay,
    )
    run.losses = list(done.losses)
    record = {"trained": done.trained, "searched": done.searched}
    return record | {"rates": _thinned(done.lrs.tolist())} | _measured(run)


def trunk(*, seed: int, horizons: Sequence[int], tuning: Result, **recipe) -> dict:
    """A run at the constant rate that `tuning` found, kept where the decay towards each of `horizons` begins.

    Tensors "<horizon>.model.<name>" and "<horizon>.optimizer.<parameter>.<name>"; steps: how many were taken.
    """
    recipe, forks = Recipe(**recipe), {_fork(horizon): horizon for horizon in horizons}
    run = _Run(recipe, seed, "constant", tuning["best"])
    tensors: dict[str, Tensor] = {}
    for k, loss in enumerate(islice(run.steps(), max(forks)), 1):
        run.losses.append(loss.item())
        if k in forks:
            tensors |= {f"{forks[k]}.model.{name}": v.clone() for name, v in run.model.state_dict().items()}
            for i, state in run.optimizer.state_dict()["state"].items():
                tensors |= {f"{forks[k]}.optimizer.{i}.{name}": v.clone() for name, v in state.items()}
    record = {"lr": tuning["best"], "steps": max(forks), "curve": _thinned(run.losses), "tensors": tensors}
    return record | {"diverged": not isfinite(run.losses[-1])}


def branch(*, seed: int, horizon: int, trunk: Result, **recipe) -> dict:
    """The linear decay from a trunk to `horizon`, on data of its own order: see `_measured`; steps: of the decay."""
    recipe, start = Recipe(**recipe), _fork(horizon)
    run = _Run(recipe, seed, "constant", trunk["lr"], order=("branch", horizon))
    saved = {n.removeprefix(f"{horizon}."): v for n, v in trunk.tensors.items() if n.startswith(f"{horizon}.")}
    run.model.load_state_dict({n.removeprefix("model."): v for n, v in saved.items() if n.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in saved.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = value
    run.optimizer.load_state_dict(run.optimizer.state_dict() | {"state": state})
    run.train(linear, horizon - start)
    return {"lr": trunk["lr"], "steps": horizon - start} | _measured(run)


def _fork(horizon: int) -> int:
    """The step at which the decay towards a horizon begins."""
    return horizon - ceil(DECAY * horizon)


# One run --------------------------------------------------------------------------------------------------------


def _named(schedule: str, recipe: Recipe, base: Result | None) -> Callable[[float], float]:
    """The schedule called so: constant for what is none, the refined one from the norms of its base."""
    if schedule == "refined":
        return tabulated(refine(base.tensors["norms"].numpy(), optimizer=recipe.optimizer))
    return SCHEDULES.get(schedule, constant)


def _run(
    recipe: Recipe, seed: int, schedule: Callable, name: str, lr: float, steps: int, *, norms: bool = False
) -> "_Run":
    run = _Run(recipe, seed, name, lr, warmup=ceil(0.05 * steps))
    run.train(schedule, steps, norms=norms)
    return run


class _Run:
    """A model in training: its losses so far, and the norms of its gradients where they were asked for."""

    def __init__(self, recipe: Recipe, seed: int, name: str, lr: float, *, warmup: int = 0, order: tuple = ("order",)):
        self.task = _task(recipe)
        self.model = self.task.network(generator(seed, "weights"))
        self.optimizer = _optimizer(recipe.optimizer, name, self.model.parameters(), lr, warmup)
        self.data = self.task.batches(generator(seed, *order))
        self.losses: list[float] = []
        self.norms: list[float] = []

    def steps(self) -> Iterator[Tensor]:
        """Training without end, a loss (before the step) at a time."""
        return (loss for _, loss in training_steps(self.model, self.data, self.optimizer, 1 << 60))

    def train(self, schedule: Callable, steps: int, *, norms: bool = False) -> None:
        """Train on, for `steps` steps or until the loss is not finite."""
        scheduler = ScheduleLR(self.optimizer, schedule, steps)
        order = 2 if self.task.recipe.optimizer == "sgd" else 1
        for loss in islice(self.steps(), steps):
            self.losses.append(loss.item())
            if norms:
                self.norms.append(get_total_norm([p.grad for p in self.model.parameters()], order).item())
            if not isfinite(self.losses[-1]):
                return
            scheduler.step()

    @property
    def diverged(self) -> bool:
        return not isfinite(self.losses[-1])

    def measure(self, part: str) -> dict[str, float | bool]:
        """Loss (nats), error and score on "validation" or "test". The score is the error of a classifier (%), the loss
        of a language model; a run that diverged is given those of guessing."""
        loss, error = log(self.task.classes), 1 - 1 / self.task.classes
        if not self.diverged:
            if isinstance(self.optimizer, SGDScheduleFree | AdamWScheduleFree):
                self.optimizer.eval()
            x, y = self.task.held_out[part]
            total, accuracy = evaluate(self.model, x, y)
            each = y[0].numel()  # tokens in a window; 1 for a label
            if isfinite(total):
                loss, error = total / each, 1 - accuracy / each
        score = loss if self.task.is_text else 100 * error
        return {f"{part}_loss": loss, f"{part}_error": error, f"{part}_score": score, "diverged": self.diverged}


def _measured(run: _Run) -> dict:
    """Validation and test: loss (nats), error (fraction) and score (see `_Run.measure`); curve: the training loss in
    `CURVE` equal parts of the run, their means; diverged."""
    curve = {"curve": [] if run.diverged else _thinned(run.losses)}
    return run.measure("validation") | run.measure("test") | curve


def _thinned(values: Sequence[float]) -> list[float]:
    """The means of `CURVE` parts of a list as equal as can be; the list itself where it is shorter."""
    if len(values) <= CURVE:
        return list(values)
    return [part.mean().item() for part in torch.tensor(values, dtype=torch.float64).tensor_split(CURVE)]


def _optimizer(base: str, name: str, parameters, lr: float, warmup: int) -> Optimizer:
    """The optimizer of a run called `name`: the task's own, or the one that goes by that name.

    Schedule-free has the task's momentum or betas and the warm-up its authors recommend; Prodigy has lr 1, and what is
    tuned is its d_coef.
    """
    if name == "prodigy":
        return Prodigy(parameters, lr=1.0, d_coef=lr)
    if name == "schedule_free":
        optimizer = {"sgd": SGDScheduleFree, "adam": AdamWScheduleFree}[base](parameters, lr=lr, warmup_steps=warmup)
        optimizer.train()
        return optimizer
    return OPTIMIZERS[base](parameters, lr)


# Tasks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """Data and network of a recipe; held_out: {"validation": (x, y), "test": (x, y)}; classes: to guess among."""

    recipe: Recipe
    classes: int
    network: Callable[[torch.Generator], nn.Module]
    batches: Callable[[torch.Generator], Iterator[tuple[Tensor, Tensor]]]
    held_out: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def is_text(self) -> bool:
        return self.recipe.model == "transformer"


@cache
def _task(recipe: Recipe) -> _Task:
    """The task in memory, made once a process. One split of the data serves all seeds."""
    return _text(recipe) if recipe.model == "transformer" else _pictures(recipe)


def _pictures(recipe: Recipe) -> _Task:
    held = {"digits": 237, "mnist1d": 1000}.get(recipe.dataset, 2000)
    every = data.load(recipe.dataset, validation=held)
    x, y = every.train_x[: recipe.examples].clone(), every.train_y[: recipe.examples].clone()  # the rest may go
    classes = every.classes
    test = every.test_x[: recipe.tested].clone(), every.test_y[: recipe.tested].clone()

    def network(weights: torch.Generator) -> nn.Module:
        return initialize(MODELS[recipe.model](tuple(x.shape[1:]), classes), "kaiming_normal", weights)

    def stream(order: torch.Generator):
        return batches(x, y, recipe.batch_size, order)

    validation = every.validation_x.clone(), every.validation_y.clone()
    return _Task(recipe, classes, network, stream, {"validation": validation, "test": test})


class _Symbols(nn.Module):
    """A language model whose logits are (B, symbols, T), as cross-entropy wants them."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens).transpose(1, 2)


def _text(recipe: Recipe) -> _Task:
    """Validation: `tested` windows spread evenly over the first half of the held-out text; test: over the second."""
    text, T = data.text(recipe.dataset), TRANSFORMER["context"]
    half = len(text.validation) // 2

    def windows(tokens: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        both = tokens[starts[:, None] + torch.arange(T + 1)]
        return both[:, :-1], both[:, 1:]

    def held(tokens: Tensor) -> tuple[Tensor, Tensor]:
        return windows(tokens, torch.linspace(0, len(tokens) - T - 1, recipe.tested).long())

    def network(weights: torch.Generator) -> nn.Module:
        return _Symbols(initialize_transformer(transformer(len(text.symbols), **TRANSFORMER), weights))

    def stream(order: torch.Generator):
        while True:
            starts = torch.randint(len(text.train) - T, (recipe.batch_size,), generator=order)
            yield windows(text.train, starts)

    parts = {"validation": held(text.validation[:half]), "test": held(text.validation[half:])}
    return _Task(recipe, len(text.symbols), network, stream, parts)
