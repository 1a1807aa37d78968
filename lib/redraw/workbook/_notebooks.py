"""Executing a notebook and telling the truth about it: papermill runs it, this module decides whether it ran."""

import os
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbconvert.filters import strip_ansi
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config


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
    cell_timeout: int = 3600,
) -> None:
    """Execute `source` with `parameters` injected into `target`, in `target`'s folder.

    environment: variables for the kernel. The kernel is reached over an IPC address of its own, since ports can be
    lost to another run. Papermill's own account is not trusted (a killed kernel leaves a notebook that says
    "completed"): the run counts only when every code cell has been executed without an error.
    Raises NotebookFailed.
    """
    with tempfile.TemporaryDirectory(prefix="redraw-") as place, _variables(environment):
        address = {"transport": "ipc", "ip": f"{place}/{uuid.uuid4().hex[:8]}"}
        try:
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=dict(parameters),
                cwd=str(target.parent),
                progress_bar=False,
                execution_timeout=cell_timeout,
                coalesce_streams=True,
                config=Config({"KernelManager": address}),
            )
        except PapermillExecutionError as error:
            message = f"cell {error.exec_count} raised {error.ename}: {error.evalue}".splitlines()[0]
            raise NotebookFailed("failed", message, strip_ansi("\n".join(error.traceback))) from None
        except DeadKernelError:
            raise NotebookFailed("killed", "the kernel died while a cell was running (out of memory?)") from None
        except CellTimeoutError:
            raise NotebookFailed("timed out", f"a cell ran for more than {cell_timeout} s") from None
    unfinished = [cell for cell in nbformat.read(target, as_version=4).cells if not _ran(cell)]
    if unfinished:
        raise NotebookFailed("failed", f"{len(unfinished)} code cells were not executed: did a cell leave the kernel?")


def _ran(cell: nbformat.NotebookNode) -> bool:
    if cell.cell_type != "code" or not cell.source.strip():
        return True
    return cell.execution_count is not None and not any(o.output_type == "error" for o in cell.outputs)


@contextmanager
def _variables(values: Mapping[str, str]):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
