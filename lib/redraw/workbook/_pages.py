"""What the report and the board share: the template environment, words for verdicts, times as text."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ._claims import how_many

OUTCOMES = {
    "reproduced": "reproduced",
    "contradicted": "contradicted",
    "inconclusive": "inconclusive",
    "paper_error": "paper error",
    "blocked": "blocked",
    "not_tested": "not tested",
}
UNTESTED = ("not_tested", "blocked")
SCOPES = {
    "same": ("same", "the paper's own data and protocol"),
    "reimplemented": ("reimplemented", "the paper's protocol on its data, in our own code"),
    "reduced": ("reduced", "smaller than the paper: other data, fewer rounds or shorter training"),
}


@cache
def environment() -> Environment:
    """The templates, every value escaped, an unknown name an error."""
    env = Environment(
        loader=PackageLoader("redraw.workbook"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(OUTCOMES=OUTCOMES, SCOPES=SCOPES, moment=moment, how_many=how_many)
    return env


def render(template: str, *, images: str, script: str = "", **values: Any) -> str:
    """A page with its one style sheet and a policy that lets in that sheet and `images`, and nothing else.

    script: the template of the page's one script, which the policy then admits by its hash as well.
    """
    style = environment().get_template("page.css").render()
    code = environment().get_template(script).render() if script else ""
    policy = f"default-src 'none'; img-src {images}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    if code:
        policy += f"; script-src {_hash(code)}"
    page = environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(code), policy=policy, **values) + "\n"


def _hash(source: str) -> str:
    """A style sheet or script as a content policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def write_atomically(path: Path, text: str) -> None:
    """Write the file whole or not at all: a reader never sees half of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_if_changed(path: Path, text: str) -> bool:
    """`write_atomically` where the file does not say so already; whether it was written."""
    with suppress(OSError, ValueError):
        if path.read_text("utf-8") == text:
            return False
    write_atomically(path, text)
    return True


def tally(outcomes: Sequence[str]) -> list[tuple[str, int]]:
    """How many claims have each outcome, in the order of `OUTCOMES`; unknown ones last."""
    order = [*OUTCOMES, *sorted(set(outcomes) - set(OUTCOMES))]
    return [(outcome, outcomes.count(outcome)) for outcome in order if outcome in outcomes]


def duration(seconds: Any) -> str:
    """Seconds in the two largest units: `3 min 12 s`, `5 h 2 min`."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def moment(text: Any, *, day: bool = False) -> str:
    """An ISO date and time as `21 November 2026, 06:12 UTC`, or the day alone; other text as it is."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return "–" if text is None else str(text)
    date = f"{at.day} {at:%B %Y}"
    return date if day else f"{date}, {at:%H:%M}{' UTC' if at.utcoffset() is not None and not at.utcoffset() else ''}"
