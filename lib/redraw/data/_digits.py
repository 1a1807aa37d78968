"""scikit-learn's bundled digits (Alpaydin & Kaynak 1998), with a test set of our own choosing."""

from collections.abc import Mapping
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from redraw.data._tensors import Arrays
from redraw.seeds import generator

_TEST_PER_CLASS = 36


def read_digits(files: Mapping[str, Path]) -> Arrays:
    """Images (N, 64), pixels / 16, then (x - 0.3053) / 0.3760: 1,437 to train and 360 to test.

    The collection comes without a split that could be told apart in this form, so 36 images of each class,
    drawn by a seed that is part of the dataset, are its test set. `files` is not used: scikit-learn carries
    the images.
    """
    pixels, labels = load_digits(return_X_y=True)
    x = (torch.from_numpy(pixels).float() / 16 - 0.3053) / 0.3760
    y = torch.from_numpy(labels).long()
    test = torch.zeros(len(y), dtype=torch.bool)
    for label in range(10):
        members = (y == label).nonzero().squeeze(1)
        drawn = torch.randperm(len(members), generator=generator(0, "digits", "test", label))
        test[members[drawn[:_TEST_PER_CLASS]]] = True
    return Arrays(x[~test], y[~test], x[test], y[test])
