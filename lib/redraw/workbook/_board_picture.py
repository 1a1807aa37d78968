"""The board as a drawing, `board.svg`: a row per study, a sign per claim."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from ._pages import OUTCOMES, tally

_COLOURS = {
    "reproduced": "#17663a",
    "contradicted": "#a8231b",
    "inconclusive": "#7d4b00",
    "paper_error": "#1d559c",
    "blocked": "#65458a",
    "not_tested": "#555b64",
}
_SHAPES = {
    "reproduced": '<circle cx="8" cy="8" r="7.5"/><path d="M4.6 8.4l2.4 2.4 4.5-5"/>',
    "contradicted": '<rect x="1" y="1" width="14" height="14" rx="1.5"/><path d="M5 5l6 6M11 5l-6 6"/>',
    "inconclusive": '<path class="f" d="M8 0l8 8-8 8-8-8z"/><path d="M4.4 8.8q1.8-2.4 3.6-.8t3.6-.8"/>',
    "paper_error": '<path class="f" d="M8 .8l7.6 14H.4z"/><path d="M8 5.6v4.6M8 12.2v.6"/>',
    "blocked": '<path class="f" d="M5 .5h6L15.5 5v6L11 15.5H5L.5 11V5z"/><path d="M4.2 8h7.6"/>',
    "not_tested": '<circle class="o" cx="8" cy="8" r="6.6"/>',
}
_WIDTH, _MARGIN, _NAMES, _STEP, _LINE, _AIR = 860, 20, 330, 22, 24, 14
_LETTERS, _TYPE = 46, 18  # of a title on a line, and from line to line of one that takes two


def draw_board(rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The drawing as an SVG document on white.

    rows: (title of a study, outcomes of its claims in order); a study without any is drawn as not run yet. Signs
    differ in shape as well as in colour, and their legend counts them.
    """
    across = (_WIDTH - _MARGIN - _NAMES) // _STEP
    drawn, y = [], _MARGIN + _LINE + _AIR
    for title, outcomes in rows:
        names = wrap(title, _LETTERS, max_lines=2, placeholder=" …") or [""]
        for line, name in enumerate(names):
            drawn.append(f'<text x="{_MARGIN}" y="{y + 13 + _TYPE * line}">{escape(name)}</text>')
        if not outcomes:
            drawn.append(f'<text class="soft" x="{_NAMES}" y="{y + 13}">not run yet</text>')
        for index, outcome in enumerate(outcomes):
            line, column = divmod(index, across)
            drawn.append(_sign(outcome, _NAMES + _STEP * column, y + _LINE * line))
        y += max(_LINE * max(-(-len(outcomes) // across), 1), _TYPE * len(names)) + _AIR
    counted = tally([outcome for _, outcomes in rows for outcome in outcomes])
    legend, x = [], _MARGIN
    for outcome, count in counted:
        words = f"{OUTCOMES.get(outcome, outcome)} {count}"
        legend.append(_sign(outcome, x, _MARGIN) + f'<text x="{x + 22}" y="{_MARGIN + 13}">{escape(words)}</text>')
        x += 22 + round(7.6 * len(words)) + 18
    said = ", ".join(f"{count} {OUTCOMES.get(outcome, outcome)}" for outcome, count in counted) or "no claim yet"
    style = (
        "text{font:14px 'Liberation Sans','Noto Sans',Arial,sans-serif;fill:#1d2024}.soft{fill:#555b64}"
        "g path{fill:none;stroke:#fff;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}"
        "g .f{fill:currentColor;stroke:none}g circle,g rect{fill:currentColor}"
        "g .o{fill:none;stroke:currentColor;stroke-width:1.6;stroke-dasharray:2.6 2.2}"
    )
    height = y + _MARGIN - _AIR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img"><title>Where each claim stands: {escape(said)}.</title><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(legend)}{"".join(drawn)}</svg>\n'
    )


def _sign(outcome: str, x: float, y: float) -> str:
    known = outcome if outcome in _SHAPES else "not_tested"
    return f'<g transform="translate({x} {y})" color="{_COLOURS[known]}">{_SHAPES[known]}</g>'
