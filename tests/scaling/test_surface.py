import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import approx_fprime, minimize

from redraw.scaling import (
    LossSurface,
    ScalingError,
    ScalingWarning,
    bootstrap_allocation,
    bootstrap_surface,
    compute_optimal,
    fit_loss_surface,
    fit_saturating_power_law,
    huber_log_likelihood,
    lbfgs_grid,
    likelihood_ratio_test,
    profile_likelihood,
    resample_counts,
    runs_needed,
    training_flops,
    wald_test,
)
from redraw.scaling import _engine as engine


@settings(max_examples=25, deadline=None)
@given(
    E=st.floats(0.5, 3), A=st.floats(50, 5000), B=st.floats(50, 5000),
    alpha=st.floats(0.2, 0.6), beta=st.floats(0.2, 0.6),
)  # fmt: skip
def test_noise_free_surface_is_recovered(E, A, B, alpha, beta):
    surface = LossSurface(E, A, B, alpha, beta)
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(3e6, 1e10, 9), np.geomspace(1e8, 1e12, 9)))
    fit = fit_loss_surface(N, D, surface(N, D))
    np.testing.assert_allclose(fit.estimate, surface.values, rtol=1e-5)
    assert fit.objective < 1e-15 and fit.identified


def test_noise_free_saturating_power_law_is_recovered():
    x = np.geomspace(1e6, 1e11, 12)
    fit = fit_saturating_power_law(x, 1.7 + 300 * x**-0.29)
    np.testing.assert_allclose(fit.estimate, [1.7, 300, 0.29], rtol=1e-7)
    np.testing.assert_allclose(fit.predict(x), 1.7 + 300 * x**-0.29, rtol=1e-8)
    assert fit.agree >= fit.starts // 2
    with pytest.raises(ScalingError, match="one variable"):
        _ = fit.surface


def test_derivatives_are_those_of_the_objective(draw_runs):
    N, D, loss = draw_runs(0)
    problem = engine.make_problem([N, D], loss)
    theta = problem.to_internal(np.array([np.log(1.7), np.log(400), np.log(900), 0.33, 0.31]))
    weights = np.random.default_rng(1).uniform(0.5, 2, len(N))
    delta = 0.5  # wide enough that no residual sits on a kink: the objective is smooth

    def value(t):
        return engine.objective(problem, t[None], weights, delta)[0]

    def gradient(t):
        parts = engine._parts(problem, t[None])
        return engine.derivatives(problem, parts, weights[None], delta, np.zeros(1))

    g, H = gradient(theta)
    np.testing.assert_allclose(g[0], approx_fprime(theta, value, 1e-7), rtol=1e-4)
    step = 1e-6
    numeric = np.array([(gradient(theta + e)[0][0] - gradient(theta - e)[0][0]) / (2 * step) for e in np.eye(5) * step])
    np.testing.assert_allclose(H[0], numeric, rtol=1e-5, atol=1e-5 * np.abs(H).max())


@pytest.mark.parametrize("seed", range(6))
def test_optimum_is_as_low_as_hundreds_of_classical_starts(draw_runs, seed):
    """Global by construction: no multi-start of the plain reference finds a lower objective, outliers included."""
    N, D, loss = draw_runs(seed, runs=60)
    if seed >= 3:
        loss[:6] *= 1.2
    fit = fit_loss_surface(N, D, loss)
    rng = np.random.default_rng(seed)
    starts = np.column_stack([rng.uniform(-1, 1, 100), rng.uniform(2, 12, (100, 2)), rng.uniform(0.1, 0.8, (100, 2))])
    classic = lbfgs_grid(N, D, loss, starts=starts, ftol=1e-15, gtol=1e-9)
    assert fit.objective <= classic.objective * (1 + 1e-7)
    assert fit.agree >= 2
    simplex = minimize(
        lambda t: 1e6 * engine.objective(fit.problem, t[None], np.ones(60), fit.delta)[0], fit.theta,
        method="Nelder-Mead", options={"maxiter": 3000, "fatol": 1e-9, "xatol": 1e-12},
    )  # fmt: skip
    assert simplex.fun / 1e6 >= fit.objective * (1 - 1e-9)


