"""Pruning of whole neurons and filters, and networks that really become smaller by it."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from redraw.pruning._keep import _top
from redraw.pruning._masks import PRUNABLE, Masks

# What may stand between layers of an `nn.Sequential` for `shrink`: it acts on each channel by itself. Flatten repeats
# a channel once per position.
CHANNELWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d)
POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.MaxPool1d, nn.AvgPool1d)


def keep_outputs(
    scores: Mapping[str, Tensor], masks: Masks, remaining: float | Mapping[str, float], *, exclude: tuple[str, ...]
) -> Masks:
    """Masks of whole outputs (neurons, filters): each layer keeps round(remaining * outputs), at least one, those whose
    scores sum highest; with `magnitude_scores` their L1 norms. Layers in `exclude` (name the last one) keep all.

    Source: Li et al. 2017 (arXiv 1608.08710), section 3.1. Raises ValueError for an unknown layer or fraction.
    """
    if unknown := set(exclude) - set(masks):
        raise ValueError(f"exclude: {sorted(unknown)[0]!r} must be one of {', '.join(masks)}")
    found = {}
    for name, mask in masks.items():
        if name in exclude:
            found[name] = mask
            continue
        fraction = remaining[name] if isinstance(remaining, Mapping) else remaining
        if not 0 < fraction <= 1:
            raise ValueError(f"remaining: must be above 0 and at most 1, got {fraction} for {name!r}")
        alive = mask.flatten(1).any(1)
        sums = (scores[name] * mask).flatten(1).sum(1)
        kept = _top(sums, alive, max(1, round(fraction * len(mask))))
        found[name] = mask & kept.view(-1, *[1] * (mask.ndim - 1))
    return Masks(found)


@torch.no_grad()
def shrink(model: nn.Sequential, masks: Masks, example: Tensor) -> nn.Sequential:
    """A smaller dense network that computes what `model` does under `masks`, without the outputs that lost all their
    weights: their rows and, of the next layer, the columns that read them are gone.

    A removed output is constant, since only its bias (and batch norm) feeds it: what it sends on is added to the next
    layer's bias. In front of a convolution with padding that is exact only where the constant is 0, so that outputs
    with another one are kept there.
    model: an `nn.Sequential` of linear and convolutional layers (ungrouped), batch norm, pooling, flattening and
    activations that act on each number by itself; eval mode. example (N, ...): inputs, of which one is sent through.
    Weights that masks prune inside of kept outputs stay, as zeros.
    Raises ValueError for other modules.
    """
    small = masks.apply(copy.deepcopy(model)).eval()
    places = [i for i, module in enumerate(small) if isinstance(module, PRUNABLE)]
    for one, other in zip(places, places[1:], strict=False):
        layer, following = small[one], small[other]
        for module in (layer, following):
            if getattr(module, "groups", 1) != 1:
                raise ValueError("model: convolutions must not be grouped")
        constant = _constants(small[one + 1 : other], layer, small[: one + 1], example[:1])
        gone = ~masks[f"{one}.weight"].to(layer.weight.device).flatten(1).any(1)
        if any(getattr(following, "padding", ())) if not isinstance(following, nn.Linear) else False:
            gone &= constant == 0
        if gone.all():
            gone[0] = False
        _fold(following, constant, gone)
        _cut(layer, following, [m for m in small[one + 1 : other] if isinstance(m, _BatchNorm)], ~gone)
    return small


def _constants(between: nn.Sequential, layer: nn.Module, upto: nn.Sequential, example: Tensor) -> Tensor:
    """What each output of `layer` sends to the next one when all that feeds it is its bias."""
    if bad := [m for m in between if not isinstance(m, (*CHANNELWISE, *POOLING, _BatchNorm, nn.Flatten))]:
        raise ValueError(f"model: {type(bad[0]).__name__} between layers is not known to act on each channel by itself")
    shape = upto(example).shape
    bias = layer.bias if layer.bias is not None else torch.zeros(shape[1], device=example.device)
    value = bias.view(1, -1, *[1] * (len(shape) - 2)).expand(1, *shape[1:])
    value = between(value.to(layer.weight.dtype))
    per_channel = value.reshape(shape[1], -1) if value.ndim == 2 else value[0].flatten(1)
    return per_channel[:, 0]


def _fold(following: nn.Module, constant: Tensor, gone: Tensor) -> None:
    """Add what the outputs that go would have sent to the next layer's bias."""
    weight = following.weight
    if isinstance(following, nn.Linear):
        by_channel = weight.view(len(weight), len(constant), -1).sum(2)
    else:
        by_channel = weight.flatten(2).sum(2)
    sent = by_channel[:, gone] @ constant[gone]
    if following.bias is not None:
        following.bias += sent
    elif sent.any():
        following.bias = nn.Parameter(sent)


def _cut(layer: nn.Module, following: nn.Module, norms: list[nn.Module], kept: Tensor) -> None:
    count = int(kept.sum())
    layer.weight = nn.Parameter(layer.weight[kept].clone())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[kept].clone())
    for norm in norms:
        for name in ("weight", "bias"):
            if getattr(norm, name) is not None:
                setattr(norm, name, nn.Parameter(getattr(norm, name)[kept].clone()))
        for name in ("running_mean", "running_var"):
            if getattr(norm, name) is not None:
                setattr(norm, name, getattr(norm, name)[kept].clone())
        norm.num_features = count
    per_channel = following.weight.shape[1] // len(kept)
    columns = kept.repeat_interleave(per_channel) if isinstance(following, nn.Linear) else kept
    following.weight = nn.Parameter(following.weight[:, columns].clone())
    if isinstance(layer, nn.Linear):
        layer.out_features = count
    else:
        layer.out_channels = count
    if isinstance(following, nn.Linear):
        following.in_features = following.weight.shape[1]
    else:
        following.in_channels = count
