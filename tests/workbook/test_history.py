"""`redraw board --history`: each claim's estimate over the versions, and how its verdict got there."""

import json
import types

import numpy as np
import pandas as pd
import pytest

from redraw import cli
from redraw.workbook import Samples
from redraw.workbook._history import bars, history

FEW = np.array([0.1, 0.9, 0.2])
MANY = np.array([0.5, 0.9, 0.6, 0.7, 0.65, 0.8])


@pytest.fixture
def project(tmp_path, make_card):
    made = types.SimpleNamespace(reports=tmp_path / "reports", made=make_card())
    made.card = lambda study: made.made
    made.studies = lambda: [made.made.study]
    return made


@pytest.fixture
def publish(project, make_version):
    def make(number, values=FEW, *, preset="laptop", card=None, salt="", **run):
        seeds = list(range(len(values)))
        folder = make_version(
            card or project.made,
            name=f"{number:04d}-{preset}-ab12cd34ef",
            preset=preset,
            samples={"L2a": Samples.of(values), "L0": Samples.exact([51.3, 21.1, 13.5, 7.0, 3.6, 2.9, 1.9])},
            parameters={"seeds": seeds},
        )
        rows = [{"function": "ticket", "seed": seed, "key": f"{salt}{seed}"} for seed in seeds]
        pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(record | run))
        return folder

    return make


def of(project, id="L2a"):
    return next(row for row in history(project, project.made) if row["id"] == id)


def test_every_version_is_a_step_with_its_estimate_and_interval(project, publish):
    publish(1)
    publish(2, preset="paper")
    folder = publish(3, MANY)
    row = of(project)
    assert [step["version"][:4] for step in row["steps"]] == ["0001", "0002", "0003"]
    assert [step["outcome"] for step in row["steps"]] == ["inconclusive", "inconclusive", "reproduced"]
    assert row["region"] == [0.3, None] and row["unit"] == "pp"
    last, plain = row["steps"][-1], json.loads((folder / "results.json").read_text())["claims"][2]
    assert plain["id"] == "L2a" and last["measured"] == plain["measured"]
    assert (last["interval"], last["seeds"]) == (plain["strength"]["interval"], 6)
    assert [row["id"] for row in history(project, project.made)] == [claim.id for claim in project.made.claims]


def test_a_step_says_what_changed_since_the_last_of_its_preset(project, publish):
    publish(1)
    publish(2, preset="paper", salt="other")
    publish(3, MANY)
    publish(4, MANY, salt="new")
    steps = of(project)["steps"]
    assert [step["because"] for step in steps] == [
        [],
        [],
        ["seeds [0, 1, 2] → [0, 1, 2, 3, 4, 5]"],
        ["trials of ticket differ: code: parameters, data and libraries are the same"],
    ]


def test_a_verdict_that_moved_without_a_change_is_laid_to_the_rules(project, publish):
    publish(1)
    folder = publish(2)
    results = json.loads((folder / "results.json").read_text())
    results["claims"][2]["outcome"] = "contradicted"
    (folder / "results.json").write_text(json.dumps(results))
    assert of(project)["steps"][1]["because"] == ["the rules or the study's measure changed: nothing else did"]
    assert of(project, "L0")["steps"][1]["because"] == []


def test_drift_of_this_claim_is_told_and_that_of_another_is_not(project, publish, make_card):
    claims = [claim.model_dump() for claim in make_card().claims]
    old = [claim | ({"criterion": {"op": ">", "bound": 0.1}} if claim["id"] == "L2a" else {}) for claim in claims]
    publish(1, card=make_card(claims=old))
    publish(2)
    first, second = of(project)["steps"]
    assert (first["drifted"], second["drifted"]) == (True, False)
    assert second["because"] == ["L2a's criterion.bound 0.1 → 0.3"]
    assert not any(step["because"] or step["drifted"] for step in of(project, "L0")["steps"])
    assert bars(of(project))[0] == "", "another criterion's number is on another scale"


def test_bars_share_a_scale_and_show_where_the_claim_holds():
    def step(measured, interval, drifted=False):
        return {"measured": measured, "interval": interval, "drifted": drifted}

    steps = [step(2.0, [1.0, 3.0]), step(5.0, [4.0, None]), step(None, None), step([1.0, 2.0], None)]
    drawn = bars({"region": [3.0, None], "steps": steps}, width=21)
    assert [len(bar) for bar in drawn] == [21, 21, 0, 0]
    first, second = drawn[:2]
    assert first.index("├") < first.index("●") < first.index("┤") < first.index("░")
    assert abs(2 * first.index("●") - first.index("├") - first.index("┤")) <= 1, "in the middle, to a column"
    assert first.index("┤") + 1 == first.index("░"), "the interval ends where the region begins"
    assert first.endswith("░") and second.endswith("►") and second.index("├") > first.index("┤")
    assert bars({"region": None, "steps": [step(1.0, [1.0, 1.0])]}, width=9)[0].count("●") == 1
    assert bars({"region": [0, 1], "steps": []}) == []


def test_an_unreadable_version_is_left_out_and_a_study_without_any_says_so(project, publish):
    assert all(row["steps"] == [] for row in history(project, project.made))
    publish(1)
    (publish(2) / "results.json").write_text("{")
    assert [step["version"][:4] for step in of(project)["steps"]] == ["0001"]


def test_the_command(project, publish, monkeypatch, capsys):
    publish(1)
    publish(2, MANY)
    monkeypatch.setattr(cli, "find_project", lambda: project)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["redraw", "board", "--history", *arguments])
        return cli._exit_code(), capsys.readouterr().out

    code, said = run("--json")
    assert code == 0 and json.loads(said) == history(project, project.made)
    code, said = run()
    assert code == 0
    lines = said[said.index("L2a") :].splitlines()
    first, second = (next(line for line in lines if line.startswith(number)) for number in ("0001", "0002"))
    assert "laptop" in first and "? inconclusive" in first and "n=3" in first and "●" in first
    assert "✓ reproduced" in second and "n=6" in second and "[0." in second
    assert any("0002: seeds [0, 1, 2] → [0, 1, 2, 3, 4, 5]" in line for line in lines)
