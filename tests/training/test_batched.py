"""`fit_many` against `fit`: the same networks, trained side by side and one by one."""

import math

import pytest
import torch
from torch import nn

from redraw import data
from redraw.models import initialize, lenet_300_100, narrow_conv_2
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.training import _replay, fit, fit_many
from redraw.training._replay import replayed
from redraw.training._stacked import forward

OPTIMIZERS = {
    "adam": lambda parameters, lr=0.0: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr=0.0: torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True),
}
NETWORKS = {
    "lenet": lambda: lenet_300_100((64,)),
    "conv": lambda: nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *narrow_conv_2((1, 8, 8), channels=4, hidden=16)),
    "normed": lambda: nn.Sequential(nn.Linear(64, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10)),
    "small": lambda: lenet_300_100((8,), classes=3),
}
BUDGET = {"iterations": 200, "batch_size": 60, "evaluate_every": 20}
SHORT = {"iterations": 60, "batch_size": 20, "evaluate_every": 4}


pytestmark = pytest.mark.usefixtures("single_thread")


def noise():
    """A noisy linear problem in float64, small enough to overfit, so that minima lie inside the budget."""
    g = generator(0, "problem")
    x = torch.randn(240, 8, generator=g, dtype=torch.float64)
    y = (x @ torch.randn(8, 3, generator=g).double() + 2 * torch.randn(240, 3, generator=g)).argmax(1)
    return data.Arrays(x[:120], y[:120], x[120:], y[120:])


def digits(double=False):
    one = data.load_splits("digits", seeds=[0])
    arrays = data.Arrays(one.x, one.y, one.test_x, one.test_y)
    return arrays._replace(train_x=one.x.double(), test_x=one.test_x.double()) if double else arrays


def member(kind, seed, masked, arrays):
    """A network and its masks, or None."""
    model = initialize(NETWORKS[kind](), "glorot_normal", generator(seed, "theta")).to(arrays.train_x.dtype)
    other = initialize(NETWORKS[kind](), "glorot_normal", generator(seed, "other"))
    return model, magnitude(other.state_dict(), Masks.dense(other), 0.7) if masked else None


def held_out(arrays):
    return len(arrays.train_x) // 4


def together(kind, seeds, rates, optimizer="adam", *, arrays, masked=False, **budget):
    models, masks = zip(*(member(kind, seed, masked, arrays) for seed in seeds), strict=True)
    histories = fit_many(
        models,
        data.splits("these", arrays, held_out(arrays), seeds),
        optimizer if callable(optimizer) else OPTIMIZERS[optimizer],
        learning_rates=rates,
        generators=[generator(seed, "order") for seed in seeds],
        masks=masks if masked else None,
        **budget,
    )
    return models, histories


def alone(kind, seed, rate, optimizer="adam", *, arrays, masked=False, **budget):
    model, masks = member(kind, seed, masked, arrays)
    made = OPTIMIZERS[optimizer](model.parameters(), rate)
    if masked:
        masks.hold(model, made)
    dataset = data.split("these", arrays, held_out(arrays), seed)
    return model, fit(model, dataset, made, generator=generator(seed, "order"), **budget)


def assert_alike(model, history, other, expected, tolerance):
    for (name, value), known in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.allclose(value, known, rtol=tolerance, atol=tolerance), name
    assert history.iterations == expected.iterations
    assert history.validation_loss == pytest.approx(expected.validation_loss, rel=tolerance, nan_ok=True)
    for name in ("validation_accuracy", "stop_iteration", "stop_test_accuracy", "final_test_accuracy"):
        assert getattr(history, name) == getattr(expected, name), name
    assert (history.censored, history.diverged) == (expected.censored, expected.diverged)


# One by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "optimizer", "masked", "rates"),
    [
        ("lenet", "adam", False, [1.2e-3] * 3),
        ("lenet", "adam", True, [1.2e-3, 4e-4, 1.2e-3]),
        ("lenet", "sgd", True, [0.05] * 3),
        ("lenet", "sgd", False, [0.02, 0.02, 0.05]),
        ("conv", "sgd", True, [0.05] * 3),
    ],
)
def test_each_member_is_within_1e_5_of_training_alone(kind, optimizer, masked, rates):
    seeds, arrays = [4, 1, 7], digits()
    models, histories = together(kind, seeds, rates, optimizer, arrays=arrays, masked=masked, **BUDGET)
    for seed, rate, *found in zip(seeds, rates, models, histories, strict=True):
        assert_alike(*found, *alone(kind, seed, rate, optimizer, arrays=arrays, masked=masked, **BUDGET), 1e-5)
        assert min(found[1].validation_loss) < 0.7 * found[1].validation_loss[0]  # it does train


