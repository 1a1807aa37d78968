"""MNIST-1D: one-dimensional digits, generated (Greydanus & Kobak, Scaling Down Deep Learning, arXiv 2011.14439)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from redraw.data._tensors import Arrays

# A digit as a pen line: how far right (+) or left (-) of the middle the pen is at twelve heights, top to bottom.
# Lines begin and end in the middle, so that the padding joins them without a step.
TEMPLATES = np.array(
    [
        [0.0, 0.55, 0.85, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.85, 0.55, 0.0],  # 0: one long belly
        [0.0, -0.8, -0.45, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.15, 0.0],  # 1: a flag, then the stem
        [0.0, 0.5, 0.9, 0.9, 0.5, 0.0, -0.4, -0.8, -1.0, -0.6, -0.2, 0.0],  # 2: belly right, then far left
        [0.0, 0.6, 0.9, 0.6, 0.15, 0.0, 0.15, 0.6, 0.9, 0.6, 0.3, 0.0],  # 3: two bellies right
        [0.0, -0.2, -0.45, -0.7, -0.95, -1.0, 0.3, 0.3, 0.3, 0.3, 0.15, 0.0],  # 4: slope left, then the stem
        [0.0, -0.7, -0.8, -0.8, -0.6, 0.3, 0.7, 0.9, 0.8, 0.4, -0.2, 0.0],  # 5: edge left, then belly right
        [0.0, -0.35, -0.6, -0.8, -0.95, -1.0, -1.0, -1.0, -0.9, -0.65, -0.35, 0.0],  # 6: one belly, left and low
        [0.0, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.4, 0.0],  # 7: far right, then a long slope
        [0.0, -0.55, -0.8, -0.55, -0.15, -0.05, -0.15, -0.6, -0.95, -0.8, -0.4, 0.0],  # 8: two bellies left
        [0.0, -0.6, -0.9, -0.75, -0.2, 0.2, 0.3, 0.3, 0.3, 0.2, 0.1, 0.0],  # 9: a head left, then the stem
    ]
)
_MEAN, _STD = 0.0, 1.0


def make_mnist1d(
    examples: int = 5000,
    seed: int = 42,
    *,
    padding: tuple[int, int] = (36, 60),
    scale: float = 0.4,
    shear: float = 0.75,
    translation: int = 48,
    correlated_noise: float = 0.25,
    smoothing: float = 2.0,
    noise: float = 0.02,
    length: int = 40,
) -> tuple[np.ndarray, np.ndarray]:
    """`examples` signals (N, length), float64, and their digits (N,), int64, in random order; the same for each seed.

    Each signal is a template of 12 points with

        padding           zeros appended, a number drawn from this range (both ends included);
        scale             times 1 + scale * u;
        shear             plus shear * u * t, where t runs from -1/2 to 1/2 along the signal;
        translation       rolled around by 0 to `translation` points;
        correlated_noise  plus this times white noise smoothed by a Gaussian of `smoothing` points;
        noise             plus this times white noise;

    in this order, u uniform on [-1/2, 1/2] and drawn anew each time, and then resampled to `length` points by linear
    interpolation. All digits are equally frequent. The parameters' defaults are the paper's (its Section 2 and code
    listing); the ten templates are drawn for Redraw, so accuracies are near the paper's but not equal to them.
    Raises ValueError when `examples` is not a positive multiple of 10.
    """
    if examples <= 0 or examples % 10:
        raise ValueError(f"examples: must be a positive multiple of 10, got {examples}")
    rng = np.random.default_rng(seed)
    digits = rng.permutation(np.repeat(np.arange(10), examples // 10))
    signals = np.empty((examples, length))
    for i, digit in enumerate(digits):
        zeros = np.zeros(rng.integers(padding[0], padding[1], endpoint=True))
        x = np.concatenate([TEMPLATES[digit], zeros]) * (1 + scale * rng.uniform(-0.5, 0.5))
        x = x + shear * rng.uniform(-0.5, 0.5) * np.linspace(-0.5, 0.5, x.size)
        x = np.roll(x, rng.integers(0, translation, endpoint=True))
        x = x + correlated_noise * gaussian_filter1d(rng.standard_normal(x.size), smoothing)
        x = x + noise * rng.standard_normal(x.size)
        signals[i] = np.interp(np.linspace(0, x.size - 1, length), np.arange(x.size), x)
    return signals, digits


def read_mnist1d(files: Mapping[str, Path]) -> Arrays:
    """The default signals (N, 40), standardized: 4,000 to train, 1,000 to test. `files` is not used."""
    signals, digits = make_mnist1d()
    x = torch.from_numpy((signals - _MEAN) / _STD).float()
    y = torch.from_numpy(digits)
    return Arrays(x[:4000], y[:4000], x[4000:], y[4000:])
