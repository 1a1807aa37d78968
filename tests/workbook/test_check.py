"""`redraw check` and the manners of notebooks: what is changed, forged, drifted or empty is found and named."""

import hashlib
import json
import shutil

import nbformat
import pytest

from redraw.workbook import Project, Samples, check_project, rule
from redraw.workbook._card import load_card
from redraw.workbook._check import notebook_problems
from redraw.workbook._notebooks import execute_notebook


@pytest.fixture(scope="module")
def published(make_checkout, tmp_path_factory):
    """A checkout whose notebook is executed and stored, with one version."""
    done = make_checkout(tmp_path_factory.mktemp("published"))
    notebook = nbformat.read(done.notebook, as_version=4)
    notebook.cells[-1].metadata["tags"] = ["nbval-check-output"]
    nbformat.write(notebook, done.notebook)
    target = done.root.parent / "executed.ipynb"
    execute_notebook(done.notebook, target, {}, environment=done.env)
    shutil.copy(target, done.notebook)
    ran = done.redraw("run", "tiny", "--preset", "smoke", "--jobs", "1")
    assert ran.code == 0, ran
    return done


@pytest.fixture
def project(published, tmp_path, enter):
    """A copy to break, and what `check` finds in it."""
    for name in ("params", "notebooks", "reports"):
        shutil.copytree(published.root / name, tmp_path / name)
    enter(published)
    return Project(tmp_path)


def problems(project):
    return [f"{place}: {problem}" for place, problem in check_project(project)]


def version(project):
    (path,) = (project.reports / "tiny").glob("0001-*")
    return path


