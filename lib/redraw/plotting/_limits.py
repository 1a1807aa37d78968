"""Measurements against the limits they are held to."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter


def against_limits(ax: Axes, frame: pd.DataFrame) -> None:
    """Draw how much of its limit each measurement takes, one under the other on a logarithmic axis, the limit at 1.

    frame: a row each, in order from the top: label, median, low, high (shares of the limit, below 1 within it) and
    held (bool). Those beyond their limit have another colour and marker.
    """
    places = -np.arange(len(frame))
    held = frame["held"].to_numpy(bool)
    for ours, marker, colour, label in ((held, "o", 0, "within its limit"), (~held, "X", 1, "beyond its limit")):
        rows, at, colour = frame[ours], places[ours], sns.color_palette()[colour]
        if len(rows):
            ax.hlines(at, rows["low"], rows["high"], color=colour, lw=2.5)
            ax.plot(rows["median"], at, marker, color=colour, ms=7, label=label)
    ax.axvline(1, color="black", lw=1.2, ls="--")
    ax.set_xscale("log")
    left, right = ax.get_xlim()
    ax.set_xlim(min(left, 0.09), max(right, 1.5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(places, frame["label"])
    ax.set(ylim=(-len(frame) + 0.4, 0.6), xlabel="share of the limit that is taken (median and range)")
    ax.grid(False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
