"""The training loop behind scores: mini-batches with the numbers of their examples, in memory, seeded."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraw.selection._forgetting import Presentations
from redraw.training import batches


def train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    iterations: int,
    batch_size: int,
    generator: torch.Generator,
    seen: Presentations | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[int]:
    """Train for `iterations` steps on the cross-entropy, yielding 0 before the first step, then 1, 2, ... after each.

    data: x (N, ...), y (N,). An epoch is N // batch_size steps, in a fresh order. seen: records whether
    each example was classified correctly before the step it was part of. augment: maps inputs (B, ...) to inputs.
    Raises ValueError unless 1 <= batch_size <= N.
    """
    x, y = data
    device = next(model.parameters()).device
    numbered = batches(torch.arange(len(x)), y, batch_size, generator)
    yield 0
    for step in range(1, iterations + 1):
        ids, labels = next(numbered)
        inputs = x[ids.to(x.device)].to(device)
        labels = labels.to(device)
        logits = model(augment(inputs) if augment else inputs)
        if seen is not None:
            seen.update(ids, logits.detach().argmax(1) == labels)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        yield step
