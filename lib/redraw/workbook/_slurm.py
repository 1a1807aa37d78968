"""Trials as SLURM jobs, by submitit: arrays of jobs, each of which computes a few, one after another.

A job that is told to go (its time limit, preemption) saves what its trial keeps, is requeued and goes on: trials that
are stored are not run again. `cluster=local` and `debug` run the same jobs on this machine.
"""

import shlex
import shutil
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from submitit import AutoExecutor
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.helpers import Checkpointable
from submitit.slurm.slurm import _make_sbatch_string

from redraw.workbook._admission import Refusal, Ticket, attempt_rest, await_stored, differences, ticket
from redraw.workbook._checkpoint import saving_first
from redraw.workbook._engines import SlurmOptions
from redraw.workbook._startup import without_compiler
from redraw.workbook._store import Store
from redraw.workbook._trials import Trial, TrialError, Work, label_of

ARRAY_MOST = 1000  # jobs in an array: what SLURM allows unless its MaxArraySize was changed
POLL_SECONDS = 1.0
SIGNAL_SECONDS = 90  # before a job's time is up, it is told so
KEPT = "finished trials are kept, the same command goes on from them"


class Attempts(Checkpointable):
    """What a job does. Submitted again as it is when the job is requeued: what is stored is not run again."""

    def __init__(self, work: Sequence[Work], store: Store, wanted: Ticket):
        self.work, self.store, self.wanted = work, store, wanted

    def __call__(self) -> list[Any]:
        """For each piece of work None, or why there is no result, as `_attempt` says it."""
        if differs := differences(self.wanted):
            refusal = Refusal(socket.gethostname(), differs)
            return [(str(refusal), "")] * len(self.work)
        without_compiler()
        if threading.current_thread() is not threading.main_thread():  # debug
            return [attempt_rest(one, self.store) for one in self.work]
        with saving_first(signal.SIGUSR1, signal.SIGUSR2):  # submitit requeues at one of them
            return [attempt_rest(one, self.store) for one in self.work]


@contextmanager
def slurm_engine(
    options: SlurmOptions, trials: list[Trial], store: Store, jobs: int, *, say: Callable[[str], None]
) -> Iterator[tuple[Executor, int, int]]:
    """(executor, how much to have in flight, jobs at a time). Jobs that are not done when the block ends are cancelled.

    Their files are in the store's folder `jobs`, which the cluster must see; they are removed when all went well.
    """
    shared = Store(store.root.resolve(), store.records and store.records.resolve())
    folder = shared.root / "jobs" / uuid.uuid4().hex[:12]
    folder.mkdir(parents=True)
    say(f"slurm: jobs are submitted from {folder}, logs are there")
    real = options.cluster == "slurm"
    at_once, workers = (ARRAY_MOST, options.array) if real else [min(options.array, jobs)] * 2
    with ticket(trials, shared) as wanted:
        executor = _OnSlurm(options, folder, shared, wanted)
        try:
            yield executor, at_once * options.per_job, workers
        finally:
            executor.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def script(options: SlurmOptions, store: Store, number: int) -> str:
    """The sbatch script of an array of jobs for so many trials or groups of them, as submitit writes it."""
    jobs = min(-(-number // options.per_job), ARRAY_MOST)
    folder = store.root.resolve() / "jobs" / "RUN"
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder / '%j'))}"
    sizes = {"map_count": jobs} if jobs > 1 else {}
    return _make_sbatch_string(command, folder / "%j", **_asked(options), **sizes)


def _asked(options: SlurmOptions) -> dict[str, Any]:
    """sbatch's parameters under submitit's names."""
    asked = {
        "job_name": "redraw",
        "time": options.time,
        "mem": f"{round(1024 * options.mem)}MB",
        "cpus_per_task": options.cpus,
        "array_parallelism": options.array,
        "signal_delay_s": SIGNAL_SECONDS,
        "gpus_per_node": options.gpus or None,
        "additional_parameters": {"requeue": True},
    }
    asked |= {name: getattr(options, name) for name in ("partition", "account", "qos", "constraint")}
    return {name: value for name, value in asked.items() if value is not None}


