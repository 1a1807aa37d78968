"""One-dimensional digits, generated (Greydanus & Kobak, Scaling Down Deep Learning, arXiv 2011.14439)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from redraw.data._tensors import Arrays

# A digit as a pen line: how far right (+) or left (-) of the middle the pen is at twelve heights, top to
# bottom. Lines begin and end in the middle, so that the padding joins them without a step. The height is
# set so that logistic regression, a small MLP and a small CNN come near the paper's 32, 68 and 94 %.
TEMPLATES = 0.7 * np.array(
    [
        [0.0, 0.55, 0.85, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.85, 0.55, 0.0],  # 0: one long belly
        [0.0, -0.8, -0.45, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.15, 0.0],  # 1: a flag, then the stem
        [0.0, 0.5, 0.9, 0.9, 0.5, 0.0, -0.4, -0.8, -1.0, -0.6, -0.2, 0.0],  # 2: belly right, then far left
        [0.0, 0.6, 0.9, 0.6, 0.15, 0.0, 0.15, 0.6, 0.9, 0.6, 0.3, 0.0],  # 3: two bellies right
        [0.0, -0.2, -0.45, -0.7, -0.95, -1.0, 0.3, 0.3, 0.3, 0.3, 0.15, 0.0],  # 4: slope left, then the stem
        [0.0, -0.7, -0.8, -0.8, -0.6, 0.3, 0.7, 0.9, 0.8, 0.4, -0.2, 0.0],  # 5: edge left, then belly right
        [0.0, -0.35, -0.6, -0.8, -0.95, -1.0, -1.0, -1.0, -0.9, -0.65, -0.35, 0.0],  # 6: a low belly left
        [0.0, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.4, 0.0],  # 7: far right, then a long slope
        [0.0, -0.55, -0.8, -0.55, -0.15, -0.05, -0.15, -0.6, -0.95, -0.8, -0.4, 0.0],  # 8: two bellies left
        [0.0, -0.6, -0.9, -0.75, -0.2, 0.2, 0.3, 0.3, 0.3, 0.2, 0.1, 0.0],  # 9: a head left, then the stem
    ]
)
_MEAN, _STD = 0.0023, 0.2117


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
    """Signals (examples, length), float64, and their digits (examples,), int64; the same for the same seed.

    Each signal is a template of 12 points with

        padding           zeros appended, a number drawn from this range (both ends included);
        scale             times 1 + scale * u;
        shear             plus shear * u * t, where t runs from -1/2 to 1/2 along the signal;
        translation       rolled around by 0 to `translation` points;
        correlated_noise  plus this times white noise smoothed by a Gaussian of `smoothing` points;
        noise             plus this times white noise;

    in this order, u uniform on [-1/2, 1/2] and drawn anew each time, and then resampled to `length` points by
    linear interpolation. All digits are equally frequent. The defaults of these parameters are the authors';
    the ten templates are drawn for Redraw, so these are not the authors' signals and accuracies differ by a
    few percent. Raises ValueError that names the parameter and what is allowed.
    """
    if examples <= 0 or examples % 10:
        raise ValueError(f"examples: must be a positive multiple of 10, got {examples}")
    if not 0 <= padding[0] <= padding[1]:
        raise ValueError(f"padding: must be a range of numbers from 0 up, lower end first, got {padding}")
    if translation < 0:
        raise ValueError(f"translation: must be 0 or more, got {translation}")
    if length < 2:
        raise ValueError(f"length: must be 2 or more, got {length}")
    from scipy.ndimage import gaussian_filter1d  # here: it loads slowly and no other dataset needs it

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
    """The default signals (N, 40), as (x - 0.0023) / 0.2117: 4,000 to train, 1,000 to test; no `files`."""
    signals, digits = make_mnist1d()
    x = torch.from_numpy((signals - _MEAN) / _STD).float()
    y = torch.from_numpy(digits)
    return Arrays(x[:4000], y[:4000], x[4000:], y[4000:])
