"""Pruning before training: a score, a scope and a schedule, put together as the papers do. Each returns masks.

The weights are not touched: `masks.hold(model, optimizer)` sets the pruned ones to zero and keeps them there.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from redraw.pruning._keep import keep
from redraw.pruning._masks import Masks
from redraw.pruning._schedules import exponential
from redraw.pruning._scores import grasp_scores, random_scores, snip_scores, synflow_scores


def snip(model: nn.Module, x: Tensor, y: Tensor, remaining: float, *, rounds: int = 1) -> Masks:
    """SNIP: keep the fraction `remaining` of the weights, those that the loss of one batch is most sensitive to.

    x (N, ...), y (N,). rounds: 1 is the paper's single shot; more prune step by step, exponentially, and score again
    (as de Jorge et al. 2021, arXiv 2006.09081, do). Score: `snip_scores`; scope: global.
    Source: Lee, Ajanthan & Torr 2019 (arXiv 1810.02340), algorithm 1.
    """
    return _prune(model, remaining, rounds, lambda masks: snip_scores(model, x, y, masks))


def grasp(
    model: nn.Module, x: Tensor, y: Tensor, remaining: float, *, rounds: int = 1, temperature: float = 200.0
) -> Masks:
    """GraSP: keep the weights without which the gradient would lose most of its norm.

    x (N, ...), y (N,): the paper takes ten examples of each class. Score: `grasp_scores`; scope: global.
    Source: Wang, Zhang & Grosse 2020 (arXiv 2002.07376), algorithm 1.
    """
    return _prune(model, remaining, rounds, lambda masks: grasp_scores(model, x, y, masks, temperature=temperature))


def synflow(model: nn.Module, example: Tensor, remaining: float, *, rounds: int = 100) -> Masks:
    """SynFlow: prune without data, little by little, what carries least of the flow through the network.

    example (N, ...): of the inputs, only the shape counts. Score: `synflow_scores`; scope: global; schedule:
    exponential in `rounds` steps, scored anew in each; one round collapses layers as other single shots do.
    Source: Tanaka et al. 2020 (arXiv 2006.05467), algorithm 1.
    """
    return _prune(model, remaining, rounds, lambda masks: synflow_scores(model, example, masks))


def random_pruning(model: nn.Module, remaining: float | Mapping[str, float], generator: torch.Generator) -> Masks:
    """Keep a random choice of each layer's weights: `remaining` of each, or by layer (`erk`, `smart_ratio`)."""
    return keep(random_scores(model, generator), Masks.dense(model), remaining, scope="layer")


def shuffle(masks: Masks, generator: torch.Generator) -> Masks:
    """Masks that keep as many weights in each layer, in random places: the sanity check of what a method's choice
    within layers is worth. Source: Frankle et al. 2021 (arXiv 2009.08576), section 5; Su et al. 2020 (2009.11094)."""
    found = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator, device=generator.device).to(mask.device)
        found[name] = mask.flatten()[order].view_as(mask)
    return Masks(found)


def _prune(model: nn.Module, remaining: float, rounds: int, score: Callable[[Masks], Mapping[str, Tensor]]) -> Masks:
    masks = Masks.dense(model)
    for fraction in exponential(remaining, rounds):
        masks = keep(score(masks), masks, fraction)
    return masks
