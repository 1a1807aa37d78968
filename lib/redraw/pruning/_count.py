"""What is left and what it costs: collapsed layers, weights that no input reaches, floating-point operations."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from redraw.pruning._dynamic import Evolution
from redraw.pruning._masks import Masks
from redraw.pruning._scores import linearized


def collapsed(masks: Masks) -> list[str]:
    """The layers that keep no weight at all: nothing passes through them. Source: arXiv 2006.05467, section 3."""
    return [name for name, survivors in masks.survivors().items() if not survivors]


def connected(model: nn.Module, example: Tensor, masks: Masks) -> Masks:
    """Of the kept weights those that lie on a path of kept weights from an input to an output; the others do nothing
    but feed biases into the network or feed on them.

    example (N, ...): of the inputs, only the shape counts. Paths are counted by sending ones through the network with
    all kept weights set to 1, in double precision. Source: the effective sparsity of Vysogorets & Kempe 2023 (arXiv
    2107.02306), section 3.
    """
    ones = {name: torch.ones_like(mask, dtype=torch.float64) for name, mask in masks.items()}
    with linearized(model, masks, ones) as (twin, weights):
        paths = twin(torch.ones_like(example[:1], dtype=torch.float64)).sum()
        gradients = torch.autograd.grad(paths, weights.values(), materialize_grads=True)  # zero where forward goes past
    return Masks({n: masks[n].to(g.device) & (g != 0) for n, g in zip(weights, gradients, strict=True)})


@torch.no_grad()
def positions(model: nn.Module, example: Tensor) -> dict[str, int]:
    """How often each weight of a layer is multiplied for one example: once in a linear layer, once per position of the
    output in a convolution. example (N, ...): inputs to send through the network once."""
    twin = copy.deepcopy(model).eval()
    names = {id(parameter): name for name, parameter in twin.named_parameters()}
    prunable, found, handles = Masks.dense(twin), {}, []

    def note(layer, inputs, output):
        name = names[id(layer.weight)]
        found[name] = found.get(name, 0) + output[0].numel() // layer.weight.shape[0]  # shared layers count each use

    for layer in twin.modules():
        if names.get(id(getattr(layer, "weight", None))) in prunable:
            handles.append(layer.register_forward_hook(note))
    twin(example[:1])
    return {name: found.get(name, 0) for name in prunable}


def flops(model: nn.Module, example: Tensor, masks: Mapping[str, Tensor] | None = None) -> int:
    """Floating-point operations of one example's way through the layers that masks speak of: 2 per kept weight and
    position (a multiplication and an addition); biases, activations and normalization are left out.

    masks: None counts the dense network. `training_flops` counts a training. Source: Evci et al. 2020 (arXiv
    1911.11134), appendix H.
    """
    masks = masks or Masks.dense(model)
    return sum(2 * uses * int(masks[name].sum()) for name, uses in positions(model, example).items())


def training_flops(
    model: nn.Module, example: Tensor, steps: int, masks: Masks | None = None, evolution: Evolution | None = None
) -> int:
    """Floating-point operations of a training of `steps` steps on one example each; on batches, times their size.

    A step costs three times f = `flops` of the weights it keeps: forward, and backward with respect to activations and
    to weights. A step whose batch is spent on finding where connections grow takes gradients of all weights:

      sum_t 3 f(m_t)  +  sum_{t spent} (f(1) - f(m_t)),   m_t the masks before step t, 1 all weights,

    so that a spent step costs 2 f(m_t) + f(1). masks: those that training begins with; None is dense. evolution: their
    history from then on, of a training that is over; without one they stay. example (N, ...): inputs, of which one is
    sent through. What finding the first masks costs is not counted, nor ranking weights.
    Source: Evci et al. 2020 (arXiv 1911.11134), appendix H (recalled). Raises ValueError for fewer steps than it took
    to the last change of the masks, or below 0.
    """
    masks, updates = masks or Masks.dense(model), evolution.updates if evolution else []
    if steps < (last := updates[-1].step if updates else 0):
        raise ValueError(f"steps: must be at least {last}, got {steps}")
    uses = positions(model, example)

    def once(survivors: Mapping[str, int]) -> int:
        return sum(2 * uses[name] * kept for name, kept in survivors.items())

    kept, dense = once(masks.survivors()), once({name: mask.numel() for name, mask in masks.items()})
    total, counted = 0, 0
    for update in updates:
        total += 3 * kept * (update.step - counted) + (dense - kept if update.consumed else 0)
        counted, kept = update.step, once(update.survivors)
    return total + 3 * kept * (steps - counted)
