"""Figures of pruning: what a method costs against what it is worth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from redraw.plotting._intervals import mark


def labelled_points(
    ax: Axes, frame: pd.DataFrame, x: str, y: str, label: str, *, slots: Mapping[str, int] | None = None
) -> None:
    """Draw a named point per row at (x, y) with its interval, x logarithmic; what costs nothing stands at the left.

    frame: columns x, y, label, low and high (the interval of y). A legend names colours and markers, which go by the
    order of the rows, or by the place that `slots` gives each label.
    """
    costs = frame.loc[frame[x] > 0, x]
    free = costs.min() / 10 if len(costs) else 1.0
    for i, row in enumerate(frame.to_dict("records")):
        colour, marker, _ = mark(slots[row[label]] if slots else i)
        place = row[x] or free
        error = np.array([[row[y] - row["low"]], [row["high"] - row[y]]])
        ax.errorbar(place, row[y], error, fmt=marker, color=colour, ms=8, capsize=4, label=row[label])
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 100 * low else (1,)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())  # they would stand in each other
    if (frame[x] == 0).any():
        ax.annotate(
            "free",
            (free, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
        )
    ax.legend(title=None, loc="center left", bbox_to_anchor=(1, 0.5))
