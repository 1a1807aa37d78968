"""Iterative magnitude pruning: train, remove the smallest weights, rewind the rest, again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from torch import nn

from redraw.pruning._magnitude import magnitude
from redraw.pruning._masks import Masks


@dataclass(frozen=True)
class Round:
    """One round: its index (0 is dense), the masks it was trained under and what `train` returned."""

    index: int
    masks: Masks
    outcome: Any


def iterative_magnitude_pruning(
    model: nn.Module,
    train: Callable[[nn.Module, Masks], Any],
    *,
    rounds: int,
    rate: float | Mapping[str, float] = 0.2,
    scope: str = "layer",
    exclude: tuple[str, ...] = (),
) -> Iterator[Round]:
    """Find lottery tickets in any network: yields rounds 0 (dense) to `rounds`, each trained from the same start.

    Round k trains m_k * theta_0, then m_{k+1} drops the fraction `rate` of the weights that are smallest in
    |theta_T|, and theta returns to theta_0, the state `model` has when the first round is asked for.

    train(model, masks): trains in place, holding the masks, e.g. by `masks.hold(model, optimizer)`.
    rate, scope, exclude: as in `magnitude`. One round at a high rate is one-shot pruning.
    Source: Frankle & Carbin 2019 (arXiv 1803.03635), section 1.
    Raises ValueError at the call, before anything is trained, for rounds that are not a whole number from 0 on or what
    `magnitude` refuses; RuntimeError when `train` let a pruned weight come back.
    """
    if not isinstance(rounds, Integral) or rounds < 0:
        raise ValueError(f"rounds: must be a whole number of at least 0, got {rounds}")

    def prune(masks: Masks) -> Masks:
        return magnitude(model.state_dict(), masks, rate, scope=scope, exclude=exclude)

    prune(Masks.dense(model))
    return _rounds(model, train, prune, rounds)


def _rounds(model: nn.Module, train: Callable, prune: Callable[[Masks], Masks], rounds: int) -> Iterator[Round]:
    start = {name: value.clone() for name, value in model.state_dict().items()}
    masks = Masks.dense(model)
    for index in range(rounds + 1):
        if index:
            masks = prune(masks)
            model.load_state_dict(start)
        outcome = train(masks.apply(model), masks)
        trained = model.state_dict()
        for name, mask in masks.items():
            if trained[name][~mask.to(trained[name].device)].any():
                raise RuntimeError(f"train: revived pruned weights of {name}; call masks.hold(model, optimizer)")
        yield Round(index, masks, outcome)


def compound(rate: float, rounds: float) -> float:
    """The rate of one shot that leaves what `rounds` rounds at `rate` leave: 1 - (1 - rate)^rounds."""
    return 1 - (1 - rate) ** rounds
