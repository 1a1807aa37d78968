"""One loop that runs any method, serially, on workers or through a recorded table, on the search's own clock."""

import heapq
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Protocol, TypedDict

from redraw.hpo._checks import SearchError, count, number
from redraw.hpo._journal import Journal
from redraw.hpo._objective import Objective, Reply, evaluate, name_of
from redraw.hpo._result import Evaluation
from redraw.hpo._space import Config, Space
from redraw.hpo._states import Key, States

Cost = Callable[[Config, float, float], float]


@dataclass(frozen=True)
class Job:
    """An evaluation that a method asks for: train `config` of trial `trial` until `fidelity`.

    start: the (trial, fidelity) to go on from, None for the beginning. more: whether it may be gone on from itself,
    so that its state is kept. info: what the method notes about it (rung, bracket, round), for the frame.
    """

    trial: int
    config: Config
    fidelity: float
    start: Key | None = None
    more: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.trial, self.fidelity


class Method(Protocol):
    """The small protocol behind every search."""

    def ask(self) -> Job | None:
        """The next evaluation; None where it waits for results, or is done."""

    def tell(self, job: Job, value: float) -> None:
        """An evaluation's value, lower is better, infinity where it failed."""


class Options(TypedDict, total=False):
    """What every search takes.

    seed: of the search; the objective gets it as its own. maximize: the highest value is the best.
    slots: evaluations under way at once on the search's clock. By default 1 for `model_search` (more make it sooner
        done but less informed), 8 for `asha`, and unlimited for the rest, where it moves the clock only.
    workers: processes on this machine, or any `concurrent.futures.Executor`; 1 runs here. It changes no result. More
        than `slots` cannot be busy. Processes must be able to import the objective: from a module, not a notebook.
    journal: a file of JSON lines that is written as evaluations end; the same call goes on from it after a stop.
    checkpoints: keep states in a folder beside the journal (`search.jsonl`, `search.jsonl.states/`), so that after a
        stop a promoted trial goes on; without, it is trained again up to where it was. The folder may be deleted.
    cost: cost(config, start, stop), how long training from fidelity `start` to `stop` takes on the search's clock;
        by default stop - start.
    until: start no evaluation from this time of the search's clock on.
    """

    seed: int
    maximize: bool
    slots: int | None
    workers: int | Executor
    journal: str | os.PathLike | None
    checkpoints: bool
    cost: Cost | None
    until: float | None


def run(
    method: Method,
    objective: Objective,
    space: Space,
    header: Mapping[str, Any],
    *,
    seed: int = 0,
    maximize: bool = False,
    slots: int | None = None,
    workers: int | Executor = 1,
    journal: str | os.PathLike | None = None,
    checkpoints: bool = True,
    cost: Cost | None = None,
    until: float | None = None,
) -> list[Evaluation]:
    """Evaluate what `method` asks for until it asks for nothing more; the evaluations, in the order of the clock.

    On the clock an evaluation starts as soon as one of `slots` is free and ends `cost` later; its value is told when
    the clock is there, ties in the order of asking. Nothing else decides what is asked next, so workers change nothing,
    and what a journal holds need not be evaluated again: a search goes on by repeating what it asked. header: what the
    search is, for its journal.
    """
    limit = 2**62 if slots is None else count("slots", slots)
    end_of_time = number("until", until) if until is not None else float("inf")
    header = {**header, "objective": name_of(objective), "seed": count("seed", seed, 0), "maximize": bool(maximize)}
    header |= {"slots": slots, "space": space.describe()}
    book = Journal(journal, header) if journal is not None else None
    states = States(f"{journal}.states" if book and checkpoints else None)
    clock, running, jobs, done = 0.0, [], [], []
    try:
        with _executor(workers) as executor, closing(_Desk(objective, seed, executor, book, states)) as desk:
            while True:
                while len(running) < limit and clock < end_of_time and (job := method.ask()) is not None:
                    begins = job.start[1] if job.start and states.has(job.start) else 0
                    lasts = cost(job.config, begins, job.fidelity) if cost else job.fidelity - begins
                    end = clock + number("cost", lasts, 0)
                    desk.take(len(jobs), job, clock, end)
                    heapq.heappush(running, (end, len(jobs)))
                    jobs.append(job)
                if not running:
                    return done
                clock, index = heapq.heappop(running)
                evaluation = desk.give(index)
                done.append(evaluation)
                value = -evaluation.value if maximize else evaluation.value
                method.tell(jobs[index], value if evaluation.error is None else float("inf"))
    finally:
        if book:
            book.close()


