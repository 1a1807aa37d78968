"""Curves with intervals: what is drawn, not how it looks."""

import matplotlib
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


def test_groups_keep_their_place_in_colour_and_marker_whoever_else_is_drawn():
    slots = {name: place for place, name in enumerate("abcdefghij")}
    seen = {}
    for groups in ("abcdefghij", "ja", "hb"):
        frame = pd.DataFrame({"x": [0, 1] * len(groups), "y": 1.0, "by": [g for g in groups for _ in range(2)]})
        points = pd.DataFrame({"cost": 1.0, "y": 1.0, "low": 0.5, "high": 1.5, "by": list(groups)})
        with plotting.figure(2) as (_, (left, right)):
            plotting.curves(left, frame, "x", "y", by="by", slots=slots)
            plotting.labelled_points(right, points, "cost", "y", "by", slots=slots)
            for line in left.get_legend().get_lines():
                look = (matplotlib.colors.to_hex(line.get_color()), line.get_marker())
                assert seen.setdefault(line.get_label(), look) == look
            for bars, name in zip(*right.get_legend_handles_labels(), strict=True):
                assert (matplotlib.colors.to_hex(bars[0].get_color()), bars[0].get_marker()) == seen[name]
    assert len(set(seen.values())) == 10


def test_a_forest_puts_what_has_one_label_at_one_place():
    frame = pd.DataFrame(
        {"label": ["a", "a", "b"], "by": ["one", "two", "one"], "estimate": 1.0, "low": 0.5, "high": 2}
    )
    places = {}
    for together in (False, True):
        with plotting.figure() as (_, ax):
            plotting.forest(ax, frame, by="by", together=together)
            labels = [label.get_text() for label in ax.get_yticklabels()]
            marks = {line.get_label(): line.get_ydata() for line in ax.get_lines() if line.get_marker() != "|"}
            places[together] = labels, marks
    assert places[False][0] == ["a", "a", "b"] and [*places[False][1]["one"], *places[False][1]["two"]] == [0, -2, -1]
    assert places[True][0] == ["a", "b"]
    assert np.round(places[True][1]["one"]).tolist() == [0, -1] and np.round(places[True][1]["two"]).tolist() == [0]
    assert places[True][1]["one"][0] > places[True][1]["two"][0]


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
