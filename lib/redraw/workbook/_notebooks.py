"""Executing a notebook and telling the truth about it: papermill runs it, this module decides whether it ran.

Papermill and the kernel run in processes of their own, marked by an environment variable. The caller only waits, so
that Ctrl-C, SIGTERM and a deadline reach it at once, and whatever ends the wait ends every marked process.
"""

import json
import keyword
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from redraw.workbook._startup import without_uri_grammar

MARK = "REDRAW_RUN"
"""The environment variable by which the processes of one execution know each other."""

_LONGEST_IPC = 95  # a socket's path must be shorter than 108 bytes, and jupyter_client appends a number to it
_SECONDS_TO_SAVE = 3.0


class NotebookFailed(RuntimeError):
    """The notebook did not run to its end. `outcome` is failed, killed or timed out; `details` a traceback, if any."""

    def __init__(self, outcome: str, message: str, details: str = ""):
        super().__init__(f"{outcome}: {message}")
        self.outcome, self.details = outcome, details


def execute_notebook(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    cell_timeout: float = 3600,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Execute `source` with `parameters` (JSON values) injected into `target`, in `target`'s folder.

    environment: variables for the kernel; meanwhile: what this process does while the others start. The kernel is
    reached over an IPC address of its own, since ports can be lost to another run; over TCP where the address would be
    too long. Papermill's own account is not trusted (a killed kernel leaves a notebook that says "completed"): the run
    counts only when the child process has left its completion record and every code cell was executed without error.
    Raises ValueError for a parameter name that is not a plain identifier, since papermill writes names as code;
    NotebookFailed when the notebook did not run to its end. No process outlives the call.
    """
    for name in parameters:
        if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
            raise ValueError(f"parameter {name!r}: must be named by a plain Python identifier")
    run = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="redraw-", ignore_cleanup_errors=True) as place:
        request = {
            "source": str(Path(source).resolve()),
            "target": str(Path(target).resolve()),
            "parameters": dict(parameters),
            "cell_timeout": cell_timeout,
            "place": place,
        }
        said = Path(place) / "stderr"
        (Path(place) / "request.json").write_text(json.dumps(request))
        with open(said, "wb") as errors:
            # A session of its own: Ctrl-C in a terminal reaches this process, which then ends the others in order.
            child = subprocess.Popen(
                [sys.executable, "-m", __name__, place],
                env={**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **environment, MARK: run},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        try:
            meanwhile()
            child.wait()
        finally:
            with undisturbed():
                _stop(child, run)
        try:
            outcome = json.loads((Path(place) / "outcome.json").read_text())
        except FileNotFoundError:
            last = (said.read_text("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]
            how = "killed" if child.returncode < 0 else "failed"
            message = f"the process that executes the notebook ended with {child.returncode}, saying: {last[:200]}"
            raise NotebookFailed(how, message) from None
    if outcome["outcome"] != "completed":
        raise NotebookFailed(outcome["outcome"], outcome["message"], outcome["details"])
    if missing := _missing(json.loads(target.read_text())):
        raise NotebookFailed("failed", missing)


def _missing(notebook: dict) -> str:
    """Why the notebook did not run whole, although papermill says it did; "" when it did."""
    cells = _code(notebook)
    errors = [(cell, out) for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]
    skipped = sum(cell["execution_count"] is None for cell in cells)
    told = [f"cell {cell['execution_count']} ended in {out['ename']}: {out['evalue']}" for cell, out in errors[:1]]
    return " and ".join(told + [f"{skipped} of {len(cells)} code cells were not executed"] * bool(skipped))


def _code(notebook: dict) -> list[dict]:
    """The code cells that have something to execute; papermill has validated what it wrote."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]


# Ending processes -----------------------------------------------------------------------------------------------


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait, so that what ends a run is not itself cut short; only the main thread hears them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(child: subprocess.Popen, run: str) -> None:
    """End every process of the execution: the kernel first, so that the child can save the notebook and go."""
    _kill(run, spare=child.pid)
    try:
        child.wait(_SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    _kill(run)


def _kill(run: str, spare: int = 0) -> None:
    """Kill the processes that carry the mark, and those that they start meanwhile."""
    for _ in range(20):
        marked = [process for process in _marked(run) if process.pid != spare]
        if not marked:
            return
        for process in marked:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(marked, timeout=1)


def _marked(run: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone, a zombie, or someone else's
            if process.environ().get(MARK) == run and process.status() != psutil.STATUS_ZOMBIE:
                yield process


# The child ------------------------------------------------------------------------------------------------------


def _main(place: str) -> None:
    """What the child process does: execute the request in `place`, and leave the completion record there."""
    without_uri_grammar()
    parent, run = os.getppid(), os.environ[MARK]
    threading.Thread(target=_follow, args=(parent, run, place), daemon=True).start()
    request = json.loads((Path(place) / "request.json").read_text())
    outcome = dict(zip(("outcome", "message", "details"), _execute(request), strict=True))
    temporary = Path(place) / "outcome.partial"
    temporary.write_text(json.dumps(outcome))
    temporary.replace(Path(place) / "outcome.json")


def _follow(parent: int, run: str, place: str) -> None:
    """End the kernel and this process when the parent is gone: a killed parent sends nobody a signal."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _kill(run, spare=os.getpid())
    shutil.rmtree(place, ignore_errors=True)
    os._exit(1)


def _execute(request: dict) -> tuple[str, str, str]:
    """Outcome, message and traceback of the request, the next transport being tried when a kernel did not start."""
    import papermill  # here, so that only the child pays for it
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbconvert.filters import strip_ansi
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config
    from zmq.error import ZMQError

    target = Path(request["target"])
    message = ""
    for transport in _transports(request["place"]):
        try:
            papermill.execute_notebook(
                _no_fields(request["source"]),
                _no_fields(request["target"]),
                parameters=request["parameters"],
                kernel_name="python3",
                language="python",
                cwd=str(target.parent),
                progress_bar=False,
                execution_timeout=request["cell_timeout"],
                coalesce_streams=True,
                shutdown_kernel="immediate",  # nothing is left for it to do, and taking leave costs seconds
                config=Config({"KernelManager": transport}),
            )
            return "completed", "", ""
        except PapermillExecutionError as error:
            message = f"cell {error.exec_count} raised {error.ename}: {error.evalue}".splitlines()[0][:300]
            return "failed", message, strip_ansi("\n".join(error.traceback))
        except DeadKernelError:
            return "killed", f"the kernel died in cell {_last_begun(target)} (out of memory?)", ""
        except CellTimeoutError:
            seconds = f"{request['cell_timeout']:g} s"
            return "timed out", f"cell {_last_begun(target)} ran for more than {seconds}", ""
        except (RuntimeError, OSError, ZMQError) as error:
            message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            if _last_begun(target):
                return "failed", message, ""
    return "failed", f"the kernel did not start ({message})", ""


def _transports(place: str) -> Iterator[dict]:
    """An IPC address that no other run has, if it is short enough for a socket; then TCP, once more if that fails."""
    address = f"{place}/{uuid.uuid4().hex[:8]}"
    if len(os.fsencode(address)) <= _LONGEST_IPC:
        yield {"transport": "ipc", "ip": address}
    yield {"transport": "tcp"}
    yield {"transport": "tcp"}


def _no_fields(path: str) -> str:
    """A path for papermill, which takes braces in it for the names of parameters."""
    return path.replace("{", "{{").replace("}", "}}")


def _last_begun(notebook: Path) -> int:
    """The number of the last code cell that papermill began, 0 if none.

    The kernel's own count is no guide: one that dies at once has not told it yet.
    """
    try:
        code = _code(json.loads(notebook.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    begun = [n for n, cell in enumerate(code, 1) if cell["metadata"].get("papermill", {}).get("start_time")]
    return begun[-1] if begun else 0


if __name__ == "__main__":
    _main(sys.argv[1])
