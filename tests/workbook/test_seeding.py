"""`run --from VERSION`: what a version recorded is taken where it fits, never by default, and always said."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from redraw.workbook import ParameterError, Project, Store, run_study
from redraw.workbook._digest import sha256_file
from redraw.workbook._records import RECORDS, read_records, write_records
from redraw.workbook._versions import find_records

# A chain: `grown` takes the tensors of the trial before it.
MODULE = '''\
"""A study whose trials take tensors from one another, and tell when they run."""

import os

import torch

from redraw.seeds import generator
from redraw.workbook import Samples, Trial


def uniform_mean(*, seed, seconds, **data):
    return {"mean": torch.rand(1000, generator=generator(seed, "uniform")).mean().item()}


def grown(*, seed, round, previous=None):
    x = torch.rand(1000, generator=generator(seed, "grown"))
    x = x if previous is None else previous.tensors["x"] * 0.5 + 0.25
    return {"mean": x.mean().item(), "curve": [round, 1 / 3], "tensors": {"x": x}}


def plan(*, seeds, seconds, dataset):
    trials = []
    for seed in range(seeds):
        trial = None
        for round in range(1 + int(seconds)):
            trial = Trial(f"{__name__}:grown", {"round": round}, seed, {"previous": trial} if trial else {})
            trials.append(trial)
        trials.append(Trial(f"{__name__}:uniform_mean", {"seconds": 0.0}, seed))
    return trials


def measure(table, **knobs):
    return {"C1": Samples.of(table["mean"]) if len(table) else Samples.not_tested("no trials")}
'''


@pytest.fixture
def run(checkout, enter):
    """`run(name, **options)` runs the study in this process, from the version `name`; `run.said` is what it told.

    Its notebook does little; `run.story` is one that gathers the trials and rules.
    """
    story = checkout.notebook.read_text()
    checkout.write_notebook("print(seeds)")
    enter(checkout)

    def run_here(name=None, **options):
        run_here.said = []
        project = Project(checkout.root)
        store = Store(records=find_records(project, "tiny", name)) if name else None
        usual = {"preset": "smoke", "jobs": 1, "say": run_here.said.append, "store": store}
        return run_study(project, "tiny", **usual | options)

    run_here.story = story
    return run_here


@pytest.fixture
def chained(checkout, run):
    """The same for the study whose trials take tensors from one another."""
    (checkout.root / "lib" / "redraw" / "studies" / "tiny.py").write_text(MODULE)
    return run


def read(done, name="results.json"):
    return json.loads((done.version.path / name).read_text())


def results(done):
    """What does not depend on when, where and after what a version was made."""
    changing = ("started", "seconds", "trials", "version")
    table = pd.read_csv(done.version.path / "trials.csv").drop(columns="seconds")
    return {key: value for key, value in read(done).items() if key not in changing}, table


def same(one, other):
    assert one[0] == other[0]
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)


def forget_store():
    shutil.rmtree(os.environ["REDRAW_STORE"])


def seal(path):
    """Make the manifest fit, as one who forges a version would."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "MANIFEST.sha256")
    lines = [f"{sha256_file(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    (path / "MANIFEST.sha256").write_text("".join(lines))


# The file -------------------------------------------------------------------------------------------------------


def test_the_records_are_the_bodies_and_the_same_bodies_give_the_same_bytes(tmp_path):
    bodies = {f"{n:064x}": {"value": {"x": 1 / (n + 1)}, "tensors": None, "seconds": 0.1} for n in range(50)}
    one, other = tmp_path / "one.gz", tmp_path / "other.gz"
    write_records(one, bodies)
    write_records(other, dict(reversed(bodies.items())))
    assert one.read_bytes() == other.read_bytes() and read_records(one) == bodies
    assert one.stat().st_size < sum(len(json.dumps(body)) for body in bodies.values())
    write_records(tmp_path / "none.gz", {})
    assert read_records(tmp_path / "none.gz") == {}


def test_a_version_records_its_trials_and_what_they_needed_without_tensors(chained):
    done = chained(overrides={"seconds": 2.0})
    recorded = read_records(done.version.path / RECORDS)
    keys = set(pd.read_csv(done.version.path / "trials.csv")["key"])
    assert recorded.keys() == keys and len(keys) == 12
    assert (
        f"{sha256_file(done.version.path / RECORDS)}  {RECORDS}\n"
        in (done.version.path / "MANIFEST.sha256").read_text()
    )
    store = Store()
    for key, body in recorded.items():
        assert body == store.get(key).body
    assert read(done, "run.json")["seeded_from"] is None
    assert {part["origin"] for part in read(done, "run.json")["trials_from"]} == {"computed"}


# Extending ------------------------------------------------------------------------------------------------------


def test_a_version_of_two_seeds_starts_a_run_of_three(run, checkout, make_checkout, enter, tmp_path):
    first = run(overrides={"seeds": 2})
    before = {path.name: path.read_bytes() for path in first.version.path.iterdir() if path.is_file()}
    forget_store()
    second = run("1", overrides={"seeds": 3})
    assert second.published and run.said[0] == f"2 of 3 trials are taken from {first.version.name}"
    assert read(second)["trials"] == {"total": 3, "reused": 0, "computed": 1, "seeded": 2}
    assert len(list((checkout.root.parent / "store").glob("??/*"))) == 1  # nothing was copied into the store

    record = read(second, "run.json")
    assert record["command"] == f"redraw run tiny --preset smoke --from {first.version.name}"
    assert record["seeded_from"] == {
        "version": first.version.name,
        "manifest": sha256_file(first.version.path / "MANIFEST.sha256"),
        "recorded": 2,
        "disagreeing": [],
    }
    assert record["trials_from"] == [
        {"origin": first.version.name, "function": "uniform_mean", "seeds": [0, 1], "trials": 2},
        {"origin": "computed", "function": "uniform_mean", "seeds": [2], "trials": 1},
    ]
    page = BeautifulSoup((second.version.path / "report.html").read_text(), "html.parser")
    told = " ".join(page.find("section", attrs={"aria-labelledby": "provenance"}).text.split())
    assert f"Taken from the records of {first.version.name} and not computed again: 2 trials." in told
    rows = page.find(attrs={"aria-label": "Where the trials came from"}).select("tbody tr")
    assert [[cell.text for cell in row.select("th, td")] for row in rows] == [
        [first.version.name, "uniform_mean", "0, 1", "2"],
        ["computed in this run", "uniform_mean", "2", "1"],
    ]
    assert page.find(class_="command").text == record["command"]
    assert before == {path.name: path.read_bytes() for path in first.version.path.iterdir() if path.is_file()}

    other = make_checkout(tmp_path / "other")
    enter(other)
    alone = run_study(Project(other.root), "tiny", preset="smoke", jobs=1)
    same(results(second), results(alone))
    assert read_records(second.version.path / RECORDS).keys() == read_records(alone.version.path / RECORDS).keys()


def test_what_was_taken_can_be_handed_on(run):
    run(overrides={"seeds": 2})
    forget_store()
    second = run("1")
    forget_store()
    third = run(second.version.name, overrides={"seeds": 4})
    assert read(third)["trials"] == {"total": 4, "reused": 0, "computed": 1, "seeded": 3}
    assert "recorded_in" not in gzip.open(third.version.path / RECORDS, "rt").read()


def test_the_same_inputs_are_nothing_to_do_and_other_words_run_no_trial(run, checkout):
    checkout.notebook.write_text(run.story)
    first = run()
    forget_store()
    assert not run("1").published
    text = checkout.notebook.read_text()
    checkout.notebook.write_text(text.replace("Then this.", "Then that."))
    second = run("1")
    assert second.published and read(second)["trials"] == {"total": 3, "reused": 0, "computed": 0, "seeded": 3}
    same(results(first), results(second))
    assert not (checkout.root.parent / "store").exists()


def test_it_is_never_the_default(run, monkeypatch):
    first = run()
    forget_store()
    monkeypatch.setenv("REDRAW_RECORDS", str(first.version.path / RECORDS))  # as within a run's own kernel
    second = run(overrides={"seeds": 4})
    assert read(second)["trials"] == {"total": 4, "reused": 0, "computed": 4}


def test_what_is_stored_here_goes_before_what_is_recorded(run):
    run(overrides={"seeds": 2})
    third = run("1")
    assert read(third)["trials"] == {"total": 3, "reused": 2, "computed": 1, "seeded": 0}


def test_records_of_other_code_do_not_serve(run, checkout, enter):
    run()
    path = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    path.write_text(path.read_text().replace('"uniform")', '"other")'))
    enter(checkout)
    forget_store()
    second = run("1")
    assert read(second)["trials"] == {"total": 3, "reused": 0, "computed": 3, "seeded": 0}
    assert run.said[0].startswith("0 of 3 trials are taken from ")


# Tensors --------------------------------------------------------------------------------------------------------


def test_a_recorded_trial_whose_tensors_are_needed_is_computed_again(chained):
    first = chained(overrides={"seconds": 1.0})
    forget_store()
    second = chained("1", overrides={"seconds": 2.0})  # round 2 takes the tensors of round 1, that of round 0
    assert read(second)["trials"] == {"total": 12, "reused": 0, "computed": 9, "seeded": 3}
    assert read(second, "run.json")["seeded_from"]["disagreeing"] == []
    kept = {part["origin"]: part["function"] for part in read(second, "run.json")["trials_from"]}
    assert kept == {"computed": "grown", first.version.name: "uniform_mean"}
    before, after = (read_records(done.version.path / RECORDS) for done in (first, second))
    assert all(after[key]["value"] == body["value"] for key, body in before.items())


def test_what_does_not_come_out_as_recorded_is_said(chained):
    first = chained(overrides={"seconds": 1.0, "seeds": 1})
    path = first.version.path / RECORDS
    bodies = {key: body for key, body in read_records(path).items()}
    (odd,) = [key for key, body in bodies.items() if body["parameters"] == {"round": 0}]
    bodies[odd] = bodies[odd] | {"value": bodies[odd]["value"] | {"mean": 0.25}}
    write_records(path, bodies)
    seal(first.version.path)
    read_records.cache_clear()
    forget_store()
    second = chained("1", overrides={"seconds": 2.0, "seeds": 1})
    assert read(second, "run.json")["seeded_from"]["disagreeing"] == ["grown (seed 0)"]
    assert "; computed here, 1 others differ from what it recorded: grown (seed 0)" in chained.said[0]
    assert 0.25 not in list(pd.read_csv(second.version.path / "trials.csv")["mean"])
    words = BeautifulSoup((second.version.path / "report.html").read_text(), "html.parser").text
    assert "1 trial computed here did not come out, bit for bit," in " ".join(words.split())


def test_who_needs_a_result_whole_gets_none_without_its_tensors(tmp_path):
    path = tmp_path / "0001-smoke-abcdef01" / RECORDS
    path.parent.mkdir()
    body = {"value": {"x": 1.5}, "seconds": 2.0}
    write_records(path, {"a" * 64: body | {"tensors": "0" * 64}, "b" * 64: body | {"tensors": None}})
    store = Store(tmp_path / "trials", records=path)
    assert store.get("a" * 64)["x"] == 1.5 and store.get("a" * 64, whole=True) is None
    assert store.get("b" * 64, whole=True).body["recorded_in"] == path.parent.name == store.source
    assert store.own("b" * 64) is None and store.get("c" * 64) is None and not store.damaged
    with pytest.raises(FileNotFoundError, match="0001-smoke-abcdef01"):
        store.get("a" * 64).tensors  # noqa: B018
    assert not (tmp_path / "trials").exists() and Store(tmp_path / "trials").get("b" * 64) is None


# Refused --------------------------------------------------------------------------------------------------------


def test_a_version_that_is_not_as_it_was_published_is_refused(run, checkout):
    done = run()
    path = done.version.path / RECORDS
    text = gzip.open(path, "rt").read()
    path.write_bytes(gzip.compress(text.replace("uniform_mean", "uniform_mode").encode()))
    with pytest.raises(ParameterError, match=f"^from: {done.version.name} cannot be trusted: {RECORDS} was changed"):
        run("1")
    path.unlink()
    with pytest.raises(ParameterError, match=f"cannot be trusted: {RECORDS} is missing"):
        run("1")
    seal(done.version.path)
    with pytest.raises(ParameterError, match=f"^from: {done.version.name} carries no records of its trials"):
        run("1")
    for nonsense in (b"no gzip", gzip.compress(b"no json\n"), gzip.compress(b'{"key": "a", "body": []}\n')):
        path.write_bytes(nonsense)
        seal(done.version.path)
        read_records.cache_clear()
        with pytest.raises(ParameterError, match=f"^from: {done.version.name}/{RECORDS} cannot be read"):
            run("1")


def test_the_command(checkout):
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "-p", "seeds=2")
    assert ran.code == 0, ran
    refused = checkout.redraw("run", "tiny", "--from", "7")
    assert refused.code == 2 and "version '7': must be one of 0001-smoke-" in refused.line and refused.cpu < 2
    shutil.rmtree(checkout.root.parent / "store")
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--from", "newest", "--jobs", "2", "--json")
    assert ran.code == 0 and json.loads(ran.out)["trials"] == {"total": 3, "reused": 0, "computed": 1, "seeded": 2}
    assert "2 of 3 trials are taken from 0001-smoke-" in ran.err


