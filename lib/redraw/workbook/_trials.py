"""Trials: importable functions of parameters and seed, run once each over any executor, kept under a key."""

import hashlib
import importlib
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import torch

from redraw import data
from redraw.workbook._batched import Batched, groups, how_it_ran, on_cuda
from redraw.workbook._checkpoint import offered
from redraw.workbook._meaning import libraries, meaning
from redraw.workbook._project import default_jobs
from redraw.workbook._startup import without_compiler
from redraw.workbook._store import Result, Store, canonical

# What is to be computed, the store and how many local processes were asked for -> (what runs it, how much of it to have
# under way at a time, the workers that trials of one program are divided among).
Engine = Callable[[list["Trial"], Store, int], AbstractContextManager[tuple[Executor, int, int]]]


class TrialError(RuntimeError):
    """A trial raised, its worker was killed (`outcome`), or its code changed meanwhile.

    The message is one line; `details` holds the traceback from where it ran, where there is one.
    """

    outcome = "failed"

    def __init__(self, message: str, details: str):
        super().__init__(message, details)
        self.details = details

    def __str__(self) -> str:
        return self.args[0]


@dataclass(frozen=True)
class Trial:
    """One unit of work: `function(seed=seed, **parameters, **results of needs)` returns a mapping of JSON values.

    function: "module:name" of a module-level function. Under "tensors" it may return tensors by name, which are
      stored beside the record; whatever it is given by `needs` comes as a `Result`.
    parameters: JSON values. One called `dataset` names the data the function loads: its fingerprint is part of the key.
    needs: other trials whose results this one takes, by argument name.
    batched: how it runs together with others that are alike, if it does (`_batched`).
    """

    function: str
    parameters: Mapping[str, Any]
    seed: int
    needs: Mapping[str, "Trial"] = field(default_factory=dict)
    batched: Batched | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that could change the result: code, parameters, seed, data, needs, libraries."""
        material = {
            "function": self.function,
            "meaning": meaning(_resolve(self.function)),
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "data": fingerprint(self.parameters["dataset"]) if "dataset" in self.parameters else None,
            "needs": {name: need.key for name, need in self.needs.items()},
            "stack": numeric_stack(),
        }
        if self.batched:
            material["batched"] = self.batched.material()
        if self.libraries:
            material["libraries"] = self.libraries
        return hashlib.sha256(canonical(material).encode()).hexdigest()

    @cached_property
    def libraries(self) -> dict[str, str]:
        """Version by name of the libraries that its code, batched or not, or its data's reader uses, beside those of
        the numeric stack, which every trial uses."""
        found = libraries(self.function)
        if self.batched:
            found = found | libraries(self.batched.function)
        if "dataset" in self.parameters:
            found = found | libraries(data.describe(self.parameters["dataset"]).read, outside=())
        return found

    @property
    def label(self) -> str:
        """Short name for progress and errors."""
        return f"{self.function.partition(':')[2]} (seed {self.seed})"


Work = Trial | list[Trial]  # one by itself, or those that run together


def fingerprint(dataset: str, *, now: bool = False) -> dict[str, Any]:
    """What identifies a dataset's tensors: the checksums of its files and the meaning of the code that reads them."""
    reader = meaning(data.describe(dataset).read, outside=(), now=now)
    return {"files": data.checksums(dataset), "reader": reader, "split": meaning(data.split, outside=(), now=now)}


def numeric_stack() -> dict[str, str]:
    """The libraries and the kind of processor that every trial's last digits depend on."""
    torch_version = torch.__version__.partition("+")[0]
    return {"torch": torch_version, "numpy": np.__version__, "machine": platform.machine()}


