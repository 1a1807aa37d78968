"""Many networks of one architecture trained as one program, each as if it were alone: the batched `fit`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraw.data._tensors import Splits
from redraw.training._early_stopping import History
from redraw.training._replay import exact, replayed
from redraw.training._stacked import forward, stacked, unstack

ROWS = 4_000  # examples that all members together evaluate at once
INTEGERS = {4: torch.int32, 8: torch.int64}  # by bytes per number


def fit_many(
    models: Sequence[nn.Module],
    data: Splits,
    optimizer: Callable[[list[dict]], torch.optim.Optimizer],
    *,
    learning_rates: Sequence[float],
    iterations: int,
    batch_size: int,
    evaluate_every: int,
    generators: Sequence[torch.Generator],
    masks: Sequence[Mapping[str, Tensor]] | None = None,
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
    device = torch.device(device)
    _check(models, data, learning_rates, generators, masks, iterations, batch_size, evaluate_every)
    with exact(device):
        data = data.to(device)
        parameters, buffers = stacked(models, device)
        state = {name: value.detach() for name, value in parameters.items()} | buffers
        hold = _hold(parameters, masks)
        hold(state)

        logits = forward(models[0])
        update = _update(parameters, learning_rates, optimizer)
        index = torch.empty(len(models), batch_size, dtype=torch.int64, device=device)

        def step() -> None:
            x, y = _examples(data.x, data.y, index)
            losses = F.cross_entropy(logits(parameters, buffers, x), y, reduction="none")
            gradients = torch.autograd.grad(losses.sum() / batch_size, list(parameters.values()))
            gradients = dict(zip(parameters, (g.contiguous() for g in gradients), strict=True))
            hold(gradients)
            update(gradients)

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

        stepping, validating = replayed(step, device), replayed(validate, device)
        seen, batches = [], _orders(data.train, batch_size, generators)
        for iteration in range(1, iterations + 1):
            index.copy_(next(batches))
            stepping()
            if iteration % evaluate_every == 0:
                validating()
                seen.append(torch.stack([loss, accuracy]))
        tests = torch.arange(len(data.test_x), device=device).expand(len(models), -1)
        final = evaluate(state, data.test_x, data.test_y, tests)[1].tolist()
        stopped = evaluate(best, data.test_x, data.test_y, tests)[1].tolist()
        unstack(models, state)
        return [
            _history(evaluate_every, *curves.tolist(), final=final[m], stopped=stopped[m])
            for m, curves in enumerate(torch.stack(seen).permute(2, 1, 0).cpu())
        ]


def _check(models, data, learning_rates, generators, masks, iterations, batch_size, evaluate_every) -> None:
    lengths = {"learning_rates": learning_rates, "generators": generators, "splits": data.train, "masks": masks}
    for name, values in lengths.items():
        if values is not None and len(values) != len(models):
            raise ValueError(f"{name}: must be one for each of the {len(models)} models, got {len(values)}")
    if masks is not None and any(one.keys() != masks[0].keys() for one in masks):
        raise ValueError("masks: must have the same names for every model")
    if not 1 <= evaluate_every <= iterations:
        raise ValueError(f"evaluate_every: must be from 1 to {iterations} iterations, got {evaluate_every}")
    if not 1 <= batch_size <= data.train.shape[1]:
        raise ValueError(f"batch_size: must be from 1 to {data.train.shape[1]}, got {batch_size}")


def _orders(train: Tensor, batch_size: int, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """The members' batches as indices (M, B) without end, from the permutations that `batches` draws; an epoch of
    them goes to the device at once."""
    examples = train.shape[1]
    whole = examples // batch_size * batch_size
    while True:
        order = torch.stack([torch.randperm(examples, generator=g)[:whole] for g in generators])
        if train.is_cuda:
            order = order.pin_memory().to(train.device, non_blocking=True)
        yield from train.gather(1, order).split(batch_size, 1)


def _examples(x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """x (M, B, ...) and y (M, B) at an index (M, B)."""
    chosen = index.flatten()
    return x.index_select(0, chosen).unflatten(0, index.shape), y.index_select(0, chosen).view_as(index)


def _hold(
    parameters: Mapping[str, Tensor], masks: Sequence[Mapping[str, Tensor]] | None
) -> Callable[[Mapping[str, Tensor]], None]:
    """What sets the pruned numbers of stacked tensors to zero, infinite ones and not-a-numbers too.

    With weights and gradients at zero SGD and Adam take the optimizer's state from zero to zero. A mask is kept as
    integers that are and-ed to the numbers' own bits: all set where it keeps, none elsewhere.
    """
    bits = {}
    for name in masks[0] if masks else ():
        kept = torch.stack([one[name] for one in masks])
        if not kept.all():
            bits[name] = -kept.to(parameters[name].device, INTEGERS[parameters[name].element_size()])

    @torch.no_grad()
    def hold(tensors: Mapping[str, Tensor]) -> None:
        for name, kept in bits.items():
            tensors[name].view(kept.dtype).bitwise_and_(kept)

    return hold


def _update(
    parameters: Mapping[str, Tensor],
    learning_rates: Sequence[float],
    optimizer: Callable[[list[dict]], torch.optim.Optimizer],
) -> Callable[[Mapping[str, Tensor]], None]:
    """What takes one step by stacked gradients: a parameter group for each run of members with one learning rate, of
    those members' part of the stacked tensors."""
    runs, groups = [], []
    for rate, members in groupby(range(len(learning_rates)), key=lambda m: learning_rates[m]):
        first, *others = members
        runs.append(slice(first, first + 1 + len(others)))
        groups.append({"params": [value.detach()[runs[-1]] for value in parameters.values()], "lr": rate})
    made = optimizer(groups)
    if type(made) not in (torch.optim.SGD, torch.optim.Adam):
        raise ValueError(f"optimizer: must be torch's SGD or Adam, got {type(made).__name__}")
    for group in made.param_groups:
        if "capturable" in group:  # Adam then counts its steps on the device, and can be recorded
            group["capturable"] = group["params"][0].is_cuda

    def update(gradients: Mapping[str, Tensor]) -> None:
        for run, group in zip(runs, made.param_groups, strict=True):
            for part, gradient in zip(group["params"], gradients.values(), strict=True):
                part.grad = gradient[run]
        made.step()

    return update


@torch.no_grad()
def _evaluate(logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Each member's mean cross-entropy (nats) and accuracy on its examples `chosen` (M, n): float64 (M,), (M,)."""
    loss = torch.zeros(len(chosen), dtype=torch.float64, device=x.device)
    correct = torch.zeros_like(loss)
    for index in chosen.split(max(1, ROWS // len(chosen)), 1):
        xs, ys = _examples(x, y, index)
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