def test_versions_made_before_there_were_records_stay_valid(run):
    from redraw.workbook._versions import manifest_problems

    done = run()
    (done.version.path / RECORDS).unlink()
    seal(done.version.path)
    assert not list(manifest_problems(done.version)) and not run().published


# The first study ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_lottery_tickets_come_out_the_same_recorded_or_computed(checkout):
    """Its smoke preset: computed; then with other words in the notebook and an empty store, from the records."""
    root = Path(__file__).resolve().parents[2]
    for name in ("params/lottery_ticket.yaml", "notebooks/lottery_ticket.ipynb"):
        shutil.copy(root / name, checkout.root / name)
    command = "run", "lottery_ticket", "--preset", "smoke"
    ran = checkout.redraw(*command)
    assert ran.code == 0, ran
    notebook = checkout.root / "notebooks" / "lottery_ticket.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"][0]["source"] += "\n\nOnce more."  # a text or a list of lines
    notebook.write_text(json.dumps(content))
    shutil.rmtree(checkout.root.parent / "store")
    ran = checkout.redraw(*command, "--from", "1")
    assert ran.code == 0, ran
    folders = sorted((checkout.reports / "lottery_ticket").glob("0*"))
    one, two = (json.loads((folder / "results.json").read_text()) for folder in folders)
    assert two["trials"]["seeded"] == two["trials"]["total"] == one["trials"]["computed"]
    changing = ("started", "seconds", "trials", "version")
    assert {k: v for k, v in one.items() if k not in changing} == {k: v for k, v in two.items() if k not in changing}
    tables = [pd.read_csv(folder / "trials.csv") for folder in folders]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert (folders[0] / RECORDS).read_bytes() == (folders[1] / RECORDS).read_bytes()
