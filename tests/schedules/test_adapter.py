"""The torch scheduler: rates of every kind and group, resume in any order, pickles, and what it refuses."""

import copy
import io
import math
import pickle
import warnings
from functools import partial

import pytest
import torch

from redraw.schedules import ScheduleError, ScheduleLR, cosine, linear, power, refine, tabulated, warmup, wsd

T = 20
SCHEDULE = warmup(cosine, 0.25, start=0.1)


@pytest.fixture(autouse=True)
def no_warnings():
    """Torch warns where a scheduler is used wrongly."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make(kind="sgd", tensor=False, rates=(0.5, 0.02)):
    """A small model with an optimizer that has two groups, each with its own rate."""
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(4, 3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    lrs = [torch.tensor(r) if tensor else r for r in rates]
    groups = [{"params": [model.weight], "lr": lrs[0]}, {"params": [model.bias], "lr": lrs[1]}]
    if kind == "sgd":
        return model, torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    if kind == "adamw":
        return model, torch.optim.AdamW(groups, lr=0.1, foreach=False if tensor else None)
    return model, torch.optim.Adagrad(groups, lr=0.1, foreach=False if tensor else None)


def train(model, optimizer, scheduler, first, last):
    """Steps first..last-1 on data that depend on the step alone; the rates of each."""
    seen = []
    for k in range(first, last):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(k))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def saved(value):
    """`value` through a file that may hold numbers, containers and tensors only."""
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.mark.parametrize("kind", ["sgd", "adamw", "adagrad"])
@pytest.mark.parametrize("tensor", [False, True])
def test_every_group_follows_the_schedule(kind, tensor):
    model, optimizer = make(kind, tensor)
    held = [group["lr"] for group in optimizer.param_groups]
    scheduler = ScheduleLR(optimizer, SCHEDULE, T)
    seen = train(model, optimizer, scheduler, 0, T)
    for k, rates in enumerate(seen):
        assert rates == pytest.approx([0.5 * SCHEDULE(k / T), 0.02 * SCHEDULE(k / T)], rel=1e-6)
    assert [float(r) for r in scheduler.get_last_lr()] == pytest.approx([0, 0], abs=1e-9)
    if tensor:
        assert all(group["lr"] is lr for group, lr in zip(optimizer.param_groups, held, strict=True))


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("order", ["before", "optimizer first", "scheduler first"])
@pytest.mark.parametrize("at", [0, 1, 7, T - 1])
def test_a_resumed_run_equals_one_that_was_not_stopped(tensor, order, at):
    """Whether the optimizer's state is loaded before the scheduler is made, or before or after its state."""
    model, optimizer = make("adamw", tensor)
    scheduler = ScheduleLR(optimizer, SCHEDULE, T)
    whole = train(model, optimizer, scheduler, 0, at)
    state = saved([model.state_dict(), optimizer.state_dict(), scheduler.state_dict()])
    whole += train(model, optimizer, scheduler, at, T)

    other, again = make("adamw", tensor, rates=(0.9, 0.9))
    other.load_state_dict(state[0])
    if order == "before":
        again.load_state_dict(state[1])
    resumed = ScheduleLR(again, SCHEDULE, T)
    if order == "optimizer first":
        again.load_state_dict(state[1])
    resumed.load_state_dict(state[2])
    if order == "scheduler first":
        again.load_state_dict(state[1])
    assert train(other, again, resumed, at, T) == whole[at:]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("tensor", [False, True])
def test_a_state_stands_still(tensor):
    model, optimizer = make(tensor=tensor)
    scheduler = ScheduleLR(optimizer, linear, T)
    state = scheduler.state_dict()
    before = copy.deepcopy(state)
    train(model, optimizer, scheduler, 0, 5)
    assert state == before and set(state) == {"last_epoch", "_step_count", "base_lrs", "_last_lr"}
    loaded = ScheduleLR(make(tensor=tensor)[1], linear, T)
    loaded.load_state_dict(state)
    again, rates = loaded.state_dict(), loaded.get_last_lr()
    loaded.optimizer.step()
    loaded.step()
    assert state == before == again and rates == state["_last_lr"]


def test_a_state_goes_from_tensor_rates_to_numbers_and_back():
    for source in (False, True):
        model, optimizer = make(tensor=source)
        scheduler = ScheduleLR(optimizer, linear, T)
        train(model, optimizer, scheduler, 0, 4)
        other, target = make(tensor=not source, rates=(1.0, 1.0))
        resumed = ScheduleLR(target, linear, T)
        held = [group["lr"] for group in target.param_groups]
        resumed.load_state_dict(scheduler.state_dict())
        if not source:  # the optimizer's own tensors are written to, as by every later step
            assert all(group["lr"] is lr for group, lr in zip(target.param_groups, held, strict=True))
        found = train(other, target, resumed, 4, 6)
        assert found[0] == pytest.approx([0.5 * 0.8, 0.02 * 0.8], rel=1e-6)
        assert found[1] == pytest.approx([0.5 * 0.75, 0.02 * 0.75], rel=1e-6)
        assert all(isinstance(g["lr"], torch.Tensor) is not source for g in target.param_groups)


