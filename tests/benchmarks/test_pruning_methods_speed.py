"""Pruning by this library beside torch.nn.utils.prune (in words: the start notebook), and what masks cost."""

import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from redraw.models import initialize, lenet_300_100
from redraw.pruning import Masks, grasp, keep, magnitude_scores, rigl, snip, synflow
from redraw.seeds import generator

pytestmark = pytest.mark.usefixtures("single_thread")


def large():
    """25 million weights."""
    return nn.Sequential(nn.Linear(5000, 2500, bias=False), nn.Linear(2500, 5000, bias=False))


def with_redraw(model):
    keep(magnitude_scores(model), Masks.dense(model), 0.2).apply(model)


def with_torch(model):
    prune.global_unstructured([(layer, "weight") for layer in model], prune.L1Unstructured, amount=0.8)


def test_global_magnitude_of_25_million_weights_beside_torch(record_ratio):
    def seconds(prune):
        model, started = large(), time.perf_counter()
        prune(model)
        return time.perf_counter() - started

    found = []
    for block in range(3):
        sides = (with_redraw, with_torch) if block % 2 else (with_torch, with_redraw)
        taken = {side: seconds(side) for side in sides}
        found.append(taken[with_redraw] / taken[with_torch])
    what = "25 M weights, 80 % pruned by magnitude over the whole network: time"
    record_ratio("global magnitude, time / torch.nn.utils.prune", found, limit=1.2, what=what)


def peak(name):
    """Mebibytes that pruning takes at its peak beyond the model, in a process of its own."""
    code = f"""
import importlib.util, torch
from redraw.workbook._machine import peak_memory
spec = importlib.util.spec_from_file_location("bench", {__file__!r})
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
model = bench.large()
small = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Linear(5, 5))
bench.{name}(small)
before = peak_memory()["own"]
bench.{name}(model)
print(1024 * (peak_memory()["own"] - before))
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_memory_of_global_magnitude_beside_torch(record_ratio):
    found = [peak("with_redraw") / peak("with_torch") for _ in range(3)]
    what = "25 M weights, 80 % pruned by magnitude over the whole network: peak memory beyond the model"
    record_ratio("global magnitude, memory / torch.nn.utils.prune", found, limit=0.5, what=what)


def network():
    return initialize(lenet_300_100(), "kaiming_normal", generator(0, "theta"))


def batch():
    return torch.randn(100, 784, generator=generator(0)), torch.arange(100) % 10


FINDERS = {
    "SNIP": (lambda x, y: snip(network(), x, y, 0.05), 50),
    "GraSP": (lambda x, y: grasp(network(), x, y, 0.05), 50),
    "SynFlow": (lambda x, y: synflow(network(), x, 0.05), 2000),
}


@pytest.mark.parametrize("name", FINDERS)
def test_finding_masks_beside_training(name, interleaved, record_ratio):
    """SynFlow's hundred rounds and the single shots, in steps of training LeNet-300-100 with batches of 100."""
    (x, y), model, (find, most) = batch(), network(), FINDERS[name]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def steps():
        for _ in range(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    found = [50 * share for share in interleaved(lambda: find(x, y), steps, 5, clock=time.process_time)]
    record_ratio(f"{name} / step of training", found, limit=most, what="finding masks for LeNet-300-100")


def test_evolving_masks_beside_holding_them(interleaved, record_ratio):
    """RigL's steps beside steps under masks that stay; every tenth changes the masks."""
    x, y = batch()

    def stepper(evolve):
        model = network()
        masks = snip(model, x, y, 0.1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        rigl(model, optimizer, masks, until=10**6, every=10) if evolve else masks.hold(model, optimizer)

        def steps():
            for _ in range(50):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()

        return steps

    found = interleaved(stepper(True), stepper(False), 7, clock=time.process_time)
    record_ratio("step of RigL / masks held", found, limit=3, what="masks changed every tenth step")
