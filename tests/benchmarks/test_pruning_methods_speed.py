"""Pruning by this library beside torch.nn.utils.prune, and what each method's masks cost. Ratios; run with `pytest -s`.

|                                        | redraw.pruning                         | torch.nn.utils.prune             |
|----------------------------------------|----------------------------------------|----------------------------------|
| where masks live                       | outside the model, one boolean each    | in the model, as floats          |
| the weights it prunes                  | are zero                               | stay in weight_orig              |
| optimizer state of pruned weights      | zero                                   | goes on                          |
| model can be copied (copy.deepcopy)    | yes                                    | no, until it is made permanent   |
| state_dict                             | as before                              | other names, twice the size      |
| scores                                 | any tensor per weight                  | any tensor, or L1, random, Ln    |
| scopes                                 | global, layer, row, N:M, whole outputs | global, layer, whole rows        |
| before training, iteratively           | SNIP, GraSP, SynFlow, CTS, tickets     | no                               |
| while training                         | gradual, SET, RigL, GraNet             | no                               |
"""

import subprocess
import sys
import time
from statistics import median

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from redraw.models import initialize, lenet_300_100
from redraw.pruning import Masks, grasp, keep, magnitude_scores, rigl, snip, synflow
from redraw.seeds import generator


@pytest.fixture(autouse=True)
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def large():
    """25 million weights."""
    return nn.Sequential(nn.Linear(5000, 2500, bias=False), nn.Linear(2500, 5000, bias=False))


def with_redraw(model):
    keep(magnitude_scores(model), Masks.dense(model), 0.2).apply(model)


def with_torch(model):
    prune.global_unstructured([(layer, "weight") for layer in model], prune.L1Unstructured, amount=0.8)


def test_global_magnitude_of_25_million_weights_beside_torch():
    pairs = [(seconds(lambda m=large(): with_redraw(m)), seconds(lambda m=large(): with_torch(m))) for _ in range(3)]
    found = median(ours / theirs for ours, theirs in pairs)
    print(f"\nglobal magnitude on 25 M weights, redraw / torch: {found:.2f} of the time")
    assert found <= 1.2


def peak(name):
    """Mebibytes that pruning takes at its peak beyond the model, in a process of its own."""
    code = f"""
import importlib.util, resource, torch
spec = importlib.util.spec_from_file_location("bench", {__file__!r})
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
model = bench.large()
small = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Linear(5, 5))
bench.{name}(small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bench.{name}(model)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_memory_of_global_magnitude_beside_torch():
    ours, theirs = peak("with_redraw"), peak("with_torch")
    print(f"\nglobal magnitude on 25 M weights, peak beyond the model: {ours:.0f} MiB, torch {theirs:.0f} MiB")
    assert ours <= 0.5 * theirs


def network():
    return initialize(lenet_300_100(), "kaiming_normal", generator(0, "theta"))


def test_finding_masks_beside_training():
    """SynFlow's hundred rounds and the single shots, in steps of training LeNet-300-100 with batches of 100."""
    x, y = torch.randn(100, 784, generator=generator(0)), torch.arange(100) % 10
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def steps(times=50):
        for _ in range(times):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    one = min(seconds(steps) for _ in range(3)) / 50
    for name, find, most in (
        ("SNIP", lambda: snip(network(), x, y, 0.05), 50),
        ("GraSP", lambda: grasp(network(), x, y, 0.05), 50),
        ("SynFlow", lambda: synflow(network(), x, 0.05), 2000),
    ):
        found = min(seconds(find) for _ in range(3)) / one
        print(f"\n{name}: as long as {found:.0f} steps of training")
        assert found <= most


def test_evolving_masks_beside_holding_them():
    """RigL's steps beside steps under masks that stay; every tenth changes the masks."""
    x, y = torch.randn(100, 784, generator=generator(0)), torch.arange(100) % 10

    def run(evolve):
        model = network()
        masks = snip(model, x, y, 0.1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        rigl(model, optimizer, masks, until=10**6, every=10) if evolve else masks.hold(model, optimizer)

        def steps():
            for _ in range(50):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()

        steps()
        return seconds(steps)

    found = median(run(True) / run(False) for _ in range(7))
    print(f"\nsteps of RigL, masks changed every tenth / steps with masks held: {found:.2f}")
    assert found <= 3
