"""What a score is computed on: the examples in their order, and networks whose outputs do not mix them."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import DataLoader, SequentialSampler


class SelectionError(ValueError):
    """A request that makes no sense: one line naming the argument and what it must be."""


def averaged(models, data, score: Callable[[nn.Module, Tensor, Tensor], Tensor], chunk: int) -> Tensor:
    """The mean over networks of score(model, x, y) (N,), in the order of the examples; on the CPU."""
    models = [models] if isinstance(models, nn.Module) else list(models)
    if not models:
        raise SelectionError("models: must be a network or several, got none")
    total, dtype = 0.0, torch.float32
    for model in models:
        refuse_mixing(model)
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        values = [score(model, x.to(device), y.to(device)).detach().cpu() for x, y in chunks(data, chunk)]
        if not values:
            raise SelectionError("data: must hold at least one example")
        values = torch.cat(values)
        total, dtype = total + values.double(), values.dtype
    return (total / len(models)).to(dtype)


def chunks(data, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The examples as (x, y) in their order: of a pair of tensors in chunks, of a loader as it yields them."""
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise SelectionError(f"chunk: must be a number of examples from 1, got {chunk!r}")
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        x, y = data
        if len(x) != len(y):
            raise SelectionError(f"data: must have a label per example, got {len(x)} examples and {len(y)} labels")
        batches: Iterable = zip(x.split(chunk), y.split(chunk), strict=True)
    else:
        batches = _in_order(data)
    for batch in batches:
        if not (
            isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)
        ):
            raise SelectionError("data: must be a pair of tensors (x, y), or a DataLoader that yields such pairs")
        x, y = batch
        if y.ndim != 1 or y.is_floating_point() or y.dtype == torch.bool:
            raise SelectionError(f"data: must have class numbers (N,) as labels, got {y.dtype} {tuple(y.shape)}")
        if not len(y):
            raise SelectionError("data: must hold at least one example")
        yield x, y.long()


def known(y: Tensor, classes: int) -> None:
    """Raises SelectionError for a label that is none of the classes, such as -100 where torch ignores it."""
    wrong = y[(y < 0) | (y >= classes)]
    if len(wrong):
        raise SelectionError(f"data: must have labels from 0 to {classes - 1}, the network's classes, got {wrong[0]}")


def _in_order(loader) -> Iterable:
    """A loader that yields every example once in the order of its dataset: else scores would belong to others."""
    if isinstance(loader, DataLoader):
        if type(loader.sampler) is not SequentialSampler or loader.batch_sampler is None or loader.drop_last:
            raise SelectionError(
                "data: must be a DataLoader without shuffle, sampler and drop_last: a score per example"
            )
    elif not isinstance(loader, Iterable) or iter(loader) is loader:
        raise SelectionError("data: must be a pair of tensors (x, y) or a DataLoader that can be read more than once")
    return loader


def refuse_mixing(model: nn.Module) -> None:
    """Raises SelectionError where an output depends on the other examples of its batch, or on chance.

    Told by the network's modules: what `forward` calls as a function (`F.dropout` with training=True, `F.batch_norm`
    on statistics of the batch) is not seen.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise SelectionError(
                f"models: {name or 'the model'} normalizes by the statistics of the batch, so that no example has a "
                "loss or gradient of its own; call model.eval() first (and track running statistics)"
            )
        if isinstance(module, _DropoutNd) and module.training and module.p > 0:
            raise SelectionError(f"models: {name or 'the model'} drops units at random; call model.eval() first")
