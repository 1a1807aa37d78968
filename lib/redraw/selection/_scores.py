"""Scores that need a forward pass at most. Higher is harder."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraw.selection._examples import averaged, chunks, known


def el2n(models, data, *, chunk: int = 1000) -> Tensor:
    """Error L2 norm: the mean over networks of ||softmax(f(x)) - onehot(y)||_2, (N,) from 0 to sqrt(2).

    models: an `nn.Module` that maps x (N, ...) to logits (N, classes), or several, independently initialized and each
    trained for the same few epochs. data: a pair of tensors (x, y), or a DataLoader without shuffling. Needs a forward
    pass, `chunk` examples at a time. Raises SelectionError for a network with a module that mixes examples (batch norm
    in train mode) or is random (dropout in train mode; a call of `F.dropout` is not seen), labels that are none of its
    classes, a chunk below 1, or data whose order would be lost.
    Source: Paul et al. 2021, arXiv 2107.07075, section 2.
    """
    return averaged(models, data, partial(_of_logits, _el2n), chunk)


def loss(models, data, *, chunk: int = 1000) -> Tensor:
    """The mean over networks of the cross-entropy -log p_y in nats, (N,). Arguments and errors as for `el2n`."""
    return averaged(models, data, partial(_of_logits, partial(F.cross_entropy, reduction="none")), chunk)


def margin(models, data, *, chunk: int = 1000) -> Tensor:
    """The mean over networks of max_{c != y} p_c - p_y, (N,) from -1 to 1: above 0 the example is misclassified.

    The usual margin with its sign turned, so that higher is harder here too. Arguments and errors as for `el2n`.
    """
    return averaged(models, data, partial(_of_logits, _margin), chunk)


def input_norm(data, *, chunk: int = 1000) -> Tensor:
    """||x||_2 of each input as the network sees it, (N,): needs no network, a null competitor.

    Source: Kirsch 2023, arXiv 2303.14753, which finds gradient norms at initialization to follow it.
    """
    return torch.cat([x.flatten(1).norm(dim=1).cpu() for x, _ in chunks(data, chunk)])


def random_scores(examples: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers (N,): the competitor that any score must beat."""
    return torch.rand(examples, generator=generator)


@torch.no_grad()
def _of_logits(score, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    logits = model(x)
    known(y, logits.shape[1])
    return score(logits, y)


def _el2n(logits: Tensor, y: Tensor) -> Tensor:
    error = logits.T.contiguous().softmax(0)  # (classes, N): a third of the time that rows of ten take
    error.scatter_add_(0, y[None], error.new_full((1, len(y)), -1.0))
    return error.square_().sum(0).sqrt_()


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    p = logits.softmax(1)
    own = p.gather(1, y[:, None]).squeeze(1)
    return p.scatter(1, y[:, None], -1.0).amax(1) - own