class _Desk:
    """Where jobs are handed in and their evaluations come out: from the journal, from here or from workers."""

    def __init__(
        self, objective: Objective, seed: int, executor: Executor | None, book: Journal | None, states: States
    ):
        self.objective, self.seed, self.executor, self.book, self.states = objective, seed, executor, book, states
        self.told: dict[Key, Job] = {}
        self.waiting: dict[int, tuple[Job, float, float, Any]] = {}  # a Future, or arguments yet to be used
        self.finished: dict[int, Evaluation] = {}

    def take(self, index: int, job: Job, start: float, end: float) -> None:
        if job.key in self.told:
            raise RuntimeError(f"the method asked twice for trial {job.trial} at fidelity {job.fidelity:g}")
        self.told[job.key] = job
        if self.book and (record := self.book.records.get(job.key)):
            self.finished[index] = self._recorded(index, job, start, end, record)
            return
        call = (self.objective, *self._steps(job), job.more)
        work = self.executor.submit(evaluate, *call) if self.executor else call
        self.waiting[index] = (job, start, end, work)

    def give(self, index: int) -> Evaluation:
        while index not in self.finished:
            if self.executor is None:
                self._finish(index, evaluate(*self.waiting[index][3]))
                continue
            futures = {work: i for i, (_, _, _, work) in self.waiting.items()}
            try:
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    self._finish(futures[future], future.result())
            except SearchError:
                raise
            except BrokenExecutor:
                raise SearchError(
                    "workers: a process died (out of memory?) or cannot import the objective (is it in a notebook?)"
                ) from None
            except Exception as error:  # evaluate raises none of these
                raise SearchError(f"workers: the objective must be importable, defined in a module ({error})") from None
        return self.finished.pop(index)

    def close(self) -> None:
        """Leave an executor of the caller's without what has not begun."""
        for *_, work in self.waiting.values() if self.executor else ():
            work.cancel()

    def _finish(self, index: int, reply: Reply) -> None:
        job, start, end, _ = self.waiting.pop(index)
        done = Evaluation(
            index,
            job.trial,
            job.config,
            job.fidelity,
            job.start,
            start,
            end,
            reply.value,
            reply.error,
            reply.seconds,
            job.info,
        )
        if reply.error is None and job.more:
            self.states.put(job.key, reply.state)  # before the line that says that it is there
        if self.book:
            self.book.write({**done.record(), "state": reply.state is not None})
        self.finished[index] = done

    def _recorded(self, index: int, job: Job, start: float, end: float, record: Mapping[str, Any]) -> Evaluation:
        found = Evaluation.of(record)
        if (found.config, found.origin) != (job.config, job.start):
            raise SearchError(
                f"journal: {self.book.path} belongs to another search: trial {job.trial} at fidelity {job.fidelity:g} "
                f"was {found.config!r}, is {job.config!r}"
            )
        if found.error is None and job.more:
            self.states.recall(job.key, record["state"])
        return Evaluation(
            index,
            job.trial,
            job.config,
            job.fidelity,
            job.start,
            start,
            end,
            found.value,
            found.error,
            found.seconds,
            job.info,
        )

    def _steps(self, job: Job) -> tuple[list[tuple[Config, float]], int, bytes | None]:
        """What to train, from which state: the job alone, or first what led to it, where that state is lost."""
        steps, origin = [(job.config, job.fidelity)], job.start
        while origin is not None and self.states.lost(origin):
            before = self.told[origin]
            steps.insert(0, (before.config, before.fidelity))
            origin = before.start
        return steps, self.seed, self.states.get(origin) if origin is not None else None


@contextmanager
def _executor(workers: int | Executor):
    """The executor to submit to, None for this process. Spawned processes die with this one, however it ends."""
    if isinstance(workers, Executor):
        yield workers
        return
    if count("workers", workers) == 1:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_worker, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _worker(parent: int) -> None:
    """One thread for torch; Ctrl-C is the parent's; and end when it is gone: a killed parent sends nobody a signal."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
