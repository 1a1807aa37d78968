import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraw.scaling import (
    LossSurface,
    ScalingError,
    ScalingWarning,
    average_parameter_count,
    effective_amount,
    fit_data_constrained,
    fit_loss_surface,
    fit_response_surface,
)

BASE = LossSurface(1.87, 521.0, 1488.0, 0.353, 0.353)


def test_effective_amount_limits():
    assert effective_amount(1e9, 2e9, 15.4) == 1e9  # nothing repeated: worth what it is
    assert effective_amount(2e12, 1e9, 15.4) == pytest.approx(16.4e9)  # endless repetition: (1 + r*) times the unique
    # a few repetitions with a long half-life count fully: first order in R / r*
    assert effective_amount(3e9, 1e9, 1e6) == pytest.approx(3e9, rel=1e-5)
    worth = effective_amount(np.geomspace(1e9, 1e12, 50), 1e9, 15.4)
    assert (
        (np.diff(worth[:30]) > 0).all() and (np.diff(worth) >= 0).all() and (worth <= np.geomspace(1e9, 1e12, 50)).all()
    )
    with pytest.raises(ScalingError, match="r_star"):
        effective_amount(2.0, 1.0, 0.0)


def repeated_runs(noise=0.0):
    rng = np.random.default_rng(0)
    N, D, unique = (a.ravel() for a in np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(1e9, 1e12, 8), [1e9, 1e10]))
    base = (BASE.alpha * BASE.A / (BASE.beta * BASE.B) * np.minimum(D, unique) ** BASE.beta) ** (1 / BASE.alpha)
    tokens = effective_amount(D, unique, 15.39)
    loss = BASE(effective_amount(N, base, 5.31), tokens) * np.exp(noise * rng.standard_normal(len(N)))
    return N, D, unique, loss


def test_data_constrained_is_recovered():
    N, D, unique, loss = repeated_runs()
    fit = fit_data_constrained(N, D, unique, loss, BASE)
    assert fit.r_star_D == pytest.approx(15.39, rel=1e-4) and fit.r_star_N == pytest.approx(5.31, rel=1e-4)
    np.testing.assert_allclose(fit.predict(N, D, unique), loss, rtol=1e-6)
    noisy = fit_data_constrained(*repeated_runs(0.005), BASE)
    assert abs(noisy.r_star_D - 15.39) < 4 * noisy.errors["r_star_D"]
    assert abs(noisy.r_star_N - 5.31) < 4 * noisy.errors["r_star_N"]
    assert 0 < noisy.errors["r_star_D"] < 5


def test_data_constrained_refuses_and_warns():
    N, D, unique, loss = repeated_runs()
    with pytest.raises(ScalingError, match="nothing here is repeated"):
        fit_data_constrained(N, D, np.full_like(D, 1e13), loss, BASE)
    small = np.full_like(N, 1e6)
    with pytest.warns(ScalingWarning, match="r_star_N"):
        fit = fit_data_constrained(small, D, unique, BASE(small, effective_amount(D, unique, 15.39)), BASE)
    assert fit.r_star_D == pytest.approx(15.39, rel=1e-3) and not fit.identified


def test_average_parameter_count_closed_forms():
    assert average_parameter_count([0, 1e9], [5e8, 5e8]) == 5e8
    assert average_parameter_count([0, 10], [4, 2]) == pytest.approx(3)
    # half of the weights cut at a quarter of the training, at once
    assert average_parameter_count([0, 25, 25, 100], [8, 8, 4, 4]) == pytest.approx(0.25 * 8 + 0.75 * 4)
    # cubic schedule from 25 to 75 %: the mean of (1 - s)^3 is a quarter
    t = np.linspace(0, 1, 20_001)
    s = np.clip((t - 0.25) / 0.5, 0, 1)
    n = 2e8 + (1e9 - 2e8) * (1 - s) ** 3
    assert average_parameter_count(t * 1e10, n) == pytest.approx(
        0.25 * 1e9 + 0.5 * (2e8 + 8e8 / 4) + 0.25 * 2e8, rel=1e-6
    )
    for tokens in ([0, 2, 1], [1, 1, 1], ["0", "a", "2"], [0, 1], [0, None, 2]):
        with pytest.raises(ScalingError, match="tokens"):
            average_parameter_count(tokens, [1, 1, 1])


