"""What scores cost beside the passes they are made of."""

from time import process_time

import pytest
import torch
import torch.nn.functional as F

from redraw.models import conv, initialize, lenet_300_100
from redraw.seeds import generator
from redraw.selection import _grand, el2n, grand

pytestmark = pytest.mark.usefixtures("single_thread")


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


NETWORKS = {"mlp": lenet_300_100, "conv_2": lambda: conv(2, (1, 28, 28))}


@pytest.mark.parametrize("network, examples, most", [("conv_2", 500, 1.1), ("mlp", 4000, 1.1)])
def test_el2n_costs_a_forward_pass(network, examples, most, interleaved, record_ratio):
    given = made(NETWORKS[network](), examples)
    found = interleaved(lambda: el2n(given[0], given[1:]), lambda: forward(*given), 9, clock=process_time)
    record_ratio(f"EL2N / forward pass, {network}", found, limit=most, what=f"scores of {examples:,} examples")


@pytest.mark.parametrize("network, examples, most", [("mlp", 2000, 2.5), ("conv_2", 250, 6.0)])
def test_grand_costs_few_backward_passes(network, examples, most, interleaved, record_ratio):
    given = made(NETWORKS[network](), examples)
    found = interleaved(lambda: grand(given[0], given[1:]), lambda: forward_and_backward(*given), 5, clock=process_time)
    what = f"exact gradient norms of {examples:,} examples"
    record_ratio(f"GraNd / forward and backward pass, {network}", found, limit=most, what=what)


@pytest.mark.parametrize("at_once", [5, 125])
def test_grand_is_much_faster_than_a_gradient_per_example(at_once, interleaved, record_ratio):
    """Against vmap, many gradients at once or only as many as stay in the processor's cache."""
    model, x, y = made(lenet_300_100(), 2000)
    parts = list(zip(x.split(at_once), y.split(at_once), strict=True))
    found = interleaved(
        lambda: [_grand.squares_by_func(model, *part) for part in parts],
        lambda: grand(model, (x, y)),
        5,
        clock=process_time,
    )
    what = f"how many times faster than torch.func.vmap, {at_once} examples at once"
    record_ratio(f"vmap, {at_once} at once / GraNd", found, limit=50, better="higher", what=what)
