"""What a search found: its evaluations, the best of them, frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redraw.hpo._checks import SearchError
from redraw.hpo._journal import to_frame
from redraw.hpo._space import Config, Space
from redraw.hpo._states import Key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: `trial` trained with `config` until `fidelity`, going on from `origin` (trial, fidelity), if any.

    number: the place in which it was asked for. start, end: on the search's clock. value: NaN where it failed, and
    `error` says how. seconds: on the wall clock, where it was evaluated. info: what the method notes about it.
    """

    number: int
    trial: int
    config: Config
    fidelity: float
    origin: Key | None
    start: float
    end: float
    value: float
    error: str | None
    seconds: float
    info: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As plain data, for the journal."""
        return {
            "number": self.number,
            "trial": self.trial,
            "fidelity": self.fidelity,
            "from": list(self.origin) if self.origin else None,
            "config": self.config,
            "start": self.start,
            "end": self.end,
            "value": self.value if self.error is None else None,
            "error": self.error,
            "seconds": self.seconds,
            "info": dict(self.info),
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Evaluation":
        """The evaluation that `record` was made from."""
        value = float("nan") if record["value"] is None else record["value"]
        origin = tuple(record["from"]) if record["from"] else None
        same = {
            k: record[k] for k in ("number", "trial", "config", "fidelity", "start", "end", "error", "seconds", "info")
        }
        return cls(origin=origin, value=value, **same)


@dataclass(frozen=True)
class Search:
    """A finished search: its evaluations in the order of its clock."""

    evaluations: tuple[Evaluation, ...]
    space: Space
    maximize: bool

    @property
    def best(self) -> Evaluation:
        """The best evaluation at the highest fidelity at which any succeeded; the first of equals.

        Raises SearchError where all failed, with the first failure.
        """
        fine = [e for e in self.evaluations if e.error is None]
        if not fine:
            first = f"; the first: {self.evaluations[0].error}" if self.evaluations else ""
            raise SearchError(f"search: none of its {len(self.evaluations)} evaluations succeeded{first}")
        highest = max(e.fidelity for e in fine)
        sign = -1 if self.maximize else 1
        return min((e for e in fine if e.fidelity == highest), key=lambda e: (sign * e.value, e.number))

    def frame(self) -> "pd.DataFrame":
        """A row an evaluation, in the order of the search's clock; columns as `read_journal` has them."""
        return to_frame([e.record() for e in self.evaluations], self.space.names)

    def incumbents(self) -> "pd.DataFrame":
        """The best value so far, at any fidelity: a row each time it improves.

        Columns: time (on the search's clock), spent (what all evaluations ended by then cost together), evaluations
        (how many they are), trial, fidelity, value.
        """
        import pandas as pd

        rows, best, spent, sign = [], float("inf"), 0.0, -1 if self.maximize else 1
        for i, e in enumerate(self.evaluations, 1):
            spent += e.end - e.start
            if e.error is None and sign * e.value < best:
                best = sign * e.value
                rows.append((e.end, spent, i, e.trial, e.fidelity, e.value))
        return pd.DataFrame(rows, columns=["time", "spent", "evaluations", "trial", "fidelity", "value"])
