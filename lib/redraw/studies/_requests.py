"""Requests that studies refuse alike, before anything is loaded or computed. Each error is one line: the field, what is
allowed, what was given."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from redraw import data

NUMBERS = ("", "at least one, ", "at least two, ")


def each_once(field: str, values: Sequence, least: int = 1) -> None:
    """Raises ValueError for fewer than `least` values (0 to 2), or one that is given twice."""
    if len(values) < least or len(set(values)) < len(values):
        given = ", ".join(map(str, values)) or "none"
        raise ValueError(f"{field}: must name {NUMBERS[least]}each once, got {given}")


def at_most_the_examples(field: str, count: int, dataset: str) -> None:
    """Raises ValueError for more examples than a dataset has to train on."""
    if count > (there := data.describe(dataset).examples):
        raise ValueError(f"{field}: must be at most the {there} examples of {dataset}, got {count}")


def fits(field: str, network: str, makers: Mapping[str, Callable[..., nn.Module]], dataset: str) -> None:
    """Raises ValueError for a network that cannot take the inputs of a dataset, naming those that can.

    makers: name -> function of the shape of one input and the number of classes.
    """
    shape = data.describe(dataset).shape
    if not _takes(makers[network], shape):
        others = " or ".join(name for name, make in makers.items() if _takes(make, shape))
        kind = "which are no pictures" if len(shape) < 3 else f"of shape {shape}"
        raise ValueError(f"{field}: must be {others} for the inputs of {dataset}, {kind}, got {network}")


def _takes(make: Callable[..., nn.Module], shape: tuple[int, ...]) -> bool:
    with torch.device("meta"):  # no weights are made
        try:
            make(shape, 10)
        except ValueError:
            return False
    return True
