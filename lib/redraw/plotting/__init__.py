"""One style, one function per kind of figure."""

from redraw.plotting._intervals import broaden, curves, paper_points, remaining_axis, t_interval
from redraw.plotting._laws import bands, forest, heat_map, profiles
from redraw.plotting._limits import against_limits
from redraw.plotting._pictures import marked_histogram, picture_wall
from redraw.plotting._pruning import labelled_points
from redraw.plotting._ranks import critical_difference, legend_below, lines, log_ticks
from redraw.plotting._search import ends, lineage, slopes, spread
from redraw.plotting._style import figure, show
from redraw.plotting._tables import table

__all__ = [
    "against_limits",
    "bands",
    "broaden",
    "critical_difference",
    "curves",
    "ends",
    "figure",
    "forest",
    "heat_map",
    "labelled_points",
    "marked_histogram",
    "legend_below",
    "lineage",
    "lines",
    "log_ticks",
    "paper_points",
    "picture_wall",
    "profiles",
    "remaining_axis",
    "show",
    "slopes",
    "spread",
    "t_interval",
    "table",
]