def test_a_trunk_is_branched_to_several_horizons():
    model, optimizer = make()
    trunk = ScheduleLR(optimizer, wsd, 100)
    train(model, optimizer, trunk, 0, 18)
    for horizon in (20, 40):
        other, again = make()
        branch = ScheduleLR(again, partial(wsd, decay=0.1), horizon)
        branch.load_state_dict(trunk.state_dict())
        found = [rates[0] for rates in train(other, again, branch, 18, horizon)]
        assert found == pytest.approx([0.5 * wsd(k / horizon) for k in range(18, horizon)], rel=1e-12)


@pytest.mark.parametrize("schedule", [SCHEDULE, tabulated(refine([3.0, 1, 1, 1])), partial(wsd, decay=0.5)])
def test_pickles_and_copies_with_its_optimizer(schedule):
    model, optimizer = make()
    scheduler = ScheduleLR(optimizer, schedule, T)
    train(model, optimizer, scheduler, 0, 3)
    for again in (pickle.loads(pickle.dumps(scheduler)), copy.deepcopy(scheduler)):
        assert again.get_last_lr() == scheduler.get_last_lr()
        rates = []
        for _ in range(4):
            again.optimizer.step()
            again.step()
            rates.append(again.optimizer.param_groups[0]["lr"])
        assert rates == [0.5 * schedule(k / T) for k in range(4, 8)]


def test_tokens_in_place_of_steps():
    model, optimizer = make(rates=(0.02, 0.01))
    made = partial(power, batch_size=4, peak=0.02, warmup=4000, total=80_000)
    scheduler = ScheduleLR(optimizer, made, tokens_per_step=4000)
    seen = train(model, optimizer, scheduler, 0, T)
    assert seen == [[0.02 * made(4000 * k), 0.01 * made(4000 * k)] for k in range(T)]


def test_one_group_added_to_a_schedule_in_progress_is_not_scheduled_silently():
    _, optimizer = make()
    scheduler = ScheduleLR(optimizer, linear, T)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1.0})
    optimizer.step()
    with pytest.raises(ValueError):
        scheduler.step()


def test_the_horizon_is_the_end():
    model, optimizer = make()
    scheduler = ScheduleLR(optimizer, linear, 3)
    train(model, optimizer, scheduler, 0, 3)
    optimizer.step()
    with pytest.raises(ScheduleError, match="^steps: step 4 lies past the horizon of 3 steps$"):
        scheduler.step()


@pytest.mark.parametrize(
    "steps, message",
    [
        (0, "steps: must be at least 1, not 0"),
        (-5, "steps: must be at least 1, not -5"),
        (2.5, "steps: must be a whole number, not 2.5"),
        ("10", "steps: must be a whole number, not '10'"),
        (None, "steps: must be given, or tokens_per_step in its place, and not both"),
    ],
)
def test_bad_horizons_are_named(steps, message):
    with pytest.raises(ScheduleError, match=f"^{message}$"):
        ScheduleLR(make()[1], linear, steps)


def test_other_bad_input_is_named():
    _, optimizer = make()
    with pytest.raises(ScheduleError, match="^steps: must be given, or tokens_per_step"):
        ScheduleLR(optimizer, linear, 10, tokens_per_step=10)
    with pytest.raises(ScheduleError, match="^tokens_per_step: must be at least 1, not 0$"):
        ScheduleLR(optimizer, power, tokens_per_step=0)
    for bad, said in ((-0.5, "-0.5"), (math.nan, "nan"), (math.inf, "inf")):
        _, optimizer = make()
        optimizer.param_groups[1]["lr"] = bad
        allowed = f"must be finite and at least 0, not {said}$"
        with pytest.raises(ScheduleError, match=f"^learning rate of group 1: {allowed}"):
            ScheduleLR(optimizer, linear, T)
        _, optimizer = make()
        with pytest.raises(ScheduleError, match=f"^schedule at 0: {allowed}"):
            ScheduleLR(optimizer, lambda t, bad=bad: bad, T)


def test_states_that_do_not_fit_change_nothing():
    model, optimizer = make()
    scheduler = ScheduleLR(optimizer, linear, T)
    train(model, optimizer, scheduler, 0, 10)
    state, (_, other) = scheduler.state_dict(), make()
    short = ScheduleLR(other, linear, 5)
    with pytest.raises(ScheduleError, match="^steps: step 10 lies past the horizon of 5 steps$"):
        short.load_state_dict(state)
    with pytest.raises(ScheduleError, match="^state_dict: must be of 2 parameter groups, not 1$"):
        short.load_state_dict(state | {"base_lrs": [0.1]})
    with pytest.raises(ScheduleError, match="^state_dict: base rate of group 1: must be finite"):
        short.load_state_dict(state | {"base_lrs": [0.1, math.nan]})
    assert short.last_epoch == 0 and [g["lr"] for g in other.param_groups] == [0.5, 0.02]