def _executor(options: SlurmOptions, folder: Path) -> AutoExecutor:
    keywords = {} if options.cluster == "debug" else {f"{options.cluster}_max_num_timeout": options.timeouts}
    executor = AutoExecutor(folder=folder / "%j", cluster=options.cluster, **keywords)
    if options.cluster == "slurm":
        executor.update_parameters(**{f"slurm_{name}": value for name, value in _asked(options).items()})
    else:
        executor.update_parameters(timeout_min=options.time, gpus_per_node=options.gpus, name="redraw")
    return executor


class _OnSlurm(Executor):
    """Submits what it is given in arrays and watches the jobs, in a thread of its own."""

    def __init__(self, options: SlurmOptions, folder: Path, store: Store, wanted: Ticket):
        self._options, self._folder, self._store, self._wanted = options, folder, store, wanted
        self._executor = _executor(options, folder)
        self._given: list[tuple[Future, Work]] = []
        self._jobs: list[tuple[Any, list[tuple[Future, Work]]]] = []
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def submit(self, function, /, work, *_):
        future = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            self._given.append((future, work))
        return future

    def shutdown(self, wait=True, *, cancel_futures=True):
        self._closing.set()
        self._watcher.join()
        for job, _ in self._jobs:
            with suppress(Exception):  # it may have ended meanwhile
                job.cancel(check=False)

    def _watch(self) -> None:
        before = 0
        while not self._closing.wait(POLL_SECONDS):
            with self._lock:
                ready = len(self._given) == before  # nothing came since: what is ready goes together
                given, self._given = (self._given, []) if ready else ([], self._given)
                before = len(self._given)
            self._send(given)
            try:
                self._collect()
            except Exception as error:
                self._fail([one for _, chunk in self._jobs for one in chunk], _last_line(error))

    def _send(self, given: list[tuple[Future, Work]]) -> None:
        size = self._options.per_job
        chunks = [given[i : i + size] for i in range(0, len(given), size)]
        for start in range(0, len(chunks), ARRAY_MOST):
            array = chunks[start : start + ARRAY_MOST]
            try:
                with self._executor.batch():
                    attempts = [Attempts([work for _, work in chunk], self._store, self._wanted) for chunk in array]
                    jobs = [self._executor.submit(one) for one in attempts]
                self._jobs += zip(jobs, array, strict=True)
            except Exception as error:
                self._fail([one for chunk in array for one in chunk], f"SLURM took no job: {_last_line(error)}")

    def _collect(self) -> None:
        for job, chunk in list(self._jobs):
            if not job.done():
                continue
            self._jobs.remove((job, chunk))
            try:
                outcomes = job.result()
            except (UncompletedJobError, OSError) as error:
                why = _last_line(error) if isinstance(error, FailedJobError) else "it left no result"
                self._fail(chunk, f"job {job.job_id} ended ({job.state}): {why}", str(error))
                continue
            for (future, work), outcome in zip(chunk, outcomes, strict=True):
                try:
                    if outcome is None:
                        await_stored(work, self._store)
                    future.set_result(outcome)
                except TrialError as unseen:
                    future.set_exception(unseen)

    def _fail(self, chunk: list[tuple[Future, Work]], why: str, details: str = "") -> None:
        for future, work in chunk:
            error = TrialError(f"{label_of(work)}: {why}; {KEPT}; logs are in {self._folder}", details)
            error.outcome = "killed"
            if not future.done():
                future.set_exception(error)


def _last_line(error: Exception) -> str:
    """What an error says at its end, above the rule that submitit draws under a traceback."""
    text = str(error).rpartition("\n-----")[0] or str(error)
    return (text.strip().splitlines() or [type(error).__name__])[-1].strip()
