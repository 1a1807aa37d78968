"""Figures that compare many methods: the critical-difference diagram, plain lines side by side, and their axes."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.transforms import ScaledTranslation

from redraw.plotting._intervals import MARKERS

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def critical_difference(
    ax: Axes, frame: pd.DataFrame, difference: float, groups: Sequence[tuple[float, float]], *, name: str = "schedule"
) -> None:
    """Draw average ranks on a line, each named at the side, with bars that join those that do not differ.

    frame: columns `name` and rank; difference: the critical one, drawn as a measure above the line; groups: (lowest,
    highest) rank of each bar. After Demsar 2006 (JMLR 7, Figure 1).
    """
    frame = frame.sort_values("rank", ignore_index=True)
    colour, half, top = sns.color_palette()[0], (len(frame) + 1) // 2, len(frame) + 1
    depth = 0.28 * len(groups) + 0.5  # room for the bars, between the line and the names
    ax.plot([1, top - 1], [0, 0], color="black", lw=1.2)
    for tick in range(1, top):
        ax.plot([tick, tick], [0, 0.15], color="black", lw=1)
        ax.text(tick, 0.25, str(tick), ha="center", va="bottom")
    for i, row in enumerate(frame.itertuples()):
        left = i < half
        y = -depth - 0.55 * (i if left else len(frame) - 1 - i)
        end = 0.6 if left else top - 0.6
        ax.plot([row.rank, row.rank, end], [0, y, y], color="0.45", lw=1)
        ax.plot([row.rank], [0], "o", color=colour, ms=5)
        label = f"{getattr(row, name)}  {row.rank:.1f}" if left else f"{row.rank:.1f}  {getattr(row, name)}"
        ax.text(end - 0.1 if left else end + 0.1, y, label, ha="right" if left else "left", va="center")
    for i, (low, high) in enumerate(groups):
        ax.plot([low - 0.06, high + 0.06], [-0.28 * (i + 1)] * 2, color=colour, lw=3.5, solid_capstyle="butt")
    ax.plot([1, 1 + difference], [1.15, 1.15], "|-", color="black", lw=1.5, ms=8)
    ax.text(1 + difference / 2, 1.3, f"critical difference {difference:.2f}", ha="center", va="bottom")
    ax.set(xlim=(-2.2, top + 2.2), ylim=(-depth - 0.55 * half, 1.9))
    ax.axis("off")


def lines(ax: Axes, frame: pd.DataFrame, x: str, y: str, by: str, *, step: bool = False, markers: bool = False) -> None:
    """Draw `y` against `x`, a line for each group `by`, told apart by colour and dash, or colour and marker; `step`: as
    steps that hold to the next x. Up to 49 groups are told apart."""
    colours = sns.color_palette()
    for i, (group, rows) in enumerate(frame.groupby(by, sort=False)):
        kind = i + i // len(colours)  # no pair of colour and kind twice
        style = {"marker": MARKERS[kind % len(MARKERS)], "ls": "-"} if markers else {"ls": DASHES[kind % len(DASHES)]}
        drawstyle = "steps-post" if step else "default"
        ax.plot(rows[x], rows[y], color=colours[i % len(colours)], label=group, drawstyle=drawstyle, **style)
    ax.legend(title=None)


def log_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Make an axis (`ax.xaxis`, `ax.yaxis`) logarithmic, with these ticks alone, written as plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(list(ticks), [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def legend_below(ax: Axes, columns: int = 4) -> None:
    """Move the legend under the axes and their label, so that it covers no line."""
    below = ax.transAxes + ScaledTranslation(0, -38 / 72, ax.figure.dpi_scale_trans)  # inches: however high the axes
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncol=columns, fontsize=8)
