"""What a long trial keeps of its own middle, beside the records of the store, until it is done.

A trial function that names an argument `checkpoint` is given a `Checkpoint`. It calls `load` once, and `save` where its
state is whole: at the end of each round, or between steps when it is `due`. The file goes when the result is stored.
Saving must not change what is computed: the result is kept as that of a trial that nothing interrupted.
"""

import hashlib
import inspect
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

EVERY_SECONDS = 60.0
GRACE_SECONDS = 45.0  # from the notice that this process will be ended until it goes, saved or not

_open: list["Checkpoint"] = []  # those of the trials that run in this process
_leaving: list[Callable[[], None]] = []  # what ends this process, once a notice has come
_told = threading.Event()


class Checkpoint:
    """A trial's state in one file, replaced in one step: a SHA-256, then safetensors whose metadata hold the values.

    seconds: the computing time that went into what was loaded, so that a trial's time is that of all its attempts.
    """

    def __init__(self, path: Path):
        self.path, self.seconds = path, 0.0
        self._started = self._last = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether to save now: a while has passed since the last time, or this process is about to be ended."""
        return _told.is_set() or time.perf_counter() - self._last >= EVERY_SECONDS

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """(values, tensors) as they were saved last, on the CPU; None where there is nothing, or it is damaged."""
        try:
            digest, _, content = self.path.read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                return None
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            kept = json.loads(header["__metadata__"]["kept"])
        except (OSError, ValueError, KeyError):
            return None
        self.seconds = kept["seconds"]
        return kept["values"], load(content)

    def save(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace what was saved by JSON `values` and `tensors`; then end the process, if it was told to."""
        seconds = self.seconds + time.perf_counter() - self._started
        kept = json.dumps({"values": dict(values), "seconds": seconds})
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = save(whole, metadata={"kept": kept})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.partial")
        try:
            with open(temporary, "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._last = time.perf_counter()
        while _leaving:
            _leaving.pop()()

    def drop(self) -> None:
        """Forget it: the trial is done."""
        self.path.unlink(missing_ok=True)


@contextmanager
def offered(function: Callable, taken: Collection[str], path: Path) -> Iterator[dict[str, Checkpoint]]:
    """The argument `checkpoint` for a trial function that names it, if the name is not `taken` by what it is given."""
    if "checkpoint" in taken or "checkpoint" not in inspect.signature(function).parameters:
        yield {}
        return
    checkpoint = Checkpoint(path)
    _open.append(checkpoint)
    try:
        yield {"checkpoint": checkpoint}
    finally:
        _open.remove(checkpoint)


@contextmanager
def saving_first(*numbers: signal.Signals) -> Iterator[None]:
    """While the block lasts, what signals `numbers` do waits until the running trial has saved, if it keeps a
    checkpoint: until its state is whole, or for `GRACE_SECONDS`. SIGTERM alone ends nothing, but is taken as a warning
    that SIGKILL will follow, and so as a reason to save."""

    def warned(*_):
        _told.set()

    def notice(handler):
        def told(number, frame):
            if not _open:
                return handler(number, frame)
            _told.set()
            _leaving.append(lambda: handler(number, frame))
            signal.signal(signal.SIGALRM, lambda *_: _leaving and _leaving.pop()())
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

        return told

    before = {number: signal.getsignal(number) for number in (*numbers, signal.SIGTERM)}
    for number in numbers:
        if callable(before[number]):
            signal.signal(number, notice(before[number]))
    signal.signal(signal.SIGTERM, warned)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _leaving.clear()
        _told.clear()
