"""The straight line between two trained networks, and how high the error climbs on it."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from redraw.dynamics._batch_norm import reestimate_batch_norm
from redraw.training import evaluate

State = Mapping[str, Tensor]


def interpolate(first: State, second: State, alpha: float) -> dict[str, Tensor]:
    """The state (1 - alpha) * first + alpha * second: 0 gives the first, 1 the second, both exactly.

    first, second: by name, e.g. `model.state_dict()`; what is no floating-point number (the counters of batch
    normalization) is the first's. Raises ValueError for states that differ in a name or a shape.
    """
    if lost := first.keys() ^ second.keys():
        raise ValueError(f"states: must have the same names, only one has {sorted(lost)[0]!r}")
    for name, value in first.items():
        if value.shape != second[name].shape:
            raise ValueError(f"states: {name} must have one shape, got {[*value.shape]} and {[*second[name].shape]}")
    return {
        name: (1 - alpha) * value + alpha * second[name] if value.is_floating_point() else value.clone()
        for name, value in first.items()
    }


def line_errors(
    model: nn.Module,
    first: State | nn.Module,
    second: State | nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    points: int = 30,
    batch_norm: Tensor | None = None,
) -> list[float]:
    """Error (fraction of x (N, ...), y (N,) that is wrong) at `points` evenly spaced places from `first` to `second`.

    first, second: networks, or their states by name.
    model: a network of their kind, which may be one of them; it is used for the evaluation and keeps its own state.
    batch_norm: inputs (M, ...) that the statistics of batch normalization are computed anew from at each place; without
      them the statistics are interpolated like weights, and the activations of a network between two others may vary
      less than these statistics say (Jordan et al. 2023, arXiv 2211.08403).
    Source: Frankle et al. 2020 (arXiv 1912.05671), section 2, who take 30 points.
    Raises ValueError for fewer than two points.
    """
    if points < 2:
        raise ValueError(f"points: must be at least 2, the ends, got {points}")
    kept, first, second = (_copied(one) for one in (model, first, second))
    errors = []
    for i in range(points):
        model.load_state_dict(interpolate(first, second, i / (points - 1)))
        if batch_norm is not None:
            reestimate_batch_norm(model, batch_norm)
        errors.append(1 - evaluate(model, x, y)[1])
    model.load_state_dict(kept)
    return errors


def _copied(one: State | nn.Module) -> dict[str, Tensor]:
    state = one.state_dict() if isinstance(one, nn.Module) else one
    return {name: value.clone() for name, value in state.items()}


def barrier(errors: Sequence[float]) -> float:
    """The highest of the `errors` along a line less the mean of its two ends: the height of the barrier between them.

    sup_alpha E(alpha) - (E(0) + E(1)) / 2, in the unit of the errors, never negative. Between siblings that differ in
    the order of their data alone it is the instability of Frankle et al. 2020 (arXiv 1912.05671, section 2), who call a
    network stable below 2 %.
    Raises ValueError for fewer than two errors.
    """
    if len(errors) < 2:
        raise ValueError(f"errors: must be at least 2, those of the ends, got {len(errors)}")
    return max(errors) - (errors[0] + errors[-1]) / 2


@torch.no_grad()
def distance(first: State, second: State, names: Iterable[str]) -> float:
    """Euclidean distance between two states over the tensors called `names`, e.g. the keys of masks.

    Raises ValueError for a name that a state lacks.
    """
    total = 0.0
    for name in names:
        if name not in first or name not in second:
            raise ValueError(f"names: {name!r} is not in both states")
        total += (first[name].double() - second[name].double()).square().sum().item()
    return total**0.5
