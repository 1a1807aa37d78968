"""What the benchmarks measured, as `reports/benchmarks/`: a table, a figure and a page. `make bench` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd

from redraw.plotting import against_limits
from redraw.plotting._style import STYLE
from redraw.workbook import _pages as pages
from redraw.workbook._numbers import with_unit

LIBRARIES = "torch", "numpy", "scipy", "pandas", "scikit-learn", "optuna", "statsmodels"


@dataclass(frozen=True)
class Ratio:
    """A measurement repeated within one run, and the limit that its median is held to (None: none).

    better: "lower" or "higher". unit: "x" for how many times, "%", or of a measurement that is no ratio, as "GiB".
    what: what is compared with what, in words.
    """

    name: str
    values: tuple[float, ...]
    limit: float | None = None
    better: Literal["lower", "higher"] = "lower"
    unit: str = "x"
    what: str = ""

    def __post_init__(self):
        if not self.values or self.better not in ("lower", "higher"):
            raise ValueError(f"benchmark {self.name}: must have values, and be better lower or higher")

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def held(self) -> bool | None:
        """Whether the median is within the limit; None without one."""
        if self.limit is None:
            return None
        return self.median <= self.limit if self.better == "lower" else self.median >= self.limit

    def share(self, value: float) -> float:
        """How much of the limit a value takes: below 1 within it, whichever way is better."""
        return value / self.limit if self.better == "lower" else self.limit / value

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the fields, and median, quartiles, range and whether the limit was held."""
        first, _, third = quantiles(self.values, n=4, method="inclusive") if len(self.values) > 1 else 3 * self.values
        found = {"median": self.median, "first_quartile": first, "third_quartile": third}
        found |= {"low": min(self.values), "high": max(self.values), "held": self.held}
        return asdict(self) | {"values": list(self.values)} | found

    def __str__(self) -> str:
        held = {None: "no limit", True: "held", False: "NOT held"}[self.held]
        side = "most" if self.better == "lower" else "least"
        limit = "" if self.limit is None else f", at {side} {self._say('limit')}"
        return f"{self.name}: {self._say('median')} ({self.range}{limit}: {held})"

    @property
    def range(self) -> str:
        """From the least to the greatest value, in words."""
        return f"{_number(min(self.values))} to {_number(max(self.values))}" if len(self.values) > 1 else "once"

    def _say(self, which: str) -> str:
        return with_unit(_number(getattr(self, which)), self.unit)


def write_benchmarks(
    folder: Path, ratios: Sequence[Ratio], surroundings: Mapping[str, Any], absent: Sequence[tuple[str, str]] = ()
) -> Path:
    """Write benchmarks.json, ratios.csv, ratios.svg with its ratios.txt, and index.html; returns the page's path.

    surroundings: as `redraw.workbook._provenance.environment` gives them. absent: benchmarks that could not be
    measured, with the reason. Raises ValueError without ratios, and where two have one name.
    """
    if not ratios or len({ratio.name for ratio in ratios}) < len(ratios):
        raise ValueError("benchmarks: must be at least one, each with a name of its own")
    folder.mkdir(parents=True, exist_ok=True)
    plain, written = [ratio.to_dict() for ratio in ratios], datetime.now(UTC).isoformat(timespec="seconds")
    facts, alt = _facts(surroundings, written), _alt(ratios)
    document = {"measured": written, "machine": dict(facts), "ratios": plain, "absent": [list(pair) for pair in absent]}
    pages.write_atomically(folder / "benchmarks.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    table = pd.DataFrame(plain).drop(columns="values").assign(repetitions=[len(ratio.values) for ratio in ratios])
    pages.write_atomically(folder / "ratios.csv", table.to_csv(index=False))
    pages.write_atomically(folder / "ratios.txt", alt + "\n")
    _draw(folder / "ratios.svg", ratios, alt)
    page = pages.render(
        "benchmarks.html.j2",
        images="'self' file: data:",
        rows=[_row(ratio) for ratio in ratios],
        held=sum(ratio.held is True for ratio in ratios),
        limited=sum(ratio.limit is not None for ratio in ratios),
        absent=absent,
        facts=facts,
        alt=alt,
    )
    pages.write_atomically(folder / "index.html", page)
    return folder / "index.html"


def _row(ratio: Ratio) -> dict[str, Any]:
    limit = "–" if ratio.limit is None else f"{'≤' if ratio.better == 'lower' else '≥'} {ratio._say('limit')}"
    held = {None: "–", True: "yes", False: "no"}[ratio.held]
    said = {"name": ratio.name, "what": ratio.what, "median": ratio._say("median"), "range": ratio.range}
    return said | {"repetitions": len(ratio.values), "limit": limit, "held": held}


def _draw(path: Path, ratios: Sequence[Ratio], alt: str) -> None:
    """The figure: every ratio that has a limit, as a share of it."""
    limited = [ratio for ratio in ratios if ratio.limit is not None and min(ratio.values) > 0]
    rows = [
        {
            "label": ratio.name,
            "median": ratio.share(ratio.median),
            "low": min(map(ratio.share, ratio.values)),
            "high": max(map(ratio.share, ratio.values)),
            "held": ratio.held,
        }
        for ratio in limited
    ]
    with plt.style.context(STYLE):
        fig, ax = plt.subplots(figsize=(9, 1.6 + 0.27 * len(rows)))
        if rows:
            against_limits(ax, pd.DataFrame(rows))
        fig.savefig(path, metadata={"Date": None, "Title": "ratios", "Description": alt})
        plt.close(fig)


def _alt(ratios: Sequence[Ratio]) -> str:
    limited = [ratio for ratio in ratios if ratio.limit is not None]
    beyond = [ratio.name for ratio in limited if not ratio.held]
    words = f"Of {len(limited)} benchmarks with a limit {len(limited) - len(beyond)} are within it"
    return f"{words}{'; beyond it: ' + ', '.join(beyond) if beyond else ''}."


def _facts(surroundings: Mapping[str, Any], written: str) -> list[tuple[str, str]]:
    """Machine, versions, date and commit in plain words."""
    hardware, libraries, code = surroundings["hardware"], surroundings["libraries"], surroundings["code"]
    changed = " with changes that are not committed" if code["uncommitted"] else ""
    versions = [f"{name} {libraries[name]}" for name in LIBRARIES if name in libraries]
    return [
        ("Measured", pages.moment(written)),
        ("Machine", f"{hardware['processor']}, {hardware['cores']} cores, {hardware['memory_gib']:g} GiB"),
        ("System", f"{hardware['system']}, Python {surroundings['python']}"),
        ("Libraries", ", ".join(versions)),
        ("Commit", f"{code['commit'] or 'unknown'}{changed}"),
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
