"""AutoLRS on problems whose best learning rate is known, and its book-keeping."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from redraw.schedules import ScheduleError, auto_lrs
from redraw.schedules._autolrs import _plan, forecast, propose


class Bowl(nn.Module):
    """sum_i a_i x_i^2 / 2, whose gradient descent with rate 2 / (min a + max a) converges fastest."""

    def __init__(self, curvatures=(1.0, 10.0)):
        super().__init__()
        self.a = torch.tensor(curvatures)
        self.x = nn.Parameter(torch.ones(len(curvatures)))

    def forward(self):
        return (self.a * self.x**2).sum() / 2


def descend(model, optimizer, calls=None):
    def step():
        optimizer.zero_grad()
        loss = model()
        loss.backward()
        optimizer.step()
        if calls is not None:
            calls.append(optimizer.param_groups[0]["lr"])
        return loss.item()

    return step


def run(momentum=0.0, calls=None, **options):
    model = Bowl()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=momentum)
    options = {"steps": 200, "stage": 100, "longest": 100, "low": 1e-3, "high": 1.0} | options
    return auto_lrs(model, optimizer, descend(model, optimizer, calls), **options), model


def test_it_finds_the_best_rate_of_a_quadratic():
    done, model = run(pay=False)
    # between 1 / 10, which ends the steep direction at once, and 2 / (1 + 10), the fastest in the long run
    assert 0.09 < done.stages[0].lr < 0.2
    assert model().item() < 1e-8


def test_rates_that_diverge_are_tried_but_not_taken():
    done, _ = run(low=0.15, high=1e4, pay=False, stage=400, longest=400, steps=400)
    assert max(done.stages[0].tried) > 0.2 > done.stages[0].lr
    assert np.inf in done.stages[0].forecasts or max(done.stages[0].forecasts) > 1e3


@pytest.mark.parametrize("pay", [True, False])
@pytest.mark.parametrize("steps", [1, 7, 20, 100, 333])
def test_every_step_is_counted(steps, pay):
    calls = []
    done, _ = run(steps=steps, stage=40, longest=80, pay=pay, calls=calls)
    assert done.trained + done.searched == len(calls)
    assert len(done.losses) == len(done.lrs) == done.trained
    if pay:
        assert len(calls) == steps
    else:
        assert done.trained == steps


def test_what_was_searched_is_undone():
    """The losses are those of plain training with the rates that were chosen, momentum and all."""
    done, searched = run(momentum=0.9, low=1e-3, high=0.05)
    model = Bowl()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    step, losses = descend(model, optimizer), []
    for lr in done.lrs:
        optimizer.param_groups[0]["lr"] = lr
        losses.append(step())
    assert losses == list(done.losses)
    assert torch.equal(model.x, searched.x)


def test_one_step_per_candidate_says_nothing_of_its_rate():
    """The limit that the docstring names: below 20 steps a stage all candidates have the same forecast."""
    short, _ = run(steps=20, stage=19, longest=19, pay=False)
    assert len(short.stages[0].tried) == 10 and len(set(short.stages[0].forecasts)) == 1
    longer, _ = run(steps=20, stage=20, longest=20, pay=False)
    assert len(set(longer.stages[0].forecasts)) > 1


@given(st.integers(1, 5000), st.integers(1, 1000), st.integers(1, 20), st.booleans())
def test_the_plan_takes_all_steps_in_stages_that_double(steps, stage, candidates, pay):
    stages = list(_plan(steps, stage, 8 * stage, candidates, pay))
    assert sum(tau + (trials * each if pay else 0) for tau, trials, each in stages) == steps
    assert all(tau >= 1 and 0 <= trials <= candidates and each >= 1 for tau, trials, each in stages)
    lengths = [tau for tau, _, _ in stages[:-1]]
    assert lengths == [min(stage * 2**i, 8 * stage) for i in range(len(lengths))]


def test_the_papers_stages_and_candidates():
    assert list(_plan(15_000, 1000, 8000, 10, False)) == [
        (1000, 10, 100),
        (2000, 10, 200),
        (4000, 10, 400),
        (8000, 10, 800),
    ]


def test_the_forecast_of_an_exponential_is_exact():
    k = np.arange(100)
    rate = np.geomspace(1 / 100, 1.0, 60)[20]  # one of the grid
    losses = 2 * np.exp(-rate * k) + 0.5
    assert forecast(losses, 1000) == pytest.approx(0.5)
    assert forecast(losses[:60] + 0.0, 70) == pytest.approx(2 * np.exp(-rate * 70) + 0.5, abs=5e-3)


def test_an_outlier_does_not_move_the_forecast():
    k, noise = np.arange(100), np.random.default_rng(0).normal(0, 0.01, 100)
    losses = 2 * np.exp(-0.1 * k) + 0.5 + noise
    spiked = losses.copy()
    spiked[50] = 100.0
    assert forecast(spiked, 1000) == pytest.approx(forecast(losses, 1000), abs=0.01)


def test_forecasts_that_need_no_fit():
    assert forecast([3.0] * 20, 200) == pytest.approx(3.0)
    assert forecast([1.0, 2.0, 3.0], 30) == 2.0
    assert forecast([1.0, np.nan, 1.0, 1.0, 1.0, 1.0], 60) == np.inf
    assert forecast(np.linspace(5, 1, 20), 200) >= 0  # a loss that falls fast is not forecast below zero


def test_the_search_looks_where_forecasts_are_low():
    rates = np.geomspace(1e-3, 1, 100)
    tried, forecasts = [], []
    for _ in range(10):
        tried.append(propose(rates, tried, forecasts))
        forecasts.append(abs(np.log(tried[-1] / 0.1)))
    assert min(forecasts) < np.log(1.3)
    assert len(set(tried)) > 4


def test_all_that_diverge_leave_the_search_going():
    rates = np.geomspace(1e-3, 1, 100)
    assert propose(rates, [0.1, 0.2], [np.inf, np.inf]) in rates


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: must be at least 1, not 0"),
        ({"low": 0.0}, "low: must be finite and greater than 0, not 0"),
        ({"low": -1.0}, "low: must be finite and greater than 0, not -1"),
        ({"high": float("nan")}, "high: must be finite and greater than 0.001, not nan"),
        ({"high": 1e-3}, "high: must be finite and greater than 0.001, not 0.001"),
        ({"stage": 50, "longest": 49}, "longest: must be at least the first stage of 50 steps, not 49"),
        ({"candidates": 0}, "candidates: must be at least 1, not 0"),
    ],
)
def test_bad_requests_are_refused_before_any_step(options, message):
    calls = []
    with pytest.raises(ScheduleError, match=f"^{message}$"):
        run(calls=calls, **options)
    assert calls == []
