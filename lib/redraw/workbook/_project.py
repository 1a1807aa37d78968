"""Where a project keeps its things, and a study as the three files that share its stem."""

import ast
import importlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from redraw.workbook._card import Card, CardError, ParameterError, load_card


class NotebookError(ValueError):
    """A notebook that cannot be run as a study: one line naming the file and what it needs."""


@dataclass(frozen=True)
class Project:
    """A folder with `params/`, `notebooks/` and `reports/`."""

    root: Path

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def studies(self) -> list[str]:
        """The names of all studies: the stems of the cards."""
        return sorted(path.stem for path in (self.root / "params").glob("*.yaml"))

    def card(self, study: str) -> Card:
        """The card of a study. Raises ParameterError for an unknown study, CardError for a malformed card."""
        if study not in self.studies():
            raise ParameterError(f"study {study!r}: must be one of {', '.join(self.studies()) or 'none yet'}")
        path = self.root / "params" / f"{study}.yaml"
        card = load_card(path)
        if "preset" in card.parameters:  # the notebook gets the preset's name under it
            raise CardError(f"{path}: parameters.preset: must have another name, since runs use this one")
        return card

    def notebook_path(self, study: str) -> Path:
        return self.root / "notebooks" / f"{study}.ipynb"

    def notebook(self, study: str) -> dict:
        """The study's notebook as plain JSON data, each cell's source one text.

        Raises NotebookError when it is missing or malformed, has no parameters cell, or code that is not Python.
        """
        path = self.notebook_path(study)
        name = path.relative_to(self.root)
        try:
            notebook = json.loads(path.read_text("utf-8"))
            cells = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
            code = [cell for cell in cells if cell["cell_type"] == "code"]
            tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
        except FileNotFoundError:
            raise NotebookError(f"{name}: is missing; `redraw new {study}` writes a skeleton") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0][:100]
            raise NotebookError(f"{name}: must be a Jupyter notebook, is not ({what})") from None
        if len(tagged) != 1:
            raise NotebookError(f"{name}: must have one code cell tagged parameters, has {len(tagged)}")
        for number, cell in enumerate(code, 1):
            try:
                ast.parse(cell["source"])
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
                why = str(getattr(error, "msg", error) or type(error).__name__).splitlines()[0]
                raise NotebookError(f"{name}: code cell {number}{line}: must be plain Python ({why})") from None
        return notebook | {"cells": cells}

    def find_module(self, study: str) -> str:
        """The name of the study's experiment, `redraw.studies.<study>`. Raises NotebookError when it is missing."""
        name = f"redraw.studies.{study}"
        if importlib.util.find_spec(name) is None:
            raise NotebookError(f"lib/redraw/studies/{study}.py: is missing; `redraw new {study}` writes a skeleton")
        return name

    def module(self, study: str) -> ModuleType:
        """The study's experiment, with its `plan` and `measure`."""
        return importlib.import_module(self.find_module(study))


def default_jobs(preset: str = "") -> int:
    """REDRAW_JOBS, or the number of cores this process may use; 1 for smoke, shorter than more processes take to load.

    Raises ParameterError when REDRAW_JOBS is no such number.
    """
    if jobs := os.environ.get("REDRAW_JOBS"):
        if not jobs.isdecimal() or int(jobs) < 1:
            raise ParameterError(f"REDRAW_JOBS: must be an integer from 1, got {jobs!r}")
        return int(jobs)
    if preset == "smoke":
        return 1
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_project(start: Path | None = None) -> Project:
    """The project around `start`, or REDRAW_HOME, or the working folder; else the one this package belongs to.

    Raises ParameterError when there is none, and when `start` or REDRAW_HOME was given and is in none.
    """
    asked = start or os.environ.get("REDRAW_HOME")
    place = Path(asked or Path.cwd()).resolve()
    for folder in (place, *place.parents, *([] if asked else [Path(__file__).resolve().parents[3]])):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return Project(folder)
    if asked and not start:
        raise ParameterError(f"REDRAW_HOME: must be a checkout (with params/ and notebooks/), got {str(asked)!r}")
    raise ParameterError("project: run redraw inside a checkout (a folder with params/ and notebooks/)")
