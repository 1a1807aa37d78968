"""Figures that compare many methods: what is drawn, not how it looks."""

import pandas as pd
import pytest

from redraw import plotting

FRAME = pd.DataFrame({"schedule": list("abcd"), "rank": [3.2, 1.1, 1.9, 3.8]})


def test_the_critical_difference_names_every_method_and_bars_every_group():
    with plotting.figure() as (_, ax):
        plotting.critical_difference(ax, FRAME, 1.0, [(1.1, 1.9), (3.2, 3.8)])
        texts = [text.get_text() for text in ax.texts]
        bars = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 3.5]
    for row in FRAME.itertuples():  # the better half on the left, the others on the right
        assert f"{row.schedule}  {row.rank}" in texts or f"{row.rank}  {row.schedule}" in texts
    assert "critical difference 1.00" in texts
    assert [(bar[0], bar[1]) for bar in bars] == [pytest.approx((1.04, 1.96)), pytest.approx((3.14, 3.86))]


def test_lines_keep_their_groups_apart():
    frame = pd.DataFrame({"x": [0, 1] * 9, "y": range(18), "by": [name for name in "abcdefghi" for _ in range(2)]})
    with plotting.figure() as (_, ax):
        plotting.lines(ax, frame, "x", "y", by="by")
        looks = {(str(line.get_color()), str(line.get_linestyle())) for line in ax.lines}
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        plotting.legend_below(ax)
    assert len(looks) == 9 and names == list("abcdefghi")


def test_log_ticks_are_plain_numbers_and_the_only_ones():
    with plotting.figure() as (_, ax):
        ax.plot([1, 100], [1, 2])
        plotting.log_ticks(ax.xaxis, [1, 5, 100])
        assert ax.get_xscale() == "log" and ax.get_yscale() == "linear"
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "5", "100"]
        assert len(ax.xaxis.get_minorticklocs()) == 0
