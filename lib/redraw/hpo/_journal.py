"""The journal of a search: JSON lines, one for the search and one for each evaluation, written as it ends."""

import fcntl
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redraw.hpo._checks import SearchError

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1
_HEAD = b'{"redraw.hpo": '


class Journal:
    """A journal opened for a search: what it holds already, by (trial, fidelity), and where to write on.

    header: what the search is. A journal of another search is refused, naming what differs; so is one that another
    process is writing. Lines are appended whole, so that a kill can tear the last one only.
    """

    def __init__(self, path: str | os.PathLike, header: Mapping[str, Any]):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise SearchError(f"journal: {self.path} is being written by another search") from None
        try:
            lines, whole = _parse(self.path)
            self._file.truncate(whole)
            header = {"redraw.hpo": _FORMAT, **json.loads(json.dumps(header, default=_name))}
            if lines:
                _same_search(self.path, lines[0], header)
            else:
                self.write(header)
        except BaseException:
            self._file.close()
            raise
        self.records = {(line["trial"], line["fidelity"]): line for line in lines[1:]}

    def write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _name(setting: Any) -> str:
    """What the header calls a setting that is no plain data: a function's name."""
    return getattr(setting, "__qualname__", type(setting).__qualname__)


def _parse(path: Path) -> tuple[list[dict], int]:
    """The lines of a journal, and how many bytes they take. A torn last line is left out with a warning."""
    data = path.read_bytes()
    lines, whole = [], 0
    rows = data.split(b"\n")
    for i, row in enumerate(rows):
        if i == len(rows) - 1 and (i or _HEAD.startswith(row[: len(_HEAD)])):
            if row:
                warnings.warn(f"{path}: dropped its last line, which was torn ({len(row)} bytes)", stacklevel=4)
            break
        try:
            line = json.loads(row)
            if not isinstance(line, dict) or ("trial" not in line if i else line.get("redraw.hpo") != _FORMAT):
                raise ValueError
        except ValueError:
            if i == len(rows) - 2 and i and not rows[-1]:  # lost with the power, its newline written
                warnings.warn(f"{path}: dropped its last line, which was torn ({len(row)} bytes)", stacklevel=4)
                break
            raise SearchError(f"journal: line {i + 1} of {path} is not a line of a search's journal") from None
        lines.append(line)
        whole += len(row) + 1
    return lines, whole


def _same_search(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differ = [
        f"{key} was {found.get(key)!r}, is {wanted.get(key)!r}"
        for key in {**found, **wanted}
        if found.get(key) != wanted.get(key)
    ]
    if differ:
        raise SearchError(f"journal: {path} belongs to another search: {'; '.join(differ)}")


def read_journal(path: str | os.PathLike) -> "pd.DataFrame":
    """A journal as a frame, a row an evaluation, in the order of the search's clock; of a running search too.

    Columns: trial, fidelity, from_trial and from_fidelity (what it went on from), start and end on the search's clock,
    value (NaN if it failed), error, seconds on the wall clock, whatever the method notes (rung, bracket, round), and
    config.<name> for each hyperparameter. The header is the frame's `attrs`.

    Raises SearchError: no such file; a line that is not a journal's (a torn last line is dropped with a warning), or
    no evaluation.
    """
    path = Path(path)
    if not path.is_file():
        raise SearchError(f"journal: {path} does not exist")
    lines, _ = _parse(path)
    header = dict(lines[0]) if lines else {}
    try:
        out = to_frame(lines[1:], header.get("space", ()))
    except (KeyError, TypeError, AttributeError, ValueError):  # edited by hand: JSON, and yet no evaluation
        raise SearchError(f"journal: {path} has a line that is no evaluation of a search") from None
    out.attrs = header
    return out


def to_frame(records: list[dict], names: Iterable[str]) -> "pd.DataFrame":
    """Records of evaluations over the hyperparameters `names` as the frame that `read_journal` describes."""
    import pandas as pd

    rows = []
    for record in sorted(records, key=lambda r: (r["end"], r["number"])):
        row = {key: record[key] for key in ("trial", "fidelity")}
        row["from_trial"], row["from_fidelity"] = record["from"] or (None, None)
        row |= {key: record[key] for key in ("start", "end", "value", "error", "seconds")} | record["info"]
        rows.append(row | {f"config.{name}": record["config"].get(name) for name in names})
    columns = ["trial", "fidelity", "from_trial", "from_fidelity", "start", "end", "value", "error", "seconds"]
    frame = pd.DataFrame(rows, columns=None if rows else [*columns, *(f"config.{name}" for name in names)])
    return frame.astype({"from_trial": "Int64", "from_fidelity": float, "value": float, "error": object})
