"""Refinement against its definition by brute force, its closed forms and the shapes it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redraw.schedules import ScheduleError, linear, refine, tabulated

T = 1000
steps = np.arange(T)


def brute_force(norms, optimizer, width):
    """The definition in plain loops: a sorted window over the reflected norms, then a sum for each step."""
    count, half = len(norms), int(width * len(norms) / 2)
    there_and_back = list(norms) + list(norms)[::-1]
    smooth = []
    for k in range(count):
        window = [there_and_back[j % (2 * count)] for j in range(k - half, k + half + 1)]
        smooth.append(sorted(window)[half])
    w = [g ** {"sgd": -2.0, "adam": -1.0}[optimizer] for g in smooth]
    raw = [w[k] * sum(w[k:]) for k in range(count)]
    return np.array(raw) / max(raw)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("norm", [1.0, 0.3, 1e-200, 1e200])
def test_equal_norms_give_linear_decay(optimizer, norm):
    for count in (1, 2, 7, 1000):
        found = refine(np.full(count, norm), optimizer=optimizer)
        assert np.abs(found - linear(np.arange(count) / count)).max() < 1e-12


@settings(deadline=None)
@given(
    norms=st.lists(st.floats(0.01, 100), min_size=1, max_size=60),
    optimizer=st.sampled_from(["sgd", "adam"]),
    width=st.floats(0, 1),
)
def test_is_its_definition(norms, optimizer, width):
    found = refine(norms, optimizer=optimizer, width=width)
    assert found == pytest.approx(brute_force(norms, optimizer, width), rel=1e-9, abs=1e-14)


@given(norms=st.lists(st.floats(0.01, 100), min_size=2, max_size=60), scale=st.floats(1e-9, 1e9))
def test_does_not_depend_on_the_unit_of_the_norms(norms, scale):
    found = refine(norms)
    assert refine(np.array(norms) * scale) == pytest.approx(found, rel=1e-6, abs=1e-12)
    assert found.max() == 1 and (found >= 0).all()


def test_power_law_norms_have_a_closed_form():
    """Norms x^-1/2 at x = (k + 1/2) / T: w = x, and the schedule tends to x (1 - x^2) over its maximum."""
    x = (np.arange(20_000) + 0.5) / 20_000
    exact = x * (1 - x**2)
    assert refine(x**-0.5, width=0) == pytest.approx(exact / exact.max(), abs=3e-4)
    assert refine(1 / x, optimizer="adam", width=0) == pytest.approx(exact / exact.max(), abs=3e-4)


def test_weights_minimise_the_bound_they_are_derived_from():
    """(D^2 + sum w^2 G^2) / (2 sum w) is smallest at w = D G^-2 / sqrt(sum G^-2): no other w does better."""
    rng = np.random.default_rng(0)
    g, distance = rng.lognormal(size=50), 3.0

    def bound(w):
        return (distance**2 + (w**2 * g**2).sum()) / (2 * w.sum())

    best = distance * g**-2 / np.sqrt((g**-2).sum())
    assert bound(best) == pytest.approx(distance / np.sqrt((g**-2).sum()), rel=1e-12)
    for size in (1e-3, 0.1, 1):
        for _ in range(100):
            assert bound(best * np.exp(size * rng.standard_normal(50))) > bound(best)
    implied = refine(g, width=0) / np.cumsum(best[::-1])[::-1]
    assert implied / implied[0] == pytest.approx(best / best[0], rel=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_late_growth_decays_earlier(optimizer):
    found = refine(1 + 4 * np.maximum(0, steps / T - 0.6), optimizer=optimizer)
    line = linear(steps / T)
    assert np.argmax(found < 0.5) < np.argmax(line < 0.5)
    assert (found[1:] < line[1:]).all() and (np.diff(found) < 0).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_large_early_norms_make_a_warm_up(optimizer):
    found = refine(1 + 9 * np.exp(-steps / 100), optimizer=optimizer)
    top = int(found.argmax())
    assert found[0] < 0.2 and 100 < top < 600
    assert (np.diff(found[60:top]) > 0).all() and (np.diff(found[top:]) < 0).all()


def test_falling_norms_at_the_end_hold_the_rate_up_and_drop_it_fast():
    found = refine(np.where(steps < 700, 1.0, 1 - 0.6 * (steps - 700) / 300))
    assert found[850] > linear(0.85) + 0.1 and found[-1] < 0.02


def test_single_spikes_are_filtered():
    norms = np.ones(T)
    norms[[0, 17, 500, 999]] = 1000.0
    assert np.abs(refine(norms) - linear(steps / T)).max() < 1e-12
    assert refine(norms, width=0)[500] < 1e-6


def test_makes_a_schedule_for_any_horizon():
    found = refine(1 + 9 * np.exp(-steps / 100))
    schedule = tabulated(found)
    assert [schedule(k / T) for k in range(T)] == found.tolist() and schedule(1) == 0
    assert schedule(0.00025) == pytest.approx(0.75 * found[0] + 0.25 * found[1], rel=1e-9)


def test_takes_norms_as_a_training_loop_records_them():
    model = torch.nn.Linear(3, 2)
    recorded = []
    for k in range(5):
        model.zero_grad()
        model(torch.full((4, 3), float(k + 1))).square().mean().backward()
        recorded.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()], 1))
    assert refine(torch.stack(recorded), optimizer="adam").shape == (5,)
    assert refine(recorded, optimizer="adam").max() == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: refine([]), "norms: must hold at least one value, but is empty"),
        (lambda: refine([1, 0, 2]), "norms: must be positive, but the value of step 1 is 0"),
        (lambda: refine([0.0, 0.0]), "norms: must be positive, but the value of step 0 is 0"),
        (lambda: refine([1, -2]), "norms: must be positive, but the value of step 1 is -2"),
        (lambda: refine([1, 1, np.nan]), "norms: must be finite, but the value of step 2 is nan"),
        (lambda: refine([np.inf]), "norms: must be finite, but the value of step 0 is inf"),
        (lambda: refine([[1, 2]]), r"norms: must be a one-dimensional column, not of shape \(1, 2\)"),
        (lambda: refine(["a"]), "norms: must be numbers"),
        (lambda: refine(torch.ones(3, requires_grad=True)), "norms: must be numbers"),
        (lambda: refine([1], optimizer="lion"), "optimizer: must be one of sgd, adam, not 'lion'"),
        (lambda: refine([1], width=1.5), r"width: must be in \[0, 1\], not 1.5"),
        (lambda: refine([1], width=np.nan), r"width: must be in \[0, 1\], not nan"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ScheduleError, match=f"^{message}$"):
        call()
