"""How fast this machine is at the moment, and how much memory a run has taken: for estimates, and for run.json."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ._trials import _single_thread

SECONDS = 0.8
_STEPS = 10


class Speed(NamedTuple):
    """Seconds of one training step of a small network on one thread: on the clock, as this machine is at the moment,
    and those that a core was busy, which leave out what other work took of it."""

    clock: float
    busy: float


def calibrate(seconds: float = SECONDS) -> Speed:
    """How fast this machine is.

    A perceptron 784-300-10, batches of 60 random pictures, plain gradient descent; the mean over all steps in about
    `seconds`, since a machine that is now fast, now slow takes its mean. Two of these compare two machines, or one
    machine idle and busy. Draws from a generator of its own.
    """
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 784, generator=g), torch.arange(60) % 10
    weights = [0.05 * torch.randn(*shape, generator=g) for shape in ((300, 784), (300,), (10, 300), (10,))]
    for weight in weights:
        weight.requires_grad_()
    taken = []
    with _single_thread():
        until = time.perf_counter() + seconds
        while not taken or time.perf_counter() < until:
            started, busy = time.perf_counter(), time.thread_time()
            for _ in range(_STEPS):
                hidden = F.relu(F.linear(x, *weights[:2]))
                loss = F.cross_entropy(F.linear(hidden, *weights[2:]), y)
                gradients = torch.autograd.grad(loss, weights)
                with torch.no_grad():
                    for weight, gradient in zip(weights, gradients, strict=True):
                        weight -= 0.01 * gradient
            taken.append((time.perf_counter() - started, time.thread_time() - busy))
    steady = taken[1:] or taken  # the first includes what is set up once
    return Speed(*(mean(column) / _STEPS for column in zip(*steady, strict=True)))


def peak_memory() -> dict[str, float]:
    """The most memory, in GiB, that this process has held and that any other process it waited for has held.

    own: this process. other: the largest of those that ended: a worker, or what executed the notebook; never less
    than this process held when it started them, since the system counts from there. Both are since this process
    began, for a command that runs several studies since the first.
    """
    own, other = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    with suppress(OSError, ValueError, IndexError):  # on Linux without what whoever started this process had held
        own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return {"own": round(own / 2**20, 3), "other": round(other / 2**20, 3)}