def test_scaling_the_weights_changes_nothing(draw_runs):
    """Convergence is judged relative to the objective, so a mean instead of a sum could not stop this fit early."""
    N, D, loss = draw_runs(3)
    fit = fit_loss_surface(N, D, loss)
    start = fit.theta[None] + 0.05
    for weight in (1.0, 1 / len(N), 1e-6):
        theta, _, converged = engine.polish(fit.problem, start, np.full(len(N), weight), fit.delta)
        assert converged.all()
        np.testing.assert_allclose(theta[0], fit.theta, rtol=1e-6)


def test_wide_delta_is_least_squares_in_log_loss(draw_runs):
    N, D, loss = draw_runs(4)
    fit = fit_loss_surface(N, D, loss, delta=10.0)

    def rest(t):
        return np.log(np.exp(t[0]) + np.exp(t[1]) * N ** -t[3] + np.exp(t[2]) * D ** -t[4]) - np.log(loss)

    from scipy.optimize import least_squares

    start = np.concatenate([np.log(fit.estimate[:3]), fit.estimate[3:]])
    oracle = least_squares(rest, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac")
    np.testing.assert_allclose(start, oracle.x, rtol=1e-5)
    # then the sandwich is White's covariance, computed here by hand
    J = oracle.jac
    bread = np.linalg.inv(J.T @ J)
    white = bread @ ((J * oracle.fun[:, None] ** 2).T @ J) @ bread * len(N) / (len(N) - 5)
    np.testing.assert_allclose(fit.covariance, white, rtol=1e-3)


def test_profile_of_least_squares_matches_brute_force(draw_runs):
    """Profile ratio at two held values of alpha, against an independent re-optimisation of the other four."""
    N, D, loss = draw_runs(5)
    fit = fit_loss_surface(N, D, loss)
    profile = profile_likelihood(fit, "alpha", points=9)
    for k in (1, 7):
        held = profile.values[k]

        def cost(t, held=held):
            pred = np.log(np.exp(t[0]) + np.exp(t[1]) * N**-held + np.exp(t[2]) * D ** -t[3])
            return 1e6 * engine.huber(pred - np.log(loss), fit.delta).sum()

        start = np.array(
            [np.log(fit["E"]), np.log(fit["A"]) + (held - fit["alpha"]) * 20.6, np.log(fit["B"]), fit["beta"]]
        )
        best = min(
            (minimize(cost, start, method="Nelder-Mead", options={"maxiter": 20000, "maxfev": 20000, "xatol": 1e-10,
                                                                  "fatol": 1e-7}) for _ in range(1)),
            key=lambda r: r.fun,
        )  # fmt: skip
        ratio = 2 * (best.fun / 1e6 - fit.objective) / fit.inflation[3]
        assert profile.ratio[k] <= ratio * 1.02 + 1e-6
        assert profile.ratio[k] >= ratio * 0.9
    low, high = fit.intervals["alpha"]
    assert low < fit["alpha"] < high
    wider = profile_likelihood(fit, "alpha", level=0.99).interval
    assert wider[0] < low and high < wider[1]


def test_intervals_cover(draw_runs, true_surface):
    """95 % intervals of all five parameters hold the truth in 92 to 98 % of the cases, noise and surface known.

    150 surfaces for the profile, since the five parameters of one surface are nearly one and 50 surfaces scatter by 2 %
    (batches of 50 of these seeds: 91.6 to 96.4 %; over 400 surfaces the profile covers 94.9 %, the bootstrap 96.3 %).
    """
    profile, boot = [], []
    for seed in range(1000, 1150):
        fit = fit_loss_surface(*draw_runs(seed))
        pairs = list(zip(fit.names, true_surface.values, strict=True))
        profile += [fit.intervals[name][0] < truth < fit.intervals[name][1] for name, truth in pairs]
        if seed < 1050:
            draws = bootstrap_surface(fit, replicates=300, seed=seed)
            boot += [draws.interval(name)[0] < truth < draws.interval(name)[1] for name, truth in pairs]
    assert 0.92 <= np.mean(profile) <= 0.98
    assert 0.92 <= np.mean(boot) <= 0.98


def test_bootstrap_replicate_is_the_fit_of_the_resampled_table(draw_runs):
    """Weights by counts are the same as drawing rows, and a warm start misses no better optimum."""
    N, D, loss = draw_runs(6)
    fit = fit_loss_surface(N, D, loss)
    draws = bootstrap_surface(fit, replicates=5, seed=9)
    counts = resample_counts(len(N), 5, 9).astype(int)
    for k in range(5):
        rows = np.repeat(np.arange(len(N)), counts[k])
        again = fit_loss_surface(N[rows], D[rows], loss[rows])
        np.testing.assert_allclose(draws.draws[k, :5], again.estimate, rtol=2e-4)
        assert draws.draws[k, 5] == pytest.approx(again.surface.a, rel=1e-4)
    assert draws.usable.all()


def test_bootstrap_is_reproducible_and_agrees_with_the_sandwich(draw_runs):
    fit = fit_loss_surface(*draw_runs(7))
    one, two = (bootstrap_surface(fit, replicates=400, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.draws, two.draws)
    for name in ("E", "alpha", "beta"):
        assert one.standard_errors[name] == pytest.approx(fit.standard_errors[name], rel=0.35)
    with pytest.raises(ScalingError, match="name"):
        one.interval("gamma")


def test_cluster_counts_keep_clusters_whole():
    labels = np.repeat(["a", "b", "c"], [2, 5, 3])
    counts = resample_counts(10, 50, 0, labels)
    for label in "abc":
        assert (np.ptp(counts[:, labels == label], axis=1) == 0).all()
    firsts = counts[:, [0, 2, 7]]
    assert (firsts.sum(axis=1) == 3).all() and firsts.std() > 0
    assert (resample_counts(10, 50, 0).sum(axis=1) == 10).all()
    with pytest.raises(ScalingError, match="cluster"):
        resample_counts(10, 5, 0, labels[:4])
    with pytest.raises(ScalingError, match="cluster"):
        resample_counts(3, 5, 0, ["a"] * 3)


def test_cluster_bootstrap_sees_what_runs_share(draw_runs):
    """An effect shared by all runs of one model size widens the interval only when sizes are drawn whole."""
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1e8, 1e10, 12)
    N, D = (a.ravel() for a in np.meshgrid(sizes, np.geomspace(1e9, 1e12, 20)))
    shared = np.tile(0.01 * rng.standard_normal(12), 20)
    loss = LossSurface(1.8, 480, 2000, 0.348, 0.366)(N, D) * np.exp(shared + 0.001 * rng.standard_normal(240))
    fit = fit_loss_surface(N, D, loss)
    by_run = bootstrap_surface(fit, replicates=200, seed=0).standard_errors["alpha"]
    by_size = bootstrap_surface(fit, replicates=200, cluster=N, seed=0).standard_errors["alpha"]
    assert by_size > 1.5 * by_run


def test_allocation_is_the_minimum_of_the_budget(true_surface):
    for C in (1e19, 5.76e23):
        best = compute_optimal(true_surface, C)
        N = np.geomspace(float(best.N) / 30, float(best.N) * 30, 200_001)
        brute = N[np.argmin(true_surface(N, C / (6 * N)))]
        assert float(best.N) == pytest.approx(brute, rel=1e-4)
        assert training_flops(float(best.N), float(best.D)) == pytest.approx(C)
        assert float(best.tokens_per_parameter) == pytest.approx(float(best.D) / float(best.N))
    a = np.log(compute_optimal(true_surface, [1e20, 1e22]).N)
    assert (a[1] - a[0]) / np.log(100) == pytest.approx(true_surface.beta / (true_surface.alpha + true_surface.beta))
    assert true_surface.a == pytest.approx(0.366 / 0.714)


def test_allocation_draws_carry_the_uncertainty(draw_runs, true_surface):
    fit = fit_loss_surface(*draw_runs(9))
    draws = bootstrap_surface(fit, replicates=300, seed=0)
    found = bootstrap_allocation(draws, 5.76e23)
    assert found.N.shape == (300,) and np.allclose(6 * found.N * found.D, 5.76e23)
    one = compute_optimal(LossSurface(*draws.draws[7, :5]), 5.76e23)
    assert found.tokens_per_parameter[7] == pytest.approx(float(one.tokens_per_parameter))
    low, high = np.quantile(found.tokens_per_parameter, [0.001, 0.999])
    assert low < float(compute_optimal(true_surface, 5.76e23).tokens_per_parameter) < high
    with pytest.raises(ScalingError, match="bootstrap"):
        x = np.geomspace(1, 1e6, 20)
        line = fit_saturating_power_law(x, 1.7 + x**-0.3)
        bootstrap_allocation(bootstrap_surface(line, replicates=2), 1e20)


def test_huber_likelihood_limits():
    r = np.random.default_rng(0).laplace(scale=0.01, size=500)
    laplace = -len(r) * (np.log(2 * np.abs(r).mean()) + 1)
    assert huber_log_likelihood(r, delta=1e-8) == pytest.approx(laplace, abs=0.01)
    gauss = stats.norm.logpdf(r, scale=np.sqrt(np.mean(r**2))).sum()
    assert huber_log_likelihood(r, delta=10.0) == pytest.approx(gauss, abs=0.01)


def test_tests_keep_the_truth_and_reject_a_wrong_surface(draw_runs, true_surface):
    N, D, loss = draw_runs(8)
    fit = fit_loss_surface(N, D, loss)
    draws = bootstrap_surface(fit, replicates=300, seed=1)
    wrong = LossSurface(1.7, 480, 2000, 0.348, 0.366)
    for against, expected in ((true_surface, True), (wrong, False)):
        assert (wald_test(fit, against).p_value > 1e-3) is expected
        assert (wald_test(fit, against, draws).p_value > 1e-3) is expected
        assert (likelihood_ratio_test(fit, against, N, D, loss).p_value > 1e-4) is expected
    same = likelihood_ratio_test(fit, fit.surface, N, D, loss)
    assert same.statistic == pytest.approx(0, abs=1e-6) and same.dof == 5


def test_runs_needed_scales_with_the_inverse_square():
    # se 0.02 from 100 runs, wanted width 2 * 1.96 * 0.002: a tenth of the error takes a hundred times the runs
    assert runs_needed(0.02, 100, 2 * stats.norm.ppf(0.975) * 0.002) == pytest.approx(10_000)
    assert runs_needed(0.02, 100, 0.01, level=0.8) < runs_needed(0.02, 100, 0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda N, D, L: (N[:5], D[:5], L[:5]), "loss: must have more than 5 runs"),
        (lambda N, D, L: (N, D[:-1], L), "D: has"),
        (lambda N, D, L: (N, D, np.where(np.arange(len(L)) == 3, np.nan, L)), "loss: must be finite"),
        (lambda N, D, L: (N, D, -L), "loss: must be positive"),
        (lambda N, D, L: (np.full_like(N, 1e9), D, L), "N: must take at least 2 distinct"),
        (lambda N, D, L: (N, np.full_like(D, 1e9), L), "D: must take at least 2 distinct"),
        (lambda N, D, L: (N.reshape(2, -1), D, L), "N: must be a one-dimensional"),
        (lambda N, D, L: (["x"] * len(N), D, L), "N: must be numbers"),
    ],
)
def test_nonsense_is_refused_in_one_line(draw_runs, change, message):
    with pytest.raises(ScalingError, match=message) as caught:
        fit_loss_surface(*change(*draw_runs(0, runs=40)))
    assert "\n" not in str(caught.value)
    with pytest.raises(ScalingError, match="delta"):
        fit_loss_surface(*draw_runs(0, runs=40), delta=-1)


def test_unidentified_parameters_are_warned_about(draw_runs):
    """Tokens in proportion to parameters with equal exponents: only A + B/20^alpha is in the data."""
    N = np.geomspace(1e8, 1e10, 40)
    rng = np.random.default_rng(0)
    loss = LossSurface(1.8, 500, 500, 0.35, 0.35)(N, 20 * N) * np.exp(0.005 * rng.standard_normal(40))
    with pytest.warns(ScalingWarning, match="not identified"):
        assert not fit_loss_surface(N, 20 * N, loss).identified
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_loss_surface(*draw_runs(0)).identified
