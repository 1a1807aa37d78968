"""What a run will cost, told before it starts and compared with what it took: `redraw run --dry-run` and run.json."""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from ._batched import batched, on_cuda
from ._machine import Speed, calibrate, peak_memory
from ._past import Past, names_of, past, ran_of
from ._predict import computed_by, predictor
from ._project import Project
from ._store import Store
from ._trials import Trial, _missing
from ._versions import versions

STARTING, HANDLING = 2000, 6
"""What it takes to start processes, and to hand out, check and store one trial, in steps of `calibrate`: as measured
with trials that do nothing, idle and busy."""
LONG, SHARE, MOST = 60.0, 0.015, 5.0
"""A run foretold to take longer than this many seconds has the machine measured for this share of them, and at most for
so many: its speed swings from second to second."""


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to cost.

    trials, stored, to_compute: how many, those included that others need. seconds: wall time with `jobs` processes,
    from the run's start to its report, of all that is known; None where nothing is. trial_seconds: of the trials to
    compute, one after another; beside_seconds: of everything else, None where no run tells. unknown: what was never
    run here or in a published version, a function or one on some network or device, or together with others on one,
    with the number of its trials. together: how many of those known run together with others; they are taken for the
    share that such trials had of their groups' time when they were recorded, whatever the sizes of the groups. flops:
    floating-point operations of those `flops_of` trials to compute that will count them, as recorded ones did; None
    where none does. memory: what the newest run held at its peak, see `peak_memory`. speed: of this machine
    (`calibrate`), and whether all of the records tell theirs. decides: the claims that the preset can decide, main
    ones under main: those that the newest run with these parameters tested (decided), or at most all that have the
    preset in their scope where there is none.
    """

    study: str
    preset: str
    jobs: int
    trials: int
    stored: int
    to_compute: int
    seconds: float | None
    trial_seconds: float
    beside_seconds: float | None
    unknown: Mapping[str, int] = field(default_factory=dict)
    together: int = 0
    flops: float | None = None
    flops_of: int = 0
    memory: Mapping[str, float] | None = None
    speed: Speed | None = None
    calibrated: bool = False
    decides: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    decided: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        lists = {"decides": list(self.decides), "main": list(self.main)}
        return asdict(self) | lists | {"speed": self.speed.clock if self.speed else None}


def estimate_run(
    known: Past, missing: Sequence[Trial], *, study: str, preset: str, total: int, jobs: int, speed: Speed | None
) -> Estimate:
    """The estimate of a run whose `missing` trials, in the order of `run_trials`, are to be computed.

    Each takes what `predictor` says of the study's recorded trials of its function that ran as it will, by themselves
    or together on its kind of device, at this machine's speed where the record tells its own, unless nothing like it
    was recorded; then the order in which `run_trials` hands them out is gone through (`makespan`).
    """
    now = speed.clock if speed else None
    records = {kind: known.of(*kind, now) for kind in {_kind(trial) for trial in missing}}
    guess = {kind: predictor(found) for kind, found in records.items() if found}
    said = {kind: computed_by(found) for kind, found in records.items() if found}
    strange = [_strange(trial, said.get(_kind(trial))) for trial in missing]
    taken = [
        0.0 if unlike else guess[_kind(trial)](trial.parameters) for trial, unlike in zip(missing, strange, strict=True)
    ]
    jobs = 1 if on_cuda(missing) else min(jobs, len(missing))
    handling = HANDLING * now if now else 0.0
    computing = makespan(missing, [seconds + handling for seconds in taken], jobs)
    if missing and jobs > 1 and now:
        computing += STARTING * now
    beside = known.beside(preset, now)
    return Estimate(
        study,
        preset,
        jobs,
        trials=total,
        stored=total - len(missing),
        to_compute=len(missing),
        seconds=None if missing and all(strange) else computing + (beside or 0.0),
        trial_seconds=sum(taken),
        beside_seconds=beside,
        unknown=dict(Counter(filter(None, strange))),
        together=sum(bool(trial.batched) and not unlike for trial, unlike in zip(missing, strange, strict=True)),
        memory=known.memory(preset),
        speed=speed,
        calibrated=all(record.trust for found in records.values() for record in found),
    )


def _calibrated(estimate: Callable[..., Estimate], missing: Sequence[Trial], speed: Speed | None = None) -> Estimate:
    """`estimate(speed=...)` at this machine's speed, measured unless it is given or nothing is to be computed."""
    if speed or not missing:
        return estimate(speed=speed)
    found = estimate(speed=calibrate())
    if found.seconds is None or found.seconds <= LONG:
        return found
    return estimate(speed=calibrate(min(SHARE * found.seconds, MOST)))


