"""Speed of redraw.scaling, as ratios within one run."""

import numpy as np
import pytest
import statsmodels.api as sm

from redraw.scaling import (
    LossSurface,
    bootstrap_power_law,
    bootstrap_surface,
    fit_loss_surface,
    hoffmann_starts,
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


STARTS = 60


def test_fit_against_the_classical_grid(table, interleaved, record_ratio):
    """The 4,500 starts by L-BFGS-B with finite differences, tight enough to converge, against one global fit.

    Every 75th of the starts is gone through, and its time counts for 75."""
    starts = hoffmann_starts()
    some = starts[:: len(starts) // STARTS][:STARTS]

    def classic():
        return lbfgs_grid(*table, starts=some, gradient=False, ftol=1e-15, gtol=1e-9)

    fit = fit_loss_surface(*table)
    assert fit.objective <= classic().objective * (1 + 1e-9)
    shares = interleaved(classic, lambda: fit_loss_surface(*table), 3)
    faster = [share * len(starts) / len(some) for share in shares]
    what = f"how many times faster one global fit is, by {len(some)} of the 4,500 starts"
    record_ratio("classical grid / fit_loss_surface", faster, limit=5000, better="higher", what=what)


def test_bootstraps_are_linear_in_their_number(table, interleaved, record_ratio):
    fit = fit_loss_surface(*table)
    assert bootstrap_surface(fit, replicates=1000, seed=1).usable.mean() > 0.99
    found = interleaved(
        lambda: bootstrap_surface(fit, replicates=4000, seed=1),
        lambda: bootstrap_surface(fit, replicates=1000, seed=1),
        5,
    )
    record_ratio("4,000 bootstraps / 1,000", found, limit=6, what="refits of a loss surface: linear is 4")


def test_bootstraps_against_one_fit_each(table, interleaved, record_ratio):
    """4,000 warm, batched refits against fitting the resampled tables one by one (30 of them, scaled)."""
    fit = fit_loss_surface(*table)
    rows = [np.repeat(np.arange(240), c.astype(int)) for c in resample_counts(240, 30, 1)]
    shares = interleaved(
        lambda: [fit_loss_surface(*(column[r] for column in table)) for r in rows],
        lambda: bootstrap_surface(fit, replicates=4000, seed=1),
        3,
    )
    faster = [share * 4000 / len(rows) for share in shares]
    what = "how many times faster 4,000 batched refits are"
    record_ratio("one fit each / bootstrap_surface", faster, limit=10, better="higher", what=what)


def test_power_law_bootstraps_against_the_loop(interleaved, record_ratio):
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(19, 21, 130)), np.exp(rng.uniform(22, 25, 130))
    y = N**-0.7 * D**0.3 * np.exp(0.1 * rng.standard_normal(130))
    X, z = sm.add_constant(np.log(np.column_stack([N, D]))), np.log(y)
    rows = [np.repeat(np.arange(130), c.astype(int)) for c in resample_counts(130, 1000, 0)]

    def ours():
        return bootstrap_power_law({"N": N, "D": D}, y, replicates=1000, seed=0)

    assert ours().usable.all()
    found = interleaved(lambda: [sm.OLS(z[r], X[r]).fit().params for r in rows], ours, 5)
    what = "how many times faster 1,000 refits of a power law are than statsmodels in a loop"
    record_ratio("loop of OLS / bootstrap_power_law", found, limit=5, better="higher", what=what)
