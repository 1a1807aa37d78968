"""Where a claim stands, asked in every way that there is: one answer."""

import csv
import json
import types

import pytest
from rich.console import Console

from redraw import cli
from redraw.workbook import Samples
from redraw.workbook._board import write_board
from redraw.workbook._standing import standings

LOW, HIGH = Samples.of([95.4, 95.1, 95.6]), Samples.of([99.0, 99.1, 98.9])
SILENT = Samples.not_tested("this run made no such networks")


@pytest.fixture
def project(tmp_path, make_card):
    """A project of one card without a notebook or code."""
    made = types.SimpleNamespace(reports=tmp_path / "reports", study=make_card())
    made.card, made.studies = (lambda name: made.study), (lambda: [made.study.study])
    return made


@pytest.fixture
def publish(project, make_version):
    """`publish("0001-laptop", L4=..., L2a=...)`: a version of the study that measured this and nothing else."""

    def make(name, **samples):
        return make_version(project.study, name=f"{name}-ab12cd34", preset=name.partition("-")[2], samples=samples)

    return make


def where(project, preset=None):
    """Claim: version and outcome."""
    found = standings(project.reports, project.study, preset)
    return {id: (version.name.rpartition("-")[0], ruling["outcome"]) for id, (version, ruling) in found.items()}


def test_a_claim_stands_where_the_strongest_preset_tested_it_last(project, publish):
    publish("0001-paper", L6=Samples.of([0.5, 0.6, 0.55]))
    publish("0002-laptop", L4=LOW, L2a=LOW)
    publish("0003-laptop", L4=HIGH, L2a=SILENT)
    publish("0004-laptop", L4=SILENT, L6=Samples.of([1.5, 1.6, 1.55]))
    found = where(project)
    assert list(found) == [claim.id for claim in project.study.claims]
    assert found["L6"] == ("0001-paper", "reproduced"), "the newer laptop run contradicts it, and is weaker"
    assert found["L4"] == ("0003-laptop", "reproduced"), "by the newest laptop run that tested it"
    assert found["L2a"] == ("0002-laptop", "reproduced")
    assert found["L7"] == ("0001-paper", "not_tested"), "tested by none: the newest of the strongest preset"
    assert where(project, "laptop")["L6"] == ("0004-laptop", "contradicted")
    assert where(project, "smoke") == {}


def test_what_was_blocked_was_not_tested(project, publish):
    publish("0001-smoke", L6=Samples.of([0.5, 0.6, 0.55]))
    publish("0002-laptop", L6=Samples.blocked("cifar10 could not be reached"))
    assert where(project)["L6"] == ("0001-smoke", "reproduced")
    assert where(project, "laptop")["L6"] == ("0002-laptop", "blocked")


@pytest.mark.parametrize("file, text", [("results.json", "{"), ("results.json", "[]"), ("run.json", "{")])
def test_a_version_that_cannot_be_read_is_passed_over(project, publish, file, text):
    publish("0001-laptop", L4=HIGH)
    (publish("0002-laptop", L4=LOW) / file).write_text(text)
    assert where(project)["L4"] == ("0001-laptop", "reproduced")


@pytest.mark.parametrize("claims", [None, 5, "L4", ["L4"], [{"id": "L4"}]])
def test_a_forged_list_of_claims_says_nothing(project, publish, claims):
    folder = publish("0001-laptop", L4=HIGH)
    results = json.loads((folder / "results.json").read_text()) | {"claims": claims}
    (folder / "results.json").write_text(json.dumps(results))
    found = standings(project.reports, project.study)
    assert [*found] == [claim.id for claim in project.study.claims]
    assert {ruling["outcome"] for _, ruling in found.values()} == {"not_tested"}


def test_claims_that_came_and_went(project, publish, make_card):
    publish("0001-laptop", L4=HIGH)
    claims = [claim.model_dump() for claim in project.study.claims]
    project.study = make_card(claims=[claims[-1] | {"id": "L8"}, *claims[:-1]])
    found = where(project)
    assert found["L8"] == ("0001-laptop", "not_tested") and found["L4"] == ("0001-laptop", "reproduced")
    assert "L7" in found, "the newest version ruled on it"
    publish("0002-laptop", L4=SILENT)
    assert "L7" not in where(project) and where(project)["L4"] == ("0001-laptop", "reproduced")


