"""Stacked networks that take their steps as one program: the batched `batches` and `steps`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraw.training._replay import exact, replayed
from redraw.training._stacked import forward, stacked, unstack

INTEGERS = {4: torch.int32, 8: torch.int64}  # by bytes per number
Masks = Sequence[Mapping[str, Tensor]]
MakeOptimizer = Callable[[list[dict]], torch.optim.Optimizer]


def orders(examples: Tensor, batch_size: int, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """The mini-batches of M members as indices (M, B) without end, each member's as `batches` would draw them.

    examples (M, N): row m the indices of what the m-th member trains on, on the device where it trains; for one dataset
    shared by all, `torch.arange(N).expand(M, N)`. generators: of the CPU, one a member. An epoch of indices goes to the
    device at once. Raises ValueError unless 1 <= batch_size <= N and there is a generator for each member.
    """
    members, total = examples.shape
    if len(generators) != members:
        raise ValueError(f"generators: must be one for each of the {members} orders, got {len(generators)}")
    if not 1 <= batch_size <= total:
        raise ValueError(f"batch_size: must be from 1 to {total}, got {batch_size}")
    whole = total // batch_size * batch_size
    while True:
        order = torch.stack([torch.randperm(total, generator=g)[:whole] for g in generators])
        if examples.is_cuda:
            order = order.pin_memory()
        yield from examples.gather(1, order.to(examples.device, non_blocking=True)).split(batch_size, 1)


def train_many(
    models: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    data: Iterator[Tensor],
    optimizer: MakeOptimizer,
    iterations: int,
    *,
    learning_rates: Sequence[float],
    schedule: Callable[[int], float] | None = None,
    masks: Masks | None = None,
) -> None:
    """Train M networks at once for `iterations` steps, each as `steps` would train it alone, to rounding.

    At step i, counted from 0, the m-th network takes the batch I = row m of what `data` gives next, the gradient

      g_m = mask_m * grad_w  (1/B) sum_{j in I} cross_entropy(f(x_j; w_m), y_j)

    and the optimizer's update by it, weight decay and momentum included, at the learning rate
    schedule(i) learning_rates[m]. The networks, on whatever device, get the weights and buffers they end with.

    x (N, ...), y (N,): the examples, on the device where it trains. On CUDA steps are recorded as a graph and nothing
      waits for the device. The mode, train or eval, of the first network is that of all.
    data: indices (M, B) into them, as `orders` gives; exactly `iterations` are taken, so that a later training may go
      on where this one ended.
    optimizer: makes torch's SGD or Adam of parameter groups that come with their learning rates, as `lambda groups:
      torch.optim.SGD(groups, momentum=0.9, weight_decay=5e-4)`; what it does to a number depends on no other number, so
      that it may be given stacked networks. It begins afresh.
    schedule: the factor of all learning rates at each step, as `torch.optim.lr_scheduler.LambdaLR` takes it; none is 1.
    masks: boolean (True is kept) by parameter name, the same names for all; pruned weights, their gradients and their
      optimizer state are exactly zero throughout.

    On a CPU it pays for perceptrons; a convolutional network, whose members become groups of a grouped convolution,
    takes about as long alone. How far it is from `steps`: see `fit_many`.
    Raises ValueError when lengths or architectures differ, for another optimizer, and for less than one step.
    """
    check_members(models, learning_rates=learning_rates, masks=masks)
    with exact(x.device):
        parameters, buffers = stacked(models, x.device)
        taken = stepped(
            models[0], parameters, buffers, x, y, data, optimizer, iterations, learning_rates, schedule, masks
        )
        for _ in taken:
            pass
        unstack(models, parameters, buffers)


def stepped(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    data: Iterator[Tensor],
    optimizer: MakeOptimizer,
    iterations: int,
    learning_rates: Sequence[float],
    schedule: Callable[[int], float] | None = None,
    masks: Masks | None = None,
) -> Iterator[int]:
    """The steps of `train_many` on networks like `model` that are `stacked`, in place; yields how many were taken."""
    if iterations < 1:
        raise ValueError(f"iterations: must be at least 1, got {iterations}")
    batches = islice(data, iterations)
    first = next(batches)
    if len(first) != len(learning_rates):
        raise ValueError(f"data: must be indices for each of the {len(learning_rates)} models, got {len(first)} rows")
    index = torch.empty_like(first, memory_format=torch.contiguous_format)
    hold, logits = _hold(parameters, masks), forward(model)
    hold({name: value.detach() for name, value in parameters.items()})
    groups, update = _update(parameters, learning_rates, optimizer, scheduled=schedule is not None)

    def step() -> None:
        xs, ys = chosen_of(x, y, index)
        losses = F.cross_entropy(logits(parameters, buffers, xs), ys, reduction="none")
        gradients = torch.autograd.grad(losses.sum() / index.shape[1], list(parameters.values()))
        gradients = dict(zip(parameters, (g.contiguous() for g in gradients), strict=True))
        hold(gradients)
        update(gradients)

    stepping, rates = replayed(step, x.device), [float(group["lr"]) for group in groups]
    for taken, rows in enumerate(chain([first], batches)):
        index.copy_(rows)
        if schedule is not None:
            factor = schedule(taken)
            for group, rate in zip(groups, rates, strict=True):
                _set_rate(group, rate * factor)
        stepping()
        yield taken + 1


def check_members(models: Sequence[nn.Module], *, masks: Masks | None, **lengths: Sequence) -> None:
    """Raises ValueError when of what each member has one there is another number, or masks differ in their names."""
    for name, values in (lengths | {"masks": masks}).items():
        if values is not None and len(values) != len(models):
            raise ValueError(f"{name}: must be one for each of the {len(models)} models, got {len(values)}")
    if masks is not None and any(one.keys() != masks[0].keys() for one in masks):
        raise ValueError("masks: must have the same names for every model")


def chosen_of(x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """x (M, B, ...) and y (M, B) at an index (M, B)."""
    chosen = index.flatten()
    return x.index_select(0, chosen).unflatten(0, index.shape), y.index_select(0, chosen).view_as(index)


def _hold(parameters: Mapping[str, Tensor], masks: Masks | None) -> Callable[[Mapping[str, Tensor]], None]:
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
    parameters: Mapping[str, Tensor], learning_rates: Sequence[float], optimizer: MakeOptimizer, scheduled: bool
) -> tuple[list[dict], Callable[[Mapping[str, Tensor]], None]]:
    """The optimizer's parameter groups, one for each run of members with one learning rate, of those members' part of
    the stacked tensors; and what takes one step by stacked gradients."""
    runs, groups = [], []
    for rate, members in groupby(range(len(learning_rates)), key=lambda m: learning_rates[m]):
        first, *others = members
        runs.append(slice(first, first + 1 + len(others)))
        groups.append({"params": [value.detach()[runs[-1]] for value in parameters.values()], "lr": rate})
    made = optimizer(groups)
    if type(made) not in (torch.optim.SGD, torch.optim.Adam):
        raise ValueError(f"optimizer: must be torch's SGD or Adam, got {type(made).__name__}")
    for group in made.param_groups:
        device = group["params"][0].device
        if "capturable" in group:  # Adam then counts its steps on the device, and can be recorded
            group["capturable"] = device.type == "cuda"
        if scheduled and device.type != "cpu":  # a number would be recorded once and for all; fused kernels read a
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32).to(device)  # float32 there, others wait for it
            group["fused"], group["foreach"] = True, False

    def update(gradients: Mapping[str, Tensor]) -> None:
        for run, group in zip(runs, made.param_groups, strict=True):
            for part, gradient in zip(group["params"], gradients.values(), strict=True):
                part.grad = gradient[run]
        made.step()

    return made.param_groups, update


def _set_rate(group: dict, rate: float) -> None:
    """Set the learning rate of a parameter group, in place where it is a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