def reseal(path):
    """What a forger does who knows of the manifest."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "MANIFEST.sha256")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(path).as_posix()}\n" for p in files]
    (path / "MANIFEST.sha256").write_text("".join(lines))


def change(path, edit):
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_nothing_is_wrong_with_what_nobody_touched(project):
    assert problems(project) == []


# Reports --------------------------------------------------------------------------------------------------------

FILES = ["report.html", "report.ipynb", "results.json", "run.json", "trials.csv"]


@pytest.mark.parametrize("name", FILES)
def test_a_report_edited_by_hand_is_found(project, name):
    path = version(project) / name
    path.write_bytes(path.read_bytes() + b" ")
    assert problems(project) == [f"reports/tiny/{version(project).name}: {name} was changed after the run"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_found(project, name):
    (version(project) / name).unlink()
    assert problems(project) == [f"reports/tiny/{version(project).name}: {name} is missing"]
    reseal(version(project))
    assert f"{name} is missing" in problems(project)[0]


def test_a_file_that_came_later_is_found(project):
    (version(project) / "more.csv").write_text("a,b\n")
    assert "more.csv is not in the manifest" in problems(project)[0]


def test_a_link_is_no_file_of_a_report(project, tmp_path):
    path = version(project) / "report.html"
    path.rename(tmp_path / "elsewhere.html")
    path.symlink_to(tmp_path / "elsewhere.html")
    assert "report.html was changed after the run" in problems(project)[0]


@pytest.mark.parametrize("text", ["", "x", "deadbeef  report.html\n", "\x00"])
def test_a_manifest_that_is_none_is_found(project, text):
    (version(project) / "MANIFEST.sha256").write_text(text)
    assert problems(project)


def test_a_verdict_that_does_not_follow_from_the_trials_is_found(project):
    """The forger recomputed the manifest."""
    was = json.loads((version(project) / "results.json").read_text())["claims"][0]["outcome"]
    forged = "contradicted" if was != "contradicted" else "reproduced"
    change(version(project) / "results.json", lambda d: d["claims"][0].update(outcome=forged))
    reseal(version(project))
    (line,) = problems(project)
    assert line.endswith(f"the verdict on C1 does not follow from trials.csv: outcome {forged!r}, now {was!r}")


def test_a_measured_value_that_does_not_follow_is_found(project):
    change(version(project) / "results.json", lambda d: d["claims"][0].update(measured=0.5))
    reseal(version(project))
    assert "does not follow from trials.csv: measured 0.5, now 0." in problems(project)[0]


def test_forged_trials_are_found_by_the_verdicts(project):
    path = version(project) / "trials.csv"
    head, *rows = path.read_text().splitlines()
    at = head.split(",").index("mean")
    rows = [",".join("0.9" if n == at else field for n, field in enumerate(row.split(","))) for row in rows]
    path.write_text("\n".join([head, *rows]) + "\n")
    reseal(version(project))
    assert any("the verdict on C1 does not follow from trials.csv" in line for line in problems(project))


@pytest.mark.parametrize(("name", "text"), [("trials.csv", "a,b\n1,2\n"), ("results.json", "{"), ("run.json", "[]")])
def test_a_forged_file_that_cannot_be_read_is_a_line_not_an_error(project, name, text):
    (version(project) / name).write_text(text)
    reseal(version(project))
    (line,) = problems(project)
    assert "its verdicts cannot be computed again (" in line and "\n" not in line


@pytest.mark.parametrize("edit", [lambda d: d.update(claims=[]), lambda d: d["claims"].append({"id": "C9"})])
def test_a_verdict_too_few_or_too_many_is_found(project, edit):
    change(version(project) / "results.json", edit)
    reseal(version(project))
    assert "does not follow from trials.csv" in problems(project)[0]


# Older versions in which a claim stands ---------------------------------------------------------------------------


@pytest.fixture
def left_out(project):
    """A newer version of the preset, which trained nothing for the claim."""
    newer = version(project).with_name("0002-smoke-ab12cd34")
    shutil.copytree(version(project), newer)
    (newer / "trials.csv").write_text("\n")
    card = project.card("tiny")
    samples = {"C1": Samples.not_tested("no trials")}
    ruled = [verdict.to_dict() for verdict in rule(card, samples, "smoke", card.resolve("smoke"))]
    change(newer / "results.json", lambda d: d.update(claims=json.loads(json.dumps(ruled)), version=newer.name))
    reseal(newer)
    return project


def of_the_older(project):
    return [line for line in problems(project) if line.startswith(f"reports/tiny/{version(project).name}")]


def test_a_claim_that_stands_in_an_older_version_is_computed_again(left_out):
    assert problems(left_out) == []
    change(version(left_out) / "results.json", lambda d: d["claims"][0].update(measured=0.7))
    reseal(version(left_out))
    (line,) = problems(left_out)
    assert line.startswith(f"reports/tiny/{version(left_out).name}: the verdict on C1 does not follow from trials.csv")


def test_an_older_version_in_which_nothing_stands_is_history(left_out):
    newest = version(left_out).with_name("0003-smoke-ab12cd34")
    shutil.copytree(version(left_out), newest)
    change(version(left_out) / "results.json", lambda d: d["claims"][0].update(measured=0.7))
    reseal(version(left_out))
    assert problems(left_out) == []


def test_what_the_preset_is_now_is_nothing_to_an_older_version(left_out):
    card = left_out.root / "params" / "tiny.yaml"
    card.write_text(
        card.read_text().replace("seeds: 3, seconds: 0.0, dataset: none", "seeds: 3, seconds: 0.0, dataset: mnist")
    )
    assert left_out.card("tiny").resolve("smoke")["dataset"] == "mnist"
    assert problems(left_out) and not of_the_older(left_out), "only the newest must be the preset's own"


def test_claims_that_came_later_are_nothing_to_an_older_version(left_out):
    """Its verdicts were adjusted for the claims of its own card."""
    card = left_out.root / "params" / "tiny.yaml"
    claim = card.read_text().partition("claims:\n")[2]
    card.write_text(card.read_text() + claim.replace("id: C1", "id: C2"))
    lines = problems(left_out)
    assert any("claim C2 has drifted: was absent" in line for line in lines) and not of_the_older(left_out)


def test_a_standing_claim_that_changed_is_drift(left_out):
    card = left_out.root / "params" / "tiny.yaml"
    card.write_text(card.read_text().replace("margin: 0.05", "margin: 0.5"))
    (line,) = of_the_older(left_out)
    assert "claim C1 has drifted: was " in line and '"margin": 0.5' in line


# Drift ----------------------------------------------------------------------------------------------------------


def test_a_criterion_that_changed_is_drift_with_both_shown(project):
    card = project.root / "params" / "tiny.yaml"
    card.write_text(card.read_text().replace("margin: 0.05", "margin: 0.5"))
    (line,) = problems(project)
    before, _, after = line.partition(", is ")
    assert "claim C1 has drifted: was " in before and '"margin": 0.05' in before and '"margin": 0.5' in after


def test_a_claim_that_came_or_went_is_drift(project):
    card = project.root / "params" / "tiny.yaml"
    card.write_text(card.read_text().replace("id: C1", "id: C2"))
    lines = [line for line in problems(project) if "drifted" in line]
    assert len(lines) == 2 and lines[0].endswith("is absent") and "claim C2 has drifted: was absent" in lines[1]


def test_words_may_be_mended(project):
    card = project.root / "params" / "tiny.yaml"
    card.write_text(card.read_text().replace("The mean of a uniform number is", "A uniform number's mean is"))
    assert problems(project) == []


def test_a_broken_card_does_not_hide_a_changed_report(project):
    (project.root / "params" / "tiny.yaml").write_text("study: [")
    (version(project) / "run.json").write_text("{}")
    assert [line.partition(":")[0] for line in problems(project)] == ["tiny", f"reports/tiny/{version(project).name}"]


# Notebooks ------------------------------------------------------------------------------------------------------


def cell(notebook, kind, source, **more):
    notebook["cells"].insert(-2, {"cell_type": kind, "source": source, "metadata": {}, **more})


def set_source(index, old, new):
    def edit(notebook):
        source = notebook["cells"][index]["source"]
        assert old in source
        notebook["cells"][index]["source"] = source.replace(old, new)

    return edit


LONG = "def f():\n" + "".join(f"    x{n} = {n}\n" for n in range(5))
NOTEBOOKS = {
    "table": (set_source(0, "| C1 |", "| C2 |"), "the first cell must hold the claims table; claims without a row: C1"),
    "first": (lambda n: n["cells"][0].update(cell_type="raw"), "claims without a row: C1"),
    "default": (set_source(1, "seeds: int = 3", "seeds: int = 4"), "smoke preset: seeds (4; the card has 3)"),
    "type": (set_source(1, "= 0.0", "= 0"), "smoke preset: seconds (0; the card has 0.0)"),
    "lost": (set_source(1, "seeds: int = 3", "other: int = 3"), "other (3; the card has nothing), seeds (nothing; the"),
    "untyped": (set_source(1, "seeds: int", "seeds"), "a parameter must be one line `name: type = value  # help`"),
    "unhelped": (set_source(1, "  # independent repetitions", ""), "is 'seeds: int = 3'"),
    "computed": (set_source(1, "= 3 ", "= 1 + 2 "), "a parameter must be one line"),
    "second": (lambda n: n["cells"].insert(1, n["cells"][2]), "the parameters cell must be the second, is number 3"),
    "verdicts": (set_source(3, "print(verdict_table(verdicts))", "verdicts"), "the last code cell must print verdict"),
    "untagged": (lambda n: n["cells"][3]["metadata"].clear(), "must be tagged nbval-check-output"),
    "nothing": (lambda n: n["cells"][3]["metadata"].clear(), "no cell is tagged nbval-check-output: nothing would be"),
    "stripped": (lambda n: n["cells"][3].update(outputs=[]), "a cell to compare has no stored output"),
    "uncounted": (lambda n: n["cells"][3].update(execution_count=None), "a cell to compare has no stored output"),
    "error": (
        lambda n: n["cells"][3].update(outputs=[{"output_type": "error"}]),
        "a cell to compare ended in an error",
    ),
    "long cell": (lambda n: cell(n, "code", "x = 1\n" * 16), "a cell has 16 lines, more than 15: 'x = 1'"),
    "long function": (lambda n: cell(n, "code", LONG), "f has 6 lines, more than 5: it belongs in lib"),
    "no prose": (lambda n: [cell(n, "code", f"x = {i}") for i in range(2)], "prose must come before 'x = 1'"),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_manners_of_notebooks(project, name):
    edit, words = NOTEBOOKS[name]
    notebook = project.notebook("tiny")
    edit(notebook)
    found = list(notebook_problems(project.card("tiny"), notebook))
    assert [line for line in found if words in line], found


def test_a_good_notebook_has_none(project):
    assert list(notebook_problems(load_card(project.root / "params" / "tiny.yaml"), project.notebook("tiny"))) == []


def test_the_command_lists_them_and_fails(published):
    good = published.redraw("check")
    assert good.code == 0 and "all is as it should be" in good.out
