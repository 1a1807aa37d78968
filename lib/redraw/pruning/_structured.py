"""Pruning of whole neurons and filters, and networks that really become smaller by it."""

import copy
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from redraw.pruning._keep import _top
from redraw.pruning._masks import PRUNABLE, Masks

# What may stand between layers of an `nn.Sequential` for `shrink`: it acts on each channel by itself. Pooling does so
# where there are batch and channel dimensions besides the pooled ones. Flatten repeats a channel once per position.
CHANNELWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d)
POOLING = {nn.MaxPool1d: 3, nn.AvgPool1d: 3} | dict.fromkeys(
    (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), 4
)


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

    A removed output j sends a constant c_jp to each position p of the next layer, since only its bias (and batch norm)
    feeds it; what that adds there goes into the next layer's bias,  b_i += sum_{j removed, p} w_ijp c_jp.  In front of
    a linear layer that is exact. In front of a convolution it is where c_jp is the same for all p and, with padding,
    0: outputs that send something else (as padded average pooling makes them at the borders) are kept there.
    model: an `nn.Sequential`, or one of others, run in order: linear and convolutional layers (ungrouped), batch norm,
    pooling, flattening and activations that act on each number by itself; eval mode. What comes back has the same
    structure and names. masks: one for each of its layers. example (N, ...): inputs, of which one is sent through.
    Weights that masks prune inside of kept outputs stay, as zeros.
    Raises ValueError for other modules between layers, layers that are not in the chain or share weights, masks of
    other layers, inputs of a layer or pooling without batch and channel dimensions.
    """
    small = copy.deepcopy(model).eval()
    chain = _chain(small)
    layers = [(place, name) for place, (name, module) in enumerate(chain) if isinstance(module, PRUNABLE)]
    _check(chain, [name for _, name in layers], masks)
    (first, _), (last, _) = layers[0], layers[-1]
    _check_modules([module for _, module in chain[first : last + 1]])
    masks.apply(small)
    shapes = _shapes(chain[first : last + 1], nn.Sequential(*(module for _, module in chain[:first]))(example[:1]))
    for (one, name), (other, _) in pairwise(layers):
        layer, *between, following = (module for _, module in chain[one : other + 1])
        constant = _constants(layer, between, shapes[name])
        gone = ~masks[f"{name}.weight"].to(constant.device).flatten(1).any(1)
        if not isinstance(following, nn.Linear):
            gone &= (constant == 0).all(1) if any(following.padding) else _same_everywhere(constant)
        if gone.all():
            gone[0] = False
        _fold(following, constant, gone)
        _cut(layer, following, [m for m in between if isinstance(m, _BatchNorm)], ~gone)
    return small


def _chain(model: nn.Module, path: str = "") -> list[tuple[str, nn.Module]]:
    """The modules that run one after another, with their names; a module that stands in two places is there twice."""
    if type(model).forward is not nn.Sequential.forward:
        return [(path, model)]
    parts = [_chain(part, f"{path}.{name}" if path else name) for name, part in model._modules.items()]
    return [module for part in parts for module in part]


def _check(chain: list[tuple[str, nn.Module]], layers: list[str], masks: Masks) -> None:
    if chain and not chain[0][0]:
        raise ValueError(f"model: must be an nn.Sequential, is {type(chain[0][1]).__name__}")
    names = [f"{layer}.weight" for layer in layers]
    if beside := [name for name in masks if name not in names]:
        raise ValueError(f"masks: {beside[0]!r} must be the weight of a layer in the chain of nn.Sequential modules")
    held = [id(tensor) for _, module in chain for tensor in (*module.parameters(), *module.buffers())]
    if len(set(held)) < len(held):
        raise ValueError("model: layers must not share weights")
    if lacking := [name for name in names if name not in masks]:
        raise ValueError(f"masks: must have one of every layer, lack {lacking[0]!r}")


def _check_modules(modules: list[nn.Module]) -> None:
    """That all from the first layer to the last are known."""
    if bad := [m for m in modules if not isinstance(m, (*PRUNABLE, *CHANNELWISE, *POOLING, _BatchNorm, nn.Flatten))]:
        raise ValueError(f"model: {type(bad[0]).__name__} between layers is not known to act on each channel by itself")
    if any(getattr(module, "groups", 1) != 1 for module in modules):
        raise ValueError("model: convolutions must not be grouped")
    if any(isinstance(module, _BatchNorm) and module.running_mean is None for module in modules):
        raise ValueError("model: batch norm must have running statistics")


def _shapes(chain: list[tuple[str, nn.Module]], value: Tensor) -> dict[str, torch.Size]:
    """What shape each module puts out, where each layer and pooling gets its batch and channel dimensions."""
    shapes = {}
    for name, module in chain:
        dimensions = next((n for kind, n in POOLING.items() if isinstance(module, kind)), None)
        if isinstance(module, PRUNABLE):
            dimensions = module.weight.ndim
        if dimensions and (value.ndim != dimensions or len(value) != 1):
            shape = list(value.shape)
            raise ValueError(f"model: {name!r} must be given {dimensions} dimensions, gets {shape} for one input")
        value = module(value)
        shapes[name] = value.shape
    return shapes


def _constants(layer: nn.Module, between: list[nn.Module], shape: torch.Size) -> Tensor:
    """What each output of `layer` sends to each position of the next one when all that feeds it is its bias."""
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(len(layer.weight))
    value = bias.view(1, -1, *[1] * (len(shape) - 2)).expand(shape)
    return nn.Sequential(*between)(value).reshape(len(bias), -1)


def _same_everywhere(constant: Tensor) -> Tensor:
    """Per output, whether it sends one number to all positions, up to what averaging it rounds."""
    largest = constant.abs().amax(1, keepdim=True)
    return ((constant - constant[:, :1]).abs() <= 16 * torch.finfo(constant.dtype).eps * largest).all(1)


def _fold(following: nn.Module, constant: Tensor, gone: Tensor) -> None:
    """Add what the outputs that go would have sent to the next layer's bias."""
    weight = following.weight.reshape(len(following.weight), len(constant), -1)
    if isinstance(following, nn.Linear):
        sent = weight[:, gone].flatten(1) @ constant[gone].flatten()
    else:
        sent = weight.sum(2)[:, gone] @ constant[gone, 0]
    if following.bias is not None:
        following.bias += sent
    elif sent.any():
        following.bias = nn.Parameter(sent)


def _cut(layer: nn.Module, following: nn.Module, norms: list[nn.Module], kept: Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight[kept].clone())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[kept].clone())
    for norm in norms:
        features = kept.repeat_interleave(norm.num_features // len(kept))  # after Flatten one per position
        for name in ("weight", "bias"):
            if getattr(norm, name) is not None:
                setattr(norm, name, nn.Parameter(getattr(norm, name)[features].clone()))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, getattr(norm, name)[features].clone())
        norm.num_features = int(features.sum())
    columns = kept.repeat_interleave(following.weight.shape[1] // len(kept))
    following.weight = nn.Parameter(following.weight[:, columns].clone())
    if isinstance(layer, nn.Linear):
        layer.out_features = len(layer.weight)
    else:
        layer.out_channels = len(layer.weight)
    if isinstance(following, nn.Linear):
        following.in_features = following.weight.shape[1]
    else:
        following.in_channels = following.weight.shape[1]
