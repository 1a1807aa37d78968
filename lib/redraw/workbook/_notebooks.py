"""Executing a notebook and telling the truth about it: papermill runs it, this module decides whether it ran.

Papermill and the kernel run in processes of their own, marked by an environment variable, and can be started before
there is anything to execute. The caller only waits, so that Ctrl-C, SIGTERM and a deadline reach it at once, and
whatever ends the wait ends every marked process.
"""

import ast
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from redraw.workbook._startup import without_uri_grammar

if TYPE_CHECKING:
    from jupyter_client.manager import KernelManager

MARK = "REDRAW_RUN"
"""The environment variable by which the processes of one execution know each other."""

_LONGEST_IPC = 95  # a socket's path must be shorter than 108 bytes, and jupyter_client appends a number to it
_SECONDS_TO_SAVE = 3.0
_SECONDS_TO_START = 600.0  # forty at once on two cores take their time; one that dies is known at once


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
    meanwhile: Callable[[], Any] = lambda: None,
) -> Any:
    """Execute `source` with `parameters` (JSON values) injected into `target`, in `target`'s folder.

    environment: variables for the kernel; meanwhile: what this process does while the notebook executes, and what that
    comes to is returned. Papermill's own account is not trusted (a killed kernel leaves a notebook that says
    "completed"): the run counts only when the child process has left its completion record and every code cell was
    executed without error.
    Raises ValueError for a parameter name that is not a plain identifier, since papermill writes names as code;
    NotebookFailed when the notebook did not run to its end. No process outlives the call.
    """
    with kernel_at_hand(environment) as execute:
        return execute(source, target, parameters, environment={}, cell_timeout=cell_timeout, meanwhile=meanwhile)


