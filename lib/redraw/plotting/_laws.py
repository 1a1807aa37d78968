"""Figures of laws: bands, profile likelihoods, intervals side by side, heat maps with their plateau."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from redraw.plotting._intervals import MARKERS
from redraw.plotting._ranks import legend_below


def bands(ax: Axes, frame: pd.DataFrame, x: str, by: str) -> None:
    """Draw `middle` against `x` per group `by`, between `low` and `high` where these differ from it.

    frame: tidy, a row per group and x, with columns low, middle and high. Groups keep colour and marker by appearance.
    """
    colours = sns.color_palette()
    for i, (group, rows) in enumerate(frame.groupby(by, sort=False)):
        ax.plot(rows[x], rows["middle"], color=colours[i], marker=MARKERS[i], label=group)
        ax.fill_between(rows[x], rows["low"], rows["high"], color=colours[i], alpha=0.18, lw=0)
    ax.legend(title=None)


def profiles(axes: Sequence[Axes], frame: pd.DataFrame) -> None:
    """Draw profile likelihoods, a panel per parameter, with the limit, the interval it cuts out and the estimate.

    frame: columns parameter, value, ratio, and per parameter the same estimate, low, high and limit in every row.
    """
    colour = sns.color_palette()[0]
    for ax, (name, rows) in zip(axes, frame.groupby("parameter", sort=False), strict=True):
        first = rows.iloc[0]
        ax.plot(rows["value"], rows["ratio"], color=colour)
        ax.axhline(first["limit"], color="0.4", ls=":")
        ax.axvspan(first["low"], first["high"], color=colour, alpha=0.12, lw=0)
        ax.axvline(first["estimate"], color=colour, lw=1, ls="--")
        ax.set(xlabel=name, ylim=(0, 3 * first["limit"]))
    axes[0].set_ylabel("likelihood ratio")


def forest(ax: Axes, frame: pd.DataFrame, by: str, *, together: bool = False) -> None:
    """Draw estimates with their intervals under one another; colour and marker say who by (`by`).

    frame: a row each, in order from the top: label, estimate, low and high (NaN where there is no interval).
    together: rows of one label stand at one place, those of each `by` a little under one another.
    """
    groups = list(dict.fromkeys(frame[by]))
    labels = list(dict.fromkeys(frame["label"])) if together else list(frame["label"])
    at = frame["label"].map(labels.index).to_numpy() if together else np.arange(len(frame))
    for i, group in enumerate(groups):
        rows = frame[frame[by] == group]
        apart = 0.5 / len(groups) * (i - (len(groups) - 1) / 2) if together else 0.0
        places = -at[(frame[by] == group).to_numpy()] - apart
        colour = sns.color_palette()[i]
        ax.hlines(places, rows["low"], rows["high"], color=colour, lw=2.5)
        for end in ("low", "high"):  # caps, so that an interval too narrow to be seen still is one
            ax.plot(rows[end], places, "|", color=colour, ms=13 / (len(groups) if together else 1), mew=1.6)
        ax.plot(rows["estimate"], places, MARKERS[i], color=colour, ms=8, label=group)
    ax.set_yticks(-np.arange(len(labels)), labels)
    ax.set_ylim(-len(labels) + 0.4, 0.6)
    legend_below(ax, columns=min(len(groups), 3))  # rows of intervals leave no corner free


def heat_map(ax: Axes, frame: pd.DataFrame, x: str, y: str, value: str, *, plateau: float, label: str) -> None:
    """Draw `value` over a grid of `x` and `y` as colours, the cells up to `plateau` ringed by a line.

    frame: tidy, at most one row per x and y; where there is none the map stays white. label: of the colour bar.
    """
    grid = frame.pivot(index=y, columns=x, values=value)
    colours = ax.pcolormesh(grid.columns, grid.index, grid.to_numpy(), cmap="viridis_r", vmax=10 * plateau)
    ax.contour(grid.columns, grid.index, grid.to_numpy(), levels=[plateau], colors="white", linewidths=2)
    ax.figure.colorbar(colours, ax=ax, label=label, extend="max")
    ax.grid(False)