# All who are asked ----------------------------------------------------------------------------------------------


@pytest.fixture
def left_out(project, publish):
    """Two runs of the laptop preset, of which the newer left out what the older decided, and a smoke run."""
    publish("0001-laptop", L2a=LOW, L4=HIGH)
    publish("0002-laptop", L2a=SILENT, L4=LOW)
    publish("0003-smoke", L4=HIGH)
    return project


@pytest.fixture
def redraw(project, monkeypatch, capsys):
    """`redraw("list")`: what the command prints."""
    monkeypatch.setattr(cli, "find_project", lambda: project)
    monkeypatch.setattr(cli, "out", Console(width=200, highlight=False))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["redraw", *arguments])
        assert cli._exit_code() == 0
        return capsys.readouterr().out

    return run


def test_the_commands_and_the_board_say_the_same(left_out, redraw):
    rows = json.loads(redraw("board", "--json"))
    told = {row["id"]: (row["version"].rpartition("-")[0], row["outcome"]) for row in rows}
    assert told == where(left_out)
    assert told["L2a"] == ("0001-laptop", "reproduced") and told["L4"] == ("0002-laptop", "contradicted")
    (study,) = json.loads((left_out.reports / "index.json").read_text())["studies"]
    assert {claim["id"]: (claim["version"].rpartition("-")[0], claim["outcome"]) for claim in study["stands"]} == told
    (listed,) = json.loads(redraw("list", "--json"))
    assert listed["outcomes"] == [outcome for _, outcome in told.values()]
    assert listed["newest"] == "0002-laptop-ab12cd34"
    assert "1 reproduced, 1 contradicted" in redraw("list")


def test_the_terminal_shows_the_version_of_each_claim(left_out, redraw):
    lines = redraw("board").splitlines()
    (line,) = [line for line in lines if "L2a" in line]
    assert "0001 laptop" in line and "✓ reproduced" in line
    (line,) = [line for line in lines if "L4" in line]
    assert "0002 laptop" in line and "✗ contradicted" in line


def test_the_json_of_the_board_keeps_its_fields(left_out, redraw):
    rows = json.loads(redraw("board", "--json"))
    ruled = json.loads((left_out.reports / "lottery_ticket" / "0001-laptop-ab12cd34" / "results.json").read_text())
    (L2a,) = [claim for claim in ruled["claims"] if claim["id"] == "L2a"]
    assert [row for row in rows if row["id"] == "L2a"] == [
        {"study": "lottery_ticket", "version": "0001-laptop-ab12cd34", **L2a}
    ]


def test_a_claim_without_a_ruling_is_listed_with_the_same_fields(left_out, redraw, make_card):
    claims = [claim.model_dump() for claim in left_out.study.claims]
    left_out.study = make_card(claims=[*claims, claims[-1] | {"id": "L8"}])
    rows = json.loads(redraw("board", "--json"))
    (other, new) = [row for row in rows if row["id"] in ("L7", "L8")]
    assert new.keys() == other.keys() and new["strength"].keys() == other["strength"].keys()
    assert new["outcome"] == "not_tested" and "L8" in redraw("board")


def test_the_tables_have_the_older_version_in_which_a_claim_stands(left_out):
    write_board(left_out.reports, [left_out.study])
    rows = list(csv.DictReader((left_out.reports / "index.csv").open(newline="")))
    standing = [
        (row["id"], row["version"].rpartition("-")[0], row["outcome"]) for row in rows if row["stands"] == "true"
    ]
    assert sorted(standing) == sorted((id, *rest) for id, rest in where(left_out).items()), "each claim once"
    order = ["0002-laptop", "0001-laptop", "0003-smoke"]
    assert list(dict.fromkeys(row["version"].rpartition("-")[0] for row in rows)) == order
    (study,) = json.loads((left_out.reports / "index.json").read_text())["studies"]
    assert [version["version"].rpartition("-")[0] for version in study["versions"]] == order


def test_the_tables_leave_out_an_older_version_in_which_nothing_stands(project, publish):
    publish("0001-laptop", L4=HIGH)
    publish("0002-laptop", L4=LOW)
    write_board(project.reports, [project.study])
    rows = csv.DictReader((project.reports / "index.csv").open(newline=""))
    assert {row["version"] for row in rows} == {"0002-laptop-ab12cd34"}