def _strange(trial: Trial, said: Mapping[str, set[str]] | None) -> str:
    """What of the trial was never recorded, its function or that on its network or device; empty where both were.

    said: what `computed_by` says of its like, None where there are none; a parameter that no record has is passed over.
    """
    name, device = _kind(trial)
    name += f" together on {device}" if device else ""
    if said is None:
        return name
    for parameter, heard in said.items():
        if (value := trial.parameters.get(parameter)) not in {None, *heard}:
            return f"{name} with {parameter}={value}"
    return ""


def makespan(trials: Sequence[Trial], seconds: Sequence[float], jobs: int) -> float:
    """When the last of the trials is done if `jobs` workers take them as `run_trials` hands them out.

    In order, each when what it needs is done; with more than one worker, twice as many trials as workers are handed
    out at a time, and workers take them first come, first served.
    """
    place = {trial.key: index for index, trial in enumerate(trials)}
    waits = [sum(need.key in place for need in trial.needs.values()) for trial in trials]
    followers: list[list[int]] = [[] for _ in trials]
    for index, trial in enumerate(trials):
        for need in trial.needs.values():
            if need.key in place:
                followers[place[need.key]].append(index)
    ready = [index for index, count in enumerate(waits) if not count]
    most, now = 1 if jobs == 1 else 2 * jobs, 0.0
    handed: deque[int] = deque()
    running: list[tuple[float, int]] = []
    while ready or handed or running:
        while ready and len(handed) + len(running) < most:
            handed.append(heapq.heappop(ready))
        while handed and len(running) < jobs:
            index = handed.popleft()
            heapq.heappush(running, (now + seconds[index], index))
        now, done = heapq.heappop(running)
        for index in followers[done]:
            waits[index] -= 1
            if not waits[index]:
                heapq.heappush(ready, index)
    return now


def forecast(
    project: Project,
    study: str,
    *,
    preset: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    jobs: int,
    store: Store | None = None,
    device: str | None = None,
    speed: Speed | None = None,
) -> Estimate:
    """What `run_study` would cost with these arguments; nothing is run, fetched or written.

    device: where trials that are alike run together, as for `run_study`. speed: of this machine, measured where it is
    needed and not given. Trials that are stored here serve as records beside those of the study's versions. Raises what
    `run_study` raises for a wrong request.
    """
    from ._card import ParameterError

    card, module = project.card(study), project.module(study)
    parameters = card.resolve(preset, overrides)
    try:
        planned = batched(module.plan(**parameters), device)
    except ValueError as error:
        raise ParameterError(f"parameter {error}") from None
    store = store or Store()
    missing = _missing(planned, store)
    keys = {trial.key for trial in planned} | {trial.key for trial in missing}
    known = past(project, study, names_of([*planned, *missing]))
    for result in filter(None, map(store.get, keys)):
        known.trials.setdefault(result.key, ran_of(result.body, {}))
    about = {"study": study, "preset": preset, "total": len(keys), "jobs": jobs}
    found = _calibrated(partial(estimate_run, known, missing, **about), missing, speed)
    flops, counting = _operations(known, missing)
    able = [claim for claim in card.claims if preset in claim.scope]
    silent = _untested(project, study, preset, parameters)
    able = [claim for claim in able if claim.id not in (silent or ())]
    return Estimate(
        **vars(found)
        | {
            "flops": flops,
            "flops_of": counting,
            "decides": tuple(claim.id for claim in able),
            "main": tuple(claim.id for claim in able if claim.main),
            "decided": silent is not None,
        }
    )


