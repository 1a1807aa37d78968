"""What a schedule refuses, in one line that names the field and what is allowed."""

import math
import operator
from collections.abc import Callable
from functools import wraps

import numpy as np


class ScheduleError(ValueError):
    """A schedule, horizon or table of norms that cannot be used; the message names the field."""


def number(name: str, value, low: float, high: float = math.inf, *, ends: str = "[]") -> float:
    """`value` as a finite float in the interval from low to high, whose ends are closed "[]" or open "()".

    Raises ScheduleError otherwise.
    """
    try:
        out = float(value)
    except (TypeError, ValueError):
        raise ScheduleError(f"{name}: must be a number, not {value!r}") from None
    above = out >= low if ends[0] == "[" else out > low
    below = out <= high if ends[1] == "]" else out < high
    if not (math.isfinite(out) and above and below):
        allowed = f"finite and {'at least' if ends[0] == '[' else 'greater than'} {low:g}"
        if high < math.inf:
            allowed = f"in {ends[0]}{low:g}, {high:g}{ends[1]}"
        raise ScheduleError(f"{name}: must be {allowed}, not {out:g}")
    return out


def count(name: str, value) -> int:
    """`value` as an int of at least 1. Raises ScheduleError otherwise."""
    try:
        out = operator.index(value)
    except TypeError:
        raise ScheduleError(f"{name}: must be a whole number, not {value!r}") from None
    if out < 1:
        raise ScheduleError(f"{name}: must be at least 1, not {out}")
    return out


def column(name: str, values) -> np.ndarray:
    """`values` as a new float64 vector of at least one finite number. Raises ScheduleError otherwise."""
    try:
        out = np.array(np.asarray(values, dtype=np.float64))  # in two steps, as torch's tensors like it
    except (TypeError, ValueError, RuntimeError):  # torch: a tensor that requires grad
        raise ScheduleError(f"{name}: must be numbers") from None
    if out.ndim != 1:
        raise ScheduleError(f"{name}: must be a one-dimensional column, not of shape {out.shape}")
    if not len(out):
        raise ScheduleError(f"{name}: must hold at least one value, but is empty")
    if not np.isfinite(out).all():
        first = int(np.argmin(np.isfinite(out)))
        raise ScheduleError(f"{name}: must be finite, but the value of step {first} is {out[first]}")
    return out


def elementwise(name: str, high: float = np.inf) -> Callable:
    """Decorator: the first argument, called `name`, is a number or array in [0, high]; the result is alike.

    The function itself sees a float or a float64 array. A float takes a short way: a scheduler asks for one
    number a step, and numpy's overhead would show there.
    """

    def decorate(body: Callable) -> Callable:
        @wraps(body)
        def schedule(*args, **knobs):
            at, *args = (knobs.pop(name), *args) if name in knobs else args
            if type(at) is float and 0 <= at <= high and at < math.inf:
                return float(body(at, *args, **knobs))
            try:
                x = np.asarray(at, dtype=np.float64)
            except (TypeError, ValueError):
                raise ScheduleError(f"{name}: must be a number or an array of numbers, not {at!r}") from None
            except RuntimeError:  # torch's, which numpy may not read
                raise ScheduleError(f"{name}: must not be a tensor that requires a gradient: detach() it") from None
            inside = (x >= 0) & (x <= high) & np.isfinite(x)
            if not inside.all():
                allowed = f"in [0, {high:g}]" if high < np.inf else "finite and at least 0"
                raise ScheduleError(f"{name}: must be {allowed}, not {x[~inside].flat[0]:g}")
            return body(x, *args, **knobs) if x.ndim else float(body(float(x), *args, **knobs))

        return schedule

    return decorate


def either(before, first: Callable, second: Callable):
    """first() where `before` holds and second() elsewhere; of a single condition only one is called."""
    if isinstance(before, np.ndarray):
        return np.where(before, first(), second())
    return first() if before else second()


def within_unit(u):
    """u, a float or an array, clipped to [0, 1]: shares of a span stray past its ends by rounding."""
    return np.clip(u, 0, 1) if isinstance(u, np.ndarray) else min(max(u, 0.0), 1.0)
