"""Compared cells: last digits may differ, values may not, and what is tagged is compared or the session fails."""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

CONFTEST = Path(__file__).parents[2] / "notebooks" / "conftest.py"
CARD = """\
study: small
title: Small
question: What?
topic: tests
papers: [{key: p, title: T, authors: [A], year: 2026, url: "https://example.org"}]
parameters: {seeds: {type: int, range: [1, 9], role: nuisance, help: h}}
presets:
  smoke: {help: h, values: {seeds: 1}}
  laptop: {help: h, values: {seeds: 1}}
  paper: {help: h, values: {seeds: 1}}
claims:
  - {id: Near, main: true, kind: value, reference: {value: 98.0}, criterion: {margin: 0.3}, REST}
  - {id: Coarse, kind: value, reference: {value: 98.0, decimals: 0}, criterion: {margin: 0.3}, REST}
  - {id: Ratio, kind: ratio, reference: {value: 0.6}, criterion: {margin: 1.25}, REST}
  - {id: Exact, kind: exact, reference: {value: [51.3], decimals: 1}, REST}
  - {id: Bound, kind: threshold, reference: {value: 2.5, decimals: 2}, criterion: {op: ">", bound: 2}, REST}
  - {id: Bare, kind: threshold, criterion: {op: ">", bound: 2}, REST}
  - {id: Order, kind: ordering, criterion: {all: [{a: x, op: "<", b: y}, {a: x, op: ">=", b: z, margin: 0.1}]}, REST}
""".replace("REST", "statement: s, paper: p, metric: m, scope: {smoke: same}")


@pytest.fixture(scope="module")
def numeric():
    """`notebooks/conftest.py` as a module."""
    spec = importlib.util.spec_from_file_location("notebooks_conftest", CONFTEST)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("accuracy 97.1 %, loss 1e-3.", ["97.1", "1e-3"]),
        ("L1a conv_2 lenet_300_100 v1.2.3 3rd 2x", []),
        ("1,234.5 and 266,200 weights, [1,2]", ["1,234.5", "266,200", "1", "2"]),
        ("from -0.5 to \u22122.5, 0.5-0.7", ["-0.5", "\u22122.5", "0.5", "0.7"]),
        ("x=.5 (2) 51.3%", [".5", "2", "51.3"]),
    ],
)
def test_numbers_are_found_and_names_are_not(numeric, text, numbers):
    assert numeric.NUMBER.findall(text) == numbers


@pytest.mark.parametrize(
    "new, stored, same",
    [
        ("loss 0.1234", "loss 0.1233", True),
        ("loss 0.62", "loss 0.1233", False),
        ("loss 0.1234", "cost 0.1234", False),
        ("loss nan", "loss 0.1", False),
        ("1 2", "1 2 3", False),
        ("conv_2 0.1", "conv_4 0.1", False),
        ("1,000.05 weights", "1,000.1 weights", True),
        ("-0.05", "0.05", True),
        ("nothing", "nothing", True),
    ],
)
def test_words_are_equal_and_numbers_are_near(numeric, new, stored, same):
    assert numeric.alike_texts(new, stored, lambda a, b: abs(a - b) <= 0.1) is same


def test_only_what_is_alike_is_levelled(numeric):
    def outputs(first, second):
        shown = new_output("execute_result", data={"text/plain": second, "image/png": "x"}, execution_count=1)
        return [new_output("stream", name="stdout", text=first), shown]

    near = numeric.tolerance("0.1", Path("notebooks/small.ipynb"))
    new, stored = outputs("a   9.98  b\n", "5.0"), outputs("a  10.02 b\n", "6.0")
    test, reference = numeric.levelled(new, stored, near)
    assert test[0]["text"] == reference[0]["text"] == "a 10.02 b"
    assert (test[1]["data"]["text/plain"], reference[1]["data"]["text/plain"]) == ("5.0", "6.0")
    assert new == outputs("a   9.98  b\n", "5.0"), "nbval's own records are left as they are"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params" / "small.yaml").write_text(CARD)
    shutil.copy(CONFTEST, tmp_path / "notebooks")
    return tmp_path


@pytest.mark.parametrize(
    "tag, near, far",
    [
        ("0.5", (98.5, 98.0), (98.6, 98.0)),
        ("Near", (98.3, 98.0), (98.4, 98.0)),
        ("Coarse", (98.5, 98.0), (98.6, 98.0)),
        ("Ratio", (0.7, 0.6), (0.8, 0.6)),
        ("Ratio", (0.5, 0.6), (-0.6, 0.6)),
        ("Exact", (51.34, 51.3), (51.36, 51.3)),
        ("Bound", (2.505, 2.5), (2.51, 2.5)),
        ("Order", (0.1, 0.0), (0.2, 0.0)),
    ],
)
def test_the_tolerance_is_a_number_or_that_of_a_claim(numeric, project, tag, near, far):
    alike = numeric.tolerance(tag, project / "notebooks" / "small.ipynb")
    assert alike(*near) and not alike(*far) and alike(1.0, 1.0) and not alike(math.nan, 1.0)


