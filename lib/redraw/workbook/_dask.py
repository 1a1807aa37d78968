"""Trials on a Dask cluster, that runs already or is of this machine. Tasks return next to nothing: results are stored.

A worker compares the run's ticket with what it has before its first trial; one that differs is told about and retired,
and its trials go elsewhere. Dask runs a trial again whose worker was lost, up to its `allowed-failures`.
"""

import importlib.util
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial

import torch
from distributed import Client, KilledWorker, LocalCluster, get_worker

from redraw import data
from redraw.workbook._admission import Refusal, Ticket, attempt_rest, await_stored, differences, ticket
from redraw.workbook._startup import without_compiler
from redraw.workbook._store import Store
from redraw.workbook._trials import Trial, TrialError, Work, _line, label_of

IN_FLIGHT = 500  # trials that a scheduler knows of at a time: enough for as many workers, few enough to be cheap
CONNECT_SECONDS = 10.0
NO_WORKERS_SECONDS = 300.0
KEPT = "finished trials are kept, the same command goes on from them"

Outcome = tuple[str, str] | data.DataUnavailable | Refusal | None


@contextmanager
def dask_engine(
    address: str | None, trials: list[Trial], store: Store, jobs: int, *, say: Callable[[str], None]
) -> Iterator[tuple[Executor, int, int]]:
    """(executor, how much to have in flight, workers) on the cluster at `address`; None starts one of `jobs` workers.

    Raises TrialError when the scheduler does not answer; what the executor's futures raise, see `_OnDask`.
    """
    with _cluster(jobs) if address is None else _no_cluster() as cluster:
        client, executor = _client(cluster or address), None
        try:
            workers = len(client.scheduler_info()["workers"])
            say(f"dask: {workers} workers at {client.scheduler.address}, dashboard {client.dashboard_link}")
            shared = Store(store.root.resolve(), store.records and store.records.resolve())
            with ticket(trials, shared) as wanted:
                executor = _OnDask(client, shared, wanted, say)
                executor.refuse_strangers()
                yield executor, 2 * jobs if address is None else IN_FLIGHT, max(1, len(executor.workers()))
        finally:
            if executor:
                executor.shutdown()
            with suppress(Exception):  # a scheduler that is gone cannot be taken leave of
                client.close(timeout=2)


def all_have_cuda(address: str) -> bool:
    """Whether the cluster has workers, and all that answer have a CUDA device."""
    client = _client(address)
    try:
        found = client.run(torch.cuda.is_available, on_error="return").values()
    finally:
        client.close(timeout=2)
    answers = [one for one in found if not isinstance(one, Exception)]
    return bool(answers) and all(answers)


def _client(where: LocalCluster | str) -> Client:
    """A client of the scheduler, which keeps to itself what is told in our words. Raises TrialError for none."""
    for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        return Client(where, timeout=CONNECT_SECONDS, set_as_default=False, name="redraw")
    except OSError as error:
        raise _failed(f"the Dask scheduler at {where} does not answer ({_line(error)})") from None


@contextmanager
def _cluster(jobs: int) -> Iterator[LocalCluster]:
    options = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=jobs, threads_per_worker=1, **options) as cluster:
        yield cluster


@contextmanager
def _no_cluster() -> Iterator[None]:
    yield None


def _failed(message: str) -> TrialError:
    error = TrialError(message, "")
    error.outcome = "killed"
    return error


# On the worker ---------------------------------------------------------------------------------------------------


def attempt(work: Work, store: Store, wanted: Ticket) -> Outcome:
    """Run a trial, or those that run together, in a worker that may; what comes back is None, or why there is no
    result."""
    if differs := _checked(wanted):
        return Refusal(get_worker().address, differs)
    return attempt_rest(work, store)


_admitted: dict[str, tuple[str, ...]] = {}


def _checked(wanted: Ticket) -> tuple[str, ...]:
    """`differences`, once per process and run."""
    if wanted.id not in _admitted:
        threads = get_worker().state.nthreads
        more = (f"it has {threads} threads: start it with --nthreads 1",) if threads > 1 else ()
        _admitted[wanted.id] = more or differences(wanted)
        without_compiler()
    return _admitted[wanted.id]


# In the command --------------------------------------------------------------------------------------------------


