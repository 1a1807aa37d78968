import itertools

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from redraw.hpo import SearchError, representative, star_discrepancy


def brute(points, reference=None):
    """The definition, over every box whose corner has the points' coordinates, open and closed, one by one."""
    both = points if reference is None else np.vstack([points, reference])
    worst = 0.0
    for corner in itertools.product(*[[*column, 1.0] for column in both.T]):
        for inside in ((points <= corner).all(axis=1).mean(), (points < corner).all(axis=1).mean()):
            if reference is None:
                worst = max(worst, abs(inside - np.prod(corner)))
        if reference is not None:
            share = (reference <= corner).all(axis=1).mean()
            worst = max(worst, abs((points <= corner).all(axis=1).mean() - share))
    return worst


@pytest.mark.parametrize("n, d", [(1, 1), (7, 1), (6, 2), (9, 2), (5, 3)])
def test_it_is_the_definition(n, d):
    rng = np.random.default_rng(n)
    for points in (rng.random((n, d)), rng.integers(0, 3, (n, d)) / 2):  # with ties and on the edges too
        assert star_discrepancy(points) == pytest.approx(brute(points))
        reference = rng.random((8, d))
        assert star_discrepancy(points, reference) == pytest.approx(brute(points, reference))


def test_in_one_dimension_it_is_kolmogorovs_statistic_and_niederreiters_formula():
    x = np.random.default_rng(0).random(40)
    i = np.arange(1, 41)
    formula = 1 / 80 + np.abs(np.sort(x) - (2 * i - 1) / 80).max()
    assert star_discrepancy(x[:, None]) == pytest.approx(formula) == pytest.approx(kstest(x, "uniform").statistic)
    assert star_discrepancy(((2 * i - 1) / 80)[:, None]) == pytest.approx(1 / 80)  # the best there is


def test_it_bounds_scipys_l2_star_discrepancy_and_prefers_sobol():
    sobol, anyhow = qmc.Sobol(2, rng=0).random(64), np.random.default_rng(0).random((64, 2))
    for points in (sobol, anyhow):
        assert qmc.discrepancy(points, method="L2-star") <= star_discrepancy(points)
    assert star_discrepancy(sobol) < star_discrepancy(anyhow) / 2


def test_the_whole_is_like_the_whole():
    points = np.random.default_rng(0).random((12, 2))
    assert star_discrepancy(points, points) == 0
    assert representative(points, 12) == list(range(12))


@pytest.mark.parametrize("uniform", [False, True])
def test_a_representative_subset_is_nearly_the_best(uniform):
    points = np.random.default_rng(3).random((11, 2)) ** 2
    reference = None if uniform else points
    all_of_them = [star_discrepancy(points[list(c)], reference) for c in itertools.combinations(range(11), 4)]
    chosen = representative(points, 4, uniform=uniform)
    reached = star_discrepancy(points[chosen], reference)
    assert len(set(chosen)) == 4 and np.mean(np.array(all_of_them) < reached - 1e-12) < 0.02
    for place, other in itertools.product(range(4), set(range(11)) - set(chosen)):  # no swap is better
        swapped = [*chosen[:place], other, *chosen[place + 1 :]]
        assert star_discrepancy(points[swapped], reference) > reached - 1e-12


def test_refused():
    with pytest.raises(SearchError, match="^points: must lie in the unit cube"):
        star_discrepancy([[0.5], [1.5]])
    with pytest.raises(SearchError, match=r"^points: must be of shape \(n, d\)"):
        star_discrepancy([0.5])
    with pytest.raises(SearchError, match="^reference: must have 1 columns"):
        star_discrepancy([[0.5]], [[0.5, 0.5]])
    with pytest.raises(SearchError, match="^size: must be at most the 1 points"):
        representative([[0.5]], 2)
