"""A private cache, a web server on the loopback, package tools that are scripts, small archives of known content."""

import gzip
import hashlib
import io
import os
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from redraw.data import _catalog

torch.set_num_threads(1)


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar archive in memory."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@dataclass
class Server:
    """`pages` is what the server has; `stall` and `cut` name pages that stop half-way (and hang, or hang up)."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    stall: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            page = state.pages.get(self.path)
            if page is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            if self.path in state.stall | state.cut:
                self.wfile.write(page[: len(page) // 2])
                self.wfile.flush()
                if self.path in state.stall:
                    state.stalled.set()
                    state.closing.wait(60)
            else:
                self.wfile.write(page)

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state.address = f"http://127.0.0.1:{running.server_address[1]}"
    yield state
    state.closing.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of this test's own, and no REDRAW_DATA. Temporary folders are made beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("REDRAW_DATA", raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)  # tempfile remembers; None makes it look again
    return tmp_path / "cache" / "redraw" / "data"


@pytest.fixture
def entry(monkeypatch):
    """Put a dataset into the catalog for this test: entry(name, {file: content}, *sources, ...)."""

    def put(name, contents, *sources, read="redraw.data._tables:read_tables", validation=0, kind=None):
        made = _catalog.Entry(
            name=name,
            about="a test's",
            licence="none",
            read=read,
            normalization="none",
            validation=validation,
            files={file: sum_of(content) for file, content in contents.items()},
            sources=sources,
            kind=kind or ("examples" if validation else "tables"),
        )
        monkeypatch.setitem(_catalog.CATALOG, name, made)
        return made

    return put


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """tool(name, body): a Python script called `name`, first on the PATH. Its log: the arguments of each call."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, body: str) -> Path:
        script, log = folder / name, folder / f"{name}.log"
        script.write_text(
            f"#!{sys.executable}\nimport sys, os, io, tarfile\n"
            f"open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n{body}\n"
        )
        script.chmod(0o755)
        return log

    return make


@pytest.fixture
def cifar():
    """(archive, labels, pixels): a CIFAR-10 binary archive of 5 x 20 + 30 random records."""
    rng = np.random.default_rng(0)
    labels, pixels, files = {}, {}, {"cifar-10-batches-bin/readme.html": b"<p>"}
    for name, count in [*((f"data_batch_{i}.bin", 20) for i in range(1, 6)), ("test_batch.bin", 30)]:
        labels[name] = np.resize(np.arange(10, dtype=np.uint8), count)
        pixels[name] = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        records = np.concatenate([labels[name][:, None], pixels[name].reshape(count, -1)], axis=1)
        files[f"cifar-10-batches-bin/{name}"] = records.tobytes()
    return tar_of(files), labels, pixels


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
