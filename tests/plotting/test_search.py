"""Figures of searches draw what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from redraw import plotting


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_a_lineage_leads_from_who_was_copied(ax):
    frame = pd.DataFrame(
        {
            "member": [0, 1, 0, 1],
            "source": pd.array([None, None, 0, 0], dtype="Int64"),
            "fidelity": [2, 2, 4, 4],
            "lr": [0.1, 0.5, 0.1, 0.12],
            "survives": [True, False, False, True],
        }
    )
    plotting.lineage(ax, frame, "fidelity", "lr")
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines() if len(line.get_xdata())]
    assert ([2, 4], [0.12, 0.12]) in drawn and ([0, 2], [0.5, 0.5]) in drawn
    (copy,) = [line for line in ax.get_lines() if line.get_ls() == ":" and len(line.get_xdata())]
    assert list(copy.get_xdata()) == [2, 2] and list(copy.get_ydata()) == [0.1, 0.12]


def test_slopes_have_a_line_for_each_row_and_the_best_place_on_top(ax):
    plotting.slopes(ax, pd.DataFrame([[2, 1], [1, 3], [3, 2]], columns=["seed 0", "seed 1"]))
    assert [list(line.get_ydata()) for line in ax.get_lines()] == [[1, 3], [2, 1], [3, 2]]
    low, high = ax.get_ylim()
    assert low > high and [tick.get_text() for tick in ax.get_xticklabels()] == ["seed 0", "seed 1"]


def test_spread_gives_means_and_intervals_the_best_first(ax):
    frame = pd.DataFrame({"g": list("aaaabb"), "w": [0, 0, 1, 1, 0, 0], "v": [3.0, 5.0, 1.0, 3.0, 7.0, 9.0]})
    drawn = plotting.spread(ax, frame, "v", by="g", within="w")
    assert drawn[["g", "w", "estimate"]].to_numpy().tolist() == [["a", 1, 2.0], ["a", 0, 4.0], ["b", 0, 8.0]]
    half = 12.706 * np.sqrt(2) / np.sqrt(2)  # Student's t for two values
    assert drawn["high"].iloc[0] - 2.0 == pytest.approx(half, rel=1e-3)


def test_ends_follow_the_lines_that_are_there(ax):
    ax.plot([1, 2], [3, 4], label="line")
    frame = pd.DataFrame({"method": ["a", "b"], "spent": [1, 2], "estimate": [3, 4], "low": [2, 3], "high": [4, 6]})
    plotting.ends(ax, frame, "spent", by="method")
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["line", "a", "b"]
    assert handles[1].lines[0].get_color() != handles[0].get_color() != handles[2].lines[0].get_color()
    assert handles[2].lines[0].get_xydata().tolist() == [[2, 4]]
