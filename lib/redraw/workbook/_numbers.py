"""Numbers as people read them: the digits that what is known warrants, no more, and no zero with a sign."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

_DIGITS = 5  # more than these are read by nobody, however narrow the interval
_SAME = 1e-9  # ends nearer to an edge than this share of the numbers' size lie on it


def number(value: Any, decimals: int | None = None) -> str:
    """A number for reading: four digits that count, or `decimals` after the point; `–` for none."""
    if isinstance(value, list | tuple):
        items = [number(item, decimals) for item in value[:12]]
        shown = ("; " if any("," in item for item in items) else ", ").join(items)
        return shown if len(value) <= 12 else f"{shown}, … ({len(value)} numbers)"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if decimals is not None and decimals <= 8:
        text = f"{value:z,.{decimals}f}"
    elif decimals is not None:  # a row of zeros is read by nobody
        rounded = round(value, decimals)
        text = f"{rounded:.{max(decimals + 1 + _magnitude(rounded), 1)}g}" if rounded else "0"
    elif float(value).is_integer() and abs(value) < 1e15 or abs(value) >= 1000:
        text = f"{value:z,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def decimals_for(low: float, high: float, edges: Iterable[float | None] = ()) -> int | None:
    """How many digits after the point show an interval; None when it has no width.

    Two digits of its half width, but no more than five of the largest number that is named; then as many as keep
    each end on its side of the `edges` it is held against (None: open), and none where both ends come to zero.
    """
    width = abs(high - low) / 2
    if not (math.isfinite(width) and width > 0):
        return None
    edges = [edge for edge in edges if edge is not None and math.isfinite(edge)]
    size = max(map(abs, (low, high, *edges)))
    places = max(min(1 - _magnitude(width), _DIGITS - 1 - _magnitude(size)), 0)
    far = [(end, edge) for end in (low, high) for edge in edges if abs(end - edge) > _SAME * size]
    while any((round(end, places) > edge) != (end > edge) or round(end, places) == edge for end, edge in far):
        places += 1
    return places if round(low, places) or round(high, places) else 0


def decimals_of(measured: float, reference: float, decimals: int) -> int:
    """How many digits after the point show what was computed beside a reference printed with `decimals` of them: one
    more, but of a number that is larger by orders fewer, since more digits than the reference has say nothing."""
    if not measured or not reference or not math.isfinite(measured):
        return decimals + 1
    return max(decimals + 1 - max(_magnitude(measured) - _magnitude(reference), 0), 0)


def edge(value: float) -> str:
    """The edge of where a claim holds: as it was written down where that is short (1.000001), else a `number`."""
    short = f"{value:.7g}"
    if math.isclose(float(short), value, rel_tol=1e-12):
        return number(value, max(-Decimal(short).normalize().as_tuple().exponent, 0))
    return number(value)


def cell(text: str) -> str:
    """A value of a CSV file as a table shows it: a number of many digits with the five that count, all else as it
    stands."""
    try:
        value = float(text)
    except ValueError:
        return text
    if text.strip().lstrip("+-").isdigit() or not math.isfinite(value):
        return text
    if value and len(re.sub(r"[^0-9]|[eE].*", "", text).lstrip("0")) <= _DIGITS:
        return text.replace("-", "−")
    return number(value, 0) if abs(value) >= 10**_DIGITS else f"{value + 0.0:.{_DIGITS}g}".replace("-", "−")


def with_unit(text: str, unit: str) -> str:
    """The text and its unit, a no-break space between."""
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def _magnitude(value: float) -> int:
    """The power of ten of a number's first digit."""
    return math.floor(math.log10(abs(value)))
