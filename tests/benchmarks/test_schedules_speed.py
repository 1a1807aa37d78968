"""Speed of redraw.schedules: refinement beside sorting, the adapter beside torch's own. Ratios in one run."""

import time
from functools import partial

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.optim.lr_scheduler import LambdaLR

from redraw.schedules import ScheduleLR, refine, warmup, wsd


def seconds(function, repeat=3):
    best = np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.parametrize("shape", ["noise", "equal", "rising"])
def test_refining_200_000_steps_against_sorting_them(benchmark, shape):
    """The stated bound is 0.1 s, here in terms of a stable sort of as many numbers: a few of them."""
    x = np.arange(200_000)
    noise = np.random.default_rng(0).lognormal(size=len(x))
    norms = {"noise": noise, "equal": np.ones(len(x)), "rising": 1 + x / len(x)}[shape]
    benchmark(refine, norms)
    ratio = benchmark.stats["min"] / seconds(lambda: np.argsort(noise, kind="stable"))
    benchmark.extra_info |= {"over one argsort of as many norms": ratio, "seconds": benchmark.stats["min"]}
    assert ratio < 4


def test_refining_against_a_window_by_window_median(benchmark):
    norms = np.random.default_rng(0).lognormal(size=20_000)
    padded = np.pad(norms, 1000, mode="symmetric")

    def windows():
        smooth = np.concatenate(
            [np.median(part, axis=1) for part in np.array_split(sliding_window_view(padded, 2001), 200)]
        )
        w = smooth**-2
        found = w * np.cumsum(w[::-1])[::-1]
        return found / found.max()

    found = benchmark(refine, norms)
    ratio = seconds(windows, repeat=1) / benchmark.stats["min"]
    benchmark.extra_info |= {"times faster": ratio}
    assert found == pytest.approx(windows(), rel=1e-9) and ratio > 20


def test_a_scheduler_step_beside_torchs_lambda(benchmark):
    """A composed schedule against torch's LambdaLR of the same function written out: what checking costs."""

    def by_hand(k):
        t = k / 10_000_000
        return t / 0.1 if t < 0.1 else min(1.0, (1 - t) / 0.09)

    def stepper(make):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = make(optimizer)
        optimizer.step()
        return scheduler.step

    schedule = warmup(partial(wsd, decay=0.1), 0.1)
    ours = stepper(lambda o: ScheduleLR(o, schedule, 10_000_000))
    theirs = stepper(lambda o: LambdaLR(o, by_hand))
    benchmark.pedantic(ours, iterations=500, rounds=10)
    ratio = benchmark.stats["min"] * 500 / seconds(lambda: [theirs() for _ in range(500)])
    benchmark.extra_info |= {"over LambdaLR": ratio, "microseconds": benchmark.stats["min"] * 1e6}
    assert ratio < 8
