"""What nbval does and does not see, and that the committed notebooks give it something to see."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from redraw.workbook import Project
from redraw.workbook._check import cell_problems, comparison_problems, notebook_problems

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Project(ROOT)


def write(path, *stored, tags=("nbval-check-output",)):
    """A notebook whose cells print 1, 2, ... and for which `stored` was kept; None for a stripped cell."""
    cells = []
    for number, text in enumerate(stored, 1):
        cell = new_code_cell(f"print({number})", metadata={"tags": list(tags)}, id=f"cell-{number}")
        if text is not None:
            cell.outputs, cell.execution_count = [new_output("stream", name="stdout", text=text)], number
        cells.append(cell)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def cells_of(path):
    """The cells as `Project.notebook` gives them, each source one text."""
    return [cell | {"source": "".join(cell["source"])} for cell in json.loads(path.read_text("utf-8"))["cells"]]


def nbval(path):
    """Run nbval as `make test` does, but without this project's settings."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "-c", os.devnull, str(path)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True)


def test_a_wrong_stored_output_fails(tmp_path):
    done = nbval(write(tmp_path / "wrong.ipynb", "1\n", "3\n"))
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    assert nbval(write(tmp_path / "right.ipynb", "1\n", "2\n")).returncode == 0


def test_a_stripped_notebook_passes_nbval_and_is_found_by_the_check(tmp_path):
    path = write(tmp_path / "stripped.ipynb", None, None)
    assert nbval(path).returncode == 0  # the trap: nothing was compared
    assert len(list(comparison_problems(cells_of(path)))) == 2
    good = write(tmp_path / "good.ipynb", "1\n", "2\n")
    assert list(comparison_problems(cells_of(good))) == []


def test_a_notebook_without_tags_is_found(tmp_path):
    path = write(tmp_path / "untagged.ipynb", "wrong\n", tags=())
    (line,) = comparison_problems(cells_of(path))
    assert "nothing would be compared" in line


@pytest.mark.parametrize("study", PROJECT.studies())
def test_a_studys_notebook_keeps_the_manners(study):
    assert list(notebook_problems(PROJECT.card(study), PROJECT.notebook(study))) == []


OTHERS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem not in PROJECT.studies())


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_other_notebooks_keep_them_too(path):
    cells = cells_of(path)
    assert [*cell_problems(cells), *comparison_problems(cells)] == []
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"].startswith("# ")
