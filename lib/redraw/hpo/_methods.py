"""How far each configuration is trained: fully, by halving, in Hyperband's brackets, or asynchronously."""

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence

from redraw.hpo._checks import SearchError, as_fidelity, count, number
from redraw.hpo._run import Job
from redraw.hpo._samplers import Sampler

Batches = Generator[Iterable[Job], Sequence[float], None]
"""A method as a generator: it yields jobs, and gets their values once all are in (infinity where one failed)."""


class InBatches:
    """The Method that a generator of batches makes; it waits at the end of each."""

    def __init__(self, batches: Batches):
        self._batches = batches
        self._next(None)

    def _next(self, values: list[float] | None) -> None:
        try:
            self._jobs = list(self._batches.send(values))
        except StopIteration:
            self._jobs = []
        self._queue = deque(self._jobs)
        self._values: dict[int, float] = {}

    def ask(self) -> Job | None:
        return self._queue.popleft() if self._queue else None

    def tell(self, job: Job, value: float) -> None:
        self._values[id(job)] = value
        if len(self._values) == len(self._jobs):
            self._next([self._values[id(job)] for job in self._jobs])


class Full:
    """Every configuration is trained once, until `fidelity`."""

    def __init__(self, sampler: Sampler, trials: float, fidelity: float):
        self._sampler, self._left, self._fidelity = sampler, trials, fidelity

    def ask(self) -> Job | None:
        if self._left <= 0 or (proposed := self._sampler.ask()) is None:
            return None
        self._left -= 1
        return Job(*proposed, self._fidelity)

    def tell(self, job: Job, value: float) -> None:
        self._sampler.tell(job.trial, value, self._fidelity)


def rungs(low: float, high: float, eta: float) -> list[float]:
    """The fidelities high / eta^k that are at least `low`, lowest first; whole numbers if low and high are (rounded).

    Raises SearchError: low not positive or above high; eta not above 1; rungs that rounding makes equal.
    """
    low, high = as_fidelity("low", low), as_fidelity("high", high, low, ends="[]")
    eta = number("eta", eta, 1, ends="(]")
    most = math.floor(math.log(high / low) / math.log(eta) + 1e-9)
    levels = [high / eta**k for k in range(most, -1, -1)]
    if isinstance(low, int) and isinstance(high, int):
        levels = [round(fidelity) for fidelity in levels]
    if len(set(levels)) < len(levels):
        raise SearchError(f"eta: {eta:g} gives rungs {levels} that are not apart")
    return levels


def halving(sampler: Sampler, trials: int, levels: Sequence[float], eta: float, **info) -> Batches:
    """Successive halving of `trials` new configurations: the best trials / eta^k of them, rounded down, go on to the
    k-th level after the first (Li et al. 2018, algorithm 1).

    Ties go to the earlier trial; what failed never goes on.
    """
    proposed = [sampler.ask() for _ in range(trials)]
    field = [pair for pair in proposed if pair is not None]
    origin = None
    for rung, level in enumerate(levels):
        # of all that began: rounding down what is left, rung by rung, may leave none for the last
        more, keep = rung + 1 < len(levels), math.floor(len(proposed) / eta ** (rung + 1) + 1e-9)
        jobs = [Job(n, c, level, origin and (n, origin), more, {**info, "rung": rung}) for n, c in field]
        values = yield jobs
        for (n, _), value in zip(field, values, strict=True):
            sampler.tell(n, value, level)
        ranked = sorted(range(len(field)), key=lambda i: (values[i], field[i][0]))
        field = [field[i] for i in ranked[:keep] if math.isfinite(values[i])]
        origin = level
        if not field:
            return


def brackets(sampler: Sampler, levels: Sequence[float], eta: float) -> Batches:
    """Hyperband: successive halving from each level on, lowest first, of n = ceil((s_max + 1) / (s + 1) eta^s)."""
    last = len(levels) - 1
    for bracket, s in enumerate(range(last, -1, -1)):
        trials = math.ceil((last + 1) / (s + 1) * eta**s - 1e-9)
        yield from halving(sampler, trials, levels[last - s :], eta, bracket=bracket)


class Asha:
    """Asynchronous successive halving: promote whatever is among the best 1 / eta of its rung, else begin another."""

    def __init__(self, sampler: Sampler, trials: int, levels: Sequence[float], eta: float):
        self._sampler, self._left, self._levels, self._eta = sampler, count("trials", trials), levels, eta
        self._rungs: list[dict[int, float]] = [{} for _ in levels]
        self._promoted: list[set[int]] = [set() for _ in levels]
        self._configs: dict[int, dict] = {}

    def ask(self) -> Job | None:
        for rung in range(len(self._levels) - 2, -1, -1):
            found = self._rungs[rung]
            best = sorted(found, key=lambda n: (found[n], n))[: math.floor(len(found) / self._eta + 1e-9)]
            for n in best:
                if n not in self._promoted[rung] and math.isfinite(found[n]):
                    self._promoted[rung].add(n)
                    return self._job(n, rung + 1)
        if self._left <= 0 or (proposed := self._sampler.ask()) is None:
            return None
        self._left -= 1
        n, self._configs[n] = proposed
        return self._job(n, 0)

    def _job(self, n: int, rung: int) -> Job:
        origin = (n, self._levels[rung - 1]) if rung else None
        more = rung + 1 < len(self._levels)
        return Job(n, self._configs[n], self._levels[rung], origin, more, {"rung": rung})

    def tell(self, job: Job, value: float) -> None:
        self._rungs[job.info["rung"]][job.trial] = value
        self._sampler.tell(job.trial, value, job.fidelity)
