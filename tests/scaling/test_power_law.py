import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from redraw.scaling import ScalingError, ScalingWarning, bootstrap_power_law, fit_power_law, jackknife, resample_counts


def noisy(seed=0, n=60):
    rng = np.random.default_rng(seed)
    N, D = np.exp(rng.uniform(15, 22, n)), np.exp(rng.uniform(20, 26, n))
    return N, D, 2.5 * N**-0.7 * D**0.3 * np.exp(0.1 * rng.standard_normal(n))


@settings(max_examples=30, deadline=None)
@given(c=st.floats(1e-3, 1e3), p=st.floats(-2, 2), q=st.floats(-2, 2))
def test_exact_law_is_recovered(c, p, q):
    N, D, _ = noisy()
    fit = fit_power_law({"N": N, "D": D}, c * N**p * D**q)
    np.testing.assert_allclose(fit.estimate, [c, p, q], rtol=1e-7, atol=1e-9)
    assert float(fit.predict({"N": 1e9, "D": 1e10})) == pytest.approx(c * 1e9**p * 1e10**q, rel=1e-7)


def test_one_predictor_closed_form():
    N, _, y = noisy(1)
    x, z = np.log(N), np.log(y)
    slope = ((x - x.mean()) * (z - z.mean())).sum() / ((x - x.mean()) ** 2).sum()
    r = z - z.mean() - slope * (x - x.mean())
    se = np.sqrt((r**2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    fit = fit_power_law({"N": N}, y)
    assert fit["N"] == pytest.approx(slope) and fit.standard_errors["N"] == pytest.approx(se)
    assert fit["c"] == pytest.approx(np.exp(z.mean() - slope * x.mean()))
    assert fit.r_squared == pytest.approx(1 - (r**2).sum() / ((z - z.mean()) ** 2).sum())
    low, high = fit.interval("N")
    assert (low + high) / 2 == pytest.approx(slope) and (high - low) / 2 == pytest.approx(2.0017 * se, rel=1e-3)


def test_prediction_interval_is_narrowest_in_the_middle_of_the_data():
    N, D, y = noisy(2)
    fit = fit_power_law({"N": N, "D": D}, y)
    middle = {"N": np.exp(np.log(N).mean()), "D": np.exp(np.log(D).mean())}
    low, high = fit.predict_interval(middle)
    assert low < fit.predict(middle) < high
    far_low, far_high = fit.predict_interval({"N": 1e14, "D": 1e9})
    assert far_high / far_low > high / low
    # at the mean of the design the variance is sigma^2 / n
    sigma = np.sqrt((fit.residuals**2).sum() / (len(y) - 3))
    assert np.log(high / low) / 2 == pytest.approx(2.0025 * sigma / np.sqrt(len(y)), rel=1e-3)


def test_robust_fit_shrugs_off_outliers():
    N, D, y = noisy(3)
    y[:6] *= 50
    plain, robust = (fit_power_law({"N": N, "D": D}, y, robust=flag) for flag in (False, True))
    error = [abs(fit["N"] + 0.7) + abs(fit["D"] - 0.3) for fit in (plain, robust)]
    assert error[1] < 0.05 and error[1] < error[0]


def test_cluster_errors_see_shared_effects():
    rng = np.random.default_rng(4)
    D = np.repeat(np.geomspace(1e9, 1e11, 15), 20)
    y = 0.5 * D**0.6 * np.exp(np.repeat(0.2 * rng.standard_normal(15), 20) + 0.01 * rng.standard_normal(300))
    plain, clustered = (fit_power_law({"D": D}, y, cluster=c) for c in (None, D))
    assert clustered["D"] == plain["D"] and clustered.dof == 14
    assert clustered.standard_errors["D"] > 2.5 * plain.standard_errors["D"]
    boot = bootstrap_power_law({"D": D}, y, replicates=2000, cluster=D, seed=0)
    assert boot.standard_errors["D"] == pytest.approx(clustered.standard_errors["D"], rel=0.25)


def test_as_many_clusters_as_parameters_tell_no_errors():
    """Three cells and three parameters: whatever the runs, their cells are met exactly."""
    rng = np.random.default_rng(0)
    cells = np.array([[1e8, 1e9], [1e9, 1e9], [1e8, 1e10], [1e9, 1e10]])
    for number in (3, 4):
        cell = np.repeat(np.arange(number), 6)
        y = np.exp(rng.normal(size=len(cell)))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit = fit_power_law({"N": cells[cell, 0], "D": cells[cell, 1]}, y, cluster=cell)
        told = any("not identified" in str(warning.message) for warning in said)
        assert (fit.interval("N") == (-np.inf, np.inf)) == (not fit.identified) == told == (number == 3)
        assert fit.standard_errors["N"] > 1e-3 and fit.interval("c")[0] < fit["c"] < fit.interval("c")[1]


@pytest.mark.parametrize("clustered", [False, True])
def test_bootstrap_equals_the_plain_loop(clustered):
    N, D, y = noisy(5)
    labels = np.arange(len(y)) // 6 if clustered else None
    boot = bootstrap_power_law({"N": N, "D": D}, y, replicates=20, cluster=labels, seed=7)
    counts = resample_counts(len(y), 20, 7, labels).astype(int)
    for k in range(20):
        rows = np.repeat(np.arange(len(y)), counts[k])
        X = sm.add_constant(np.log(np.column_stack([N, D]))[rows])
        oracle = sm.OLS(np.log(y)[rows], X).fit().params
        np.testing.assert_allclose(boot.draws[k], [np.exp(oracle[0]), *oracle[1:]], rtol=1e-6)


def test_replicates_with_one_distinct_value_are_marked():
    D = np.array([1e9, 1e9, 1e9, 1e9, 1e9, 2e9])
    boot = bootstrap_power_law({"D": D}, np.arange(1.0, 7), replicates=200, seed=0)
    counts = resample_counts(6, 200, 0)
    assert (boot.usable == ((counts[:, :5].sum(axis=1) > 0) & (counts[:, 5] > 0))).all()
    assert 0 < boot.usable.mean() < 1 and len(boot.column("D")) == boot.usable.sum()


@pytest.mark.parametrize(
    ("predictors", "y", "message"),
    [
        ({}, [1, 2, 3], "predictors: must be a mapping"),
        ({"c": [1, 2, 3, 4]}, [1, 2, 3, 4], "predictors: must not be named c"),
        ({"N": [1, 2, 3, 4]}, [1, 2, 0, 4], "y: must be positive"),
        ({"N": [1, 2, np.nan, 4]}, [1, 2, 3, 4], "N: must be finite"),
        ({"N": [1, 2, 3]}, [1, 2, 3, 4], "N: has 3 values"),
        ({"N": [5, 5, 5, 5]}, [1, 2, 3, 4], "N: must take at least 2 distinct"),
        ({"N": [1, 2], "D": [3, 4]}, [1, 2], "y: must have at least 4 points"),
    ],
)
def test_nonsense_is_refused(predictors, y, message):
    for call in (fit_power_law, bootstrap_power_law):
        with pytest.raises(ScalingError, match=message):
            call(predictors, y)


def test_doubtful_exponents_are_warned_about():
    N, D, y = noisy(6)
    with pytest.warns(ScalingWarning, match="collinear"):
        assert not fit_power_law({"N": N, "D": 20 * N}, y).identified
    with pytest.warns(ScalingWarning, match="exponent of N"):
        assert not fit_power_law({"N": 1e9 * np.linspace(1, 1.001, 60), "D": D}, y).identified
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_power_law({"N": N, "D": D}, y).identified
    with pytest.raises(ScalingError, match="cluster"):
        fit_power_law({"N": N}, y, robust=True, cluster=np.arange(60))
    with pytest.raises(ScalingError, match="name"):
        fit_power_law({"N": N}, y)["D"]
    with pytest.raises(ScalingError, match="D is missing"):
        fit_power_law({"N": N, "D": D}, y).predict({"N": 1e9})


def test_jackknife_of_a_mean_gives_the_clusters_means():
    table = pd.DataFrame({"cell": list("aabbcc"), "x": [1.0, 3, 5, 5, 2, 10]})
    found = jackknife(lambda t: np.array([t["x"].mean()]), table, "cell")
    np.testing.assert_allclose(found[:, 0], [2, 5, 6])
    with pytest.raises(ScalingError, match="^cluster: must name at least 2 clusters, cell has 1"):
        jackknife(lambda t: t["x"], table[:2], "cell")


def test_jackknife_intervals_of_a_slope_cover_with_few_clusters():
    """Nine clusters of four, with a noise of their own: 95 % intervals of the slope cover about as often."""
    rng, hits = np.random.default_rng(0), 0
    x = np.repeat(np.linspace(0, 1, 9), 4)
    cell = np.repeat(np.arange(9), 4)
    for _ in range(200):
        y = 2 * x + rng.standard_normal(9)[cell] + 0.3 * rng.standard_normal(36)
        slope = jackknife(
            lambda t: np.polyfit(t["x"], t["y"], 1)[:1], pd.DataFrame({"cell": cell, "x": x, "y": y}), "cell"
        )
        low, high = stats.t.interval(0.95, 8, slope.mean(), stats.sem(slope[:, 0]))
        hits += low <= 2 <= high
    assert 0.91 <= hits / 200 <= 0.99
