"""A run tells the truth: whatever ends it is on record, nothing half-done is published, and the next one goes on."""

import json
import os
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from redraw import data
from redraw.workbook import NotebookFailed, Project, Store, TrialError, _report, run_study
from redraw.workbook._check import manifest_problems
from redraw.workbook._runner import RunTimedOut
from redraw.workbook._versions import versions

# Which end the notebook comes to is told by a variable, so that the same notebook is completed by the next run.
ENDS = """\
import os, signal, sys, time

open("begun", "w").close()
how = os.environ.get("TINY", "")
if how == "raise":
    raise ValueError("too small")
if how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "exit":
    sys.exit(0)
if how == "sleep":
    if runner := os.environ.get("RUNNER"):
        os.kill(int(runner), signal.SIGALRM)  # its deadline passes now, however long the way here took
    time.sleep(600)"""

FILES = {
    "MANIFEST.sha256",
    "report.html",
    "report.ipynb",
    "results.json",
    "run.json",
    "trials.csv",
    "trials.jsonl.gz",
    "begun",
}


@pytest.fixture
def run(checkout, enter):
    """`run(**options)` runs the checkout's study in this process; `run.said` is what it told."""
    checkout.write_notebook(ENDS, "print(seeds)")
    enter(checkout)

    def run_here(**options):
        run_here.said = []
        usual = {"preset": "smoke", "jobs": 1, "say": run_here.said.append}
        return run_study(Project(checkout.root), "tiny", **usual | options)

    yield run_here
    assert not [process for process in checkout.processes() if process.pid != os.getpid()], "a process was left behind"


def edit_module(checkout, old, new):
    path = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def read(path):
    return json.loads(path.read_text())


def found(checkout):
    return versions(checkout.reports, "tiny")


# A run that is completed ----------------------------------------------------------------------------------------


def test_a_completed_run_is_a_version_with_its_record(run, checkout):
    done = run()
    path = done.version.path
    assert done.published and path == checkout.version() and path.name.startswith("0001-smoke-")
    assert {file.name for file in path.iterdir() if file.is_file()} == FILES
    assert not list(manifest_problems(done.version)) and not list(checkout.reports.rglob("*.partial"))
    record, results = read(path / "run.json"), read(path / "results.json")
    assert record["exit_reason"] == "completed" and record["seeds"] == [0, 1, 2] and record["preset"] == "smoke"
    assert record["command"] == "redraw run tiny --preset smoke"
    assert len(record["library"]) == 64 and record["lock"] is None and record["libraries"]["torch"].startswith("2.13.0")
    assert record["determinism"]["threads_per_trial"] == 1 and record["hardware"]["cores"] >= 1
    assert record["wall_seconds"] == results["seconds"] >= 0
    assert results["trials"] == {"total": 3, "reused": 0, "computed": 3}
    assert [claim["outcome"] for claim in results["claims"]] == [claim["outcome"] for claim in done.verdicts]
    assert (checkout.reports / "index.html").exists()
    assert str(checkout.root) not in (path / "report.ipynb").read_text() + (path / "run.json").read_text()

    again = run()
    assert not again.published and again.version == done.version and again.verdicts == done.verdicts

    (path / "results.json").write_text(json.dumps(results | {"seconds": 0}))
    mended = run()
    assert mended.published and mended.version.number == 2 and mended.version.hash == done.version.hash
    assert any("0001-smoke" in line and "was changed after it was published" in line for line in run.said)
    assert read(mended.version.path / "results.json")["trials"] == {"total": 3, "reused": 3, "computed": 0}


def test_a_version_that_was_computed_elsewhere_is_not_taken_on_trust(run, checkout):
    first = run()
    shutil.rmtree(os.environ["REDRAW_STORE"])
    again = run()
    assert again.published and (again.version.number, again.version.hash) == (2, first.version.hash)
    assert any("0001-smoke" in line and "was not computed here" in line for line in run.said)
    assert not run().published


def test_a_wrong_request_leaves_nothing(run, checkout):
    before = checkout.files()
    edit_module(
        checkout,
        'asked = {"seconds"',
        'if seeds == 7:\n        raise ValueError("seeds: not 7")\n    asked = {"seconds"',
    )
    with pytest.raises(ValueError, match="^parameter seeds: not 7$"):
        run(overrides={"seeds": 7})
    assert checkout.files() == before


# A run that is not ----------------------------------------------------------------------------------------------

