"""`redraw diff`: what changed between two committed versions, and the verdicts that moved."""

import json
import types

import pandas as pd
import pytest

from redraw import cli
from redraw.workbook import ParameterError, Samples, versions
from redraw.workbook._diff import changes, diff
from redraw.workbook._records import RECORDS, write_records
from redraw.workbook._versions import find_version

SEEDS = range(3)


@pytest.fixture
def project(tmp_path, make_card):
    card = make_card()
    return types.SimpleNamespace(reports=tmp_path / "reports", card=lambda study: card, studies=lambda: [card.study])


@pytest.fixture
def publish(make_version, make_card):
    """Publish a version: changes of run.json by name, trial keys from `salt`, samples that replace the usual; with
    records if there is a `stack` of them, or one of what the trials `need`."""

    def make(
        number,
        *,
        preset="laptop",
        salt="",
        seeds=SEEDS,
        card=None,
        samples=None,
        parameters=None,
        stack=None,
        need=None,
        **run,
    ):
        card = card or make_card()
        name = f"{number:04d}-{preset}-ab12cd34ef"
        folder = make_version(card, name=name, preset=preset, samples=samples, parameters=parameters)
        rows = [{"function": "ticket", "seed": seed, "key": f"{salt}{seed}"} for seed in seeds]
        pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
        if stack is not None:
            bodies = {row["key"]: {"stack": stack, "needs": {"one": f"{salt}need"} if need else {}} for row in rows}
            write_records(folder / RECORDS, bodies | ({f"{salt}need": {"stack": need}} if need else {}))
        record = json.loads((folder / "run.json").read_text())
        record["libraries"] |= {"torch": "2.13.0", "numpy": "2.4.0"}
        record["libraries"] |= run.pop("libraries", {})
        (folder / "run.json").write_text(json.dumps(record | run))
        return folder

    return make


@pytest.fixture
def compare(project):
    def make(a="1", b="newest"):
        return diff(*(find_version(project, "lottery_ticket", name) for name in (a, b)))

    return make


def test_the_same_again_differs_in_nothing(publish, compare):
    publish(1)
    publish(2)
    found = compare()
    for name in ("setting", "parameters", "code", "data", "libraries", "claims"):
        assert found[name] == {}, name
    assert found["trials"] == {"ticket": {"a": 3, "b": 3, "same": 3, "why": ""}}
    assert not any(row["moved"] for row in found["verdicts"]) and changes(found) == []
    assert [row["id"] for row in found["verdicts"]] == ["L0", "L1", "L2a", "L2b", "L3", "L4", "L5", "L6", "L7"]