def test_average_parameter_count_restores_the_surface():
    """Runs pruned on the way follow the surface in their mean size, not in their final one."""
    rng = np.random.default_rng(1)
    dense, D = np.exp(rng.uniform(17, 22, 80)), np.exp(rng.uniform(20, 26, 80))
    kept = rng.uniform(0.2, 1.0, 80)
    mean = np.array(
        [average_parameter_count([0, 0.25, 0.75, 1], [n, n, k * n, k * n]) for n, k in zip(dense, kept, strict=True)]
    )
    loss = BASE(mean, D)
    by_mean, by_final = fit_loss_surface(mean, D, loss), fit_loss_surface(dense * kept, D, loss)
    assert by_mean["alpha"] == pytest.approx(BASE.alpha, rel=1e-4)
    assert by_final.objective > 1e3 * by_mean.objective


@settings(max_examples=30, deadline=None)
@given(
    lr=st.floats(1e-4, 1e-2), batch=st.floats(1e5, 1e6), h1=st.floats(0.01, 0.05), h2=st.floats(0.01, 0.05),
    tilt=st.floats(-0.9, 0.9),
)  # fmt: skip
def test_response_surface_recovers_a_bowl(lr, batch, h1, h2, tilt):
    x, y = (a.ravel() for a in np.meshgrid(lr * np.geomspace(0.1, 9, 9), batch * np.geomspace(0.15, 8, 8)))
    u, v = np.log(x / lr), np.log(y / batch)
    cross = tilt * np.sqrt(h1 * h2)
    loss = 2.3 * np.exp((h1 * u**2 + 2 * cross * u * v + h2 * v**2) / 2)
    fit = fit_response_surface(x, y, loss, window=0.5)
    assert fit.lr == pytest.approx(lr, rel=1e-6) and fit.batch == pytest.approx(batch, rel=1e-6)
    assert fit.loss == pytest.approx(2.3, rel=1e-8) and fit.bowl and fit.inside
    np.testing.assert_allclose(fit.hessian, [[h1, cross], [cross, h2]], rtol=1e-6, atol=1e-9)
    wide = fit.plateau(0.0025)
    assert np.log1p(0.0025) == pytest.approx(h1 * np.log(wide[0]) ** 2 / 2)


def test_response_surface_errors_are_those_of_repetition():
    """Delta-method errors of the optimum against the scatter over 300 repetitions."""
    x, y = (a.ravel() for a in np.meshgrid(np.geomspace(1e-4, 1e-2, 8), np.geomspace(1e5, 2e6, 7)))
    u, v = np.log(x / 1e-3), np.log(y / 4e5)
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(300):
        fit = fit_response_surface(x, y, np.exp(0.02 * u**2 + 0.015 * v**2 + 0.003 * rng.standard_normal(56)), window=9)
        found.append(np.log([fit.lr, fit.batch]))
        errors.append(fit.errors)
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(found, axis=0), rtol=0.15)


def test_response_surface_refuses_and_warns():
    x, y = (a.ravel() for a in np.meshgrid(np.geomspace(1e-4, 1e-2, 8), np.geomspace(1e5, 2e6, 7)))
    u, v = np.log(x / 1e-3), np.log(y / 4e5)
    with pytest.warns(ScalingWarning, match="not a bowl"):
        assert not fit_response_surface(x, y, np.exp(0.02 * u**2 - 0.01 * v**2), window=9).bowl
    with pytest.warns(ScalingWarning, match="outside"):
        assert not fit_response_surface(x, y, np.exp(0.02 * (u - 9) ** 2 + 0.02 * v**2), window=99).inside
    with pytest.raises(ScalingError, match="window"):
        fit_response_surface(x, y, np.exp(2 * u**2 + 2 * v**2), window=1e-6)
    with pytest.raises(ScalingError, match="lr: must take at least 3"):
        fit_response_surface(np.repeat([1e-3, 2e-3], 28), y, np.full(56, 2.0))
