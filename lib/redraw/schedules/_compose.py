"""Schedules made from others, or from a table. What they return pickles where what they are given does."""

from collections.abc import Callable
from functools import partial

import numpy as np

from redraw.schedules._checks import ScheduleError, column, either, elementwise, number, within_unit

_of_progress = elementwise("t", 1.0)


def warmup(schedule: Callable, fraction: float, start: float = 0.0) -> Callable:
    """`schedule` after a linear warm-up over the first `fraction` of the run.

    s(t) = schedule(0) (start + (1 - start) t / f) for t < f, and schedule((t - f) / (1 - f)) after it: the
    whole schedule is run through in what is left, so that its end stays at t = 1. With start = 0 the first
    step has rate zero. A warm-up in tokens is a knob of `power` itself. Source: Goyal et al. 2017 (arXiv
    1706.02677, section 2.2).

    Raises ScheduleError unless fraction is in [0, 1) and start in [0, 1].
    """
    fraction, start = number("fraction", fraction, 0, 1, ends="[)"), number("start", start, 0, 1)
    return partial(_warmed, schedule=schedule, fraction=fraction, start=start) if fraction else schedule


@_of_progress
def _warmed(t, *, schedule, fraction, start):
    return either(
        t < fraction,
        lambda: schedule(0.0) * (start + (1 - start) * t / fraction),
        lambda: schedule(within_unit((t - fraction) / (1 - fraction))),
    )


def floored(schedule: Callable, final: float) -> Callable:
    """`schedule` squeezed between `final` and 1: s(t) = final + (1 - final) schedule(t).

    floored(cosine, 0.1) decays to a tenth. Raises ScheduleError unless final is in [0, 1].
    """
    return partial(_floored, schedule=schedule, final=number("final", final, 0, 1))


@_of_progress
def _floored(t, *, schedule, final):
    return final + (1 - final) * schedule(t)


def tabulated(multipliers, end: float = 0.0) -> Callable:
    """The schedule that has multipliers[k] at t = k / T and `end` at t = 1, T of them, and is linear between.

    multipliers: (T,), at least 0, for example what `refine` returns: at the horizon it came from the schedule
    is that table, at another one the same curve, resampled. Raises ScheduleError on an empty or negative
    table.
    """
    values = np.append(column("multipliers", multipliers), number("end", end, 0))
    if (values < 0).any():
        raise ScheduleError(f"multipliers: must be at least 0, not {values.min():g}")
    return partial(_interpolated, knots=np.arange(len(values)) / (len(values) - 1), values=values)


@_of_progress
def _interpolated(t, *, knots, values):
    return np.interp(t, knots, values)
