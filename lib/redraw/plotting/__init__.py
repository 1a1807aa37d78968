"""One style, one function per kind of figure."""

from redraw.plotting._intervals import curves, paper_points, remaining_axis, t_interval
from redraw.plotting._laws import bands, forest, heat_map, profiles
from redraw.plotting._style import figure, show

__all__ = [
    "bands",
    "curves",
    "figure",
    "forest",
    "heat_map",
    "paper_points",
    "profiles",
    "remaining_axis",
    "show",
    "t_interval",
]
