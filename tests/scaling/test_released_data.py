"""The released tables: what the reanalysis of Chinchilla printed, and what the Step Law data say."""

import numpy as np
import pytest

from redraw.scaling import (
    LossSurface,
    bootstrap_surface,
    cell_minima,
    fit_loss_surface,
    fit_step_law,
    huber_log_likelihood,
    lbfgs_grid,
    likelihood_ratio_test,
    regret_table,
    runs_needed,
    steplaw_runs,
    wald_test,
)

PUBLISHED = {"A": (482.01, 124.58), "B": (2085.43, 1293.23), "E": (1.8172, 0.0257), "alpha": (0.3478, 0.0154),
             "beta": (0.3658, 0.0206), "a": (0.513, 0.020)}  # fmt: skip
PRINTED = LossSurface(1.69, 406.4, 410.7, 0.34, 0.28)
UNROUNDED = LossSurface(np.exp(0.52672), 406.4, 410.7, 0.33917, 0.28491)


@pytest.fixture(scope="module")
def fit(chinchilla):
    return fit_loss_surface(*chinchilla)


@pytest.fixture(scope="module")
def draws(fit):
    return bootstrap_surface(fit, replicates=4000, seed=0)


def test_reanalysis_estimates(fit, chinchilla):
    """Within a tenth of the published standard error, and lower than the published point itself."""
    for name, (value, error) in PUBLISHED.items():
        ours = fit.surface.a if name == "a" else fit[name]
        assert abs(ours - value) < 0.1 * error, name
    assert fit.objective == pytest.approx(1.018274e-3, rel=1e-6)
    assert fit.agree >= 5 and fit.identified
    N, D, loss = chinchilla
    start = [np.log([1.8172, 482.01, 2085.43]).tolist() + [0.3478, 0.3658]]
    classic = lbfgs_grid(N, D, loss, starts=start, ftol=1e-15, gtol=1e-9)
    assert classic.objective == pytest.approx(fit.objective, rel=1e-6)


def test_reanalysis_standard_errors(draws):
    assert draws.usable.mean() > 0.999
    for name, (_, error) in PUBLISHED.items():
        # B's draws have a heavy right tail, so its standard deviation is itself uncertain
        assert draws.standard_errors[name] == pytest.approx(error, rel=0.25 if name == "B" else 0.08), name
    assert draws.interval("alpha") == pytest.approx((0.317, 0.373), abs=0.003)
    assert draws.interval("beta") == pytest.approx((0.331, 0.415), abs=0.006)


def test_reanalysis_likelihoods(fit, draws, chinchilla):
    N, D, loss = chinchilla
    assert huber_log_likelihood(fit.residuals) == pytest.approx(879.8, abs=0.5)
    unrounded, printed = (likelihood_ratio_test(fit, s, N, D, loss) for s in (UNROUNDED, PRINTED))
    assert unrounded.null_log_likelihood == pytest.approx(837.8, abs=0.5)
    assert printed.null_log_likelihood == pytest.approx(562.3, abs=0.5)
    assert unrounded.p_value < 1e-12 and printed.p_value < 1e-100
    # the published chi-square, 238.4 on 5 degrees of freedom, is a distance in the bootstrap's covariance
    wald = wald_test(fit, UNROUNDED, draws)
    assert wald.dof == 5 and wald.statistic == pytest.approx(238.4, rel=0.2) and wald.p_value < 1e-30


def test_original_interval_would_need_600_000_runs(draws):
    assert runs_needed(draws.standard_errors["a"], 240, 0.455 - 0.454, level=0.8) > 600_000


def test_mean_instead_of_sum(fit, chinchilla):
    """The original estimates are a place to stop, not an optimum, and a mean stops short from every start."""
    # started at its own printed values, the mean moves nowhere: they satisfy its stopping rule at once
    own = [np.log([UNROUNDED.E, UNROUNDED.A, UNROUNDED.B]).tolist() + [UNROUNDED.alpha, UNROUNDED.beta]]
    stays = lbfgs_grid(*chinchilla, starts=own, reduction="mean")
    assert stays.iterations[0] <= 3
    np.testing.assert_allclose(stays.surface.values, UNROUNDED.values, rtol=0.02)
    assert stays.objective > 1.1 * fit.objective
    leaves = lbfgs_grid(*chinchilla, starts=own, ftol=1e-15, gtol=1e-9)
    assert leaves.objective == pytest.approx(fit.objective, rel=1e-6)
    # the best of all 4,500 starts: exponents that split compute as the original does, not as the optimum does
    grid = lbfgs_grid(*chinchilla, reduction="mean")
    assert grid.objective > 1.05 * fit.objective
    assert grid.surface.a == pytest.approx(0.454, abs=0.01)
    assert grid.surface.beta < grid.surface.alpha < fit.surface.beta + 0.02
    assert np.mean(grid.objectives < 1.001 * fit.objective) == 0


def test_step_law_dense(released):
    runs = steplaw_runs(released("dense_lr_bs_loss.csv"))
    assert runs["cell"].nunique() == 17 and runs["lr"].nunique() == 14 and not cell_minima(runs)["edge"].any()
    fit = fit_step_law(runs, seed=0)
    # what replicates: the size exponent of the learning rate, the token exponent of the batch
    for law, name, printed, inside in (
        (fit.lr, "N", -0.713, True),
        (fit.batch, "D", 0.571, True),
        (fit.lr, "D", 0.307, False),
        (fit.batch_full, "N", 0.0, False),
    ):
        low, high = law.interval(name)
        assert (low < printed < high) is inside, (name, low, high)
    table = regret_table(runs, {name: name for name in ("step", "deepseek", "porian")}).set_index("law")
    assert table["mean"].idxmin() == "step" and table.loc["step", "mean"] < 2
    assert table.loc["step", "inside"] == 1


def test_step_law_mixtures(released):
    runs = steplaw_runs(released("moe_lr_bs_loss.csv"))
    assert runs["cell"].nunique() == 16 and runs["N"].max() / runs["N"].min() < 1.01
    table = regret_table(runs, {name: name for name in ("step", "deepseek", "porian")}).set_index("law")
    assert table["mean"].idxmin() == "step" and table.loc["step", "mean"] < 3
