"""One training loop for every study: mini-batches from memory, steps as a generator, evaluation in chunks."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def batches(x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Mini-batches without end: a fresh permutation per epoch, the incomplete last batch dropped.

    x (N, ...), y (N,), on any device; yields x (B, ...), y (B,) there. generator: of the CPU, so that the order is the
    same on every device. Raises ValueError unless 1 <= batch_size <= N.
    """
    if not 1 <= batch_size <= len(x):
        raise ValueError(f"batch_size: must be from 1 to {len(x)}, got {batch_size}")
    whole = len(x) // batch_size * batch_size
    while True:
        order = torch.randperm(len(x), generator=generator)[:whole].to(x.device)
        for index in order.split(batch_size):
            yield x.index_select(0, index), y.index_select(0, index)  # half the time of x[index]


def steps(
    model: nn.Module,
    data: Iterator[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    iterations: int,
    loss=F.cross_entropy,
) -> Iterator[tuple[int, Tensor]]:
    """Train for `iterations` steps, yielding (iteration, loss) after each, counted from 1.

    The caller decides between steps what to evaluate, log or schedule; the gradients of the step just
    taken are still in place. The loss is that of the batch before the update, a scalar without graph.
    """
    for iteration in range(1, iterations + 1):
        x, y = next(data)
        value = loss(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        yield iteration, value.detach()


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, chunk: int = 1000) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (fraction in [0, 1]) of `model` on x (N, ...), y (N,), in eval mode.

    Every module is left in the mode it was in.
    """
    mode, modes = model.training, [(module, module.training) for module in model.modules()]
    model.eval()
    loss = correct = 0.0
    for xs, ys in zip(x.split(chunk), y.split(chunk), strict=True):
        logits = model(xs)
        loss += F.cross_entropy(logits, ys, reduction="sum").item()
        correct += (logits.argmax(1) == ys).sum().item()
    model.train(mode)
    for module, mode in modes:  # some may be frozen in eval mode
        module.training = mode
    return loss / len(x), correct / len(x)