def test_every_kind_of_difference_is_found_with_both_sides(publish, compare, make_card):
    card = make_card()
    narrow = card.claim("L2b").model_dump() | {
        "criterion": {"margin": 0.01, "basis": "other words"},
        "statement": "Mended words.",
    }
    claims = [narrow if claim.id == "L2b" else claim.model_dump() for claim in card.claims if claim.id != "L7"]
    publish(1)
    publish(
        2,
        card=make_card(claims=claims),
        preset="paper",
        salt="new",
        seeds=range(5),
        samples={"L2b": Samples.of([0.3, 0.31, 0.29]), "L0": Samples.exact([0.0] * 7)},
        parameters={"rounds": 12},
        code={"commit": "f" * 40, "uncommitted": None},
        data={"mnist": {"train-images-idx3-ubyte": "0" * 64}},
        libraries={"torch": "2.14.0", "library3": "9"},
        python="3.12.1",
        level=0.99,
    )
    found = compare()
    assert found["versions"] == ["0001-laptop-ab12cd34ef", "0002-paper-ab12cd34ef"]
    assert found["setting"] == {"preset": ["laptop", "paper"], "level": [0.95, 0.99], "python": ["3.11.9", "3.12.1"]}
    assert found["parameters"] == {"rounds": [9, 12], "seeds": [[0, 1, 2], [0, 1, 2, 3, 4]]}
    assert found["code"] == {"commit": ["0123456789abcdef0123456789abcdef01234567", "f" * 40]}
    assert found["data"] == {"mnist.train-images-idx3-ubyte": ["ba891046e6505d7a" * 4, "0" * 64]}
    assert found["libraries"] == {"torch": ["2.13.0", "2.14.0"], "library3": ["1.3", "9"]}
    assert found["claims"] == {"L2b": {"criterion.margin": [0.2, 0.01]}, "L7": {"present": [True, False]}}
    ticket = found["trials"]["ticket"]
    assert (ticket["a"], ticket["b"], ticket["same"]) == (3, 5, 0)
    assert ticket["why"] == "parameters (rounds), data, libraries (torch), and perhaps code"
    rows = {row["id"]: row for row in found["verdicts"]}
    moved = [id for id, row in rows.items() if row["moved"]]
    assert {"L0", "L2b", "L7"} <= set(moved) and "L6" in moved
    both = rows["L2b"]["a"], rows["L2b"]["b"]
    assert [side["outcome"] for side in both] == ["reproduced", "contradicted"]
    assert both[1]["measured"] == pytest.approx(0.3) and both[1]["interval"][0] < 0.3 < both[1]["interval"][1]
    assert both[0]["measured"] == pytest.approx(0.03, abs=0.1) and both[0]["interval"] != both[1]["interval"]
    assert rows["L7"]["b"] is None
    words = changes(found, "L2b")
    assert "L2b's criterion.margin 0.2 → 0.01" in words and "level 0.95 → 0.99" in words
    assert not any("L7" in word for word in words) and any("L7" in word for word in changes(found))


@pytest.mark.parametrize(
    "run, why",
    [
        ({}, "code: parameters, data and libraries are the same"),
        ({"libraries": {"numpy": "3"}}, "libraries (numpy), and perhaps code"),
        ({"libraries": {"library3": "3"}}, "code: parameters, data and libraries are the same"),
        ({"data": {}}, "data, and perhaps code"),
        ({"hardware": {"system": "Linux aarch64"}}, "kind of processor, and perhaps code"),
    ],
)
def test_changed_keys_are_explained_by_elimination(publish, compare, run, why):
    publish(1, hardware={"system": "Linux x86_64"})
    publish(2, salt="new", **{"hardware": {"system": "Linux x86_64"}, **run})
    assert compare()["trials"]["ticket"] == {"a": 3, "b": 3, "same": 0, "why": why}


USED = {"torch": "2.13.0", "numpy": "2.4.0", "machine": "x86_64"}


@pytest.mark.parametrize(
    "before, after, why",
    [
        ({"stack": USED}, {"stack": USED}, "code: parameters, data and libraries are the same"),
        ({}, {"stack": USED}, "code: parameters, data and libraries are the same"),
        (
            {"stack": USED | {"library3": "1.3"}},
            {"stack": USED | {"library3": "2.0"}, "libraries": {"library3": "2.0", "library4": "9"}},
            "libraries (library3), and perhaps code",
        ),
        (
            {"stack": USED | {"library3": "1.3"}},
            {"stack": USED | {"library3": "2.0"}, "libraries": {"library3": "2.0", "torch": "3.0"}},
            "libraries (torch, library3), and perhaps code",
        ),
        (
            {"stack": USED, "need": USED | {"library3": "1.3"}},
            {"stack": USED, "need": USED | {"library3": "2.0"}, "libraries": {"library3": "2.0"}},
            "libraries (library3), and perhaps code",
        ),
        (
            {"stack": USED},
            {"stack": USED | {"library3": "1.3"}},
            "which libraries the key holds (library3), and perhaps code",
        ),
        ({}, {"stack": USED | {"library3": "1.3"}}, "which libraries the key holds (library3), and perhaps code"),
        (
            {},
            {"stack": USED | {"library3": "2.0"}, "libraries": {"library3": "2.0"}},
            "libraries (library3), and perhaps code",
        ),
    ],
)
def test_a_library_is_named_where_the_trials_of_either_version_used_it(publish, compare, before, after, why):
    publish(1, **before)
    publish(2, salt="new", **after)
    assert compare()["trials"]["ticket"] == {"a": 3, "b": 3, "same": 0, "why": why}


