"""What a search refuses, in one line that names the field and what is allowed; and the random streams of a search."""

import hashlib
import math
import numbers
import operator

import numpy as np


class SearchError(ValueError):
    """A space, search, journal or comparison that cannot be used; the message names the field."""


def number(name: str, value, low: float = -math.inf, high: float = math.inf, *, ends: str = "[]") -> float:
    """`value` as a finite float from low to high, ends closed "[" "]" or open "(" ")". Raises SearchError otherwise."""
    try:
        out = float(value)
    except (TypeError, ValueError):
        raise SearchError(f"{name}: must be a number, not {value!r}") from None
    above = out >= low if ends[0] == "[" else out > low
    below = out <= high if ends[1] == "]" else out < high
    if not math.isfinite(out):
        raise SearchError(f"{name}: must be finite, not {out:g}")
    if not (above and below):
        allowed = f"{'at least' if ends[0] == '[' else 'above'} {low:g}"
        if high < math.inf:
            allowed = f"in {ends[0]}{low:g}, {high:g}{ends[1]}"
        raise SearchError(f"{name}: must be {allowed}, not {out:g}")
    return out


def as_fidelity(name: str, value, low: float = 0, high: float = math.inf, *, ends: str = "(]") -> float:
    """`value` as a fidelity in the interval, an int if it is a whole-number type. Raises SearchError otherwise."""
    out = number(name, value, low, high, ends=ends)
    return int(value) if isinstance(value, numbers.Integral) else out


def count(name: str, value, low: int = 1) -> int:
    """`value` as an int of at least `low`. Raises SearchError otherwise."""
    try:
        out = operator.index(value)
    except TypeError:
        raise SearchError(f"{name}: must be a whole number, not {value!r}") from None
    if out < low:
        raise SearchError(f"{name}: must be at least {low}, not {out}")
    return out


def one_of(name: str, value, allowed) -> None:
    """Raises SearchError unless `value` is among `allowed`."""
    if value not in allowed:
        raise SearchError(f"{name}: must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A fresh generator for the stream called `names` of search `seed`; a stream never shifts another.

    Its state is made from SHA-256("seed/name/..."), so that what a trial draws does not hang on when it is asked for.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
