"""What the versions of a study recorded of their costs: trials, time beside the trials, memory."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ._predict import Recorded
from ._project import Project
from ._records import RECORDS, read_records
from ._versions import Version, versions

FLOPS = "flops", "training_flops"
"""The values under which a trial counts its floating-point operations, the first that it has."""
_UNREADABLE = OSError, EOFError, ValueError, KeyError, TypeError, AttributeError


@dataclass(frozen=True)
class Ran:
    """A recorded trial: name of its function, parameters, seconds, operations where it counted them, the speed of the
    machine (`calibrate`) where that is known, and the kind of device on which it ran together with others, if it did;
    the seconds are its share of theirs then. Seconds and speed are those on the clock or, where they were recorded,
    those that a core was `busy`."""

    function: str
    parameters: Mapping[str, Any]
    seconds: float
    flops: float | None = None
    speed: float | None = None
    together: str | None = None
    busy: bool = False

    @property
    def trust(self) -> int:
        """As `Recorded` has it, as far as the record goes."""
        return 1 + self.busy if self.speed else 0

    @property
    def on_cpu(self) -> bool:
        """Whether the machine's speed, which is that of its processor, says how long such a trial takes."""
        return (self.together or self.parameters.get("device") or "cpu") == "cpu"


@dataclass
class Past:
    """The recorded trials of a study by key, and its runs, oldest first, as (preset, run.json, trials computed)."""

    trials: dict[str, Ran] = field(default_factory=dict)
    runs: list[tuple[str, Mapping[str, Any], int]] = field(default_factory=list)

    def of(self, function: str, together: str | None, speed: float | None) -> list[Recorded]:
        """The seconds of a function's trials that ran by themselves (None) or together on a kind of device, as they
        would be at `speed`, where both speeds are known and count."""
        found = []
        for ran in self.trials.values():
            if (ran.function, ran.together) == (function, together):
                known = bool(speed and ran.speed and ran.on_cpu)
                seconds = ran.seconds * (speed / ran.speed if known else 1)
                found.append(Recorded(ran.parameters, seconds, ran.trust if known else 0))
        return found

    def counted(self, function: str) -> list[Recorded]:
        """The operations of those of a function's trials that counted them."""
        all_of = (ran for ran in self.trials.values() if ran.function == function)
        return [Recorded(ran.parameters, ran.flops) for ran in all_of if ran.flops]

    def beside(self, preset: str, speed: float | None) -> float | None:
        """Seconds that a run of the preset takes beside its trials: notebook, verdicts, report.

        As the newest run that measured it took, at the speed of today. Before it was measured: the shortest run whose
        trials were all stored. Of another preset where this one has neither; None where no run tells.
        """
        for runs in ([run for run in self.runs if run[0] == preset], self.runs):
            for _, run, _ in reversed(runs):
                if (took := timed(run)) and _number(took.get("beside")):
                    then = _number(run.get("calibration"))
                    return took["beside"] * (speed / then if speed and then else 1)
            if stored := [run["wall_seconds"] for _, run, computed in runs if not computed]:
                return min(stored)
        return None

    def memory(self, preset: str) -> dict[str, float] | None:
        """The peak memory that the newest run recorded, of this preset if one did; not of one by Dask or SLURM, whose
        workers it did not see."""
        for runs in ([run for run in self.runs if run[0] == preset], self.runs):
            for _, run, _ in reversed(runs):
                if isinstance(run.get("memory"), Mapping) and not by_engine(run):
                    return dict(run["memory"])
        return None


def past(project: Project, study: str, parameters: Mapping[str, Iterable[str]]) -> Past:
    """What the versions of a study recorded; one that cannot be read is passed over.

    parameters: the names of the parameters of each function's trials (`names_of`) that are of interest; where there
    are none, no trials are read. A trial belongs to the run that computed it, the first that has it with these
    seconds; computed again later, the later counts, unless less is known of its machine.
    """
    found = Past()
    for version in versions(project.reports, study):
        with suppress(*_UNREADABLE):
            run = json.loads((version.path / "run.json").read_text("utf-8"))
            counts = json.loads((version.path / "results.json").read_text("utf-8"))["trials"]
            new = dict(_recorded(version, run, parameters)) if parameters else {}
            for key, ran in new.items():
                before = found.trials.get(key)
                if before is None or before.seconds != ran.seconds and before.trust <= ran.trust:
                    found.trials[key] = ran
            run["wall_seconds"] = float(run["wall_seconds"])
            found.runs.append((version.preset, run, counts["computed"]))
    return found


def timed(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a run.json says under `estimate`, where it measured that.

    A run by Dask or SLURM once left null seconds and no trials there, which no other does, and all of its time as time
    beside the trials.
    """
    told = run.get("estimate")
    if not isinstance(told, Mapping) or told.get("seconds", 0) is None and not told.get("trials"):
        return None
    return told


def by_engine(run: Mapping[str, Any]) -> bool:
    """Whether Dask or SLURM computed trials of a run: nothing was expected of it then (`Watch.record`)."""
    told = run.get("estimate")
    return isinstance(told, Mapping) and (timed(run) is None or "seconds" not in told)


def _recorded(version: Version, run: Mapping[str, Any], parameters: Mapping[str, Iterable[str]]):
    """(key, Ran) of a version's trials, from its records or else from its table, which has neither lists nor what is
    no parameter told from what is one."""
    if (version.path / RECORDS).is_file():
        for key, body in read_records(version.path / RECORDS).items():
            yield key, ran_of(body, run)
        return
    speed = _number(run.get("calibration"))
    with (version.path / "trials.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            cells = {name: row.get(f"{name}_parameter", row.get(name)) for name in parameters.get(row["function"], ())}
            said = {name: _cell(text) for name, text in cells.items() if text}
            yield row["key"], Ran(row["function"], said, float(row["seconds"]), _flops(row), speed)


def ran_of(body: Mapping[str, Any], run: Mapping[str, Any]) -> Ran:
    """A trial as the store or a version's records have it, computed by a run whose run.json is this, or {}."""
    name = body["function"].partition(":")[2]
    together = (body.get("batched") or {}).get("device")
    speed, flops = _number(run.get("calibration")), _flops(body["value"])
    ran = Ran(name, body["parameters"], float(body["seconds"]), flops, speed, together)
    busy, then = _number(body.get("busy_seconds")), _number(run.get("busy_calibration"))
    if not (busy and then and ran.on_cpu):  # a core that waits for a device says nothing
        return ran
    return replace(ran, seconds=busy, speed=then, busy=True)


def names_of(trials: Iterable[Any]) -> dict[str, set[str]]:
    """The names of the parameters of each function's trials."""
    names: dict[str, set[str]] = defaultdict(set)
    for trial in trials:
        names[trial.function.partition(":")[2]] |= trial.parameters.keys()
    return names


def _flops(value: Mapping[str, Any]) -> float | None:
    for name in FLOPS:
        with suppress(TypeError, ValueError):
            if (counted := float(value.get(name) or 0)) > 0:
                return counted
    return None


def _cell(text: str) -> Any:
    """A cell of a table as the value it was."""
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
