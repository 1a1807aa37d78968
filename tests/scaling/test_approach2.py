import numpy as np
import pytest

from redraw.scaling import LossSurface, ScalingError, approach2, compute_optimal, isoflop_profiles, misallocation

BUDGETS = np.geomspace(1e18, 1e21, 7)
SYMMETRIC = LossSurface(1.69, 400.0, 400.0, 0.31, 0.31)
ASYMMETRIC = LossSurface(1.69, 400.0, 2000.0, 0.465, 0.155)


def run(surface, **grid):
    N, loss = isoflop_profiles(surface, BUDGETS, **grid)
    return approach2(BUDGETS, N, loss)


def test_equal_exponents_and_centred_grids_are_exact():
    """L along a budget is then a cosh in log N about the optimum: the parabola's vertex cannot miss it."""
    found, best = run(SYMMETRIC), compute_optimal(SYMMETRIC, BUDGETS)
    np.testing.assert_allclose(found.N, best.N, rtol=1e-9)
    np.testing.assert_allclose(found.D, best.D, rtol=1e-9)
    assert found.a == pytest.approx(0.5) and found.b == pytest.approx(0.5)


def test_unequal_exponents_shift_every_vertex_alike():
    """Centred grids: the shift is the same at every budget, so a is exact and the allocation is wrong."""
    found, best = run(ASYMMETRIC), compute_optimal(ASYMMETRIC, BUDGETS)
    shift = found.N / best.N
    assert np.ptp(np.log(shift)) < 1e-9 and abs(np.log(shift[0])) > 0.05
    assert found.a == pytest.approx(ASYMMETRIC.a, abs=1e-9)
    # the vertex of the least-squares parabola through P e^(-alpha u) + Q e^(beta u) with alpha P = beta Q, by hand
    u = np.linspace(-1, 1, 15) * np.log(16)
    y = np.exp(-ASYMMETRIC.alpha * u) / ASYMMETRIC.alpha + np.exp(ASYMMETRIC.beta * u) / ASYMMETRIC.beta
    s2, s4 = (u**2).sum(), (u**4).sum()
    slope = (u * y).sum() / s2
    second = (len(u) * (u**2 * y).sum() - s2 * y.sum()) / (len(u) * s4 - s2**2)
    np.testing.assert_allclose(np.log(shift), -slope / (2 * second), rtol=1e-8)


def test_bias_shrinks_with_the_square_of_the_grid():
    """The parabola errs through the cubic term of the profile, whose pull on the vertex grows as log(width)^2."""
    widths = np.array([16.0, 4.0, 1.5, 1.25])
    best = compute_optimal(ASYMMETRIC, BUDGETS).N[0]
    bias = np.abs([np.log(run(ASYMMETRIC, width=w).N[0] / best) for w in widths])
    assert (np.diff(bias) < 0).all()
    assert bias[2] / bias[3] == pytest.approx((np.log(1.5) / np.log(1.25)) ** 2, rel=0.02)


def test_drifting_centres_bias_the_exponent():
    drift = np.geomspace(1 / 3, 3, len(BUDGETS))
    found = run(SYMMETRIC, offset=drift)
    assert abs(found.a - 0.5) > 1e-3
    assert found.a + found.b == pytest.approx(1)
    assert run(SYMMETRIC, offset=3.0).a == pytest.approx(0.5)  # a constant error of the centre does not


def test_misallocation_of_the_optimum_is_nothing():
    best = compute_optimal(ASYMMETRIC, 3.8e25)
    none = misallocation(ASYMMETRIC, 3.8e25, float(best.D))
    assert none.wasted == pytest.approx(0, abs=1e-9) and none.loss_excess == pytest.approx(0, abs=1e-12)
    off = misallocation(ASYMMETRIC, 3.8e25, 2 * float(best.D))
    assert off.D_ratio == pytest.approx(2) and off.N_ratio == pytest.approx(0.5)
    # definition: the optimal split of the unwasted budget reaches the same loss
    reached = ASYMMETRIC(float(best.N) / 2, 2 * float(best.D))
    assert float(compute_optimal(ASYMMETRIC, 3.8e25 * (1 - off.wasted)).loss) == pytest.approx(float(reached), rel=1e-9)
    assert 0 < off.wasted < 1


def test_extrapolated_allocation_keeps_the_budget():
    N, D = run(ASYMMETRIC).allocate(1e24)
    assert 6 * N * D == pytest.approx(1e24, rel=1e-6)


def test_nonsense_is_refused():
    N, loss = isoflop_profiles(SYMMETRIC, BUDGETS)
    with pytest.raises(ScalingError, match="at least 3 budgets"):
        approach2(BUDGETS[:2], N[:2], loss[:2])
    with pytest.raises(ScalingError, match="curve upwards"):
        approach2(BUDGETS, N, -loss)
    with pytest.raises(ScalingError, match="width"):
        isoflop_profiles(SYMMETRIC, BUDGETS, width=1.0)
    with pytest.raises(ScalingError, match="points"):
        isoflop_profiles(SYMMETRIC, BUDGETS, points=2)