class _OnDask(Executor):
    """Sends trials to a cluster. Its futures raise TrialError for what befell the cluster: a trial that killed as many
    workers as Dask allows, a scheduler that was lost, no worker left."""

    def __init__(self, client: Client, store: Store, wanted: Ticket, say: Callable[[str], None]):
        self._client, self._store, self._wanted, self._say = client, store, wanted, say
        self._inner = client.get_executor(pure=False)
        self._waiting: dict[Future, Work] = {}
        self._ended: queue.SimpleQueue = queue.SimpleQueue()
        self._refused: set[str] = set()
        self._seen = time.monotonic()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def submit(self, function, /, work, *_):
        outer = Future()
        outer.set_running_or_notify_cancel()
        self._waiting[outer] = work
        try:
            self._send(outer, work)
        except Exception as error:
            raise self._meant(error) from None
        return outer

    def refuse_strangers(self) -> None:
        """Retire the workers that have no such package: what is sent to one ends it, and counts as a failure of the
        trial. One that joins later is found out in that way only."""
        found = self._client.run(importlib.util.find_spec, __name__, on_error="return")
        why = {worker: f"it has no such redraw ({_line(e)})" for worker, e in found.items() if isinstance(e, Exception)}
        why |= {worker: "it has an older redraw" for worker, spec in found.items() if spec is None}
        self._retire([Refusal(worker, (words,)) for worker, words in why.items()])

    def shutdown(self, wait=True, *, cancel_futures=True):
        self._ended.put(None)
        self._keeper.join(5)
        if self._client.status == "running":
            self._inner.shutdown(wait=False)

    def _send(self, outer: Future, work: Work) -> None:
        inner = self._inner.submit(partial(attempt, work, self._store, self._wanted))
        inner.add_done_callback(lambda done: self._ended.put((outer, work, done)))

    def _keep(self) -> None:
        """Follow what is under way until the engine closes; in a thread, since callbacks must not ask the cluster."""
        while True:
            try:
                try:
                    ended = self._ended.get(timeout=1)
                except queue.Empty:
                    self._look()
                    continue
                if ended is None:
                    return
                self._settle(*ended)
            except Exception as error:
                self._fail_all(self._meant(error))

    def _meant(self, error: Exception) -> TrialError:
        """What an error of the client's says: mostly that the scheduler has gone."""
        if isinstance(error, TrialError):
            return error
        return (
            self._lost() if self._client.status != "running" else _failed(f"the Dask cluster: {_line(error)}; {KEPT}")
        )

    def _settle(self, outer: Future, work: Work, inner: Future) -> None:
        if outer not in self._waiting:
            return
        error = None if inner.cancelled() else inner.exception()
        if inner.cancelled():
            self._fail(outer, self._lost())
        elif isinstance(error, KilledWorker):
            times = error.allowed_failures + 1
            self._fail(outer, _failed(f"{label_of(work)}: killed {times} workers (out of memory?); {KEPT}"))
        elif error is not None:
            self._fail(outer, _failed(f"{label_of(work)}: {_line(error)}; {KEPT}"))
        elif isinstance(inner.result(), Refusal):
            self._retire([inner.result()])
            self._again(outer, work)
        else:
            if inner.result() is None:
                try:
                    await_stored(work, self._store)
                except TrialError as unseen:
                    return self._fail(outer, unseen)
            self._waiting.pop(outer)
            outer.set_result(inner.result())

    def _again(self, outer: Future, work: Work) -> None:
        if outer in self._waiting:
            self._send(outer, work)

    def _retire(self, refusals: list[Refusal]) -> None:
        """Tell about workers, and send them away. Raises TrialError when no other is left."""
        new = [refusal for refusal in refusals if refusal.worker not in self._refused]
        for refusal in new:
            self._say(str(refusal))
        if new:
            self._refused |= {refusal.worker for refusal in new}
            self._client.retire_workers([refusal.worker for refusal in new], close_workers=True, remove=True)
            if not self.workers():
                raise _failed(f"no worker is left: {new[-1]}; {KEPT}")

    def workers(self) -> set[str]:
        """The addresses of those that are not refused."""
        return set(self._client.scheduler_info()["workers"]) - self._refused

    def _look(self) -> None:
        """Give up when there has been no worker for so long that none will come."""
        if self._client.status != "running":
            self._fail_all(self._lost())
        elif self.workers():
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > NO_WORKERS_SECONDS:
            self._fail_all(_failed(f"the Dask cluster has had no worker for {NO_WORKERS_SECONDS:g} s; {KEPT}"))

    def _lost(self) -> TrialError:
        if self._client.status == "running":
            return _failed(f"the Dask cluster cancelled a trial; {KEPT}")
        return _failed(f"the Dask scheduler at {self._client.scheduler.address} was lost; {KEPT}")

    def _fail(self, outer: Future, error: TrialError) -> None:
        if self._waiting.pop(outer, None) is not None:
            outer.set_exception(error)

    def _fail_all(self, error: TrialError) -> None:
        for outer in list(self._waiting):
            self._fail(outer, error)
