"""MNIST and Fashion-MNIST from their four idx files (LeCun et al.; Xiao et al., arXiv 1708.07747)."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redraw.data._tensors import Arrays


def read_idx(path: Path) -> Tensor:
    """The uint8 tensor in an idx file, plain or gzipped. Raises ValueError when header and length disagree."""
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    dimensions = raw[3]
    shape = [int(n) for n in np.frombuffer(raw, ">u4", dimensions, 4)]
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
    if body.size != np.prod(shape):
        raise ValueError(f"{path}: header promises {shape}, found {body.size} bytes")
    return torch.from_numpy(body.reshape(shape).copy())


def _read(files: Mapping[str, Path], mean: float, std: float) -> Arrays:
    def images(name):
        return ((read_idx(files[name]).float() / 255 - mean) / std).unsqueeze(1)

    def labels(name):
        return read_idx(files[name]).long()

    return Arrays(
        train_x=images("train-images-idx3-ubyte"),
        train_y=labels("train-labels-idx1-ubyte"),
        test_x=images("t10k-images-idx3-ubyte"),
        test_y=labels("t10k-labels-idx1-ubyte"),
    )


def read_mnist(files: Mapping[str, Path]) -> Arrays:
    """Images (N, 1, 28, 28), pixels / 255, then (x - 0.1307) / 0.3081: the training set's mean and deviation."""
    return _read(files, 0.1307, 0.3081)


def read_fashion_mnist(files: Mapping[str, Path]) -> Arrays:
    """Images (N, 1, 28, 28), pixels / 255, then (x - 0.2860) / 0.3530: the training set's mean and deviation."""
    return _read(files, 0.2860, 0.3530)
