"""What `redraw refine norms.csv` does. Numerical libraries load only when the file has been found right."""

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from redraw._csv import number, read_rows

FIGURES = (".svg", ".png", ".pdf")


class NormsError(ValueError):
    """A request for a refined schedule that cannot be met; the message names the file and line, or the
    field."""


@dataclass(frozen=True)
class Refined:
    """A schedule refined from a file: the norms read and the multiplier of each step, both one number a
    step."""

    file: str
    column: str
    optimizer: str
    width: float
    norms: list[float]
    multipliers: list[float]

    def to_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)


def refine_file(path: str | Path, column: str | None = None, optimizer="sgd", width: float = 0.1) -> Refined:
    """The schedule refined from a CSV file of gradient norms, one row a step, in order.

    column: its name, or its number from 1; needed where there are several. optimizer: sgd (l2 norms) or adam
    (l1 norms). width: of the median filter, as a share of the run. Raises NormsError with one line on
    anything wrong.
    """
    name, norms = read_norms(path, column)
    from redraw.schedules import ScheduleError, refine

    try:
        multipliers = refine(norms, optimizer=optimizer, width=width)
    except ScheduleError as error:
        raise NormsError(str(error)) from None
    return Refined(Path(path).name, name, optimizer, width, norms, multipliers.tolist())


def read_norms(path: str | Path, column: str | None = None) -> tuple[str, list[float]]:
    """The name of a column of a CSV file and its values, all finite and positive. A header is optional.

    Raises NormsError: a file that is missing, unreadable, not text or without rows; no such column, or
    several and none chosen; a row that is too short, or a value that is not a finite positive number (with
    its line).
    """
    path = Path(path)
    rows = read_rows(path, NormsError)
    first = rows[0][1] if rows else []
    header = [] if all(number(cell) is not None for cell in first) else first
    values = rows[1:] if header else rows
    if not values:
        raise NormsError(f"{path}: must hold at least one row of numbers")
    at = _position(path, column, header, len(first))
    norms = []
    for line, row in values:
        cell = row[at] if at < len(row) else ""
        norm = number(cell)
        if norm is None or not (math.isfinite(norm) and norm > 0):
            raise NormsError(f"{path}, line {line}: must be a finite positive number, not {cell[:40]!r}")
        norms.append(norm)
    return header[at] if header else f"column {at + 1}", norms


def table(found: Refined, rows: int = 21):
    """A rich table of about `rows` steps, evenly spread from the first to the last, with a bar for each."""
    from rich.markup import escape
    from rich.table import Table

    steps, rows = len(found.norms), min(rows, len(found.norms))
    title = f"{found.file}: {steps:,} steps, refined for {found.optimizer}"
    drawn = Table("step", "progress", "norm", "multiplier", "", title=escape(title))
    for i in range(rows):
        k = round(i * (steps - 1) / max(rows - 1, 1))
        m = found.multipliers[k]
        drawn.add_row(str(k), f"{k / steps:.4f}", f"{found.norms[k]:.4g}", f"{m:.4f}", "█" * round(30 * m))
    return drawn


def save(found: Refined, path: str | Path) -> None:
    """Write a table of step, norm and multiplier (.csv), or a figure of both (.svg, .png, .pdf).

    Raises NormsError on another ending or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", *FIGURES):
        raise NormsError(f"{path}: must end in {', '.join(('.csv', *FIGURES))}")
    try:
        if path.suffix == ".csv":
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(("step", "norm", "multiplier"))
                writer.writerows(zip(range(len(found.norms)), found.norms, found.multipliers, strict=True))
        else:
            _draw(found, path)
    except OSError as error:
        raise NormsError(f"{path}: cannot be written ({error.strerror or error})") from None


def _draw(found: Refined, path: Path) -> None:
    from redraw.plotting import figure

    steps = len(found.norms)
    progress = [k / steps for k in range(steps)]
    kind = {"sgd": "l2", "adam": "l1"}[found.optimizer]
    with figure(2) as (fig, (left, right)):
        left.plot(progress, found.norms, linewidth=0.8)
        left.set(xlabel="progress t", ylabel=f"gradient norm ({kind})", yscale="log", title=found.column)
        right.plot(progress, found.multipliers, label="refined")
        right.plot([0, 1], [1, 0], linestyle="--", color="0.5", label="linear")
        right.set(xlabel="progress t", ylabel="multiplier of the learning rate", title="schedule")
        right.legend()
        fig.savefig(path)


def _position(path: Path, column: str | None, header: list[str], columns: int) -> int:
    """The index of the column asked for: by name, by number from 1, or the only one there is."""
    named = f"one of {', '.join(header)}" if header else f"a number from 1 to {columns} (there is no header)"
    if column is None:
        if columns > 1:
            raise NormsError(f"column: must be {named}; {path} has {columns}")
        return 0
    if column in header:
        return header.index(column)
    if column.isdecimal() and 1 <= int(column) <= columns:
        return int(column) - 1
    raise NormsError(f"column: must be {named}, not {column!r}")
