"""The trial store: one folder per result, named by its key, written whole or not at all."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from redraw.workbook._card import ParameterError
from redraw.workbook._digest import sha256_file
from redraw.workbook._records import read_records


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises TypeError for what JSON has not, and for a key that is no string: JSON would make it one, in another order.
    """
    _refuse_other_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _refuse_other_keys(value: Any, where: str = "") -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where or 'keys'}: must have strings as keys, got {key!r}")
            _refuse_other_keys(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_other_keys(inner, where)


def default_store() -> Path:
    """`REDRAW_STORE`, or `redraw/trials` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("REDRAW_STORE") or cache / "redraw" / "trials")


class Result(Mapping):
    """What a trial returned: a mapping of its JSON values, with its tensors read from disk when asked for."""

    def __init__(self, folder: Path, body: dict):
        self.key, self.folder, self.body = folder.name, folder, body

    def __getitem__(self, name):
        return self.body["value"][name]

    def __iter__(self):
        return iter(self.body["value"])

    def __len__(self):
        return len(self.body["value"])

    @property
    def seconds(self) -> float:
        """Wall time that the trial took where it was computed."""
        return self.body["seconds"]

    @property
    def tensors(self) -> dict:
        """The trial's tensors by name; empty when it kept none. Checked against their sum when the result was read."""
        return load_file(self.folder / "tensors.safetensors") if self.body["tensors"] else {}


class Store:
    """Results under `<root>/<first two hex digits>/<key>/`: record.json and, where there are any, tensors.safetensors.

    A result is written to a temporary folder, synced and renamed into place, so a reader or a killed writer
    never leaves half of one; of two writers of one key the first wins. Reading verifies both checksums.
    A damaged result is moved out of the way, whole, by whoever puts a new one.

    records: a version's file of records (`_records`). Its results serve where the store has none of its own; they
    are never copied into it, so that they serve only who asked for them.
    """

    def __init__(self, root: Path | str | None = None, records: Path | str | None = None):
        self.root = Path(root or default_store())
        self.records = Path(records) if records else None
        self.damaged: set[str] = set()

    @property
    def source(self) -> str | None:
        """The name of the version whose records serve too, if one does."""
        return self.records.parent.name if self.records else None

    def ready(self) -> None:
        """Make the store's folder. Raises ParameterError, one line, where it cannot be or cannot be written to."""
        reason = "no permission to write"
        try:
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # a full disk is no wrong request
                raise
            reason = error.strerror or str(error)
        if not os.access(self.root / "tmp", os.W_OK):
            raise ParameterError(f"REDRAW_STORE: must name a folder that can be written to, got {self.root} ({reason})")

    def folder(self, key: str) -> Path:
        return self.root / key[:2] / key

    def checkpoint(self, key: str) -> Path:
        """Where a trial that is not done keeps what it has so far (`_checkpoint`)."""
        return self.root / "checkpoints" / key

    def get(self, key: str, *, whole: bool = False) -> Result | None:
        """The result under `key`, from this store or else from `records`; None where neither has it.

        A recorded result's body names the version under "recorded_in", and its tensors are not there to be read:
        where it had some, it is not given to who needs it `whole`.
        """
        own = self.own(key)
        if own is not None or self.records is None:
            return own
        body = read_records(self.records).get(key)
        if body is None or (whole and body["tensors"]):
            return None
        return Result(self.records.parent / key, {**body, "recorded_in": self.source})

    def own(self, key: str) -> Result | None:
        """The result stored here, or None if there is none or it does not match its checksums (`damaged`)."""
        folder = self.folder(key)
        if not folder.is_dir():
            return None
        try:
            record = json.loads((folder / "record.json").read_text())
            body = record["body"]
            intact = hashlib.sha256(canonical(body).encode()).hexdigest() == record["sha256"]
            if intact and body["tensors"]:
                intact = sha256_file(folder / "tensors.safetensors") == body["tensors"]
        except (OSError, ValueError, KeyError, TypeError):
            intact = False
        if intact:
            return Result(folder, body)
        self.damaged.add(key)
        return None

    def put(self, key: str, body: dict, tensors: Mapping | None = None) -> Result:
        """Store `body` (JSON values) and `tensors` under `key`. Raises ParameterError where nothing can be written."""
        self.ready()
        scratch = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
        temporary = scratch / "new"
        try:
            temporary.mkdir(parents=True)
            body = {**body, "tensors": None}
            if tensors:
                file = temporary / "tensors.safetensors"
                save_file({name: value.contiguous() for name, value in tensors.items()}, file)
                body["tensors"] = sha256_file(file)
                _sync(file)
            text = canonical(body)
            digest = hashlib.sha256(text.encode()).hexdigest()
            (temporary / "record.json").write_text(f'{{"sha256":"{digest}","body":{text}}}')
            _sync(temporary / "record.json")
            self._rename(temporary, key)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Result(self.folder(key), body)

    def _rename(self, temporary: Path, key: str) -> None:
        target = self.folder(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while not _move(temporary, target):
            if self.own(key) is not None:  # another process finished the same trial first
                return
            with suppress(FileNotFoundError):  # what stands there is damaged; another process may be faster here too
                target.rename(temporary.parent / uuid.uuid4().hex)
        _sync(target.parent)


def _move(folder: Path, target: Path) -> bool:
    """Rename a folder; False when something stands in its way, and any other failure is raised."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
