"""Datasets as tensors in memory: where each comes from, its checksum, how it is made.

    from redraw.data import load
    mnist = load("mnist", seed=1)        # 55,000 / 5,000 / 10,000, normalized
    mnist.train_x.shape                  # (55000, 1, 28, 28)

`locate` gives verified files, `load` tensors with a seeded split, `tables` published tables as data frames,
`text` a text as a sequence of characters. `digits` and `mnist1d` need no files. REDRAW_DATA may name folders
that are searched first.
"""

from redraw.data._catalog import Entry, Source, UnknownDataset, checksums, describe, names, reader
from redraw.data._files import (
    DataCorrupt,
    DataUnavailable,
    FileState,
    available,
    cache_folder,
    fetch,
    locate,
    verify,
)
from redraw.data._load import load, load_splits, tables
from redraw.data._mnist1d import make_mnist1d
from redraw.data._tensors import Arrays, Dataset, Splits, split, splits
from redraw.data._text import Text, text

__all__ = [
    "Arrays",
    "DataCorrupt",
    "DataUnavailable",
    "Dataset",
    "Entry",
    "FileState",
    "Source",
    "Splits",
    "Text",
    "UnknownDataset",
    "available",
    "cache_folder",
    "checksums",
    "describe",
    "fetch",
    "load",
    "load_splits",
    "locate",
    "make_mnist1d",
    "names",
    "reader",
    "split",
    "splits",
    "tables",
    "text",
    "verify",
]
