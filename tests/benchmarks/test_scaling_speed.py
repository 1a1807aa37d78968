"""Speed of redraw.scaling, as ratios within one run. Slow: the classical grid alone takes minutes."""

import time

import numpy as np
import pytest
import statsmodels.api as sm

from redraw.scaling import (
    LossSurface,
    bootstrap_power_law,
    bootstrap_surface,
    fit_loss_surface,
    lbfgs_grid,
    resample_counts,
)


@pytest.fixture(scope="module")
def table():
    """240 runs spread and scattered like the Chinchilla points."""
    rng = np.random.default_rng(0)
    N = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), 240))
    D = np.exp(rng.uniform(np.log(1e18), np.log(1e22), 240)) / (6 * N)
    return N, D, LossSurface(1.8, 480, 2000, 0.348, 0.366)(N, D) * np.exp(0.006 * rng.standard_normal(240))


def seconds(function, repeat=1):
    best = np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.timeout(3600)
def test_fit_against_the_classical_grid(benchmark, table):
    """All 4,500 starts by L-BFGS-B with finite differences, tight enough to converge, against one global fit."""
    fit = benchmark(fit_loss_surface, *table)
    start = time.perf_counter()
    classic = lbfgs_grid(*table, gradient=False, ftol=1e-15, gtol=1e-9)
    ratio = (time.perf_counter() - start) / benchmark.stats["median"]
    benchmark.extra_info |= {
        "times faster": ratio,
        "classical starts that agree": float(np.mean(classic.objectives < 1.001 * fit.objective)),
    }
    assert fit.objective <= classic.objective * (1 + 1e-9)
    assert classic.objective == pytest.approx(fit.objective, rel=1e-4)
    assert ratio > 5000


def test_bootstraps_are_linear_in_their_number(benchmark, table):
    fit = fit_loss_surface(*table)
    draws = benchmark.pedantic(lambda: bootstrap_surface(fit, replicates=4000, seed=1), rounds=3)
    quarter = seconds(lambda: bootstrap_surface(fit, replicates=1000, seed=1), repeat=3)
    ratio = benchmark.stats["min"] / quarter
    benchmark.extra_info |= {"4,000 over 1,000": ratio, "usable": float(draws.usable.mean())}
    assert 2.5 < ratio < 6 and draws.usable.mean() > 0.99


def test_bootstraps_against_one_fit_each(benchmark, table):
    """4,000 warm, batched refits against fitting the resampled tables one by one (100 of them, scaled)."""
    fit = fit_loss_surface(*table)
    benchmark.pedantic(lambda: bootstrap_surface(fit, replicates=4000, seed=1), rounds=3)
    rows = [np.repeat(np.arange(240), c.astype(int)) for c in resample_counts(240, 100, 1)]
    single = seconds(lambda: [fit_loss_surface(*(column[r] for column in table)) for r in rows]) * 40
    ratio = single / benchmark.stats["min"]
    benchmark.extra_info |= {"times faster": ratio}
    assert ratio > 10


def test_power_law_bootstraps_against_the_loop(benchmark):
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(19, 21, 130)), np.exp(rng.uniform(22, 25, 130))
    y = N**-0.7 * D**0.3 * np.exp(0.1 * rng.standard_normal(130))
    draws = benchmark(lambda: bootstrap_power_law({"N": N, "D": D}, y, replicates=1000, seed=0))
    X, z = sm.add_constant(np.log(np.column_stack([N, D]))), np.log(y)
    rows = [np.repeat(np.arange(130), c.astype(int)) for c in resample_counts(130, 1000, 0)]
    loop = seconds(lambda: [sm.OLS(z[r], X[r]).fit().params for r in rows])
    ratio = loop / benchmark.stats["median"]
    benchmark.extra_info |= {"times faster": ratio}
    assert draws.usable.all() and ratio > 5
