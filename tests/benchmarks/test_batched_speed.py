"""Networks trained side by side: throughput against how many they are, and what 32 cost beside one.

On CUDA where there is one and on the CPU. The environment variable REDRAW_BENCH_MODEL names the network: lenet_300_100
(default), conv_2, conv_4 or conv_6.
"""

import os
import subprocess
import time
from statistics import median

import pytest
import torch

from redraw import data
from redraw.models import initialize
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.studies.lottery_ticket import MODELS, OPTIMIZERS
from redraw.training import fit, fit_many

MEMBERS = (1, 4, 16, 32)
MODEL = os.environ.get("REDRAW_BENCH_MODEL", "lenet_300_100")
SHAPE = (1, 28, 28) if MODEL == "lenet_300_100" else (3, 32, 32)
pytestmark = pytest.mark.usefixtures("single_thread")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


@pytest.fixture(scope="module")
def arrays():
    """Noise of the shape that the model takes: only the time counts."""
    g = generator(0, "noise")
    x, y = torch.randn(6000, *SHAPE, generator=g), torch.randint(10, (6000,), generator=g)
    return data.Arrays(x, y, x[:100], y[:100])


def member(seed):
    """A network and masks that keep a fifth of it, as a ticket has them."""
    model = initialize(MODELS[MODEL](SHAPE, 10), "glorot_normal", generator(seed))
    return model, magnitude(model.state_dict(), Masks.dense(model), 0.8)


def budget(device):
    iterations = 2000 if device == "cuda" else 60 if MODEL == "lenet_300_100" else 2
    return {"iterations": iterations, "batch_size": 60, "evaluate_every": min(100, iterations)}


def alone(arrays, device):
    """Seconds of `fit` on the CPU: what a single run takes today."""
    model, masks = member(0)
    optimizer = OPTIMIZERS["adam"](model.parameters(), 1.2e-3)
    masks.hold(model, optimizer)
    dataset = data.split("noise", arrays, 100, 0)
    started = time.perf_counter()
    fit(model, dataset, optimizer, generator=generator(0), **budget(device))
    return time.perf_counter() - started


def together(arrays, device, members):
    """Seconds of `fit_many` for so many."""
    models, masks = zip(*map(member, range(members)), strict=True)
    splits = data.splits("noise", arrays, 100, range(members))
    started = time.perf_counter()
    fit_many(
        models,
        splits,
        lambda groups: OPTIMIZERS["adam"](groups, 1.2e-3),
        learning_rates=[1.2e-3] * members,
        generators=[generator(seed) for seed in range(members)],
        masks=masks,
        device=device,
        **budget(device),
    )
    return time.perf_counter() - started


def utilization():
    """What the driver says of the device's use at this moment; "" where it does not say."""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        return f", {subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.split()[0]} % of it busy"
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return ""


@pytest.mark.parametrize("device", DEVICES)
def test_throughput_against_the_number_of_members(arrays, device, record_ratio):
    together(arrays, device, 1)  # libraries are loaded, kernels chosen
    blocks = [{members: together(arrays, device, members) for members in MEMBERS} for _ in range(3)]
    iterations, use = budget(device)["iterations"], utilization() if device == "cuda" else ""
    for members in MEMBERS[1:]:
        rate = members * iterations / median(seconds[members] for seconds in blocks)
        what = f"throughput of masked {MODEL} side by side on {device}: {rate:,.0f} steps of a member a second{use}"
        found = [members * seconds[1] / seconds[members] for seconds in blocks]
        record_ratio(f"{members} seeds together / one, {device}", found, better="higher", what=what)
    if device == "cuda":
        what = f"time of 32 {MODEL} side by side against one"
        record_ratio("32 seeds, time / one seed", [s[32] / s[1] for s in blocks], limit=2, what=what)


def test_one_batched_member_beside_a_single_run_on_the_cpu(arrays, record_ratio):
    pairs = [(together(arrays, "cpu", 1), alone(arrays, "cpu")) for _ in range(6)][1:]
    what = "the time of one network by `fit_many` against `fit`, on the CPU"
    record_ratio("one batched member / a single run", [batched / one for batched, one in pairs], limit=1.5, what=what)
