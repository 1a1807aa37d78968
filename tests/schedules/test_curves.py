"""Each schedule against its closed form and an independent reference, torch's own where it has one."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from redraw.schedules import (
    ScheduleError,
    ScheduleLR,
    constant,
    cosine,
    cosine_power,
    exponential,
    floored,
    inverse_sqrt,
    linear,
    one_cycle,
    polynomial,
    power,
    rex,
    rex_repository,
    step,
    tabulated,
    warmup,
    wsd,
)

T = 40
DECAYS = {
    "constant": constant,
    "linear": linear,
    "polynomial": polynomial,
    "cosine": cosine,
    "cosine_power": cosine_power,
    "step": step,
    "exponential": exponential,
    "rex": rex,
    "rex_repository": rex_repository,
    "wsd": wsd,
    "wsd to exponential": partial(wsd, decay=0.3, cooldown=exponential),
    "inverse_sqrt": inverse_sqrt,
    "floored": floored(cosine, 0.1),
    "tabulated": tabulated([1, 0.9, 0.2]),
}
ENDS = {
    "constant": 1,
    "step": 0.01,
    "exponential": 0.01,
    "wsd to exponential": 0.01,
    "inverse_sqrt": 11**-0.5,
    "floored": 0.1,
}
OTHERS = {"one_cycle": one_cycle, "warmup": warmup(rex, 0.2), "warmup to wsd": warmup(wsd, 0.1, start=0.3)}
progress = st.floats(0, 1)


def sgd(lr=0.5):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(make, steps=T, lr=0.5):
    """The learning rate of each of `steps` optimizer steps under a scheduler."""
    optimizer = sgd(lr)
    scheduler, out = make(optimizer), []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


@pytest.mark.parametrize(
    "schedule, theirs",
    [
        (constant, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        (linear, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=T)),
        (linear, lambda o: lr_scheduler.PolynomialLR(o, T, power=1.0)),
        (partial(polynomial, p=2.5), lambda o: lr_scheduler.PolynomialLR(o, T, power=2.5)),
        (cosine, lambda o: lr_scheduler.CosineAnnealingLR(o, T)),
        (floored(cosine, 0.2), lambda o: lr_scheduler.CosineAnnealingLR(o, T, eta_min=0.1)),
        (
            partial(step, milestones=(0.3, 0.7, 0.9), gamma=0.2),
            lambda o: lr_scheduler.MultiStepLR(o, [12, 28, 36], gamma=0.2),
        ),
        (partial(exponential, final=0.03), lambda o: lr_scheduler.ExponentialLR(o, 0.03 ** (1 / T))),
        (
            warmup(constant, 0.25, start=0.2),
            lambda o: lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=T // 4),
        ),
        (
            warmup(cosine, 0.25, start=0.1),
            lambda o: lr_scheduler.SequentialLR(
                o,
                [lr_scheduler.LinearLR(o, 0.1, total_iters=10), lr_scheduler.CosineAnnealingLR(o, 30)],
                milestones=[10],
            ),
        ),
    ],
    ids="constant linear poly1 poly cosine floored step exponential warmup warmup-cosine".split(),
)
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # SequentialLR steps its parts that way
def test_stepwise_like_torch(schedule, theirs):
    ours = rates(lambda o: ScheduleLR(o, schedule, T))
    assert ours == pytest.approx(rates(theirs), rel=1e-9, abs=1e-12)


def test_one_cycle_is_torchs_with_its_corners_moved():
    """Torch has its peak at step 0.3 T - 1 and its end at step T - 1: the same curve on another time."""
    theirs = np.array(rates(lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=T), T - 1)) / 0.5
    corner, k = 0.3 * T - 1, np.arange(T - 1)
    t = np.where(k <= corner, 0.3 * k / corner, 0.3 + 0.7 * (k - corner) / (T - 1 - corner))
    assert one_cycle(t) == pytest.approx(theirs, rel=1e-9)
    assert one_cycle(np.array([0, 0.3, 1])) == pytest.approx([1 / 25, 1, 1 / 250_000], rel=1e-9)


def test_cosine_power_is_the_published_procedure():
    """p^(c + 1), less its minimum, over its maximum, on a grid that has both ends."""
    t = np.linspace(0, 1, 101)
    c = (1 + np.cos(np.pi * t)) / 2
    for p in (1.5, 2, 10, 100):
        raised = p ** (c + 1) - p ** (c + 1).min()
        assert cosine_power(t, p=p) == pytest.approx(raised / raised.max(), abs=1e-14)


def test_cosine_power_tends_to_cosine():
    t = np.linspace(0, 1, 101)
    assert (cosine_power(t, p=1) == cosine(t)).all()
    gaps = [np.abs(cosine_power(t, p=1 + e) - cosine(t)).max() for e in (1e-2, 1e-4, 1e-6, 1e-12)]
    assert gaps == pytest.approx([1e-2 / 8, 1e-4 / 8, 1e-6 / 8, 1e-12 / 8], rel=0.02, abs=2e-16)


@given(t=progress)
def test_rex_identities(t):
    z = 1 - t
    assert rex(t) == pytest.approx(z / (1 / 2 + z / 2), rel=1e-12)
    assert linear(t) <= rex(t) <= rex_repository(t) + 1e-15
    assert rex(rex(t)) == pytest.approx(t, abs=1e-12)  # both curves are their own reflection on the diagonal
    assert rex_repository(rex_repository(t)) == pytest.approx(t, abs=1e-12)


def test_rex_and_the_other_curve_by_hand():
    t = np.array([0, 1 / 3, 1 / 2, 2 / 3, 1])
    assert rex(t) == pytest.approx([1, 4 / 5, 2 / 3, 1 / 2, 0], abs=1e-15)
    assert rex_repository(0.5) == pytest.approx(10 / 11, rel=1e-12)
    grid = np.linspace(0, 1, 10001)
    gap = rex_repository(grid) - rex(grid)
    assert gap.max() == pytest.approx(0.382, abs=5e-4) and grid[gap.argmax()] == pytest.approx(0.82, abs=5e-3)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5])
def test_inverse_sqrt_with_warm_up_is_the_transformers(fraction):
    steps = 400
    ours = warmup(partial(inverse_sqrt, timescale=fraction / (1 - fraction)), fraction)
    warm, k = fraction * steps, np.arange(1, steps)
    noam = np.minimum(k**-0.5, k * warm**-1.5) / warm**-0.5
    assert ours(k / steps) == pytest.approx(noam, rel=1e-12)


def test_wsd_in_pieces():
    t = np.array([0, 0.5, 0.8, 0.85, 0.9, 1])
    assert wsd(t, decay=0.2) == pytest.approx([1, 1, 1, 0.75, 0.5, 0], abs=1e-12)
    bent = wsd(t, decay=0.2, cooldown=cosine)
    assert bent[3:] == pytest.approx(cosine(np.array([0.25, 0.5, 1])), abs=1e-12)
    assert (wsd(t, decay=0) == 1).all() and wsd(t, decay=1) == pytest.approx(linear(t), abs=1e-15)


def test_power_piece_by_piece():
    """By hand, at each of its four pieces: warm-up, cap, power law, decay."""
    made = partial(power, batch_size=128, a=4.6, b=-0.51, peak=0.02, warmup=1e6, total=1e11, decay=0.1)
    assert made(0) == 0 and made(5e5) == 0.5 and made(1e6) == 1
    assert made(1e8) == 1 and 128 * 4.6 * 1e8**-0.51 > 0.02
    assert 0.02 * made(5e10) == pytest.approx(128 * 4.6 * math.exp(-0.51 * math.log(5e10)), rel=1e-12)
    assert 0.02 * made(9.5e10) == pytest.approx(128 * 4.6 * 9e10**-0.51 * 0.1, rel=1e-12)
    assert made(1e11) == pytest.approx(0.01 * made(9e10), rel=1e-12)


def test_power_knows_no_horizon_and_scales_with_the_batch():
    free = partial(power, batch_size=64, peak=10.0)
    assert free(0) == 1 and free(1e15) == pytest.approx(64 * 4.6 * 1e15**-0.51 / 10, rel=1e-12)
    assert power(1e12, batch_size=128, peak=10.0) == pytest.approx(2 * free(1e12), rel=1e-12)
    capped = partial(power, batch_size=1, a=1e-6, warmup=1e6)  # below the cap when the warm-up ends
    assert capped(5e5) == pytest.approx(capped(1e6) / 2, rel=1e-12)
    ours = ScheduleLR(sgd(0.02), partial(power, batch_size=8), tokens_per_step=8 * 1024)
    n = 1000 * 8 * 1024
    assert 0.02 * ours.multiplier(1000) == pytest.approx(min(0.02, 8 * 4.6 * n**-0.51), rel=1e-12)


@pytest.mark.parametrize("name", DECAYS)
@given(t=progress, later=progress)
def test_decays_are_bounded_and_never_rise(name, t, later):
    schedule = DECAYS[name]
    assert 0 <= schedule(t) <= 1
    t, later = sorted((t, later))
    assert schedule(later) <= schedule(t) + 1e-12


@pytest.mark.parametrize("name", DECAYS)
def test_decays_have_their_ends(name):
    assert DECAYS[name](0) == 1
    assert DECAYS[name](1.0) == pytest.approx(ENDS.get(name, 0), abs=1e-15)


@pytest.mark.parametrize("name", OTHERS)
@given(t=progress)
def test_others_are_bounded(name, t):
    assert 0 <= OTHERS[name](t) <= 1


@pytest.mark.parametrize("name", DECAYS | OTHERS)
def test_arrays_numbers_keywords_and_pickles_agree(name):
    schedule, t = (DECAYS | OTHERS)[name], np.linspace(0, 1, 17).reshape(1, 17)
    values = schedule(t)
    assert values.shape == t.shape and values.dtype == np.float64
    assert [schedule(x) for x in t[0].tolist()] == pytest.approx(values[0].tolist(), rel=1e-14)
    assert type(schedule(0.3)) is float and schedule(t=0.3) == schedule(0.3)
    assert schedule(torch.tensor(0.5)) == schedule(0.5)
    assert (pickle.loads(pickle.dumps(schedule))(t) == values).all()


@given(fraction=st.floats(0.01, 0.9), t=progress)
def test_warm_up_then_the_whole_schedule(fraction, t):
    made = warmup(rex, fraction)
    if t < fraction:
        assert made(t) == pytest.approx(t / fraction, abs=1e-12)
    else:
        assert made(t) == pytest.approx(rex(min(1, (t - fraction) / (1 - fraction))), abs=1e-12)


def test_warm_up_ends_at_what_the_schedule_starts_with():
    made = warmup(floored(lambda t: 0.5 * linear(t), 0.0), 0.5)
    assert made(0.25) == pytest.approx(0.25) and made(0.5) == pytest.approx(0.5) and made(1) == 0
    assert warmup(cosine, 0) is cosine


def test_a_readers_own_function_of_a_number_composes():
    made = floored(warmup(lambda t: math.exp(-t), 0.2), 0.1)
    assert made(0.6) == pytest.approx(0.1 + 0.9 * math.exp(-0.5))


def test_a_table_is_itself_at_its_horizon_and_resampled_at_another():
    values = np.random.default_rng(0).random(100)
    made = tabulated(values, end=0.25)
    assert [made(k / 100) for k in range(100)] == values.tolist() and made(1) == 0.25
    assert made(0.505) == pytest.approx((values[50] + values[51]) / 2, rel=1e-12)
    assert made(0.995) == pytest.approx((values[99] + 0.25) / 2, rel=1e-12)
    values[0] = 7
    assert made(0) != 7


@pytest.mark.parametrize("t", [-0.01, 1.001, math.nan, math.inf, "half", [0.5, 2.0]])
@pytest.mark.parametrize("name", DECAYS | OTHERS)
def test_progress_outside_is_refused(name, t):
    with pytest.raises(ScheduleError, match=r"^t: must be [^\n]+$"):
        (DECAYS | OTHERS)[name](t)


@pytest.mark.parametrize(
    "call, field",
    [
        (lambda: polynomial(0.5, p=0), "p"),
        (lambda: polynomial(0.5, p="two"), "p"),
        (lambda: cosine_power(0.5, p=0.9), "p"),
        (lambda: cosine_power(0.5, p=math.inf), "p"),
        (lambda: step(0.5, milestones=(0.7, 0.3)), "milestones"),
        (lambda: step(0.5, milestones=(0.5, 1.5)), "milestones"),
        (lambda: step(0.5, gamma=-1), "gamma"),
        (lambda: exponential(0.5, final=0), "final"),
        (lambda: one_cycle(0.5, peak=1), "peak"),
        (lambda: one_cycle(0.5, start=2), "start"),
        (lambda: wsd(0.5, decay=1.5), "decay"),
        (lambda: inverse_sqrt(0.5, timescale=-1), "timescale"),
        (lambda: power(-1, batch_size=1), "tokens"),
        (lambda: power(math.inf, batch_size=1), "tokens"),
        (lambda: power(2e9, batch_size=1, total=1e9), "tokens"),
        (lambda: power(1, batch_size=0), "batch_size"),
        (lambda: power(1, batch_size=1, b=0.5), "b"),
        (lambda: power(1, batch_size=1, peak=math.nan), "peak"),
        (lambda: power(1, batch_size=1, warmup=10, total=10), "total"),
        (lambda: power(1, batch_size=1, total=10, decay=0), "decay"),
        (lambda: warmup(cosine, 1), "fraction"),
        (lambda: warmup(cosine, math.nan), "fraction"),
        (lambda: floored(cosine, -0.1), "final"),
        (lambda: tabulated([]), "multipliers"),
        (lambda: tabulated([1, -1]), "multipliers"),
        (lambda: tabulated([[1.0]]), "multipliers"),
        (lambda: tabulated([1, math.nan]), "multipliers"),
        (lambda: tabulated([1], end=-1), "end"),
    ],
)
def test_bad_knobs_are_named(call, field):
    with pytest.raises(ScheduleError, match=rf"^{field}: must [^\n]+$"):
        call()


def test_a_tensor_that_requires_a_gradient_is_refused_in_one_line():
    for t in (torch.tensor(0.5, requires_grad=True), torch.ones(3, requires_grad=True)):
        with pytest.raises(ScheduleError, match=r"^t: must not be a tensor that requires a gradient: detach\(\) it$"):
            linear(t)
        assert np.array_equal(linear(t.detach()), 1 - t.detach().numpy())


def test_nothing_asked_nothing_returned():
    for schedule in (linear, step, wsd, warmup(cosine, 0.1), tabulated([1.0, 0.5]), partial(power, batch_size=8)):
        assert schedule(np.array([])).shape == (0,)
    assert power(np.array([]), batch_size=8, total=1e9, warmup=1e6).shape == (0,)
