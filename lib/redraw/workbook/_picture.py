"""A claim's verdict as a small inline SVG: the interval against the region in which the claim holds, or one bar
for each of its comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from html import escape

from markupsafe import Markup

from ._numbers import decimals_for, edge, number, with_unit

_WIDTH, _HEIGHT, _PAD = 280, 60, 10
_TOP, _BOTTOM = 14, 42
_MIDDLE = (_TOP + _BOTTOM) / 2
_ROW, _NAMES, _LETTERS = 22, 138, 22  # of a drawing with parts: height of a bar, width for names and letters in it
_LETTER = 6.2  # the width of one in the small print
_MOST_PARTS = 24


def draw(
    measured: float | None,
    interval: Sequence[float | None] | None,
    region: Sequence[float | None] | None,
    reference: float | None,
    *,
    unit: str = "",
    log: bool = False,
) -> Markup:
    """The picture, or nothing where there is nothing to compare.

    measured: the estimate; interval: its low and high end, None where open; region: where the claim holds, None
    where open; reference: the paper's figure. All in `unit`; `log` draws ratios on a logarithmic axis.
    The words of the drawing are its label, so that it can be heard as well as seen.
    """
    if measured is None or region is None:
        return Markup("")
    region, interval = list(region), list(interval or ())
    numbers = [x for x in (measured, reference, *region, *interval) if x is not None]
    log = log and min(numbers) > 0
    if not all(math.isfinite(x) for x in numbers):
        return Markup("")
    place = _axis(numbers, log)
    parts = [_region(region, place, unit), f'<path class="axis" d="M{_PAD} {_MIDDLE}H{_WIDTH - _PAD}"/>']
    if reference is not None:
        x = place(reference)
        parts.append(f'<path class="paper" d="M{x} {_TOP - 3}V{_BOTTOM + 3}"/>')
        parts.append(f'<text class="paper-name" x="{_inside(x, 16)}" y="9">paper</text>')
    if interval:
        parts.append(_interval(interval, place))
    parts.append(f'<circle class="estimate" cx="{place(measured)}" cy="{_MIDDLE}" r="4.5"/>')
    label = escape(describe(measured, interval, region, reference, unit))
    return Markup(
        f'<svg class="ruling" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def draw_parts(parts: Sequence[Mapping], *, unit: str = "") -> Markup:
    """A bar per part under one another on one axis, its name beside it; nothing where a part has no finite numbers
    or there are too many to read.

    parts: name, measured, interval and region of each, as `Verdict.to_dict` gives them, all in `unit`. The axis is
    marked at the ends of the regions.
    """
    numbers = []
    for part in parts:
        if part["measured"] is None or not part["region"]:
            return Markup("")
        numbers += [x for x in (part["measured"], *part["region"], *(part["interval"] or ())) if x is not None]
    if not parts or len(parts) > _MOST_PARTS or not all(math.isfinite(x) for x in numbers):
        return Markup("")
    place, height = _axis(numbers, False, _NAMES), _ROW * len(parts) + 18
    drawn = [_row(part, place, _ROW * number) for number, part in enumerate(parts)]
    drawn.append(_ticks({x for part in parts for x in part["region"] if x is not None}, place, height, unit))
    said = [
        f"{part['name']}: {describe(part['measured'], part['interval'], part['region'], None, unit)}" for part in parts
    ]
    return Markup(
        f'<svg class="ruling" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(" ".join(said))}">{"".join(drawn)}</svg>'
    )


def _row(part: Mapping, place, top: float) -> str:
    """Name, region, interval and estimate of one part."""
    low, high = part["region"]
    left = _NAMES if low is None else place(low)
    right = _WIDTH - _PAD if high is None else place(high)
    middle, name = top + _ROW / 2, part["name"]
    name = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    drawn = [
        f'<text x="{_NAMES - 8}" y="{middle + 4:g}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="holds" x="{left}" y="{top + 2:g}" width="{max(right - left, 1):.1f}" height="{_ROW - 4}"/>',
        f'<path class="axis" d="M{_NAMES} {middle:g}H{_WIDTH - _PAD}"/>',
    ]
    for end in (low, high):
        if end is not None:
            drawn.append(f'<path class="margin" d="M{place(end)} {top + 2:g}v{_ROW - 4}"/>')
    if part["interval"]:
        drawn.append(_interval(part["interval"], place, middle, _NAMES))
    drawn.append(f'<circle class="estimate" cx="{place(part["measured"])}" cy="{middle:g}" r="3.5"/>')
    return "".join(drawn)


def _ticks(ends: Set[float], place, height: float, unit: str) -> str:
    """The ends of the regions under the bars, nearest to 0 first, without those that would run into one written."""
    drawn: list[str] = []
    taken: list[tuple[float, float]] = []
    for end in sorted(ends, key=abs):
        text = with_unit(edge(end), unit)
        half = 3.2 * len(text)
        x = min(max(place(end), _NAMES + half), _WIDTH - half)
        if all(x + half < left or x - half > right for left, right in taken):
            drawn.append(f'<text x="{x:g}" y="{height - 4:g}" text-anchor="middle">{escape(text)}</text>')
            taken.append((x - half, x + half))
    return "".join(drawn)


def describe(measured, interval, region, reference, unit) -> str:
    """The drawing in words."""
    ends = [end for end in interval or () if end is not None]
    decimals = decimals_for(*ends, region) if len(ends) == 2 else None
    said = [f"Measured {with_unit(number(measured, decimals), unit)}"]
    if interval:
        said.append(f"interval {_in_words(interval, lambda end: number(end, decimals))}")
    said.append(f"the claim holds {ends_in_words(region)}")
    if reference is not None:
        said.append(f"paper {with_unit(number(reference), unit)}")
    return "; ".join(said) + "."


def ends_in_words(ends: Sequence[float | None], unit: str = "") -> str:
    """Where a claim holds: `above 0.3 pp`, `below 1`, `from −0.2 to 0.2 pp`; None is an open end."""
    return _in_words(ends, edge, unit)


def _in_words(ends: Sequence[float | None], written: Callable[[float], str], unit: str = "") -> str:
    low, high = ends
    if low is None and high is None:
        return "anywhere"
    if low is None or high is None:
        return f"below {with_unit(written(high), unit)}" if low is None else f"above {with_unit(written(low), unit)}"
    return f"from {written(low)} to {with_unit(written(high), unit)}"


def _axis(numbers: list[float], log: bool, start: float = _PAD):
    """The map from a number to its place on the axis, which begins at `start`, with air at both ends."""
    work = [math.log(x) if log else x for x in numbers]
    low, high = min(work), max(work)
    air = 0.18 * (high - low) or max(abs(high), 1.0) * 0.1
    low, high = low - air, high + air

    def place(x: float) -> float:
        share = ((math.log(x) if log else x) - low) / (high - low)
        return round(start + share * (_WIDTH - _PAD - start), 1)

    return place


def _inside(x: float, half: float) -> float:
    return min(max(x, half), _WIDTH - half)


def _region(region: list[float | None], place, unit: str) -> str:
    low, high = region
    left = _PAD if low is None else place(low)
    right = _WIDTH - _PAD if high is None else place(high)
    parts = [
        f'<rect class="holds" x="{left}" y="{_TOP}" width="{max(right - left, 1):.1f}" height="{_BOTTOM - _TOP}"/>'
    ]
    edges = [(end, with_unit(edge(end), unit)) for end in (low, high) if end is not None]
    halves = [_LETTER * len(text) / 2 for _, text in edges]
    places = [_inside(place(end), half) for (end, _), half in zip(edges, halves, strict=True)]
    if len(edges) == 2 and (lacking := sum(halves) + 8 - (places[1] - places[0])) > 0:  # apart, and both inside
        first = max(places[0] - lacking / 2, halves[0])
        second = min(max(places[1] + lacking / 2, first + sum(halves) + 8), _WIDTH - halves[1])
        places = [min(first, second - sum(halves) - 8), second]
    for (end, text), x in zip(edges, places, strict=True):
        parts.append(f'<path class="margin" d="M{place(end)} {_TOP}V{_BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(text)}</text>')
    return "".join(parts)


def _interval(interval: Sequence[float | None], place, middle: float = _MIDDLE, start: float = _PAD) -> str:
    low, high = interval
    left = start if low is None else place(low)
    right = _WIDTH - _PAD if high is None else place(high)
    cap, arrow = 5, 6
    begin = (
        f"M{left} {middle - cap}v{2 * cap}"
        if low is not None
        else f"M{left + arrow} {middle - cap}l-{arrow} {cap}l{arrow} {cap}"
    )
    end = (
        f"M{right} {middle - cap}v{2 * cap}"
        if high is not None
        else f"M{right - arrow} {middle - cap}l{arrow} {cap}l-{arrow} {cap}"
    )
    return f'<path class="interval" d="M{left} {middle}H{right}{begin}{end}"/>'
