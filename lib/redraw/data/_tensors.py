"""The record every dataset is read into, and the seeded split of training data into train and validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from redraw.seeds import generator


class Arrays(NamedTuple):
    """What a reader returns: normalized float32 inputs and int64 labels, before validation is held out."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Dataset:
    """A classification dataset in memory. Inputs are float32 (N, ...), labels int64 (N,)."""

    name: str
    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


def split(name: str, arrays: Arrays, validation: int, seed: int) -> Dataset:
    """Hold out `validation` training examples, drawn without replacement by `seed`; the test set is untouched.

    Raises ValueError when `validation` leaves nothing to train or to validate on.
    """
    total = len(arrays.train_x)
    if not 0 < validation < total:
        raise ValueError(f"validation: must be from 1 to {total - 1} examples of {name}, got {validation}")
    order = torch.randperm(total, generator=generator(seed, "split"))
    held, kept = order[:validation], order[validation:]
    return Dataset(
        name=name,
        train_x=arrays.train_x[kept],
        train_y=arrays.train_y[kept],
        validation_x=arrays.train_x[held],
        validation_y=arrays.train_y[held],
        test_x=arrays.test_x,
        test_y=arrays.test_y,
        classes=int(arrays.train_y.max()) + 1,
    )


@dataclass(frozen=True)
class Splits:
    """A dataset once in memory, and M splits of it as indices: no copy of the examples for each.

    x (N, ...) float32 and y (N,) int64 are all examples but the test set's; train (M, N - V) and validation (M, V)
    are int64 indices into them, row m those of the `Dataset` of the m-th seed, in its order.
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    train: Tensor
    validation: Tensor
    classes: int

    def to(self, device: torch.device | str) -> "Splits":
        """The same on a device."""
        return Splits(**{n: v.to(device) if isinstance(v, Tensor) else v for n, v in vars(self).items()})


def splits(name: str, arrays: Arrays, validation: int, seeds: Sequence[int]) -> Splits:
    """The splits that `split` draws by each of `seeds`. Raises ValueError as it does, or when there is no seed."""
    if not seeds:
        raise ValueError(f"seeds: must be at least one for splits of {name}")
    numbered = arrays._replace(train_x=torch.arange(len(arrays.train_x)))
    drawn = [split(name, numbered, validation, seed) for seed in seeds]
    return Splits(
        x=arrays.train_x,
        y=arrays.train_y,
        test_x=arrays.test_x,
        test_y=arrays.test_y,
        train=torch.stack([one.train_x for one in drawn]),
        validation=torch.stack([one.validation_x for one in drawn]),
        classes=drawn[0].classes,
    )
