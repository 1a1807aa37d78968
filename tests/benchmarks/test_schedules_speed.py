"""Speed of redraw.schedules: refinement beside sorting, the adapter beside torch's own. Ratios in one run."""

from functools import partial
from time import process_time

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.optim.lr_scheduler import LambdaLR

from redraw.schedules import ScheduleLR, refine, warmup, wsd


@pytest.mark.parametrize("shape", ["noise", "equal", "rising"])
def test_refining_200_000_steps_against_sorting_them(shape, interleaved, record_ratio):
    """The stated bound is 0.1 s, here in terms of a stable sort of as many numbers: a few of them."""
    x = np.arange(200_000)
    noise = np.random.default_rng(0).lognormal(size=len(x))
    norms = {"noise": noise, "equal": np.ones(len(x)), "rising": 1 + x / len(x)}[shape]
    found = interleaved(lambda: refine(norms), lambda: np.argsort(noise, kind="stable"), 9, clock=process_time)
    record_ratio(f"refine, {shape} / argsort", found, limit=4, what="200,000 gradient norms against one stable sort")


def test_refining_against_a_window_by_window_median(interleaved, record_ratio):
    norms = np.random.default_rng(0).lognormal(size=20_000)
    padded = np.pad(norms, 1000, mode="symmetric")

    def windows():
        smooth = np.concatenate(
            [np.median(part, axis=1) for part in np.array_split(sliding_window_view(padded, 2001), 200)]
        )
        w = smooth**-2
        found = w * np.cumsum(w[::-1])[::-1]
        return found / found.max()

    assert refine(norms) == pytest.approx(windows(), rel=1e-9)
    found = interleaved(windows, lambda: refine(norms), 3, clock=process_time)
    what = "how many times faster the running median is, 20,000 norms"
    record_ratio("median by window / refine", found, limit=20, better="higher", what=what)


def test_a_scheduler_step_beside_torchs_lambda(interleaved, record_ratio):
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
    found = interleaved(ours, theirs, 11, times=500, clock=process_time)
    record_ratio("ScheduleLR / LambdaLR", found, limit=8, what="a scheduler's step: what checking and composing cost")