def _resolve(function: str) -> Callable:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def execute(trial: Trial, store: Store) -> str:
    """Run one trial here, single-threaded, and store its result; returns its key.

    Raises TrialError, and stores nothing, when the code that this process loaded or that stands in the files is
    not the code that the key was made of.
    """
    function = _resolve(trial.function)
    _check_code(trial, function)
    needs = _needs(trial, store)
    taken = trial.parameters.keys() | needs.keys()
    offer = offered(function, taken, store.checkpoint(trial.key))
    with _single_thread(), _exact(trial.parameters.get("device")), offer as given:
        started, busy = time.perf_counter(), time.thread_time()
        value = dict(function(seed=trial.seed, **trial.parameters, **needs, **given))
        seconds, busy = time.perf_counter() - started, time.thread_time() - busy
    _check_code(trial, function)
    if before := sum(checkpoint.seconds for checkpoint in given.values()):
        busy = None  # of earlier attempts only the time on the clock is known
    _keep(trial, value, seconds + before, busy, store)
    for checkpoint in given.values():
        checkpoint.drop()
    return trial.key


def execute_together(trials: list[Trial], store: Store) -> None:
    """Run trials that are batched alike as one program here, and store the result of each, with its share of the time.

    When the device has too little memory for all it takes them by halves. Raises TrialError as `execute` does.
    """
    how = trials[0].batched
    function, single = _resolve(how.function), _resolve(trials[0].function)
    _check_code(trials[0], single, trials[1:])
    calls = [{"seed": trial.seed, **trial.parameters, **_needs(trial, store)} for trial in trials]
    with _single_thread():
        started, busy = time.perf_counter(), time.thread_time()
        try:
            values = [dict(value) for value in function(calls, device=how.device)]
        except torch.OutOfMemoryError:
            if len(trials) == 1:
                raise
            values = None
        seconds, busy = (time.perf_counter() - started) / len(trials), (time.thread_time() - busy) / len(trials)
    if values is None:  # out here the error no longer holds what filled the memory
        middle = len(trials) // 2
        execute_together(trials[:middle], store)
        execute_together(trials[middle:], store)
        return
    _check_code(trials[0], single, trials[1:])
    for trial, value in zip(trials, values, strict=True):
        _keep(trial, value, seconds, busy, store, batched=how_it_ran(how.device, len(trials)))


def _needs(trial: Trial, store: Store) -> dict[str, Result]:
    """The results that a trial takes, with their tensors."""
    needs = {name: store.get(need.key, whole=True) for name, need in trial.needs.items()}
    if lacking := [name for name in needs if needs[name] is None]:
        raise RuntimeError(f"{trial.needs[lacking[0]].label}: needed by {trial.label} but not in the store")
    return needs


def _keep(trial: Trial, value: dict, seconds: float, busy: float | None, store: Store, **more) -> None:
    """Store what a trial returned, and its seconds: on the clock, and those that a core was busy with it, which others'
    work on this machine does not lengthen (None: not known)."""
    tensors = value.pop("tensors", None)
    body = {
        "function": trial.function,
        "parameters": dict(trial.parameters),
        "seed": trial.seed,
        "needs": {name: need.key for name, need in trial.needs.items()},
        "stack": numeric_stack() | trial.libraries,
        "value": value,
        "seconds": seconds,
        "busy_seconds": busy,
        **more,
    }
    store.put(trial.key, body, tensors)


def _check_code(trial: Trial, function: Callable, beside: Iterable[Trial] = ()) -> None:
    """Refuse to run, or to keep, a trial of code that was edited after its key was made or after it was loaded, or of
    libraries whose versions here are not those of the key.

    The key is made anew by the code that this process loaded: a worker may have started after the edit. The files are
    read again too: what was imported late, or reloaded, is not what the key tells. Trials `beside` it have the same
    function and data, so that their files are read once.
    """
    here = replace(trial).libraries
    for name, wanted in trial.libraries.items():
        if here.get(name, wanted) != wanted:
            raise TrialError(f"{trial.label}: {name} is {here[name]} where it is to run, not {wanted}", "")
    same = all(replace(one).key == one.key for one in (trial, *beside))
    same = same and meaning(function, now=True) == meaning(function)
    if same and trial.batched:
        same = meaning(trial.batched.function, now=True) == meaning(trial.batched.function)
    if same and "dataset" in trial.parameters:
        dataset = trial.parameters["dataset"]
        same = fingerprint(dataset, now=True) == fingerprint(dataset)
    if not same:
        raise TrialError(f"{trial.label}: the code changed while the run was going on: start it again", "")


