"""Curves with what is known of them: the mean over seeds and its interval."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from scipy import stats

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def t_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent `values`; degenerate for fewer than two."""
    values = np.asarray(values, float)
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    low, high = stats.t.interval(level, len(values) - 1, values.mean(), stats.sem(values))
    return float(low), float(high)


def curves(ax: Axes, frame: pd.DataFrame, x: str, y: str, by: str, *, markers: bool = True) -> pd.DataFrame:
    """Draw the mean of `y` against `x` per group `by`, with its 95 % interval over seeds; returns what was drawn.

    frame: tidy, a row per seed, group and x. Groups keep their colour and marker (without markers: dashes) by order
    of appearance.
    Columns of the result: by, x, mean, low, high, seeds.
    """
    groups = list(dict.fromkeys(frame[by]))
    sns.lineplot(
        frame,
        x=x,
        y=y,
        hue=by,
        style=by,
        hue_order=groups,
        style_order=groups,
        palette=sns.color_palette()[: len(groups)],
        markers=dict(zip(groups, MARKERS, strict=False)) if markers else False,
        dashes=not markers,
        errorbar=t_interval,
        err_kws={"alpha": 0.18, "linewidth": 0},
        ax=ax,
    )
    ax.legend(title=None)
    rows = frame.groupby([by, x], sort=False)[y].agg(["mean", t_interval, "count"]).reset_index()
    rows.columns = [by, x, "mean", "interval", "seeds"]
    rows["low"], rows["high"] = zip(*rows.pop("interval"), strict=True)
    return rows


def remaining_axis(ax: Axes, label: str = "weights remaining (%)") -> None:
    """The pruning papers' horizontal axis: per cent of weights remaining, logarithmic, falling to the right."""
    ax.set_xscale("log")
    ax.set_xlim(110, max(0.8, ax.get_xlim()[0] * 0.9))
    ticks = [t for t in (100, 51.3, 21.1, 8.7, 3.6, 1.9, 1.0) if t >= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def paper_points(ax: Axes, points: pd.DataFrame, x: str, y: str, by: str, label: str = "paper") -> None:
    """Draw a paper's values beside ours: hollow stars in the colour of the group they belong to."""
    colours: Mapping[str, str] = {line.get_label(): line.get_color() for line in ax.get_legend().get_lines()}
    for group, rows in points.groupby(by, sort=False):
        colour = colours.get(group, "black")
        ax.plot(rows[x], rows[y], "*", ms=15, mfc="white", mec=colour, mew=1.6, zorder=5)
    ax.plot([], [], "*", ms=12, mfc="white", mec="black", mew=1.4, label=label)
    ax.legend(title=None)
