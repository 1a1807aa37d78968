"""Curves with what is known of them: the mean over seeds and its interval."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from scipy import stats

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def mark(slot: int) -> tuple:
    """Colour and marker of a place in a figure's order, from 0, and whether the colour comes again; no pair comes twice
    in the first 49."""
    palette = sns.color_palette()
    again = slot // len(palette)
    return palette[slot % len(palette)], MARKERS[(slot + again) % len(MARKERS)], bool(again)


def t_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent `values`; degenerate for fewer than two."""
    values = np.asarray(values, float)
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    low, high = stats.t.interval(level, len(values) - 1, values.mean(), stats.sem(values))
    return float(low), float(high)


def curves(
    ax: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    *,
    markers: bool = True,
    slots: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Draw the mean of `y` against `x` per group `by`, with its 95 % interval over seeds; returns what was drawn.

    frame: tidy, a row per seed, group and x. Groups keep their colour and marker (without markers: dashes) by order
    of appearance, or by the place that `slots` gives each: so that several figures draw a group alike.
    A group at one x has its interval as a bar. Columns of the result: by, x, mean, low, high, seeds.
    """
    groups = list(dict.fromkeys(frame[by]))
    marks = [mark(slots[group] if slots else i) for i, group in enumerate(groups)]
    palette = [colour for colour, *_ in marks]
    sns.lineplot(
        frame,
        x=x,
        y=y,
        hue=by,
        style=by,
        hue_order=groups,
        style_order=groups,
        palette=palette,
        markers=dict(zip(groups, (marker for _, marker, _ in marks), strict=True)) if markers else False,
        dashes=dict(zip(groups, ((4, 2) if again else "" for *_, again in marks), strict=True)) if markers else True,
        errorbar=t_interval,
        err_kws={"alpha": 0.18, "linewidth": 0},
        ax=ax,
    )
    ax.legend(title=None)
    rows = frame.groupby([by, x], sort=False)[y].agg(["mean", t_interval, "count"]).reset_index()
    rows.columns = [by, x, "mean", "interval", "seeds"]
    rows["low"], rows["high"] = zip(*rows.pop("interval"), strict=True)
    for colour, group in zip(palette, groups, strict=True):
        mine = rows[rows[by] == group]
        if len(mine) == 1:
            ax.errorbar(
                mine[x],
                mine["mean"],
                [mine["mean"] - mine["low"], mine["high"] - mine["mean"]],
                color=colour,
                capsize=4,
            )
    return rows


def broaden(ax: Axes, group: str) -> None:
    """Draw the line of a group that `curves` has drawn broad and pale, so that another that lies on it is seen too."""
    colour = {line.get_label(): line.get_color() for line in ax.get_legend().get_lines()}[group]
    for line in ax.get_lines():
        if line.get_color() == colour:
            line.set(linewidth=6, linestyle="-", alpha=0.4, solid_capstyle="butt")
    ax.legend(title=None)


def remaining_axis(ax: Axes, measured: Iterable[float], label: str = "weights remaining (%)") -> None:
    """The pruning papers' horizontal axis: per cent of weights remaining, logarithmic, falling to the right.

    measured: the values (%) that were measured, as often as one likes: ticks stand at these alone. Where they lie too
    near each other the last, the first and those that the papers print are kept first.
    """
    measured = sorted({float(value) for value in measured})
    ax.set_xscale("log")
    ax.set_xlim(110, max(0.8, ax.get_xlim()[0] * 0.9))
    ticks: list[float] = []
    apart = np.log(110 / ax.get_xlim()[1]) / 11
    for tick in sorted(measured, key=lambda value: (value not in (measured[0], measured[-1]), not _printed(value))):
        if all(abs(np.log(tick / other)) >= apart for other in ticks):
            ticks.append(tick)
    ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def _printed(value: float) -> bool:
    """Whether it is what rounds of 20 % leave and the papers' figures are marked at."""
    return any(abs(value / level - 1) < 0.01 for level in (100, 51.3, 21.1, 7.0, 3.6, 1.9))


def paper_points(ax: Axes, points: pd.DataFrame, x: str, y: str, by: str, label: str = "paper") -> None:
    """Draw a paper's values beside ours: hollow stars in the colour of the group they belong to."""
    colours: Mapping[str, str] = {line.get_label(): line.get_color() for line in ax.get_legend().get_lines()}
    for group, rows in points.groupby(by, sort=False):
        colour = colours.get(group, "black")
        ax.plot(rows[x], rows[y], "*", ms=15, mfc="white", mec=colour, mew=1.6, zorder=5)
    ax.plot([], [], "*", ms=12, mfc="white", mec="black", mew=1.4, label=label)
    ax.legend(title=None)