@contextmanager
def _single_thread():
    """Small networks train fastest on one thread; subnormals, slow and irrelevant, count as zero meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _exact(device: str | None) -> AbstractContextManager:
    """Convolutions on CUDA in full float32 and by deterministic kernels: a trial has one key and one result."""
    if device is None or torch.device(device).type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


@dataclass
class Progress:
    """How far a batch of trials has come; `seconds` estimates what remains, None until one has been computed."""

    total: int
    reused: int
    computed: int = 0
    seconds: float | None = None

    @property
    def done(self) -> int:
        return self.reused + self.computed


def run_trials(
    trials: Iterable[Trial],
    *,
    store: Store | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    engine: Engine | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_missing: Callable[[list[Trial], int], None] = lambda missing, total: None,
) -> list[Result]:
    """The results of `trials`, in order: those stored are reused, the others run, a trial after what it needs.

    jobs: local processes, one thread each (default: REDRAW_JOBS or the number of cores); 1 runs them here.
    executor: any `concurrent.futures.Executor` whose workers see the same store, instead of local processes.
    on_missing: told, before the first starts, which trials will be computed and of how many, needs included.
    engine: opens what computes, a Dask cluster or SLURM (`_engines`), once there is something to compute.
    Raises TrialError at the first failure, or DataUnavailable; what has finished by then is kept, what has not begun
    is not run.
    """
    trials, store = list(trials), store or Store(records=os.environ.get("REDRAW_RECORDS"))
    missing = _missing(trials, store)
    needed = {trial.key for trial in trials} | {trial.key for trial in missing}
    progress = Progress(total=len(needed), reused=len(needed) - len(missing))
    on_progress(progress)
    on_missing(missing, len(needed))
    if missing and executor:
        _run(missing, store, executor, len(missing), progress, on_progress)
    elif missing:
        alone = on_cuda(missing)  # one process fills a device
        jobs = 1 if alone else min(jobs or default_jobs(), len(missing))
        with (engine or _local)(missing, store, jobs) as (opened, at_once, workers):
            _run(missing, store, opened, at_once, progress, on_progress, workers=1 if alone else workers)
    return [store.get(trial.key) for trial in trials]


def trial_table(trials: Iterable[Trial], results: Iterable[Result]) -> pd.DataFrame:
    """A row per trial: function, seed, parameters, what it returned, seconds and key.

    A value returned under the name of a parameter is kept, and the parameter becomes `<name>_parameter`. A trial that
    is there twice, planned for two reasons, has one row: it is no second observation.
    """
    rows = {}
    for trial, result in zip(trials, results, strict=True):
        asked = {f"{name}_parameter" if name in result else name: value for name, value in trial.parameters.items()}
        row = {"function": trial.function.partition(":")[2], "seed": trial.seed, **asked, **result}
        rows[trial.key] = row | {"seconds": result.seconds, "key": trial.key}
    return pd.DataFrame(list(rows.values()))


def _missing(trials: list[Trial], store: Store) -> list[Trial]:
    """The trials to compute, each once and after its needs; the needs of a stored trial are not asked for.

    A trial that is computed needs others whole: one that is only on record, without its tensors, is computed too.
    """
    order: dict[str, Trial] = {}
    stored: set[tuple[str, bool]] = set()

    def visit(trial: Trial, whole: bool = False) -> None:
        if trial.key in order or (trial.key, whole) in stored:
            return
        if store.get(trial.key, whole=whole) is not None:
            stored.add((trial.key, whole))
            return
        for need in trial.needs.values():
            visit(need, whole=True)
        order[trial.key] = trial

    for trial in trials:
        visit(trial)
    return list(order.values())


def reachable(trials: Iterable[Trial]) -> tuple[list[Trial], str]:
    """The trials whose data can be had, which is fetched, and in one line why that of the others cannot ("": all can).

    A trial's data are those that it and the trials it needs name in their parameter `dataset`. Raises DataCorrupt for
    a damaged file that cannot be replaced.
    """
    trials, reasons = list(trials), {}
    for name in datasets(trials):
        try:
            data.fetch([name])
        except data.DataCorrupt:
            raise
        except data.DataUnavailable as error:
            reasons[name] = str(error).splitlines()[0]
    return [t for t in trials if not reasons.keys() & set(datasets([t]))], "; ".join(reasons.values())


def datasets(trials: Iterable[Trial]) -> list[str]:
    """The names of the datasets of trials and of those they need."""
    found, waiting, seen = set(), list(trials), set()
    while waiting:
        trial = waiting.pop()
        if id(trial) not in seen:
            seen.add(id(trial))
            found |= {trial.parameters["dataset"]} if "dataset" in trial.parameters else set()
            waiting += trial.needs.values()
    return sorted(found)


def _run(
    missing: list[Trial],
    store: Store,
    executor: Executor,
    at_once: int,
    progress: Progress,
    on_progress: Callable[[Progress], None],
    workers: int = 1,
) -> None:
    """Submit trials in order, at most `at_once` of them, each when what it needs is stored; wait for all.

    Those that run together count as one; so many `workers` share them.
    """
    started = time.perf_counter()
    waiting = {trial.key: trial for trial in missing}
    running: dict[Future, list[Trial]] = {}
    try:
        while waiting or running:
            unfinished = waiting.keys() | {trial.key for group in running.values() for trial in group}
            ready = [t for t in waiting.values() if not any(need.key in unfinished for need in t.needs.values())]
            for group in groups(ready, workers - len(running))[: at_once - len(running)]:
                running[executor.submit(_attempt, group[0] if group[0].batched is None else group, store)] = group
                for trial in group:
                    del waiting[trial.key]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                failure = future.result()
                if isinstance(failure, data.DataUnavailable):
                    raise failure
                if failure:
                    raise TrialError(*failure)
                progress.computed += len(running.pop(future))
                elapsed = time.perf_counter() - started
                progress.seconds = elapsed / progress.computed * (progress.total - progress.done)
                on_progress(progress)
    except BrokenExecutor:
        killed = TrialError("a worker process was killed (out of memory?); finished trials are kept", "")
        killed.outcome = "killed"
        raise killed from None
    finally:
        for future in running:
            future.cancel()


def _attempt(work: Work, store: Store) -> tuple[str, str] | data.DataUnavailable | None:
    """Run a trial, or those that run together, in a worker; returns None, data that are missing, or the TrialError's
    line and details.

    Not every exception survives pickling.
    """
    try:
        if isinstance(work, Trial):
            execute(work, store)
        else:
            execute_together(work, store)
    except data.DataUnavailable as error:
        return error
    except TrialError as error:
        return str(error), error.details
    except Exception as error:
        return f"{label_of(work)}: {_line(error)}", traceback.format_exc()
    return None


def trials_of(work: Work) -> list[Trial]:
    """The trials that were sent away as one."""
    return [work] if isinstance(work, Trial) else work


def label_of(work: Work) -> str:
    """Short name for errors."""
    first, *beside = trials_of(work)
    return first.label + (f" and {len(beside)} beside it" if beside else "")


def _line(error: Exception) -> str:
    """The type of an exception, named as in a traceback, and the first line of what it says."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ": ".join([name, *str(error).strip().splitlines()[:1]])


@contextmanager
def _local(missing: list[Trial], store: Store, jobs: int) -> Iterator[tuple[Executor, int, int]]:
    """The engine of spawned processes, which die with this one however it ends; for one job, this process."""
    if jobs == 1:
        yield _Here(), 1, 1
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_worker, initargs=(os.getpid(),))
    try:
        yield pool, 2 * jobs, jobs  # processes have their next trial at hand when one ends
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def _worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone: a killed parent sends nobody a signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    without_compiler()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