@pytest.mark.parametrize(
    "tag, notebook, said",
    [
        ("Bare", "small", "neither a margin nor printed digits"),
        ("Nera", "small", "Near"),
        ("-1", "small", "above 0"),
        ("inf", "small", "above 0"),
        ("Near", "other", "there is no card"),
    ],
)
def test_a_tag_that_means_nothing_is_refused(numeric, project, tag, notebook, said):
    with pytest.raises(ValueError, match=said) as caught:
        numeric.tolerance(tag, project / "notebooks" / f"{notebook}.ipynb")
    assert "\n" not in str(caught.value)


def cell(source, stored, *tags, count=1):
    outputs = [new_output("stream", name="stdout", text=stored)] if stored else []
    tags = ["nbval-check-output", *tags]
    return new_code_cell(source, metadata={"tags": tags}, outputs=outputs, execution_count=count)


def session(project, cells, *arguments):
    """Run nbval over a notebook with these cells: exit code, what was printed, outcome of each cell."""
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, project / "notebooks" / "small.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--junitxml=out.xml", "-p"]
    command += ["no:cacheprovider", "notebooks", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=200)
    outcomes = []
    if (project / "out.xml").is_file():
        for case in ElementTree.parse(project / "out.xml").iter("testcase"):
            outcomes.append(next((child.tag for child in case if child.tag in ("failure", "skipped")), "passed"))
    return done.returncode, done.stdout + done.stderr, outcomes


def test_last_digits_pass_and_wrong_values_fail(project):
    cells = [
        cell("print('accuracy', 98.1234567)", "accuracy 98.1234568\n", "tolerance:Near"),
        cell("print('accuracy', 97.5)", "accuracy 98.1234568\n", "tolerance:Near"),
        cell("print('loss', 98.1234567)", "accuracy 98.1234568\n", "tolerance:Near"),
        cell("print('accuracy', 98.1234567)", "accuracy 98.1234568\n"),
        cell("print('accuracy', 98.1234567)", "accuracy 98.1234567\n"),
        cell("98.1234567", "98.1234568\n", "tolerance:Near"),
        cell("print('a     9.99  b')", "a    10.01 b\n", "tolerance:0.1"),
    ]
    code, said, outcomes = session(project, cells)
    assert outcomes == ["passed", "failure", "failure", "failure", "passed", "failure", "passed"], said
    assert code == 1 and "7 of 7 cells tagged nbval-check-output were compared" in said


def test_a_tagged_cell_that_is_not_compared_fails_the_session(project):
    good = cell("print(1.5)", "1.5\n", "tolerance:0.1")
    code, said, outcomes = session(
        project, [good, cell("print(2)", "", count=None), cell("print(3)", "3\n", "nbval-skip")]
    )
    assert outcomes == ["passed", "passed", "skipped"], "nbval itself sees nothing wrong"
    assert code == 1 and "1 of 3 cells" in said
    assert "NOT COMPARED notebooks/small.ipynb::Cell 1" in said and "NOT COMPARED notebooks/small.ipynb::Cell 2" in said


def test_a_session_in_which_all_is_compared_passes_and_a_wrong_tag_stops_it(project):
    good = cell("print(1.5)", "1.51\n", "tolerance:0.1")
    code, said, outcomes = session(project, [good, cell("print(2)", "", count=None)], "-k", "not 1")
    assert (code, outcomes) == (0, ["passed"]), said
    assert "1 of 1 cells" in said, "a cell left out by request is not awaited"
    code, said, _ = session(project, [cell("print(1.5)", "1.51\n", "tolerance:Nera")])
    assert code == 4 and "Cell 0: tag tolerance:Nera: claim 'Nera'" in said and "Traceback" not in said


def test_a_dead_kernel_fails_the_session_and_its_later_cells_count_as_not_compared(project):
    """nbval waits out the cell's time and calls the later cells expected failures: hence the time in the Makefile."""
    cells = [cell("import os; os._exit(1)", "1\n"), cell("print(2)", "2\n")]
    code, said, outcomes = session(project, cells, "--nbval-cell-timeout=3")
    assert code == 1 and outcomes == ["failure", "skipped"], said
    assert "0 of 2 cells" in said and said.count("NOT COMPARED") == 2
    assert "--nbval-cell-timeout=120" in (CONFTEST.parents[1] / "Makefile").read_text()


def test_warnings_and_progress_bars_beside_a_compared_output_do_no_harm(project):
    noise = "import sys\nfor i in range(3):\n    print(i, end='\\r', file=sys.stderr)\n"
    code, said, outcomes = session(project, [cell(noise + "print(1.5)", "1.5\n"), cell(noise + "print(2)", "3\n")])
    assert code == 1 and outcomes == ["passed", "failure"], said
