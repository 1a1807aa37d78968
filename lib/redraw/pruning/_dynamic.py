"""Masks that move while the network trains: what is dropped, what is grown, when, and how much is left.

Gradual pruning, SET, RigL and GraNet are one loop with other parts put in: see the four functions at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from redraw.pruning._keep import _top, keep
from redraw.pruning._masks import ELEMENTWISE, Masks, _Held
from redraw.pruning._schedules import cosine_decay, cubic

GROWTH = ("gradient", "random", "none")


@dataclass(frozen=True)
class Update:
    """One change of the masks: before which step (from 1), how many weights each layer keeps from then on, how many
    new connections were grown, and whether the step's batch was spent on it."""

    step: int
    survivors: dict[str, int]
    grown: int
    consumed: bool


@dataclass
class Evolution:
    """Masks that evolve with an optimizer's steps. `masks` are the present ones, `updates` the history; `remove()`
    lets go."""

    masks: Masks
    updates: list[Update] = field(default_factory=list)
    steps: int = 0
    _handles: list = field(default_factory=list, repr=False)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def evolve(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    masks: Masks,
    *,
    every: int,
    until: int,
    remaining: Callable[[float], float] | None = None,
    moved: Callable[[float], float] | None = None,
    grow: str = "none",
    by_sign: bool = False,
    generator: torch.Generator | None = None,
) -> Evolution:
    """Hold `masks` as `masks.hold(model, optimizer)` does, and change them before every `every`-th step up to `until`.

    remaining(progress): the fraction of all weights to keep, with progress = step / until; what is above goes by
      global magnitude, for the last time at step `until`, whatever `every` is. None keeps the number.
    moved(progress): the share of each layer's kept weights that are dropped, the smallest in |w| (with `by_sign` the
      share of the positive and of the negative ones each), and replaced by as many connections that grow.
    grow "gradient": where |dL/dw| is largest among all that is not kept. What was just dropped competes: a weight that
      returns at once keeps its value. The step's batch is spent on finding them: the step itself is left out, its
      gradients are cleared, so that nothing moves.
    grow "random": anywhere that is not kept, drawn by `generator`.
    New connections start at zero, with the optimizer's memory of them at zero.
    Works with any training loop that calls `optimizer.step()` with gradients in place.
    Raises ValueError for a period below 1, masks that would move but have no more than one period to do it in, another
    kind of growth, growth without `moved` or the reverse, random growth without a generator; and for a step given a
    closure.
    """
    if every < 1 or until < 1:
        raise ValueError(f"every, until: must be at least 1 step, got {every} and {until}")
    if moved is not None and until <= every:
        raise ValueError(f"until: must be more than every={every} steps, after which masks first move, got {until}")
    if grow not in GROWTH:
        raise ValueError(f"grow: must be one of {', '.join(GROWTH)}, got {grow!r}")
    if (moved is None) != (grow == "none"):
        raise ValueError("moved: must be given when something grows, and only then")
    if grow == "random" and generator is None:
        raise ValueError("generator: must be given for random growth")
    masks.apply(model)
    parameters = dict(model.named_parameters())
    weights = {name: parameters[name] for name in masks}
    evolution = Evolution(masks)
    held = [_Held(weights[name], mask) for name, mask in masks.items()]

    def update() -> None:
        nonlocal held
        progress, before = evolution.steps / until, evolution.masks
        after = before if remaining is None else _shrunk(weights, before, remaining(progress))
        if moved is not None:
            after = _rewired(weights, after, moved(progress), grow, by_sign, generator)
        grown = sum(int((after[name] & ~before[name]).sum()) for name in after)
        evolution.masks = after.apply(model) and after
        evolution.updates.append(Update(evolution.steps, after.survivors(), grown, grow == "gradient"))
        held = [_Held(weights[name], mask) for name, mask in after.items()]
        if grow == "gradient":
            optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def before_step(optimizer, arguments, named):
        if any(callable(argument) for argument in (*arguments, *named.values())):
            raise ValueError("closure: must not be given to a step whose masks evolve")
        evolution.steps += 1
        due = evolution.steps % every == 0 or (evolution.steps == until and remaining is not None)
        if due and evolution.steps <= until:
            update()
        for one in held:
            one.before_step(optimizer)

    @torch.no_grad()
    def after_step(optimizer, arguments, named):
        for one in held:
            one.after_step(optimizer, trusted=type(optimizer) in ELEMENTWISE)

    evolution._handles = [
        optimizer.register_step_pre_hook(before_step),
        optimizer.register_step_post_hook(after_step),
    ]
    return evolution


