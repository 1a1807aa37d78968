"""`train_many` against `steps`: the same networks under a schedule, trained side by side and one by one."""

import json
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn

from redraw import data
from redraw.models import initialize, lenet_300_100, narrow_conv_2, resnet_18, strided_conv
from redraw.pruning import Masks, cosine_decay, magnitude
from redraw.seeds import generator
from redraw.training import batches, orders, steps, train_many

SGD = partial(torch.optim.SGD, lr=0.0, momentum=0.9, weight_decay=5e-4)
OPTIMIZERS = {
    "sgd": partial(SGD, fused=True),
    "sgd_plain": SGD,
    "sgd_nesterov": partial(SGD, nesterov=True, foreach=True),
    "adam": partial(torch.optim.Adam, lr=0.0, weight_decay=5e-4, fused=True),
}
PICTURE = nn.Unflatten(1, (1, 8, 8))
NETWORKS = {
    "lenet": lambda: lenet_300_100((64,)),
    "conv": lambda: nn.Sequential(PICTURE, *narrow_conv_2((1, 8, 8), channels=4, hidden=16)),
    "strided": lambda: nn.Sequential(PICTURE, *strided_conv((1, 8, 8), width=4)),
    "resnet": lambda: nn.Sequential(PICTURE, *resnet_18((1, 8, 8), width=2)),
}
STEPS, BATCH = 200, 60

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def digits():
    arrays = data.reader("digits")(data.locate("digits"))
    return arrays.train_x, arrays.train_y


def cosine(first=0, length=STEPS):
    return lambda i: cosine_decay((first + i) / length, 1.0)


def member(kind, seed, remaining, dtype=torch.float32):
    """A network and masks that keep so much of it."""
    model = initialize(NETWORKS[kind](), "kaiming_normal", generator(seed, "theta"))
    other = initialize(NETWORKS[kind](), "kaiming_normal", generator(seed, "other"))
    return model.to(dtype), magnitude(other.state_dict(), Masks.dense(other), 1 - remaining)


def shared(x, seeds):
    return orders(torch.arange(len(x)).expand(len(seeds), len(x)), BATCH, [generator(s, "order") for s in seeds])


def together(kind, given, optimizer, x, y, length=STEPS):
    """given: by seed the learning rate and what is kept."""
    models, masks = zip(*(member(kind, seed, kept, x.dtype) for seed, (_, kept) in given.items()), strict=True)
    rates = [rate for rate, _ in given.values()]
    how = {"learning_rates": rates, "schedule": cosine(), "masks": masks}
    train_many(models, x, y, shared(x, list(given)), optimizer, length, **how)
    return models, masks


def alone(kind, seed, rate, kept, optimizer, x, y, length=STEPS):
    model, masks = member(kind, seed, kept, x.dtype)
    made = optimizer(model.parameters(), lr=rate)
    masks.hold(model, made)
    falling = torch.optim.lr_scheduler.LambdaLR(made, cosine())
    losses = []
    for _, loss in steps(model, batches(x, y, BATCH, generator(seed, "order")), made, length):
        falling.step()
        losses.append(loss.item())
    return model, losses


def assert_alike(model, other, tolerance):
    for (name, value), known in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.allclose(value, known, rtol=tolerance, atol=tolerance), name


# One by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "optimizer", "given"),
    [
        ("lenet", "sgd", {4: (0.05, 0.1), 1: (0.05, 1.0), 7: (0.02, 0.4)}),  # masked and dense, two learning rates
        ("lenet", "sgd_plain", {0: (0.05, 0.2), 2: (0.02, 0.2)}),
        ("lenet", "sgd_nesterov", {0: (0.02, 0.2), 2: (0.02, 0.2)}),
        ("lenet", "adam", {3: (1e-3, 0.2), 4: (4e-4, 0.5)}),
        ("conv", "sgd", {4: (0.05, 0.5), 1: (0.05, 0.7), 7: (0.03, 0.5)}),
    ],
)
def test_each_member_is_within_1e_5_of_training_alone(kind, optimizer, given, digits):
    models, _ = together(kind, given, OPTIMIZERS[optimizer], *digits)
    for model, (seed, how) in zip(models, given.items(), strict=True):
        other, losses = alone(kind, seed, *how, OPTIMIZERS[optimizer], *digits)
        assert_alike(model, other, 1e-5)
        assert sum(losses[-10:]) < 0.5 * sum(losses[:10])  # it does train


@pytest.mark.parametrize(("kind", "length"), [("conv", 40), ("strided", 40), ("resnet", 12)])
def test_what_is_left_between_the_two_is_rounding(kind, length, digits):
    """In float64 they agree to 1e-9, batch normalization's running statistics too."""
    x, y = digits[0].double(), digits[1]
    given = {4: (0.05, 0.5), 1: (0.02, 0.3)}
    models, _ = together(kind, given, OPTIMIZERS["sgd"], x, y, length)
    for model, (seed, how) in zip(models, given.items(), strict=True):
        assert_alike(model, alone(kind, seed, *how, OPTIMIZERS["sgd"], x, y, length)[0], 1e-9)


