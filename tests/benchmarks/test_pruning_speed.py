"""What holding masks and pruning cost, against what one could not do without. Ratios; run with `pytest -s`."""

import time
from statistics import median

import pytest
import torch
import torch.nn.functional as F

from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator


@pytest.fixture(autouse=True)
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(work, times):
    started = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - started


def ratio(one, other, times, blocks=15):
    """Median over blocks, in turn, of the time of `one` over that of `other`; each runs once before."""
    one(), other()
    pairs = [(seconds(one, times), seconds(other, times)) for _ in range(blocks)]
    return median(a / b for a, b in pairs)


def network():
    return initialize(lenet_300_100(), "glorot_normal", generator(0, "theta_0"))


def stepper(hold):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    if hold:
        magnitude(model.state_dict(), Masks.dense(model), 0.8).hold(model, optimizer)
    x, y = torch.randn(60, 784, generator=generator(0)), torch.arange(60) % 10

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def test_holding_masks_beside_a_step_without():
    """Weights and both of Adam's moments are masked: three multiplications of a parameter's size."""
    found = ratio(stepper(True), stepper(False), 100)
    print(f"\nstep with masks held / without: {found:.3f}")
    assert found <= 1.15


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_beside_one_sort_of_the_weights(scope):
    """Ranking is a sort; the rest is bookkeeping."""
    model = initialize(conv(6), "glorot_normal", generator(0, "conv"))
    weights, masks = model.state_dict(), Masks.dense(model)
    everything = torch.cat([weights[name].flatten() for name in masks])
    found = ratio(
        lambda: magnitude(weights, masks, 0.2, scope=scope),
        lambda: everything.abs().sort(stable=True),
        1,
        blocks=7,
    )
    print(f"\nmagnitude, {scope}, of 2.26 M weights / one stable sort of them: {found:.2f}")
    assert found <= 3


def test_packing_beside_copying():
    masks = Masks({n: torch.rand(m.shape, generator=generator(0)) < 0.2 for n, m in Masks.dense(network()).items()})
    model = network()

    def there_and_back():
        Masks.unpack(masks.pack(), model.state_dict())

    prune = ratio(there_and_back, lambda: magnitude(model.state_dict(), masks, 0.2), 2)
    print(f"\npacking and unpacking masks / one pruning of LeNet: {prune:.2f}")
    assert prune <= 3
