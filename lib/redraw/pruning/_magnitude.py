"""Magnitude pruning: remove the smallest of the weights that are left, layer by layer or over the whole network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from redraw.pruning._masks import Masks


def magnitude(
    weights: Mapping[str, Tensor],
    masks: Masks,
    rate: float | Mapping[str, float],
    *,
    scope: str = "layer",
    exclude: tuple[str, ...] = (),
) -> Masks:
    """New masks without the fraction `rate` of the kept weights that are smallest in |w|.

    weights: by parameter name, e.g. `model.state_dict()`.
    scope "layer": each layer loses round(rate * kept) weights of its own; `rate` may be one number per layer.
    scope "global": the network loses round(rate * kept) weights, ranked together. Layers in `exclude` keep
      theirs but count towards `kept`, so that the level after k rounds is (1 - rate)^k as in open_lth.
    The counts are exact: ties go by position, so a layer of equal weights is not wiped out.
    Source: Han et al. 2015 (arXiv 1506.02626); Frankle & Carbin 2019 (arXiv 1803.03635), section 2 and appendix.
    The new masks are where the weights are.
    Raises ValueError for a rate outside [0, 1), an unknown scope, a layer that is unknown or has no rate, or more to
    remove than there is.
    """
    unknown = {*exclude, *(rate if isinstance(rate, Mapping) else ())} - set(masks)
    if unknown:
        raise ValueError(f"layer {sorted(unknown)[0]!r}: must be one of {', '.join(masks)}")
    if isinstance(rate, Mapping) and (lacking := [n for n in masks if n not in rate and n not in exclude]):
        raise ValueError(f"rate: must name every layer, lacks {lacking[0]!r}")
    rates = dict(rate) if isinstance(rate, Mapping) else dict.fromkeys(masks, rate)
    if not all(0 <= r < 1 for r in rates.values()):
        raise ValueError(f"rate: must be at least 0 and below 1, got {rate}")
    masks = Masks({name: mask.to(weights[name].device) for name, mask in masks.items()})
    if scope == "layer":
        removed = {
            name: _smallest(weights[name], mask, round(rates[name] * int(mask.sum())))
            for name, mask in masks.items()
            if name not in exclude
        }
    elif scope == "global":
        if isinstance(rate, Mapping):
            raise ValueError("rate: must be one number when scope is global")
        names = [name for name in masks if name not in exclude]
        if not names:
            raise ValueError("exclude: must leave a layer to prune when scope is global")
        values = torch.cat([weights[name].flatten() for name in names])
        mask = torch.cat([masks[name].flatten() for name in names])
        pieces = _smallest(values, mask, round(rate * masks.kept)).split([masks[n].numel() for n in names])
        removed = {name: piece.view_as(masks[name]) for name, piece in zip(names, pieces, strict=True)}
    else:
        raise ValueError(f"scope: must be layer or global, got {scope!r}")
    return Masks({name: mask & ~removed[name] if name in removed else mask for name, mask in masks.items()})


def _smallest(weight: Tensor, mask: Tensor, count: int) -> Tensor:
    """Where the `count` smallest kept magnitudes stand; boolean, shaped like `weight`."""
    alive = mask.flatten().nonzero().squeeze(1)
    if count > len(alive):
        raise ValueError(f"rate: {count} weights to remove but only {len(alive)} are left outside the excluded layers")
    order = weight.detach().flatten()[alive].abs().sort(stable=True).indices[:count]
    removed = torch.zeros_like(mask).flatten()
    removed[alive[order]] = True
    return removed.view_as(mask)