@contextmanager
def kernel_at_hand(environment: Mapping[str, str], modules: Iterable[str] = ()) -> Iterator[Callable[..., Any]]:
    """Start papermill and a kernel, and yield what executes one notebook in them: they load while the caller works.

    environment: variables for both from their start on. modules: what the kernel imports while it waits; one that
    cannot be imported is left to the cell that asks for it. The kernel is reached over an IPC address of its own,
    since ports can be lost to another run; over TCP where the address would be too long. What is yielded takes the
    arguments of `execute_notebook`. No process outlives the block, whether a notebook was executed in it or not.
    """
    run, saving = uuid.uuid4().hex, False
    with tempfile.TemporaryDirectory(prefix="redraw-", ignore_cleanup_errors=True) as place:
        said = Path(place) / "stderr"
        with open(said, "wb") as errors:
            # A session of its own: Ctrl-C in a terminal reaches this process, which then ends the others in order.
            child = subprocess.Popen(
                [sys.executable, "-m", __name__, place, *modules],
                env={**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **environment, MARK: run},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

        def execute(source, target, parameters, *, environment, cell_timeout=3600, meanwhile=lambda: None):
            nonlocal saving
            for name in parameters:
                if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
                    raise ValueError(f"parameter {name!r}: must be named by a plain Python identifier")
            request = {
                "source": str(Path(source).resolve()),
                "target": str(Path(target).resolve()),
                "parameters": dict(parameters),
                "environment": dict(environment),
                "cell_timeout": cell_timeout,
            }
            saving = True
            _leave(Path(place) / "request.json", request)
            found = meanwhile()
            while child.poll() is None and not (Path(place) / "outcome.json").exists():
                time.sleep(0.02)
            saving = False
            _believe(_outcome(Path(place), child.returncode), Path(target))
            return found

        try:
            yield execute
        finally:
            with undisturbed():
                _stop(child, run, saving)


def imported(notebook: Mapping) -> list[str]:
    """The modules that a notebook's code (as of `Project.notebook`) imports, and what may be modules in them."""
    found = []
    for cell in notebook["cells"]:
        for node in ast.walk(ast.parse(cell["source"])) if cell["cell_type"] == "code" else ():
            if isinstance(node, ast.Import):
                found += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return sorted(set(found))


def _leave(path: Path, content: Any) -> None:
    """Write JSON for the other process, which sees all of it or nothing."""
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _outcome(place: Path, code: int) -> dict:
    """The completion record of the child; a NotebookFailed that says what there is instead."""
    try:
        return json.loads((place / "outcome.json").read_text())
    except FileNotFoundError:
        last = ((place / "stderr").read_text("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]
        message = f"the process that executes the notebook ended with {code}, saying: {last[:200]}"
        raise NotebookFailed("killed" if code < 0 else "failed", message) from None


def _believe(outcome: dict, target: Path) -> None:
    """Raise NotebookFailed unless the record and the notebook itself say that it ran to its end."""
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


def _stop(child: subprocess.Popen, run: str, saving: bool) -> None:
    """End every process of the execution: the kernel first, so that the child can save a notebook and go."""
    if saving:
        _kill(run, spare=child.pid)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS_TO_SAVE)
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


def _main(place: Path, modules: list[str]) -> None:
    """What the child process does: start a kernel, execute the request in `place`, leave the record there."""
    without_uri_grammar()
    parent, run = os.getppid(), os.environ[MARK]
    threading.Thread(target=_follow, args=(parent, run, place), daemon=True).start()
    outcome = _execute(place, modules)
    _leave(place / "outcome.json", dict(zip(("outcome", "message", "details"), outcome, strict=True)))


def _follow(parent: int, run: str, place: Path) -> None:
    """End the kernel and this process when the parent is gone: a killed parent sends nobody a signal."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _kill(run, spare=os.getpid())
    shutil.rmtree(place, ignore_errors=True)
    os._exit(1)


def _execute(place: Path, modules: list[str]) -> tuple[str, str, str]:
    """Outcome, message and traceback of the request, which may come long after the kernel is up."""
    from jupyter_client.manager import KernelManager  # here, so that only the child pays for it
    from zmq.error import ZMQError

    early, message = _unseen("load", modules), ""
    for transport in _transports(place):
        connection = str(place / f"{uuid.uuid4().hex[:8]}.json")
        kernel = KernelManager(kernel_name="python3", connection_file=connection, **transport)
        kernel.client_class = "jupyter_client.asynchronous.client.AsyncKernelClient"  # what papermill waits with
        try:
            kernel.start_kernel(cwd=str(place), extra_arguments=[f"--IPKernelApp.exec_lines=[{early!r}]"])
            import papermill  # noqa: F401  # while the kernel loads

            _once_ready(kernel, "")
        except (RuntimeError, OSError, ZMQError) as error:
            message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            kernel.shutdown_kernel(now=True)
            continue
        return _papermill(kernel, _request(place))
    return "failed", f"the kernel did not start ({message})", ""


def _unseen(function: str, *arguments: Any) -> str:
    """Python of one line that calls a function of `_startup` in the kernel and binds no name there."""
    return f"__import__('redraw.workbook._startup', fromlist=['_']).{function}(*{arguments!r})"


def _once_ready(kernel: "KernelManager", code: str) -> None:
    """Run `code` in the kernel when it is up, unseen by the notebook; raises RuntimeError if it dies before."""
    client = kernel.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_SECONDS_TO_START)
        client.execute(code, silent=True, store_history=False, reply=True, timeout=_SECONDS_TO_START)
    finally:
        client.stop_channels()


def _request(place: Path) -> dict:
    """What the caller asks for, when it does; the thread that follows it ends a wait for nothing."""
    while not (place / "request.json").exists():
        time.sleep(0.02)
    return json.loads((place / "request.json").read_text())


def _papermill(kernel: "KernelManager", request: dict) -> tuple[str, str, str]:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbconvert.filters import strip_ansi
    from papermill.exceptions import PapermillExecutionError
    from zmq.error import ZMQError

    target = Path(request["target"])
    try:
        _once_ready(kernel, _unseen("settle", str(target.parent), request["environment"]))
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
            km=kernel,
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
        if not kernel.is_alive():
            return "killed", f"the kernel died in cell {_last_begun(target)} (out of memory?)", ""
        return "failed", f"{type(error).__name__}: {error}".splitlines()[0][:300], ""


def _transports(place: Path) -> Iterator[dict]:
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
    _main(Path(sys.argv[1]), sys.argv[2:])