def test_records_that_cannot_be_read_are_one_line(publish, compare):
    publish(1, stack=USED)
    (publish(2, salt="new", stack=USED) / RECORDS).write_bytes(b"no records")
    with pytest.raises(ParameterError, match=f"0002-laptop-ab12cd34ef/{RECORDS}: cannot be read") as caught:
        compare()
    assert "\n" not in str(caught.value)


def test_more_seeds_are_no_change_of_meaning(publish, compare):
    publish(1)
    publish(2, seeds=range(5), parameters={"seeds": [0, 1, 2, 3, 4]})
    assert compare()["trials"]["ticket"] == {"a": 3, "b": 5, "same": 3, "why": ""}
    assert changes(compare()) == ["seeds [0, 1, 2] → [0, 1, 2, 3, 4]"]


def test_a_version_is_found_by_number_name_and_newest(publish, project):
    for number, preset in ((1, "smoke"), (2, "laptop"), (12, "laptop")):
        publish(number, preset=preset)

    def named(name):
        return find_version(project, "lottery_ticket", name).number

    assert [named(name) for name in ("1", "0002", "12", "newest")] == [1, 2, 12, 12]
    assert named("0002-laptop-ab12cd34ef") == named("0002-l") == 2
    for name in ("3", "0003-laptop", "00", "", "9" * 30, "oldest", "../0001"):
        with pytest.raises(ParameterError, match="0001-smoke-ab12cd34ef, 0002-laptop") as caught:
            named(name)
        assert "\n" not in str(caught.value)


def test_a_study_without_versions_and_a_broken_file_are_one_line(publish, project, compare):
    with pytest.raises(ParameterError, match="has no version yet"):
        find_version(project, "lottery_ticket", "1")
    folder = publish(1)
    (folder / "run.json").write_text("{")
    with pytest.raises(ParameterError, match="0001-laptop-ab12cd34ef/run.json: cannot be read") as caught:
        compare("1", "1")
    assert "\n" not in str(caught.value)
    assert len(versions(project.reports, "lottery_ticket")) == 1


def test_trials_without_rows_and_unreadable_claims_still_compare(publish, compare):
    folder = publish(1, claims=[{"id": "OLD", "kind": "of an older release"}])
    (folder / "trials.csv").write_text("\n")
    publish(2)
    found = compare()
    assert found["trials"]["ticket"] == {"a": 0, "b": 3, "same": 0, "why": ""}
    assert found["claims"]["OLD"] == {"present": [True, False]}


def test_the_command_shows_what_moved(publish, project, monkeypatch, capsys, tmp_path):
    publish(1)
    publish(2, salt="new", samples={"L2b": Samples.of([0.3, 0.31, 0.29])}, parameters={"rounds": 12})
    monkeypatch.setattr(cli, "find_project", lambda: project)
    monkeypatch.setenv("REDRAW_STORE", str(tmp_path / "no-store"))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["redraw", "diff", "lottery_ticket", *arguments])
        return cli._exit_code(), capsys.readouterr()

    code, said = run("1", "newest", "--json")
    assert code == 0 and json.loads(said.out)["parameters"] == {"rounds": [9, 12]}
    code, said = run("1", "2")
    assert code == 0 and "Verdicts that moved: " in said.out and "L2b" in said.out.split("moved: ")[1]
    assert "rounds" in said.out and "✗ contradicted" in said.out and "0.3 [" in said.out
    code, said = run("1", "1")
    assert "Nothing that was recorded differs." in said.out and "No verdict moved." in said.out
    code, said = run("1", "7")
    assert code == 2 and said.err.startswith("redraw: version '7': must be one of ") and said.err.count("\n") == 1
    assert not (tmp_path / "no-store").exists(), "committed versions are enough"
