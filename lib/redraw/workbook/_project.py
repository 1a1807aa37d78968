"""Where a project keeps its things, and a study as the three files that share its stem."""

import importlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from redraw.workbook._card import Card, ParameterError, load_card


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
        return load_card(self.root / "params" / f"{study}.yaml")

    def notebook_path(self, study: str) -> Path:
        return self.root / "notebooks" / f"{study}.ipynb"

    def notebook(self, study: str) -> dict:
        """The study's notebook as plain JSON data, each cell's source one text.

        Raises NotebookError when it is missing, malformed or has no parameters cell.
        """
        path = self.notebook_path(study)
        name = path.relative_to(self.root)
        try:
            notebook = json.loads(path.read_text("utf-8"))
            cells = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
            tagged = [c for c in cells if c["cell_type"] == "code" and "parameters" in c["metadata"].get("tags", [])]
        except FileNotFoundError:
            raise NotebookError(f"{name}: is missing; `redraw new {study}` writes a skeleton") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotebookError(f"{name}: is not a notebook ({type(error).__name__}: {str(error)[:80]})") from None
        if len(tagged) != 1:
            raise NotebookError(f"{name}: must have one code cell tagged parameters, has {len(tagged)}")
        return notebook | {"cells": cells}

    def module(self, study: str) -> ModuleType:
        """The study's experiment, `redraw.studies.<study>`, with its `plan` and `measure`."""
        if importlib.util.find_spec(f"redraw.studies.{study}") is None:
            raise NotebookError(f"lib/redraw/studies/{study}.py: is missing; `redraw new {study}` writes a skeleton")
        return importlib.import_module(f"redraw.studies.{study}")


def find_project(start: Path | None = None) -> Project:
    """The project around `start` (the working folder), or else the one this package is installed from.

    Raises ParameterError when there is neither.
    """
    start = Path(start or os.environ.get("REDRAW_HOME") or Path.cwd()).resolve()
    for folder in (start, *start.parents, Path(__file__).resolve().parents[3]):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return Project(folder)
    raise ParameterError("project: run redraw inside a checkout (a folder with params/ and notebooks/)")
