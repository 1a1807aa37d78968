"""Known replication bugs, injected: each check passes on the real code and goes red under its fault."""

import numpy as np
import pytest
import statsmodels.api as sm

from redraw.scaling import (
    LossSurface,
    ScalingError,
    _powerlaw,
    approach2,
    bootstrap_power_law,
    compute_optimal,
    fit_loss_surface,
    isoflop_profiles,
    lbfgs_grid,
    resample_counts,
    training_flops,
)
from redraw.scaling import _engine as engine

STARTS = np.array([[0.5, 5.0, 10.0, 0.5, 0.5], [0.0, 10.0, 5.0, 0.5, 0.5], [0.5, 10.0, 10.0, 0.5, 0.5]])


def goes_red(check, *arguments):
    """The check fails, by its own assertion."""
    with pytest.raises(AssertionError):
        check(*arguments)


# --- mean for sum ------------------------------------------------------------------------------------------------


def check_classical_fit_converged(fit, classic):
    assert classic.objective == pytest.approx(fit.objective, rel=1e-4), "the classical fit stopped early"


def test_mean_for_sum(draw_runs):
    runs = draw_runs(0)
    fit = fit_loss_surface(*runs)
    tight = {"starts": STARTS, "ftol": 1e-15, "gtol": 1e-9}
    check_classical_fit_converged(fit, lbfgs_grid(*runs, **tight))
    goes_red(check_classical_fit_converged, fit, lbfgs_grid(*runs, starts=STARTS, reduction="mean"))
    # nothing but the scale is wrong: the gradient test alone stops a mean where the sum goes on
    half = {"starts": STARTS, "ftol": 0.0, "gtol": 1e-5}
    summed, averaged = (lbfgs_grid(*runs, reduction=r, **half) for r in ("sum", "mean"))
    assert averaged.iterations.sum() < summed.iterations.sum() / 2
    assert averaged.objective > summed.objective
    with pytest.raises(ScalingError, match="reduction"):
        lbfgs_grid(*runs, reduction="median")


# --- rounded exponents -------------------------------------------------------------------------------------------


def check_unbiased(surface, N, D, loss):
    """Half of the runs lie above the surface: the median residual is within four of its standard errors."""
    above = np.mean(loss > surface(N, D))
    assert abs(above - 0.5) < 4 * 0.5 / np.sqrt(len(loss)), f"{above:.0%} of the runs lie above the surface"


def test_rounded_exponents(draw_runs):
    N, D, loss = draw_runs(1)
    s = fit_loss_surface(N, D, loss).surface
    check_unbiased(s, N, D, loss)
    goes_red(check_unbiased, LossSurface(s.E, s.A, s.B, round(s.alpha, 2) + 0.01, round(s.beta, 2)), N, D, loss)
    # two decimals, as printed: the coefficients belong to exponents that are not the printed ones
    printed = LossSurface(1.8, 480, 2000, 0.35, 0.37)
    true = LossSurface(1.8, 480, 2000, 0.346, 0.366)
    exact = true(N, D) * np.exp(0.002 * np.random.default_rng(0).standard_normal(len(N)))
    check_unbiased(true, N, D, exact)
    goes_red(check_unbiased, printed, N, D, exact)


# --- inverted weights --------------------------------------------------------------------------------------------


def check_bootstrap_is_the_loop(draws, counts, N, D, y):
    for k, weights in enumerate(counts):
        oracle = sm.WLS(np.log(y), sm.add_constant(np.log(np.column_stack([N, D]))), weights=weights).fit().params
        assert np.allclose(draws[k, 1:], oracle[1:], rtol=1e-5), "a replicate is not its weighted fit"


def test_inverted_weights_in_the_bootstrap(monkeypatch):
    rng = np.random.default_rng(2)
    N, D = np.exp(rng.uniform(15, 22, 40)), np.exp(rng.uniform(20, 26, 40))
    y = N**-0.7 * D**0.3 * np.exp(0.1 * rng.standard_normal(40))
    counts = resample_counts(40, 10, 3)
    check_bootstrap_is_the_loop(bootstrap_power_law({"N": N, "D": D}, y, replicates=10, seed=3).draws, counts, N, D, y)

    def inverted(*arguments):
        drawn = resample_counts(*arguments)
        return np.divide(1.0, drawn, out=np.zeros_like(drawn), where=drawn > 0)

    monkeypatch.setattr(_powerlaw, "resample_counts", inverted)
    broken = bootstrap_power_law({"N": N, "D": D}, y, replicates=10, seed=3).draws
    goes_red(check_bootstrap_is_the_loop, broken, counts, N, D, y)


def check_weighted_optimum(problem, theta, weights, delta):
    """No step of a fine pattern around theta lowers the weighted objective."""
    here = engine.objective(problem, theta[None], weights, delta)[0]
    steps = np.concatenate([np.eye(5), -np.eye(5)]) * 1e-3
    around = engine.objective(problem, theta + steps, weights, delta)
    assert (around >= here * (1 - 1e-9)).all(), "a neighbour has a lower weighted objective"


def test_inverted_weights_in_the_kernel(draw_runs):
    fit = fit_loss_surface(*draw_runs(3))
    weights = np.random.default_rng(4).uniform(0.1, 4, 240)
    start = fit.theta[None]
    right, _, _ = engine.polish(fit.problem, start, weights, fit.delta)
    check_weighted_optimum(fit.problem, right[0], weights, fit.delta)
    wrong, _, _ = engine.polish(fit.problem, start, 1 / weights, fit.delta)
    goes_red(check_weighted_optimum, fit.problem, wrong[0], weights, fit.delta)


# --- integer overflow --------------------------------------------------------------------------------------------


def check_compute(compute):
    """C = 6 N D of integer columns against Python's integers, which do not overflow."""
    N = np.array([214_663_680, 1_073_741_824, 67_000_000_000], dtype=np.int64)
    D = np.array([100_000_000_000, 56_900_000_000, 2_000_000_000_000], dtype=np.int64)
    exact = [6 * int(n) * int(d) for n, d in zip(N, D, strict=True)]
    assert np.allclose(compute(N, D), np.array(exact, dtype=float), rtol=1e-12), "compute has wrapped around"


def test_int64_overflow():
    check_compute(training_flops)

    def naive(N, D):
        with np.errstate(over="ignore"):
            return 6 * N * D

    goes_red(check_compute, naive)
    assert training_flops(67_000_000_000, 2_000_000_000_000) == pytest.approx(8.04e23)
    assert training_flops(np.int64(67_000_000_000), np.int64(2_000_000_000_000)) == pytest.approx(8.04e23)


def test_integer_columns_fit_like_floating_ones(draw_runs):
    N, D, loss = draw_runs(5)
    whole = np.round(N).astype(np.int64), np.round(D).astype(np.int64)
    one, two = fit_loss_surface(*whole, loss), fit_loss_surface(*(w.astype(float) for w in whole), loss)
    np.testing.assert_array_equal(one.estimate, two.estimate)
    surface = one.surface
    big = np.array([10**10], dtype=np.int64)
    assert surface(big, big * 1000)[0] == pytest.approx(surface(1e10, 1e13))
    budgets = np.array([10**18, 4 * 10**18, 9 * 10**18], dtype=np.int64)
    np.testing.assert_allclose(compute_optimal(surface, budgets).N, compute_optimal(surface, budgets.astype(float)).N)
    sizes, profile = isoflop_profiles(surface, budgets)
    assert approach2(budgets, sizes, profile).a == pytest.approx(surface.a, abs=1e-6)
