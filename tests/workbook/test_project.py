"""Where a project is found, and what of a study is missing or malformed."""

import json

import pytest

from redraw.workbook import CardError, NotebookError, ParameterError, Project, find_project


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    monkeypatch.delenv("REDRAW_HOME", raising=False)


def test_a_project_is_found_from_within(checkout, monkeypatch):
    monkeypatch.chdir(checkout.root / "notebooks")
    assert find_project() == find_project(checkout.root) == Project(checkout.root)


def test_redraw_home_comes_before_the_working_folder(checkout, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDRAW_HOME", str(checkout.root))
    assert find_project() == Project(checkout.root)


def test_a_home_that_is_none_is_refused_and_not_replaced(monkeypatch, tmp_path):
    monkeypatch.setenv("REDRAW_HOME", str(tmp_path))
    with pytest.raises(ParameterError, match=r"^REDRAW_HOME: must be a checkout \(with params/ and notebooks/\), got"):
        find_project()
    with pytest.raises(ParameterError, match="^project: "):
        find_project(tmp_path / "none")


def test_outside_of_any_checkout_it_is_the_one_of_this_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "lottery_ticket" in find_project().studies()


def test_a_study_is_known_by_its_card(checkout):
    project = Project(checkout.root)
    assert project.studies() == ["tiny"] and project.card("tiny").title == "A tiny study"
    for name in ("tinny", "", "../params/tiny", "tiny.yaml", "/etc/passwd"):
        with pytest.raises(ParameterError, match="must be one of tiny$"):
            project.card(name)


def test_the_name_of_the_preset_is_taken(checkout):
    checkout.card.write_text(checkout.card.read_text().replace("dataset", "preset"))
    with pytest.raises(CardError, match="parameters.preset: must have another name"):
        Project(checkout.root).card("tiny")


@pytest.mark.parametrize("source", ["x = = 1", "!ls", "%time x", "def f(:", "x = '\x00'", "(" * 500])
def test_code_that_is_not_python_is_refused_in_one_line(checkout, source):
    checkout.write_notebook("x = 1", source)
    with pytest.raises(NotebookError) as caught:
        Project(checkout.root).notebook("tiny")
    assert str(caught.value).startswith("notebooks/tiny.ipynb: code cell 3") and "\n" not in str(caught.value)


def test_sources_may_be_lists_of_lines(checkout):
    notebook = json.loads(checkout.notebook.read_text())
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    checkout.notebook.write_text(json.dumps(notebook))
    assert Project(checkout.root).notebook("tiny")["cells"][1]["source"].startswith("preset: str")


def test_a_module_is_found_without_being_loaded():
    project = find_project()
    assert project.find_module("lottery_ticket") == "redraw.studies.lottery_ticket"
    with pytest.raises(NotebookError, match=r"^lib/redraw/studies/none.py: is missing; `redraw new none` writes"):
        project.find_module("none")
