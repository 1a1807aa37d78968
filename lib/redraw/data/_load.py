"""A dataset by name, in memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from redraw.data._catalog import describe, expect, reader
from redraw.data._files import locate
from redraw.data._tensors import Arrays, Dataset, Splits, split, splits

if TYPE_CHECKING:
    from pandas import DataFrame


def load(name: str, *, validation: int | None = None, seed: int = 0) -> Dataset:
    """The dataset `name` as normalized tensors, with `validation` training examples held out by `seed`.

    Inputs are float32: flat (N, 64) for digits and (N, 40) for mnist1d, (N, 1, 28, 28) for mnist and
    fashion_mnist, (N, 3, 32, 32) for cifar10 and cifar10_jpeg; labels are int64 (N,). By default validation
    holds 5,000 examples (237 of digits, 500 of mnist1d), so MNIST splits 55,000 / 5,000 / 10,000. The test
    set never depends on `seed`.

    Raises UnknownDataset or ValueError for a request that makes no sense, DataUnavailable when the files
    cannot be had.
    """
    entry = describe(name)
    expect(entry, "examples")
    arrays = _arrays(name)
    return split(name, arrays, entry.validation if validation is None else validation, seed)


def load_splits(name: str, *, seeds: Sequence[int], validation: int | None = None) -> Splits:
    """As `load` for several seeds at once, the examples in memory once: for networks that train side by side.

    Raises what `load` raises, and ValueError when there is no seed.
    """
    entry = describe(name)
    expect(entry, "examples")
    return splits(name, _arrays(name), entry.validation if validation is None else validation, seeds)


_recent: dict[tuple, Arrays] = {}
_KEPT_BYTES = 256 << 20  # a process that trains many networks reads a dataset once, but keeps no large one twice


def _arrays(name: str) -> Arrays:
    """What the reader makes of the verified files; the last dataset is kept if it is small."""
    files = locate(name)
    key = (name, *((file, str(path), path.stat().st_mtime_ns) for file, path in sorted(files.items())))
    if key not in _recent:
        arrays = reader(name)(files)
        _recent.clear()
        if sum(tensor.nbytes for tensor in arrays) > _KEPT_BYTES:
            return arrays
        _recent[key] = arrays
    return _recent[key]


def tables(name: str) -> "dict[str, DataFrame]":
    """File name -> table, for the datasets that are tables (steplaw, chinchilla, micro_sweep,
    perceptron_grid).

    Raises UnknownDataset or ValueError for a name that is none of them, DataUnavailable when the files cannot
    be had.
    """
    expect(describe(name), "tables")
    return reader(name)(locate(name))
