"""Reading a CSV file of the reader's own: its rows with their lines, or one line that says why not."""

import csv
from pathlib import Path


def read_rows(path: Path, error: type[ValueError]) -> list[tuple[int, list[str]]]:
    """Every row that holds something, stripped, with the line it ends on; lines that begin with # are left out.

    Raises `error` for a file that is missing, unreadable or not CSV text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = ("\n" if line.startswith("#") else line for line in stream)  # left in the count
            reader = csv.reader(lines, skipinitialspace=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except OSError as wrong:
        raise error(f"{path}: cannot be read ({wrong.strerror or wrong})") from None
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise error(f"{path}: must be a CSV text file ({wrong})") from None
    return [(line, row) for line, row in rows if any(row)]


def number(cell: str) -> float | None:
    """The number in a cell, None where there is none."""
    try:
        return float(cell)
    except ValueError:
        return None
