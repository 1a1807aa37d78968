"""What holding masks and pruning cost, against what one could not do without."""

from time import process_time

import pytest
import torch
import torch.nn.functional as F

from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator

pytestmark = pytest.mark.usefixtures("single_thread")


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


def test_holding_masks_beside_a_step_without(interleaved, record_ratio):
    """Weights and both of Adam's moments are masked: three multiplications of a parameter's size."""
    found = interleaved(stepper(True), stepper(False), 15, times=100, clock=process_time)
    what = "a step of Adam on LeNet-300-100 in batches of 60"
    record_ratio("step, masks held / without", found, limit=1.15, what=what)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_beside_one_sort_of_the_weights(scope, interleaved, record_ratio):
    """Ranking is a sort; the rest is bookkeeping."""
    model = initialize(conv(6), "glorot_normal", generator(0, "conv"))
    weights, masks = model.state_dict(), Masks.dense(model)
    everything = torch.cat([weights[name].flatten() for name in masks])
    found = interleaved(
        lambda: magnitude(weights, masks, 0.2, scope=scope),
        lambda: everything.abs().sort(stable=True),
        7,
        clock=process_time,
    )
    what = "2.26 M weights, against one stable sort of them"
    record_ratio(f"magnitude by {scope} / sort", found, limit=3, what=what)


def test_packing_beside_pruning(interleaved, record_ratio):
    masks = Masks({n: torch.rand(m.shape, generator=generator(0)) < 0.2 for n, m in Masks.dense(network()).items()})
    weights = network().state_dict()
    found = interleaved(
        lambda: Masks.unpack(masks.pack(), weights),
        lambda: magnitude(weights, masks, 0.2),
        15,
        times=2,
        clock=process_time,
    )
    record_ratio("masks packed and unpacked / pruned", found, limit=3, what="masks of LeNet-300-100")
