"""Pictures and counts that are drawn are those that were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from redraw import plotting


def test_a_wall_holds_each_picture_in_its_place():
    pictures = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    fig, ax = plt.subplots()
    mosaic = plotting.picture_wall(ax, pictures, ["a", "b", "c"])
    assert mosaic.shape == (3 * 7, 4 * 8)
    for row in range(3):
        for column in range(4):
            one = pictures[row, column]
            tile = mosaic[7 * row : 7 * row + 7, 8 * column : 8 * column + 8]
            np.testing.assert_allclose(tile[1:-1, 1:-1], (one - one.min()) / np.ptp(one))
            assert (tile[0] == 1).all() and (tile[:, 0] == 1).all()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    plt.close(fig)


def test_a_wall_of_colour_and_of_nothing_to_see():
    fig, ax = plt.subplots()
    mosaic = plotting.picture_wall(ax, np.random.default_rng(0).random((2, 2, 3, 4, 4)), "ab")
    assert mosaic.shape == (12, 12, 3) and mosaic.min() == 0 and mosaic.max() == 1
    assert np.isfinite(plotting.picture_wall(ax, np.ones((1, 1, 4, 4)), "a")).all()
    plt.close(fig)


def test_each_group_of_a_histogram_adds_up():
    parts = [
        pd.DataFrame({"score": [0.0, 0.5], "width": 0.5, "count": c}).assign(what=w)
        for w, c in zip("ab", ([3, 1], [0, 2]), strict=True)
    ]
    fig, ax = plt.subplots()
    plotting.marked_histogram(ax, pd.concat(parts), "score", by="what")
    drawn = [patch.get_data() for patch in ax.patches][::2]
    assert [list(d.values) for d in drawn] == [[75, 25], [0, 100]]
    assert [list(d.edges) for d in drawn] == [[0, 0.5, 1]] * 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a (4)", "b (2)"]
    plt.close(fig)