NOT_COMPLETED = {
    "raise": (NotebookFailed, "failed", "cell 3 raised ValueError: too small"),
    "kill": (NotebookFailed, "killed", "the kernel died in cell 3 (out of memory?)"),
    "exit": (NotebookFailed, "failed", "cell 3 ended in SystemExit: 0 and 1 of 4 code cells were not executed"),
    "sleep": (RunTimedOut, "timed out", "the run's deadline has passed"),
}


@pytest.mark.parametrize("how", NOT_COMPLETED)
def test_a_notebook_that_does_not_come_to_its_end(run, checkout, monkeypatch, how):
    error, reason, message = NOT_COMPLETED[how]
    monkeypatch.setenv("TINY", how)
    monkeypatch.setenv("RUNNER", str(os.getpid()))
    with pytest.raises(error) as caught:
        run(deadline=60 if how == "sleep" else None)
    partial = checkout.partial()
    assert (caught.value.outcome, checkout.record()["exit_reason"]) == (reason, reason)
    assert checkout.record()["message"] == message and "\n" not in str(caught.value)
    assert checkout.record()["command"] == "redraw run tiny --preset smoke"
    kept = "run.json, the notebook and the traceback are" if how == "raise" else "run.json and the notebook are"
    assert caught.value.__notes__[0] == f"{kept} kept in reports/tiny/{partial.name}"
    assert not found(checkout) and not (checkout.reports / "index.html").exists()
    assert read(partial / "report.ipynb")["cells"]
    assert (partial / "traceback.txt").exists() == (how == "raise")
    if how == "raise":
        assert "ValueError: too small" in (partial / "traceback.txt").read_text()
    assert not [process for process in checkout.processes() if process.pid != os.getpid()]

    monkeypatch.delenv("TINY")
    done = run()  # the same inputs: it goes on, and publishes nothing of the attempt before
    assert any(
        f"going on from an attempt that {'' if reason == 'failed' else 'was '}{reason} (" in line for line in run.said
    )
    assert {file.name for file in done.version.path.iterdir() if file.is_file()} == FILES
    assert read(done.version.path / "results.json")["trials"] == {"total": 3, "reused": 0, "computed": 3}
    assert read(done.version.path / "run.json")["exit_reason"] == "completed"
    assert not list(checkout.reports.rglob("*.partial"))


def test_a_deadline_ends_the_trials_and_keeps_what_was_done(run, checkout):
    edit_module(checkout, "time.sleep(seconds)", "time.sleep(seconds if seed else 0)")
    with pytest.raises(RunTimedOut, match=r"^timed out: the run's deadline of 0.1 minutes has passed"):
        run(overrides={"seconds": 600.0}, deadline=0.1)
    assert checkout.record()["exit_reason"] == "timed out"
    assert not (checkout.partial() / "report.ipynb").exists() and not found(checkout)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert len(list((checkout.root.parent / "store").glob("??/*"))) == 1


def test_a_deadline_ends_the_processes_of_trials(checkout):
    ran = checkout.redraw("run", "tiny", "-p", "seconds=600", "--jobs", "2", "--deadline", "0.1")
    assert ran.code == 1 and checkout.record()["exit_reason"] == "timed out"
    last = ran.err.splitlines()[-1]
    assert last.startswith("redraw: timed out: the run's deadline of 0.1 minutes has passed; run.json is kept")
    wait_for(lambda: not checkout.processes())


def test_a_trial_that_raises(run, checkout):
    edit_module(checkout, "time.sleep(seconds)", 'assert seed != 1, "lr: must be positive\\nor else"')
    with pytest.raises(TrialError, match=r"^uniform_mean \(seed 1\): AssertionError: lr: must be positive"):
        run()
    assert checkout.record()["exit_reason"] == "failed"
    assert checkout.record()["message"] == "uniform_mean (seed 1): AssertionError: lr: must be positive"
    assert "in uniform_mean" in (checkout.partial() / "traceback.txt").read_text()
    assert len(list((checkout.root.parent / "store").glob("??/*"))) == 1  # the trial before is kept


def test_a_process_of_trials_that_is_killed(checkout):
    edit_module(checkout, "time.sleep(seconds)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--jobs", "2")
    assert ran.code == 1 and "a worker process was killed (out of memory?); " in ran.err.splitlines()[-1]
    assert checkout.record()["exit_reason"] == "killed" and not found(checkout)
    wait_for(lambda: not checkout.processes())


