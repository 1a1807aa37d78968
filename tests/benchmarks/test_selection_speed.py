"""What scores cost beside the passes they are made of. Ratios within one run, either side in turn.

Run with `pytest tests/benchmarks -s`.
"""

import time

import pytest
import torch
import torch.nn.functional as F

from redraw.models import conv, initialize, lenet_300_100
from redraw.seeds import generator
from redraw.selection import _grand, el2n, grand


@pytest.fixture(autouse=True)
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(model, examples):
    initialize(model, "kaiming_normal", generator(0, "theta"))
    x = torch.randn(examples, 1, 28, 28, generator=generator(0, "x"))
    return model, x, torch.randint(10, (examples,), generator=generator(0, "y"))


def forward(model, x, y):
    with torch.no_grad():
        for part in x.split(1000):
            model(part)


def forward_and_backward(model, x, y):
    for xs, ys in zip(x.split(250), y.split(250), strict=True):
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(xs), ys).backward()


def ratio(one, other, blocks=9):
    """The least time of `one` over the least of `other`: what else the machine does only ever adds."""
    one(), other()
    times = {one: [], other: []}
    for block in range(blocks):
        for side in (one, other) if block % 2 else (other, one):
            started = time.process_time()
            side()
            times[side].append(time.process_time() - started)
    return min(times[one]) / min(times[other])


NETWORKS = {"mlp": lenet_300_100, "conv_2": lambda: conv(2, (1, 28, 28))}


@pytest.mark.parametrize(
    "network, examples, most",
    [("conv_2", 500, 1.1), ("mlp", 4000, 1.1)],
)
def test_el2n_costs_a_forward_pass(network, examples, most):
    given = made(NETWORKS[network](), examples)
    found = ratio(lambda: el2n(given[0], given[1:]), lambda: forward(*given), 15)
    print(f"\nEL2N / forward pass, {network}: {found:.3f}")
    assert found <= most


@pytest.mark.parametrize("network, examples, most", [("mlp", 2000, 2.5), ("conv_2", 250, 6.0)])
def test_grand_costs_few_backward_passes(network, examples, most):
    given = made(NETWORKS[network](), examples)
    found = ratio(lambda: grand(given[0], given[1:]), lambda: forward_and_backward(*given))
    print(f"\nGraNd / forward and backward pass, {network}: {found:.2f}")
    assert found <= most


@pytest.mark.parametrize("at_once", [5, 125])
def test_grand_is_much_faster_than_a_gradient_per_example(at_once):
    """Against vmap, many gradients at once or only as many as stay in the processor's cache."""
    model, x, y = made(lenet_300_100(), 2000)
    parts = list(zip(x.split(at_once), y.split(at_once), strict=True))
    found = ratio(lambda: [_grand.squares_by_func(model, *part) for part in parts], lambda: grand(model, (x, y)), 3)
    print(f"\nvmap, {at_once} at once / GraNd: {found:.0f}")
    assert found >= 50
