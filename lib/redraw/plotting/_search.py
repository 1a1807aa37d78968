"""Figures of searches: schedules with their lineage, ranks that cross, spread within and between groups."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from redraw.plotting._intervals import MARKERS, t_interval


def lineage(ax: Axes, frame: pd.DataFrame, x: str, y: str) -> None:
    """Draw `y` of every member of a population, stretch by stretch; what led to the best last network is drawn
    strongly.

    frame: a row per member and stretch, with columns member, source (whose weights it went on from; missing at first),
    `x` (where the stretch ends) and survives. A dotted line leads to a copy from the member it copied.
    """
    frame = frame.sort_values(x)
    stops = np.array(sorted(frame[x].unique()))
    before = dict(zip(stops, [0, *stops[:-1]], strict=True))
    at = frame.set_index(["member", x])[y]
    faint, strong = "0.72", sns.color_palette()[1]
    for row in frame.to_dict("records"):
        start, kept = before[row[x]], bool(row["survives"])
        style = {"color": strong, "lw": 2.6, "zorder": 4} if kept else {"color": faint, "lw": 1.2}
        ax.plot([start, row[x]], [row[y]] * 2, solid_capstyle="butt", **style)
        if start and pd.notna(row["source"]):
            style |= {"ls": ":"} if row["source"] != row["member"] else {"ls": "-"}
            ax.plot([start, start], [at[row["source"], start], row[y]], **(style | {"lw": style["lw"] * 0.7}))
    ax.plot([], [], color=strong, lw=2.6, label="led to the best network")
    ax.plot([], [], color=faint, lw=1.2, label="other members")
    ax.plot([], [], color="0.4", lw=1.2, ls=":", label="copied from")
    ax.legend()


def slopes(ax: Axes, places: pd.DataFrame) -> None:
    """Draw how the place of each row changes from column to column, 1 at the top; the best rows of the first column are
    told apart by colour and marker."""
    columns, palette = range(places.shape[1]), sns.color_palette()
    for i, row in enumerate(places.sort_values(places.columns[0]).to_numpy()):
        named = i < len(MARKERS)
        style = (
            {"color": palette[i % len(palette)], "marker": MARKERS[i]} if named else {"color": "0.75", "marker": "."}
        )
        ax.plot(columns, row, lw=1.6, zorder=3 if named else 2, **style)
    ax.set_xticks(list(columns), places.columns)
    ax.set_yscale("log")
    top = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick <= places.to_numpy().max() * 1.5]
    ax.set_yticks(top, [str(tick) for tick in top])
    ax.minorticks_off()
    ax.set_ylim(top[-1] * 1.25, 0.85)
    ax.set_xlim(-0.15, places.shape[1] - 0.85)


def spread(ax: Axes, frame: pd.DataFrame, value: str, by: str, within: str) -> pd.DataFrame:
    """Draw the mean of `value` for each `within` of each group `by`, with its 95 % interval over rows, groups side by
    side.

    Returns what was drawn: by, within, estimate, low, high; the best first in its group.
    """
    rows = frame.groupby([by, within], sort=False)[value].agg(["mean", t_interval]).reset_index()
    rows["low"], rows["high"] = zip(*rows.pop("t_interval"), strict=True)
    rows = rows.rename(columns={"mean": "estimate"}).sort_values([by, "estimate"], ignore_index=True)
    groups, ticks = list(dict.fromkeys(frame[by])), []
    for i, group in enumerate(groups):
        mine = rows[rows[by] == group]
        places = i + np.linspace(-0.3, 0.3, len(mine)) if len(mine) > 1 else np.array([float(i)])
        colour = sns.color_palette()[i]
        ax.errorbar(
            places,
            mine["estimate"],
            yerr=[mine["estimate"] - mine["low"], mine["high"] - mine["estimate"]],
            fmt=MARKERS[i],
            color=colour,
            capsize=3,
            lw=1.5,
        )
        ax.hlines(mine["estimate"].min(), i - 0.4, i + 0.4, color=colour, lw=1, ls="--")
        ticks.append(group)
    ax.set_xticks(range(len(ticks)), ticks)
    ax.set_xlim(-0.5, len(ticks) - 0.5)
    return rows


def ends(ax: Axes, frame: pd.DataFrame, x: str, by: str) -> None:
    """Draw a point with its interval for each `by`, in the colours and markers that follow those of the lines that `ax`
    has: columns `x`, estimate, low, high."""
    begun = len(ax.get_legend_handles_labels()[0])
    for i, row in enumerate(frame.to_dict("records"), begun):
        bars = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
        colour = sns.color_palette()[i % len(sns.color_palette())]
        style = {"fmt": MARKERS[i % len(MARKERS)], "color": colour, "capsize": 3, "lw": 1.5}
        ax.errorbar([row[x]], [row["estimate"]], yerr=bars, label=row[by], **style)