@pytest.mark.parametrize("where", ["measure", "report"])
def test_an_error_after_the_notebook(run, checkout, monkeypatch, where):
    if where == "measure":
        edit_module(checkout, 'Samples.of(table["mean"])', 'Samples.of(table["means"])')
    else:
        monkeypatch.setattr(_report, "write_report", lambda *_: 1 / 0)
    with pytest.raises((KeyError, ZeroDivisionError)):
        run()
    assert checkout.record()["exit_reason"] == "failed" and not found(checkout)
    assert checkout.record()["message"] in ("KeyError: 'means'", "ZeroDivisionError: division by zero")
    assert "Traceback" in (checkout.partial() / "traceback.txt").read_text()


def test_data_that_cannot_be_reached_block_claims_and_the_run_goes_on(run, checkout, monkeypatch):
    """In the kernel, too, nobody answers: the notebook says so and goes on with what needs no data."""
    edit_module(checkout, "time.sleep(seconds)", "from redraw import data as sets; sets.load('mnist', seed=seed)")
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", "/nonexistent")
    sources = (
        "from redraw.studies import tiny\nfrom redraw.workbook import gather\nprint(len(gather(tiny.plan(seeds=2, "
    )
    checkout.write_notebook(ENDS, sources + "seconds=0.0, dataset=dataset))))")
    done = run(overrides={"dataset": "mnist"})
    assert done.published and done.blocked.startswith("mnist: no source has ")
    assert [claim["outcome"] for claim in done.verdicts] == ["blocked"]
    record = read(done.version.path / "run.json")
    assert record["exit_reason"] == "blocked" and record["blocked"] == done.blocked
    assert "blocked: mnist: no source has" in (done.version.path / "report.ipynb").read_text()
    assert not run(overrides={"dataset": "mnist"}).published


def test_damaged_data_are_refused_before_anything_is_written(run, checkout, monkeypatch):
    def damaged(names):
        raise data.DataCorrupt("mnist: is damaged")

    monkeypatch.setattr(data, "fetch", damaged)
    before = checkout.files()
    with pytest.raises(data.DataCorrupt):
        run(overrides={"dataset": "mnist"})
    assert checkout.files() == before


def test_another_studys_card_is_no_reason_to_fail(run, checkout):
    (checkout.root / "params" / "other.yaml").write_text("study: [")
    assert run().published and any("left out of the board: " in line and "other.yaml:1" in line for line in run.said)


def test_a_damaged_stored_trial_is_found_computed_again_and_said(run, checkout):
    first = run()
    record = sorted((checkout.root.parent / "store").glob("??/*/record.json"))[1]
    bits = bytearray(record.read_bytes())
    bits[-20] ^= 1
    record.write_bytes(bytes(bits))
    (first.version.path / "trials.csv").write_text("")  # so that there is something to do
    second = run()
    assert "1 stored trials did not match their checksums and were computed again" in run.said
    assert read(second.version.path / "results.json")["trials"] == {"total": 3, "reused": 2, "computed": 1}
    assert first.verdicts == second.verdicts and not Store().damaged


def test_a_reader_never_sees_a_torn_file(run, checkout):
    """Papermill writes its notebook in place, cell by cell; no version and no board is ever half there."""
    seen, stop = [], threading.Event()

    def poll():
        while not stop.is_set():
            for version in found(checkout):
                seen.append(list(manifest_problems(version)))
                read(version.path / "report.ipynb")
            if (checkout.reports / "index.html").exists():  # the second of the two that are written
                read(checkout.reports / "index.json")
                assert (checkout.reports / "index.html").read_text().rstrip().endswith("</html>")
            time.sleep(0.001)
        return True

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(poll)
        for seeds in (2, 3):
            run(overrides={"seeds": seeds})
        stop.set()
        assert reader.result()
    assert seen and not any(seen)


# Signals, to the command itself ---------------------------------------------------------------------------------


def wait_for(true, seconds=120.0):
    """Until `true()`; the bound is for a failure only."""
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def in_trials(checkout):
    return any((checkout.root.parent / "store").glob("??/*"))


def in_notebook(checkout):
    return any((checkout.reports / "tiny").glob("*.partial/begun"))


CUTS = [
    (signal.SIGINT, in_trials, 1),
    (signal.SIGTERM, in_trials, 2),
    (signal.SIGKILL, in_trials, 2),
    (signal.SIGINT, in_notebook, 1),
    (signal.SIGTERM, in_notebook, 1),
    (signal.SIGKILL, in_notebook, 1),
]