def _untested(project: Project, study: str, preset: str, parameters: Mapping[str, Any]) -> set[str] | None:
    """The claims that the newest run of the preset with these parameters did not test; None where there is no run."""
    for version in reversed([found for found in versions(project.reports, study) if found.preset == preset]):
        with suppress(OSError, ValueError, KeyError, TypeError):  # one that cannot be read says nothing
            if json.loads((version.path / "run.json").read_text("utf-8"))["parameters"] == parameters:
                claims = json.loads((version.path / "results.json").read_text("utf-8"))["claims"]
                return {claim["id"] for claim in claims if claim["outcome"] == "not_tested"}
    return None


def _operations(known: Past, trials: Sequence[Trial]) -> tuple[float | None, int]:
    """The operations of the trials whose like counted them when it was recorded, and how many trials those are."""
    records = {name: known.counted(name) for name in {_name(trial) for trial in trials}}
    guess = {name: predictor(found) for name, found in records.items() if found}
    said = {name: computed_by(found) for name, found in records.items() if found}
    total, counting = 0.0, 0
    for trial in trials:
        if not _strange(trial, said.get(_name(trial))):
            total, counting = total + guess[_name(trial)](trial.parameters), counting + 1
    return total if counting else None, counting


@dataclass
class Watch:
    """A run's clock: what was expected of it before its trials started, and what it took in the end.

    elsewhere: an engine is to compute them, perhaps on other machines, of which nothing is foretold. missing: them.
    """

    project: Project
    study: str
    preset: str
    jobs: int
    elsewhere: bool = False
    began: float = field(default_factory=time.perf_counter)
    estimate: Estimate | None = None
    missing: Sequence[Trial] = ()
    computing: float = 0.0

    def foresee(self, missing: Sequence[Trial], total: int) -> None:
        """Estimate the run, once it is known which trials it computes; measure the machine if it is to compute any."""
        self.computing, self.missing = time.perf_counter(), missing
        if missing and self.elsewhere:
            return
        known = past(self.project, self.study, names_of(missing))
        about = {"study": self.study, "preset": self.preset, "jobs": self.jobs, "total": total}
        self.estimate = _calibrated(partial(estimate_run, known, missing, **about), missing)

    def computed(self) -> None:
        """The trials are done."""
        self.computing = time.perf_counter() - self.computing

    def told(self) -> str:
        """One line: what it took, and what was expected."""
        from ._pages import duration  # loaded by now; earlier it would keep the run waiting

        took = f"took {duration(time.perf_counter() - self.began)}"
        if not self.estimate:
            return took
        if self.estimate.seconds is None:
            return f"{took}; no estimate, since nothing like it was ever run"
        least = "at least " if self.estimate.unknown else ""
        return f"{took}, estimated {least}{duration(self.estimate.seconds)}"

    def record(self) -> dict[str, Any]:
        """For run.json: calibration, on the clock and busy, estimate and memory, up to now.

        estimate: seconds that the run took, of these beside the trials, and how many trials were computed; where it
        was foretold, the seconds that were expected (None: never run), in how many processes, whether all records
        tell the speed of their machine, and the functions about which nothing was known.
        """
        took, foretold = time.perf_counter() - self.began, self.estimate
        told = {"took": round(took, 1), "beside": round(took - self.computing, 1), "trials": len(self.missing)}
        if foretold:
            told |= {
                "seconds": None if foretold.seconds is None else round(foretold.seconds, 1),
                "jobs": foretold.jobs,
                "calibrated": foretold.calibrated,
                "unknown": dict(foretold.unknown),
            }
        clock, busy = foretold and foretold.speed or (None, None)
        return {"calibration": clock, "busy_calibration": busy, "estimate": told, "memory": peak_memory()}


def _kind(trial: Trial) -> tuple[str, str | None]:
    """A trial's function, and the kind of device on which it runs together with others, None for one by itself."""
    return _name(trial), trial.batched.device if trial.batched else None


def _name(trial: Trial) -> str:
    return trial.function.partition(":")[2]
