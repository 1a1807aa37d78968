"""Many networks of one architecture trained as one program, each as if it were alone: the batched `fit`."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraw.data._tensors import Splits
from redraw.training._early_stopping import History
from redraw.training._many import MakeOptimizer, Masks, check_members, chosen_of, orders, stepped
from redraw.training._replay import exact, replayed
from redraw.training._stacked import forward, stacked, unstack

ROWS = 4_000  # examples that all members together evaluate at once


def fit_many(
    models: Sequence[nn.Module],
    data: Splits,
    optimizer: MakeOptimizer,
    *,
    learning_rates: Sequence[float],
    iterations: int,
    batch_size: int,
    evaluate_every: int,
    generators: Sequence[torch.Generator],
    masks: Masks | None = None,
    device: torch.device | str = "cpu",
) -> list[History]:
    """Train M networks at once for `iterations` steps; the m-th history is that of `fit`, to rounding.

    The m-th network has the m-th split of `data`, learning rate, masks and generator, sees the batches that `fit`
    would show it, and keeps its final weights. Its early stop is its own: weights of its lowest validation loss are
    kept aside, and all train to the end of the budget. A member that diverges leaves the others as they are.

    optimizer: makes torch's SGD or Adam of parameter groups that come with their learning rates, as `lambda groups:
      torch.optim.Adam(groups, fused=True)`; what it does to a number depends on no other number, so that it may be
      given stacked networks.
    masks: boolean (True is kept) by parameter name, the same names for all; pruned weights, their gradients and
      their optimizer state are exactly zero throughout.
    device: where it trains. On CUDA the data are moved once, steps and validations are recorded as graphs, and
      nothing waits for the device before the end.

    How far from `fit`: a step differs in the last digits of sums, since batched products add in another order.
    Training carries such differences on and in the long run enlarges them, as it does those between two machines; a
    gradient that is nothing but rounding moves a weight by a whole learning rate under Adam.
    Raises ValueError when lengths or architectures differ, for another optimizer, and unless
    1 <= evaluate_every <= iterations and 1 <= batch_size <= training examples.
    """
    if not 1 <= evaluate_every <= iterations:
        raise ValueError(f"evaluate_every: must be from 1 to {iterations} iterations, got {evaluate_every}")
    check_members(models, learning_rates=learning_rates, generators=generators, splits=data.train, masks=masks)
    device = torch.device(device)
    with exact(device):
        data = data.to(device)
        parameters, buffers = stacked(models, device)
        state = {name: value.detach() for name, value in parameters.items()} | buffers
        still = forward(deepcopy(models[0]).eval())

        def evaluate(tensors: Mapping[str, Tensor], x: Tensor, y: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
            return _evaluate(
                lambda xs: still({n: tensors[n] for n in parameters}, {n: tensors[n] for n in buffers}, xs),
                x,
                y,
                chosen,
            )

        best = {name: value.clone() for name, value in state.items()}
        lowest = torch.full((len(models),), torch.inf, dtype=torch.float64, device=device)
        loss, accuracy = torch.empty_like(lowest), torch.empty_like(lowest)

        def validate() -> None:
            values = evaluate(state, data.x, data.y, data.validation)
            loss.copy_(values[0])
            accuracy.copy_(values[1])
            better = loss < lowest
            lowest.copy_(torch.where(better, loss, lowest))
            for name, value in best.items():
                value.copy_(torch.where(_along(better, value), state[name], value))

        batches = orders(data.train, batch_size, generators)
        steps = stepped(
            models[0], parameters, buffers, data.x, data.y, batches, optimizer, iterations, learning_rates, masks=masks
        )
        validating, seen = replayed(validate, device), []
        for iteration in steps:
            if iteration % evaluate_every == 0:
                validating()
                seen.append(torch.stack([loss, accuracy]))
        tests = torch.arange(len(data.test_x), device=device).expand(len(models), -1)
        final = evaluate(state, data.test_x, data.test_y, tests)[1].cpu().tolist()
        stopped = evaluate(best, data.test_x, data.test_y, tests)[1].cpu().tolist()
        unstack(models, state)
        return [
            _history(evaluate_every, *curves.tolist(), final=final[m], stopped=stopped[m])
            for m, curves in enumerate(torch.stack(seen).permute(2, 1, 0).cpu())
        ]


@torch.no_grad()
def _evaluate(logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Each member's mean cross-entropy (nats) and accuracy on its examples `chosen` (M, n): float64 (M,), (M,)."""
    loss = torch.zeros(len(chosen), dtype=torch.float64, device=x.device)
    correct = torch.zeros_like(loss)
    for index in chosen.split(max(1, ROWS // len(chosen)), 1):
        xs, ys = chosen_of(x, y, index)
        found = logits(xs)
        loss += F.cross_entropy(found, ys, reduction="none").sum(1)
        correct += (found.argmax(1) == ys).sum(1)
    return loss / chosen.shape[1], correct / chosen.shape[1]


def _along(members: Tensor, value: Tensor) -> Tensor:
    """(M,) shaped to go along a stacked value (M, ...)."""
    return members.view(-1, *[1] * (value.ndim - 1))


def _history(every: int, losses: list[float], accuracies: list[float], *, final: float, stopped: float) -> History:
    """The record that `fit` makes of one member's curves and its test accuracies at the end and at its lowest loss."""
    history = History([every * (i + 1) for i in range(len(losses))], losses, accuracies, final_test_accuracy=final)
    for iteration, loss in zip(history.iterations, losses, strict=True):
        if loss < history.stop_validation_loss:
            history.stop_iteration, history.stop_validation_loss = iteration, loss
    history.diverged = not history.stop_iteration
    if history.diverged:
        history.stop_iteration, stopped = history.iterations[-1], final
    history.stop_test_accuracy = stopped
    history.censored = history.stop_iteration == history.iterations[-1]
    return history