@pytest.mark.parametrize(("number", "phase", "jobs"), CUTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_run_that_is_cut_off_is_recorded_and_goes_on(checkout, number, phase, jobs):
    checkout.write_notebook(ENDS, "print(seeds)")
    edit_module(
        checkout, "time.sleep(seconds)", "import os; time.sleep(600 if seed == 2 and os.environ.get('SLOW') else 0)"
    )
    command = "run", "tiny", "--preset", "smoke", "--jobs", str(jobs)
    slow = {"SLOW": "1"} if phase is in_trials else {"TINY": "sleep"}
    process = checkout.start(*command, **slow)
    wait_for(lambda: phase(checkout) or process.poll() is not None)
    process.send_signal(number)
    ran = checkout.wait(process)
    wait_for(lambda: not checkout.processes())  # after SIGKILL, those left behind notice within a second
    assert not found(checkout) and "Traceback" not in ran.err
    if number == signal.SIGKILL:
        assert ran.code == -signal.SIGKILL and not (checkout.partial() / "run.json").exists()
        words = "left no record (killed?)"
    else:
        assert ran.code == 130 and checkout.record()["exit_reason"] == "interrupted"
        assert ran.err.splitlines()[-1].startswith("redraw: interrupted; finished trials stay")
        kept = "run.json is kept in" if phase is in_trials else "run.json and the notebook are kept in"
        assert f"{kept} reports/tiny/" in ran.err.splitlines()[-1]
        words = "was interrupted (Ctrl-C or SIGTERM)"
    if phase is in_notebook and number != signal.SIGKILL:
        assert read(checkout.partial() / "report.ipynb")["cells"][2]["cell_type"] == "code"

    again = checkout.redraw(*command)
    assert again.code == 0 and words in again.err, again
    results = read(checkout.version() / "results.json")
    assert results["trials"] == {"total": 3, "reused": 0, "computed": 3}  # as if nobody had interrupted


# The same results, whatever happened ----------------------------------------------------------------------------


def results_of(checkout):
    """results.json and trials.csv without their times."""
    path = checkout.version()
    results = {key: value for key, value in read(path / "results.json").items() if key not in ("started", "seconds")}
    return results, pd.read_csv(path / "trials.csv").drop(columns="seconds")


def shoot(checkout, kills, rng):
    """Kill runs of 24 short trials at random moments; then let one end, and return what it came to.

    Not before a run has said something: while Python starts, an interrupt is Python's to tell.
    """
    command = "run", "tiny", "--preset", "smoke", "-p", "seeds=24", "-p", "seconds=0.05"
    store = checkout.root.parent / "store"
    for _ in range(kills):
        process = checkout.start(*command, "--jobs", str(rng.choice([1, 2])))
        wait_for(lambda p=process: (store.parent / "errors").stat().st_size or p.poll() is not None)
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        assert checkout.wait(process).code in (-signal.SIGKILL, 130, 0)
        wait_for(lambda: not checkout.processes())
        kept = {path.name for path in store.glob("??/*")}
        whole = Store(store)
        assert all(whole.get(key) for key in kept) and not whole.damaged
    ran = checkout.redraw(*command, "--jobs", "2")
    assert ran.code == 0, ran
    assert kept <= {path.name for path in store.glob("??/*")}
    return results_of(checkout)


@pytest.fixture(scope="module")
def undisturbed(make_checkout, tmp_path_factory):
    """The same run serially, in one go."""
    calm = make_checkout(tmp_path_factory.mktemp("calm"))
    ran = calm.redraw("run", "tiny", "--preset", "smoke", "-p", "seeds=24", "-p", "seconds=0.05", "--jobs", "1")
    assert ran.code == 0, ran
    return results_of(calm)


def same(one, other):
    assert one[0] == other[0]
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)


def test_killed_at_random_and_parallel_it_comes_to_the_same(checkout, undisturbed):
    same(shoot(checkout, 5, random.Random(3)), undisturbed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_kills_come_to_the_same(checkout, undisturbed):
    same(shoot(checkout, 100, random.Random(4)), undisturbed)


def test_two_runs_of_a_study_at_once_make_one_version(checkout):
    command = "run", "tiny", "--preset", "smoke", "-p", "seconds=0.2", "--jobs", "1"
    both = [checkout.start(*command) for _ in range(2)]
    assert [checkout.wait(process).code for process in both] == [0, 0]
    assert len(found(checkout)) == 1
    assert not list(manifest_problems(found(checkout)[0])) and not list(checkout.reports.rglob("*.partial"))
    assert read(checkout.version() / "results.json")["trials"]["total"] == 3