@pytest.mark.parametrize(
    ("kind", "optimizer", "masked", "rate"),
    [
        ("lenet", "adam", True, 1.2e-3),
        ("lenet", "adam", False, 1e-3),  # seed 7 comes in float32 upon a ReLU whose input is rounding away from zero
        ("conv", "adam", False, 3e-3),
        ("normed", "sgd", False, 0.02),  # batch normalization: running statistics are each member's own
    ],
)
def test_what_is_left_between_the_two_is_rounding(kind, optimizer, masked, rate):
    """In float64 they agree to 1e-10, whatever the network makes of rounding."""
    seeds, arrays = [1, 7], digits(double=True)
    models, histories = together(kind, seeds, [rate] * 2, optimizer, arrays=arrays, masked=masked, **BUDGET)
    for seed, *found in zip(seeds, models, histories, strict=True):
        assert_alike(*found, *alone(kind, seed, rate, optimizer, arrays=arrays, masked=masked, **BUDGET), 1e-10)


def test_each_member_stops_early_by_its_own_losses():
    seeds, rates, arrays = [0, 1, 2, 3], [3e-3, 1e-2, 1e-2, 1e-5], noise()
    models, histories = together("small", seeds, rates, arrays=arrays, **SHORT)
    for seed, rate, *found in zip(seeds, rates, models, histories, strict=True):
        assert_alike(*found, *alone("small", seed, rate, arrays=arrays, **SHORT), 1e-9)
    assert len({history.stop_iteration for history in histories}) >= 3
    assert [history.censored for history in histories] == [False, False, False, True]
    assert any(history.stop_test_accuracy != history.final_test_accuracy for history in histories)


def test_the_budget_need_not_be_a_multiple_of_evaluations_or_epochs():
    budget, arrays = {"iterations": 11, "batch_size": 40, "evaluate_every": 3}, noise()
    models, histories = together("small", [5, 6], [1e-3] * 2, arrays=arrays, **budget)
    for seed, *found in zip([5, 6], models, histories, strict=True):
        assert found[1].iterations == [3, 6, 9]
        assert_alike(*found, *alone("small", seed, 1e-3, arrays=arrays, **budget), 1e-9)


def test_a_member_does_not_see_who_is_beside_it():
    seeds, arrays = [3, 0, 2, 1], noise()
    rates = {seed: 1e-3 * (1 + seed % 2) for seed in seeds}

    def found(chosen):
        return dict(zip(chosen, zip(*together("small", chosen, [rates[s] for s in chosen], arrays=arrays, **SHORT),
                                    strict=True), strict=True))  # fmt: skip

    first = found(seeds)
    for others in ([0, 1, 2, 3], [2, 3], [1]):
        for seed, again in found(others).items():
            assert_alike(*again, *first[seed], 1e-9)


# Masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_and_their_optimizer_state_are_exactly_zero(optimizer):
    seeds, arrays, made = [0, 1], noise(), []

    def remember(groups):
        made.append(OPTIMIZERS[optimizer](groups))
        return made[0]

    models, _ = together("small", seeds, [1e-2] * 2, remember, arrays=arrays, masked=True, **SHORT)
    masks = [member("small", seed, True, arrays)[1] for seed in seeds]
    names = [name for name, _ in models[0].named_parameters()]
    stacks = [list(state.values()) for state in made[0].state.values()]
    for m, model in enumerate(models):
        weights = model.state_dict()
        for name, mask in masks[m].items():
            assert (weights[name] == 0).equal(~mask), name
            states = [value[m] for value in stacks[names.index(name)] if value.ndim]
            assert states and all((value[~mask] == 0).all() and value.any() for value in states)


def test_masks_hold_while_weights_become_infinite():
    arrays = noise()
    (model, _), (history, _) = together("small", [0, 1], [1e30, 1e-2], "sgd", arrays=arrays, masked=True, **SHORT)
    masks = member("small", 0, True, arrays)[1]
    assert history.diverged and not all(value.isfinite().all() for value in model.parameters())
    assert all((model.state_dict()[name][~mask] == 0).all() for name, mask in masks.items())


# A member that fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lenet", "conv", "normed"])
def test_a_member_that_diverges_leaves_the_others_as_they_are(kind):
    seeds, arrays, budget = [0, 1, 2], digits(), {"iterations": 12, "batch_size": 60, "evaluate_every": 3}
    models, histories = together(kind, seeds, [0.01, math.nan, 0.01], "sgd", arrays=arrays, **budget)
    calm, expected = together(kind, seeds, [0.01, 0.02, 0.01], "sgd", arrays=arrays, **budget)
    for m in (0, 2):
        assert histories[m] == expected[m]
        assert all(torch.equal(a, b) for a, b in zip(models[m].parameters(), calm[m].parameters(), strict=True))
    lost = histories[1]
    assert lost.diverged and lost.censored and lost.stop_iteration == 12
    assert all(map(math.isnan, lost.validation_loss)) and lost.stop_test_accuracy == lost.final_test_accuracy
    assert not any(value.isfinite().any() for value in models[1].parameters())


# Requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rates": [0.1]}, "learning_rates: must be one for each of the 2 models, got 1"),
        ({"generators": []}, "generators: must be one for each of the 2 models, got 0"),
        ({"masks": [{}]}, "masks: must be one for each of the 2 models, got 1"),
        ({"masks": [{}, {"1.weight": None}]}, "masks: must have the same names for every model"),
        ({"evaluate_every": 7}, "evaluate_every: must be from 1 to 6 iterations, got 7"),
        ({"batch_size": 91}, "batch_size: must be from 1 to 90, got 91"),
        ({"optimizer": torch.optim.RMSprop}, "optimizer: must be torch's SGD or Adam, got RMSprop"),
        ({"models": [NETWORKS["small"](), NETWORKS["lenet"]()]},
         "models: must be of one architecture, and number 1 differs from number 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(change, message):
    asked = {
        "models": [NETWORKS["small"]() for _ in range(2)],
        "optimizer": OPTIMIZERS["sgd"],
        "learning_rates": [0.1, 0.1],
        "generators": [generator(0), generator(1)],
        "iterations": 6,
        "batch_size": 20,
        "evaluate_every": 2,
    } | change
    with pytest.raises(ValueError) as refused:
        fit_many(asked.pop("models"), data.splits("these", noise(), 30, [0, 1]), asked.pop("optimizer"), **asked)
    assert str(refused.value) == message


# Parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lenet", "conv"])
def test_logits_of_a_stack_are_those_of_its_networks(kind):
    models = [member(kind, seed, False, digits())[0].double() for seed in range(3)]
    x = torch.randn(3, 5, 64, generator=generator(0), dtype=torch.float64)
    parameters = {name: torch.stack([m.state_dict()[name] for m in models]) for name in models[0].state_dict()}
    found = forward(models[0])(parameters, {}, x)
    assert found.shape == (3, 10, 5)
    for m, model in enumerate(models):
        torch.testing.assert_close(found[m].T, model(x[m]))


def test_the_splits_are_those_of_each_seed_without_a_copy():
    shared = data.load_splits("digits", seeds=[5, 0])
    for m, seed in enumerate([5, 0]):
        one = data.load("digits", seed=seed)
        assert torch.equal(shared.x[shared.train[m]], one.train_x)
        assert torch.equal(shared.y[shared.train[m]], one.train_y)
        assert torch.equal(shared.x[shared.validation[m]], one.validation_x)
        assert torch.equal(shared.y[shared.validation[m]], one.validation_y)
        assert torch.equal(shared.test_x, one.test_x) and torch.equal(shared.test_y, one.test_y)
    assert shared.classes == 10 and len(shared.x) == len(one.train_x) + len(one.validation_x)
    assert shared.to("cpu").x.data_ptr() == shared.x.data_ptr()
    with pytest.raises(ValueError, match="^seeds: must be at least one for splits of digits$"):
        data.load_splits("digits", seeds=[])


def test_work_on_the_processor_is_not_recorded():
    def work():
        pass

    assert replayed(work, torch.device("cpu")) is work


def test_a_recording_that_memory_breaks_off_is_told_as_what_it_was(monkeypatch):
    """The end of a recording raises an error of its own in its place; whoever can, trains fewer networks at once."""

    class Graph:
        def __init__(self, graph):
            pass

        def __enter__(self):
            pass

        def __exit__(self, *_):
            raise RuntimeError("the capture was broken off")

    def full():
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    with pytest.raises(torch.OutOfMemoryError, match="no memory left"):
        _replay._record(full)
    with pytest.warns(UserWarning, match="without a CUDA graph: the capture was broken off"):
        assert _replay._record(lambda: None) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("kind", "optimizer"), [("lenet", "adam"), ("lenet", "sgd"), ("conv", "adam")])
def test_on_cuda_recorded_steps_are_those_of_the_processor(kind, optimizer):
    arrays, rate = digits(double=True), {"adam": 1.2e-3, "sgd": 0.02}[optimizer]
    models, histories = together(kind, [1, 7], [rate] * 2, optimizer, arrays=arrays, device="cuda", **BUDGET)
    for seed, *found in zip([1, 7], models, histories, strict=True):
        assert_alike(*found, *alone(kind, seed, rate, optimizer, arrays=arrays, **BUDGET), 1e-8)
