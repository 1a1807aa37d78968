"""Pictures side by side, and histograms in which some are marked."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes


def picture_wall(ax: Axes, pictures: Sequence, labels: Sequence[str]) -> np.ndarray:
    """Draw rows of pictures, a label per row; returns the mosaic that was drawn, (height, width) or (height, width, 3).

    pictures: (R, K, H, W) or, in colour, (R, K, 3, H, W), any numbers: each picture is scaled to its own range.
    """
    array = np.asarray(pictures, float)
    array = array[:, :, None] if array.ndim == 4 else array
    low, high = (reduce(array, axis=(2, 3, 4), keepdims=True) for reduce in (np.min, np.max))
    array = (array - low) / np.maximum(high - low, 1e-12)
    array = np.pad(array, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0)
    rows, columns, channels, height, width = array.shape
    mosaic = array.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    ax.imshow(mosaic if channels == 3 else mosaic[..., 0], cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    ax.set_yticks((np.arange(rows) + 0.5) * height, labels)
    ax.set_xticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return mosaic if channels == 3 else mosaic[..., 0]


def marked_histogram(ax: Axes, frame: pd.DataFrame, x: str, by: str) -> None:
    """Draw counts over bins, a filled outline per group `by`; each group's bins add up to 100 %.

    frame: tidy, a row per group and bin: `x`, the bin's lower end, its `width`, and `count`.
    """
    for i, (group, rows) in enumerate(frame.groupby(by, sort=False)):
        share = 100 * rows["count"] / max(rows["count"].sum(), 1)
        edges = [*rows[x], rows[x].iloc[-1] + rows["width"].iloc[-1]]
        colour, hatch = sns.color_palette()[i], ("", "///", "...")[i % 3]
        label = f"{group} ({rows['count'].sum():,})"
        ax.stairs(share, edges, fill=True, facecolor=colour, alpha=0.35, hatch=hatch, edgecolor=colour, label=label)
        ax.stairs(share, edges, color=colour, lw=1.6)
    ax.legend(title=None)
