"""Ranks, critical differences and profiles against published tables, scipy and cases done by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redraw.studies._ranks import (
    bootstrap_ranks,
    cliques,
    critical_difference,
    friedman,
    leave_one_out,
    performance_profile,
    profile_score,
    ranks,
)

# Demsar 2006 (JMLR 7), Table 5(a): critical values of the two-tailed Nemenyi test at 0.05, two to ten methods.
Q_05 = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]

SCORES = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 1.0], "c": [3.0, 8.0, 2.0]})


def test_equal_scores_share_their_places():
    assert ranks(SCORES).to_numpy().tolist() == [[1, 2, 3], [1.5, 1.5, 3], [3, 1, 2]]


def test_a_missing_score_is_named():
    with pytest.raises(ValueError, match="^scores: must be given for every method, b has none on 1$"):
        ranks(SCORES.replace({"b": {2.0: np.nan}}).assign(b=[2.0, np.nan, 1.0]))


@pytest.mark.parametrize("methods", range(2, 11))
def test_the_critical_difference_is_that_of_the_published_table(methods):
    problems = 14
    expected = Q_05[methods - 2] * np.sqrt(methods * (methods + 1) / (6 * problems))
    assert critical_difference(methods, problems) == pytest.approx(expected, rel=5e-4)


def test_the_critical_difference_needs_something_to_compare():
    with pytest.raises(ValueError, match="methods, problems: must be at least 2 and 1, got 1 and 5"):
        critical_difference(1, 5)


def test_friedman_is_the_formula_with_ties():
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(rng.integers(0, 4, (20, 5)).astype(float), columns=list("abcde"))
    R = scores.rank(axis=1).to_numpy()
    n, k = R.shape
    ties = sum((counts**3 - counts).sum() for counts in (np.unique(row, return_counts=True)[1] for row in R))
    statistic = 12 / (n * k * (k + 1)) * (R.sum(axis=0) ** 2).sum() - 3 * n * (k + 1)
    statistic /= 1 - ties / (n * k * (k**2 - 1))
    assert friedman(scores) == pytest.approx(stats.chi2.sf(statistic, k - 1))
    assert np.isnan(friedman(scores[["a", "b"]]))


def test_cliques_are_the_longest_runs_within_the_difference():
    assert cliques([1.0, 1.5, 2.2, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.2)]
    assert cliques([1.0, 2.0, 3.0], 5.0) == [(1.0, 3.0)]
    assert cliques([1.0, 3.0], 1.0) == []


def test_profiles_count_the_problems_within_a_factor():
    found = performance_profile(SCORES, [1.0, 2.0, 4.0]).pivot(index="method", columns="tau", values="share")
    assert found.loc["a"].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert found.loc["b"].tolist() == pytest.approx([2 / 3, 1, 1])
    assert found.loc["c"].tolist() == pytest.approx([0, 1 / 3, 1])


def test_the_profiles_score_is_the_area_under_it():
    taus = np.linspace(1, 5, 400_001)
    profile = performance_profile(SCORES, taus[::100])
    for method, rows in profile.groupby("method"):
        area = np.trapezoid(rows["share"], rows["tau"]) / 4
        assert profile_score(SCORES, 5.0)[method] == pytest.approx(area, abs=1e-3)
    with pytest.raises(ValueError, match="^scores: must be above 0 for a profile, got 0$"):
        profile_score(SCORES - 1, 5.0)


def test_leaving_out_a_competitor_moves_those_it_beat():
    found = leave_one_out(SCORES, 5.0)
    assert found[""].to_dict() == profile_score(SCORES, 5.0).to_dict()
    assert np.isnan(found.loc["b", "b"])
    assert found.loc["a", "b"] > found.loc["a", ""]  # alone on the third problem against c


def nested(scores):
    """Two tasks, one budget, three seeds; a frame by task, budget and seed."""
    index = pd.MultiIndex.from_product([["s", "t"], [0.1], range(3)], names=["task", "budget", "seed"])
    return pd.DataFrame(scores, index=index, columns=["a", "b"])


def test_the_bootstrap_of_what_never_varies_has_no_width():
    found = bootstrap_ranks(nested([[1.0, 2.0]] * 6), cluster="task", within="seed", replicates=50)
    assert found[["method", "rank", "low", "high"]].to_numpy().tolist() == [["a", 1, 1, 1], ["b", 2, 2, 2]]


def test_the_bootstrap_sees_tasks_that_disagree_and_seeds_that_do():
    tasks = nested([[1.0, 2.0]] * 3 + [[2.0, 1.0]] * 3)
    found = bootstrap_ranks(tasks, cluster="task", within="seed", replicates=400)
    assert found["rank"].tolist() == [1.5, 1.5] and found["low"].tolist() == [1, 1] and found["high"].tolist() == [2, 2]
    seeds = nested([[1.0, 2.0], [1.0, 2.0], [1.0, -9.0]] * 2)
    found = bootstrap_ranks(seeds, cluster="task", within="seed", replicates=400)
    assert found["low"].min() == 1 and found["high"].max() == 2
