"""Learning-rate schedules as plain functions, the refinement that makes one from a run's gradient norms, and AutoLRS,
which searches for the rate while training goes on.

A schedule is a function of progress t in [0, 1] (`power`: of tokens) that returns the factor by which the
base learning rate is multiplied. It takes a number or an array; its knobs are bound with `functools.partial`.

    from redraw.schedules import ScheduleLR, linear, warmup
    scheduler = ScheduleLR(optimizer, warmup(linear, 0.05), steps=10_000)
    for x, y in batches:
        loss(model(x), y).backward(); optimizer.step(); optimizer.zero_grad(); scheduler.step()
"""

from redraw.schedules._adapter import ScheduleLR
from redraw.schedules._autolrs import AutoLRS, auto_lrs
from redraw.schedules._checks import ScheduleError
from redraw.schedules._compose import floored, tabulated, warmup
from redraw.schedules._curves import (
    constant,
    cosine,
    cosine_power,
    exponential,
    inverse_sqrt,
    linear,
    one_cycle,
    polynomial,
    power,
    rex,
    rex_repository,
    step,
    wsd,
)
from redraw.schedules._refine import refine

__all__ = [
    "AutoLRS",
    "ScheduleError",
    "ScheduleLR",
    "auto_lrs",
    "constant",
    "cosine",
    "cosine_power",
    "exponential",
    "floored",
    "inverse_sqrt",
    "linear",
    "one_cycle",
    "polynomial",
    "power",
    "refine",
    "rex",
    "rex_repository",
    "step",
    "tabulated",
    "warmup",
    "wsd",
]
