"""Curves with intervals: what is drawn, not how it looks."""

import numpy as np
import pandas as pd
import pytest

from redraw import plotting


def _ticks(measured):
    frame = pd.DataFrame({"remaining": measured, "accuracy": 1.0, "arm": "ticket"})
    with plotting.figure() as (_, ax):
        plotting.curves(ax, frame, "remaining", "accuracy", by="arm")
        plotting.remaining_axis(ax, frame["remaining"])
        assert ax.get_xlim()[0] > 100 and ax.get_xlim()[1] < min(measured)
        return dict(zip(ax.get_xticks(), [label.get_text() for label in ax.get_xticklabels()], strict=True))


def test_weights_that_remain_are_marked_where_they_were_measured():
    assert _ticks([100.0, 21.0, 4.41, 21.0]) == {100: "100", 4.41: "4.41", 21: "21"}


@pytest.mark.parametrize("rounds", [13, 19, 22])
def test_of_many_rounds_those_are_marked_that_the_papers_print(rounds):
    measured = [round(100 * 0.8**r, 2) for r in range(rounds)]
    ticks = _ticks(measured)
    assert set(ticks) <= set(measured) and {100.0, 51.2, 20.97, measured[-1]} <= set(ticks)
    assert np.diff(np.log(sorted(ticks))).min() > np.log(110 / 0.9 / measured[-1]) / 12  # room for the words


def test_an_axis_with_nothing_measured_has_no_ticks():
    with plotting.figure() as (_, ax):
        plotting.remaining_axis(ax, [])
        assert len(ax.get_xticks()) == 0 and ax.get_xlabel() == "weights remaining (%)"


def test_a_broad_line_is_that_of_its_group():
    frame = pd.DataFrame({"x": [0, 1] * 2, "y": [1.0, 2.0] * 2, "by": list("aabb")})
    with plotting.figure() as (_, ax):
        plotting.curves(ax, frame, "x", "y", by="by", markers=False)
        plotting.broaden(ax, "a")
        widths = {line.get_label(): line.get_linewidth() for line in ax.get_legend().get_lines()}
        drawn = [line.get_linewidth() for line in ax.get_lines() if len(line.get_xdata())]
    assert widths["a"] == 6 and widths["b"] < 3 and sorted(drawn)[-1] == 6 and len(drawn) == 2