def test_a_later_training_goes_on_in_the_order_where_the_first_ended(digits):
    (x, y), seeds = digits, [0, 1]
    models = [member("lenet", seed, 1.0)[0] for seed in seeds]
    order = shared(x, seeds)
    for first, last in ((0, 7), (7, 30)):  # an epoch is of 23 steps
        train_many(models, x, y, order, OPTIMIZERS["sgd"], last - first,
                   learning_rates=[0.05] * 2, schedule=cosine(first, 30))  # fmt: skip
    for seed, model in zip(seeds, models, strict=True):
        other, given = member("lenet", seed, 1.0)[0], batches(x, y, BATCH, generator(seed, "order"))
        for first, last in ((0, 7), (7, 30)):
            made = OPTIMIZERS["sgd"](other.parameters(), lr=0.05)
            falling = torch.optim.lr_scheduler.LambdaLR(made, cosine(first, 30))
            for _ in steps(other, given, made, last - first):
                falling.step()
        assert_alike(model, other, 1e-5)


def test_orders_are_those_of_batches():
    x, generators = torch.arange(50), [generator(seed) for seed in (3, 5)]
    found = list(islice(orders(torch.stack([x, x + 100]), 20, generators), 5))
    for m, seed in enumerate((3, 5)):
        expected = [one for one, _ in islice(batches(x + 100 * m, x, 20, generator(seed)), 5)]
        assert all(torch.equal(rows[m], one) for rows, one in zip(found, expected, strict=True))


# Masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_and_their_optimizer_state_are_exactly_zero(optimizer, digits):
    made, x, y = [], *digits

    def remember(groups):
        made.append(OPTIMIZERS[optimizer](groups))
        return made[0]

    models, masks = together("lenet", {0: (0.01, 0.2), 1: (0.01, 0.5)}, remember, x, y, 20)
    names = [name for name, _ in models[0].named_parameters()]
    stacks = [list(state.values()) for state in made[0].state.values()]
    for m, model in enumerate(models):
        for name, mask in masks[m].items():
            assert (model.state_dict()[name] == 0).equal(~mask), name
            states = [value[m] for value in stacks[names.index(name)] if value.ndim]
            assert states and all((value[~mask] == 0).all() and value.any() for value in states)


# Requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rates": [0.1]}, "learning_rates: must be one for each of the 2 models, got 1"),
        ({"masks": [{}]}, "masks: must be one for each of the 2 models, got 1"),
        ({"masks": [{}, {"1.weight": None}]}, "masks: must have the same names for every model"),
        ({"iterations": 0}, "iterations: must be at least 1, got 0"),
        ({"data": iter([torch.zeros(3, 5, dtype=torch.int64)])},
         "data: must be indices for each of the 2 models, got 3 rows"),
        ({"optimizer": torch.optim.RMSprop}, "optimizer: must be torch's SGD or Adam, got RMSprop"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(change, message, digits):
    x, y = digits
    asked = {
        "models": [NETWORKS["lenet"]() for _ in range(2)],
        "data": shared(x, [0, 1]),
        "optimizer": OPTIMIZERS["sgd"],
        "iterations": 3,
        "learning_rates": [0.1, 0.1],
    } | change
    with pytest.raises(ValueError) as refused:
        train_many(x=x, y=y, **asked)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("members", "batch_size", "message"),
    [
        (2, 0, "batch_size: must be from 1 to 9, got 0"),
        (2, 10, "batch_size: must be from 1 to 9, got 10"),
        (1, 5, "generators: must be one for each of the 2 orders, got 1"),
    ],
)
def test_impossible_orders_are_refused(members, batch_size, message):
    with pytest.raises(ValueError) as refused:
        next(orders(torch.arange(9).expand(2, 9), batch_size, [generator(m) for m in range(members)]))
    assert str(refused.value) == message


# On a device ----------------------------------------------------------------------------------------------------


def test_recorded_steps_take_the_schedules_learning_rates():
    """Recorded and replayed on the emulated device: see `recorded_steps.py`."""
    script = Path(__file__).with_name("recorded_steps.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    apart = json.loads(done.stdout.splitlines()[-1])
    assert apart.pop("frozen") > 1e-3  # what a recorded number would come to
    assert len(apart) == 6 and {name: value for name, value in apart.items() if not value <= 1e-6} == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("kind", "optimizer"), [("lenet", "sgd"), ("lenet", "sgd_plain"), ("strided", "sgd")])
def test_on_cuda_recorded_steps_are_those_of_the_processor(kind, optimizer, digits):
    x, y = digits[0].double(), digits[1]  # learning rates are of single precision there
    given, cuda = {1: (0.02, 0.5), 7: (0.02, 1.0)}, torch.device("cuda")
    models, masks = zip(*(member(kind, seed, kept, x.dtype) for seed, (_, kept) in given.items()), strict=True)
    rows = torch.arange(len(x), device=cuda).expand(2, len(x))
    order = orders(rows, BATCH, [generator(seed, "order") for seed in given])
    train_many(models, x.to(cuda), y.to(cuda), order, OPTIMIZERS[optimizer], 60,
               learning_rates=[0.02] * 2, schedule=cosine(), masks=masks)  # fmt: skip
    for model, (seed, how) in zip(models, given.items(), strict=True):
        assert_alike(model, alone(kind, seed, *how, OPTIMIZERS[optimizer], x, y, 60)[0], 1e-6)