def _shrunk(weights: dict[str, Tensor], masks: Masks, remaining: float) -> Masks:
    return keep({name: weight.detach().abs() for name, weight in weights.items()}, masks, remaining)


def _rewired(
    weights: dict[str, Tensor], masks: Masks, share: float, grow: str, by_sign: bool, generator: torch.Generator | None
) -> Masks:
    """Each layer with `share` of its kept weights dropped and as many grown: as many are kept as before."""
    found = {}
    for name, weight in weights.items():
        kept, value = masks[name].flatten().to(weight.device), weight.detach().flatten()
        groups = [kept & (value >= 0), kept & (value < 0)] if by_sign else [kept]
        left = torch.zeros_like(kept)
        for group in groups:
            members = int(group.sum())
            left |= _top(value.abs(), group, members - round(share * members))
        if grow == "gradient":
            if weight.grad is None:
                raise ValueError(f"gradient: must be there for {name!r} when a step begins in which connections grow")
            promise = weight.grad.flatten().abs()
        else:
            promise = torch.rand(len(kept), generator=generator, device=generator.device).to(weight.device)
        grown = _top(promise, ~left, int(kept.sum()) - int(left.sum()))
        found[name] = (left | grown).view_as(weight)
    return Masks(found)


# The published methods --------------------------------------------------------------------------------------------


def gradual_magnitude_pruning(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    remaining: float,
    *,
    until: int,
    begin: int = 0,
    every: int = 100,
) -> Evolution:
    """Prune a network by global magnitude while it trains, from dense to `remaining`, along the cubic schedule.

    Source: Zhu & Gupta 2017 (arXiv 1710.01878), equation 1. There layers are pruned alike; here they are ranked
    together, as in GraNet, which builds on it.
    """
    falling = _falling(remaining, begin, until)
    return evolve(model, optimizer, Masks.dense(model), every=every, until=until, remaining=falling)


def sparse_evolutionary_training(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    masks: Masks,
    *,
    until: int,
    every: int = 100,
    moved: float = 0.3,
    generator: torch.Generator,
) -> Evolution:
    """SET: drop the share `moved` of the positive weights nearest zero and of the negative ones, grow at random.

    The paper starts from random masks of density eps (n_in + n_out) / (n_in n_out): `random_pruning` with `erk`.
    Source: Mocanu et al. 2018 (arXiv 1707.04780), algorithm 1.
    """
    return evolve(
        model,
        optimizer,
        masks,
        every=every,
        until=until,
        moved=lambda progress: moved,
        grow="random",
        by_sign=True,
        generator=generator,
    )


def rigl(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    masks: Masks,
    *,
    until: int,
    every: int = 100,
    moved: float = 0.3,
    grow: str = "gradient",
    generator: torch.Generator | None = None,
) -> Evolution:
    """RigL: drop the smallest weights of each layer, grow those with the largest gradients, fewer as time goes on.

    moved: the share at the start; it falls as a cosine to zero at step `until` (the paper: three quarters of training).
    grow: "random" is its control: the same but for where connections grow.
    Source: Evci et al. 2020 (arXiv 1911.11134), algorithm 1.
    """
    return evolve(
        model,
        optimizer,
        masks,
        every=every,
        until=until,
        moved=lambda progress: cosine_decay(progress, moved),
        grow=grow,
        generator=generator,
    )


def granet(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    remaining: float,
    *,
    until: int,
    begin: int = 0,
    every: int = 100,
    masks: Masks | None = None,
    moved: float = 0.5,
) -> Evolution:
    """GraNet: gradual magnitude pruning that, at each step, also drops a share of what it kept and regrows as many
    connections by gradient ("zero-cost neuroregeneration").

    masks: where it starts; None is dense ("dense to sparse"). moved: falls as a cosine to 0.005.
    Source: Liu et al. 2021 (arXiv 2106.10404), algorithm 1 and section 3; the shares are those of the authors' code.
    """
    start = masks or Masks.dense(model)
    return evolve(
        model,
        optimizer,
        start,
        every=every,
        until=until,
        remaining=_falling(remaining, begin, until, start.remaining),
        moved=lambda progress: cosine_decay(progress, moved, 0.005),
        grow="gradient",
    )


def _falling(remaining: float, begin: int, until: int, initial: float = 1.0) -> Callable[[float], float]:
    if not 0 <= begin < until:
        raise ValueError(f"begin: must be from 0 to before step {until}, got {begin}")
    return lambda progress: cubic((progress * until - begin) / (until - begin), remaining, initial)
