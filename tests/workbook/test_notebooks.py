"""Papermill's traps, each met: what a notebook's execution really came to, and that nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from redraw.workbook import _notebooks
from redraw.workbook._notebooks import MARK, NotebookFailed, execute_notebook, imported, kernel_at_hand


@pytest.fixture
def execute(tmp_path):
    """`execute(*sources, **options)` runs a notebook of these cells; returns it as it was saved."""

    def run(*sources, parameters=None, name="target", **options):
        cells = [new_code_cell("a = 0  # a number", metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
        for number, cell in enumerate(cells):
            cell["id"] = f"cell-{number}"
        source, target = tmp_path / f"{name}.source.ipynb", tmp_path / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells), source)
        execute_notebook(source, target, parameters or {}, environment={"REDRAW_TEST": str(tmp_path)}, **options)
        return nbformat.read(target, as_version=4)

    yield run
    assert not ours(tmp_path), "a process was left behind"


def ours(folder):
    """Processes that were started for this test, whoever their parent is by now."""
    return [process for process in psutil.process_iter() if variable(process, "REDRAW_TEST") == str(folder)]


def variable(process, name):
    try:
        return process.environ().get(name) if process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):
        return None


def printed(notebook):
    return "".join(o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "text" in o)


def saved(tmp_path, name="target"):
    return nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)


# What comes of it -----------------------------------------------------------------------------------------------


def test_a_notebook_runs_in_the_targets_folder_with_its_parameters_and_variables(execute, tmp_path):
    notebook = execute("import os\nprint(a, os.getcwd(), os.environ['REDRAW_TEST'])", parameters={"a": 7})
    assert printed(notebook) == f"7 {tmp_path} {tmp_path}\n"
    assert [c.execution_count for c in notebook.cells] == [1, 2, 3]


def test_a_cell_that_raises(execute, tmp_path):
    with pytest.raises(NotebookFailed, match=r"^failed: cell 2 raised ValueError: too small$") as caught:
        execute("raise ValueError('too small\\nby far')", "print('later')", parameters={})
    assert caught.value.outcome == "failed" and "raise ValueError(" in caught.value.details
    assert "\x1b" not in caught.value.details and "later" not in printed(saved(tmp_path))


def test_a_killed_kernel_leaves_a_notebook_that_says_completed_and_is_not_believed(execute, tmp_path):
    with pytest.raises(NotebookFailed, match=r"^killed: the kernel died in cell 2") as caught:
        execute(
            "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)", "print('later')"
        )
    assert caught.value.outcome == "killed"
    notebook = saved(tmp_path)
    assert notebook.metadata.papermill.exception is None  # the trap: papermill's own account
    assert {c.metadata.papermill.status for c in notebook.cells} == {"completed"}
    assert notebook.cells[-1].execution_count is None


def test_a_cell_beyond_its_time(execute):
    with pytest.raises(NotebookFailed, match=r"^timed out: cell 2 ran for more than 1 s$") as caught:
        execute("import time\ntime.sleep(600)", cell_timeout=1)
    assert caught.value.outcome == "timed out"


LEAVING = {
    "import sys; sys.exit(0)": "failed: cell 2 ended in SystemExit: 0 and 1 of 3 code cells were not executed",
    "import os; os._exit(0)": "killed: the kernel died in cell 2",
}


@pytest.mark.parametrize("leave", LEAVING)
def test_a_cell_that_leaves_the_kernel_is_no_success(execute, leave):
    with pytest.raises(NotebookFailed, match=LEAVING[leave]):
        execute(leave, "print('the verdicts')")


def test_a_cell_whose_error_is_tagged_away_is_no_success(tmp_path):
    cells = [new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}, id="one"), new_code_cell("2", id="two")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "source.ipynb")
    with pytest.raises(NotebookFailed, match="failed: cell 1 (raised|ended in) ZeroDivisionError: division by zero"):
        execute_notebook(tmp_path / "source.ipynb", tmp_path / "t.ipynb", {}, environment={})


def test_an_executor_that_dies_is_told(execute, monkeypatch):
    monkeypatch.setattr(_notebooks, "__name__", "redraw.no_such_module")
    with pytest.raises(
        NotebookFailed, match="failed: the process that executes the notebook ended with 1, saying: .*No mod"
    ):
        execute("1")


def test_a_kernel_that_does_not_start_is_told(execute, tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(NotebookFailed, match=r"^failed: the kernel did not start \(RuntimeError: Kernel died"):
        execute("1")


# Parameters are never code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["z = 1; import os; y", "a b", "", "class", "a.b", "a\n", "é", "1a"])
def test_names_of_parameters_are_never_code(tmp_path, name):
    """Papermill writes the names as they are: `{"z = 1; import os; y": 1}` would run."""
    with pytest.raises(ValueError, match="must be named by a plain Python identifier"):
        execute_notebook(tmp_path / "none.ipynb", tmp_path / "t.ipynb", {name: 1}, environment={})
    assert not list(tmp_path.iterdir())


def test_values_of_parameters_are_never_code(execute):
    values = ['"; import os; os._exit(3) #', "'''", "\\", "{a}", "line\nbreak", "%time", "é\u2028", "__import__('os')"]
    notebook = execute("import json\nprint(json.dumps(a))", parameters={"a": values})
    assert json.loads(printed(notebook)) == values


def test_numbers_arrive_as_they_are(execute):
    values = [1e-3, 1, True, None, 0.1 + 0.2, -0.0, 10**30]
    assert printed(execute("print(repr(a))", parameters={"a": values})) == f"{values!r}\n"


# Where it runs --------------------------------------------------------------------------------------------------


def test_braces_in_a_path_are_no_fields(execute, tmp_path):
    """Papermill formats its paths with the parameters."""
    assert printed(execute("print(a)", name="{a} {b}", parameters={"a": 5})) == "5\n"
    assert (tmp_path / "{a} {b}.ipynb").is_file()


def test_a_temporary_folder_too_long_for_a_socket_falls_back_to_tcp(execute, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    connection = (
        "from ipykernel.connect import get_connection_info\nprint(get_connection_info(unpack=True)['transport'])"
    )
    assert printed(execute(connection)) == "tcp\n"
    assert not list(deep.iterdir())
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert printed(execute(connection)) == "ipc\n"


def test_streams_are_coalesced(execute):
    notebook = execute("import time\nfor i in range(5):\n    print(i, end=' ', flush=True); time.sleep(0.05)")
    assert [o.text for o in notebook.cells[-1].outputs] == ["0 1 2 3 4 "]


def at_once(execute, count, width):
    with ThreadPoolExecutor(width) as pool:
        runs = [pool.submit(execute, f"print({n})", name=f"n{n}") for n in range(count)]
        assert [printed(run.result()) for run in runs] == [f"{n}\n" for n in range(count)]


def test_each_of_several_at_once_has_its_own_working_folder(tmp_path):
    """Papermill changes the folder of its whole process, which is ours to share with nobody."""

    def run(name):
        (tmp_path / name).mkdir()
        cell = new_code_cell("import os, time\ntime.sleep(1)\nprint(os.getcwd())", id="one")
        nbformat.write(new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
        execute_notebook(tmp_path / f"{name}.ipynb", tmp_path / name / "target.ipynb", {}, environment={})
        return printed(nbformat.read(tmp_path / name / "target.ipynb", as_version=4))

    before = os.getcwd()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, "ab")) == [f"{tmp_path / name}\n" for name in "ab"]
    assert os.getcwd() == before


def test_several_at_once_do_not_meet(execute):
    """Each has processes and an address of its own, so that even threads can start them."""
    at_once(execute, 3, 3)


@pytest.mark.long
def test_forty_at_once_do_not_meet(execute):
    at_once(execute, 40, 40)


# A kernel that is there before its notebook ---------------------------------------------------------------------


def test_a_kernel_waits_for_its_notebook_with_its_modules_loaded_and_no_name_bound(tmp_path):
    look = "import sys, os\nprint('colorsys' in sys.modules, os.environ['LATER'], os.getcwd())"
    names = "print(sorted(n for n in dir() if not n.startswith('_') and n not in ('In', 'Out', 'get_ipython')))"
    cells = [new_code_cell(names, id="names"), new_code_cell(look, id="look")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "s.ipynb")
    with kernel_at_hand({"REDRAW_TEST": str(tmp_path)}, ["colorsys", "no_such_module"]) as execute:
        wait_for(lambda: len(ours(tmp_path)) == 2)  # before anything was asked
        execute(tmp_path / "s.ipynb", tmp_path / "t.ipynb", {}, environment={"LATER": "7"})
    notebook = saved(tmp_path, "t")
    assert [c.execution_count for c in notebook.cells] == [1, 2]
    assert printed(notebook) == f"['exit', 'open', 'quit']\nTrue 7 {tmp_path}\n"
    assert not ours(tmp_path)


def test_a_kernel_that_nothing_is_asked_of_goes_too(tmp_path):
    with kernel_at_hand({"REDRAW_TEST": str(tmp_path)}):
        wait_for(lambda: ours(tmp_path))
    assert not ours(tmp_path)


def test_a_kernel_killed_while_it_waits_is_told(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("1", id="one")]), tmp_path / "s.ipynb")
    with kernel_at_hand({"REDRAW_TEST": str(tmp_path)}) as execute:
        wait_for(lambda: len(ours(tmp_path)) == 2)
        wait_for(lambda: any("ipykernel" in " ".join(p.cmdline()) for p in ours(tmp_path)))
        (kernel,) = (p for p in ours(tmp_path) if "ipykernel" in " ".join(p.cmdline()))
        time.sleep(3)  # until it waits
        kernel.kill()
        with pytest.raises(NotebookFailed, match=r"^(killed|failed): the kernel d"):
            execute(tmp_path / "s.ipynb", tmp_path / "t.ipynb", {}, environment={})


def test_what_a_notebook_imports():
    cells = [
        {"cell_type": "code", "source": "import a.b, c\nfrom d import e\nif 1:\n    from . import f"},
        {"cell_type": "markdown", "source": "import not_code"},
    ]
    assert imported({"cells": cells}) == ["a.b", "c", "d", "d.e"]


# Nothing stays --------------------------------------------------------------------------------------------------


def test_what_a_cell_started_and_left_is_ended_too(execute, tmp_path):
    leave = "import subprocess, sys\nfor own in (True, False):\n"
    leave += "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=own)"
    execute(leave)
    assert not ours(tmp_path)


def test_an_interrupt_of_the_wait_ends_all_and_keeps_the_notebook(execute, tmp_path):
    class Interrupt(BaseException):
        pass

    def interrupt(*_):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    watch = ThreadPoolExecutor(1).submit(alarm_when_there_is, tmp_path / "begun")
    try:
        with pytest.raises(Interrupt):
            execute("print('got here', flush=True)\nopen('begun', 'w').close()\nimport time\ntime.sleep(600)", "1")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert watch.result()
    assert not ours(tmp_path)
    assert "got here" in printed(saved(tmp_path))


def alarm_when_there_is(path, seconds=60.0):
    for _ in range(int(seconds / 0.05)):
        if path.exists():
            os.kill(os.getpid(), signal.SIGALRM)
            return True
        time.sleep(0.05)
    return False


ALONE = """
    import sys
    from pathlib import Path
    from redraw.workbook._notebooks import execute_notebook
    folder = Path(sys.argv[1])
    execute_notebook(folder / "s.ipynb", folder / "t.ipynb", {}, environment={"REDRAW_TEST": str(folder)})
"""


def test_a_killed_caller_takes_the_kernel_with_it(tmp_path):
    cell = new_code_cell("open('begun', 'w').close()\nwhile True: pass", id="one")
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "s.ipynb")
    (tmp_path / "alone.py").write_text(textwrap.dedent(ALONE))
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    caller = subprocess.Popen([sys.executable, str(tmp_path / "alone.py"), str(tmp_path)], env=environment)
    try:
        wait_for(lambda: (tmp_path / "begun").exists() or caller.poll() is not None)
        assert len(ours(tmp_path)) == 2  # papermill and the kernel
        caller.kill()
        caller.wait()
        wait_for(lambda: not ours(tmp_path))
        wait_for(lambda: not list((tmp_path / "tmp").glob("redraw-*")))
    finally:
        caller.kill()
        for process in ours(tmp_path):
            process.kill()


def wait_for(true, seconds=60.0):
    """Until `true()`: the bound is for a failure only."""
    for _ in range(int(seconds / 0.05)):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_the_mark_reaches_no_other_process(execute):
    assert printed(execute(f"import os\nprint(len(os.environ['{MARK}']))")) == "32\n"
    assert MARK not in os.environ
