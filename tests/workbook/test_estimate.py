"""What a run will cost: foretold from made-up records in closed form, kept beside what it took, and nothing written."""

import json
import math
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from pytest import approx

from redraw import _cli_estimate, cli
from redraw.workbook import Batched, Project, Store, Trial, _estimate, run_study, run_trials
from redraw.workbook import _trials as running
from redraw.workbook._batched import batched
from redraw.workbook._costs import costs
from redraw.workbook._estimate import (
    HANDLING,
    MOST,
    STARTING,
    Estimate,
    _calibrated,
    _operations,
    _untested,
    estimate_run,
    forecast,
    makespan,
)
from redraw.workbook._machine import SECONDS, Speed, calibrate, peak_memory
from redraw.workbook._past import Past, Ran, past, ran_of
from redraw.workbook._predict import LEAST, RIDGE, Recorded, predictor


@dataclass
class Made:
    """What the estimate needs of a trial."""

    key: str
    parameters: dict = field(default_factory=dict)
    needs: dict = field(default_factory=dict)
    function: str = "made:work"
    batched: Batched | None = None


# One trial ------------------------------------------------------------------------------------------------------


def test_recorded_parameters_get_the_median_of_their_own_records():
    records = [Recorded({"steps": 100, "net": "mlp"}, seconds) for seconds in (1.0, 2.0, 90.0)]
    records += [Recorded({"steps": 100, "net": "conv"}, 7.0), Recorded({"steps": 400, "net": "mlp"}, 9.0)]
    guess = predictor(records)
    assert guess({"steps": 100, "net": "mlp"}) == approx(2.0)
    assert guess({"steps": 100, "net": "conv"}) == approx(7.0)
    assert guess({"steps": 400, "net": "mlp"}) == approx(9.0)


def test_between_records_the_line_of_logarithms_leads_on_from_the_nearest():
    """Two points a distance d apart in ln x: the ridge's slope is s d^2 / (d^2 + 2 ridge) for a true slope s."""
    guess, d = predictor([Recorded({"width": 100}, 1.0), Recorded({"width": 100_000}, 1000.0)]), math.log(1000)
    slope = d**2 / (d**2 + 2 * RIDGE)
    assert guess({"width": 200}) == approx(2**slope)
    assert guess({"width": 50_000}) == approx(1000 * 0.5**slope)
    assert guess({"width": 10**6}) == approx(1000 * 10**slope)


def test_a_training_is_as_long_as_its_steps_until_records_say_otherwise():
    guess, d = predictor([Recorded({"steps": 100}, 5.0), Recorded({"steps": 100_000}, 5.0)]), math.log(1000)
    slope = 1 - d**2 / (d**2 + 2 * RIDGE)  # from 1 towards the 0 that they show
    assert guess({"steps": 50}) == approx(5 * 0.5**slope)
    one = predictor([Recorded({"steps": [400, 200], "batch_size": 60, "examples": 1000}, 6.0)])
    assert one({"steps": [100, 50], "batch_size": 60, "examples": 1000}) == approx(1.5)
    assert one({"steps": [400, 200], "batch_size": 20, "examples": 250}) == approx(6.0)
    seldom = {"iterations": 400, "validation": 5000, "evaluate_every": 100, "k": 20, "rewind": 20}
    one = predictor([Recorded(seldom, 6.0)])
    assert one({name: 200 if name == "iterations" else value / 20 for name, value in seldom.items()}) == approx(3)


def test_a_count_that_no_record_varies_is_proportional_and_a_rate_is_not():
    guess = predictor([Recorded({"draws": 100, "lr": 0.1, "grid": [1, 2, 3]}, 2.0)])
    assert guess({"draws": 300, "lr": 0.1, "grid": [1, 2, 3]}) == approx(6.0)
    assert guess({"draws": 100, "lr": 0.9, "grid": [1, 2, 3]}) == approx(2.0)
    assert guess({"draws": 100, "lr": 0.1, "grid": [3, 2, 1, 1, 2, 3, 3]}) == approx(2.0 * 8 / 4)


def test_records_of_a_known_machine_count_before_others_with_the_same_parameters():
    records = [Recorded({"n": 1}, 50.0), Recorded({"n": 1}, 60.0), Recorded({"n": 1}, 3.0, trust=1)]
    assert predictor(records)({"n": 1}) == approx(3.0)
    assert predictor([*records, Recorded({"n": 1}, 2.0, trust=2)])({"n": 1}) == approx(2.0)


def test_odd_parameters_do_no_harm():
    odd = {
        "none": None,
        "yes": True,
        "zero": 0,
        "minus": -2.5,
        "word": "a",
        "map": {"b": [1]},
        "empty": [],
        "in": [[1]],
    }
    assert predictor([Recorded(odd, 4.0)])(odd) == approx(4.0)
    assert predictor([Recorded({}, 4.0)])({}) == approx(4.0)
    assert predictor([Recorded(odd, 4.0)])({}) == approx(4.0)
    assert predictor([Recorded({"n": 10}, 0.0)])({"n": 1}) == LEAST
    with pytest.raises(ValueError, match="records: must be at least one"):
        predictor([])


# A run ----------------------------------------------------------------------------------------------------------


def test_trials_in_a_chain_take_the_sum_and_others_share_the_workers():
    first = Made("a")
    second, third = Made("b", needs={"x": first}), Made("c")
    assert makespan([first, second, third], [3.0, 4.0, 2.0], 1) == 9.0
    assert makespan([first, second, third], [3.0, 4.0, 2.0], 2) == 7.0
    chain = [Made("0")]
    for index in range(1, 5):
        chain.append(Made(str(index), needs={"x": chain[-1]}))
    assert makespan(chain, [1.0] * 5, 4) == 5.0
    assert makespan([Made(str(index)) for index in range(10)], [1.0] * 10, 4) == 3.0
    assert makespan([Made("a", needs={"x": Made("stored")})], [2.0], 2) == 2.0
    assert makespan([], [], 2) == 0.0


def test_what_was_handed_out_early_is_not_overtaken():
    """Four of six are handed to two workers; a long one at the end goes last, as it does in `run_trials`."""
    assert makespan([Made(str(index)) for index in range(5)], [1.0, 1.0, 1.0, 1.0, 9.0], 2) == 11.0


def at(clock):
    """A machine with nothing beside."""
    return Speed(clock, clock)


def known(speed=None, beside=None):
    run = {"wall_seconds": 30.0, "calibration": speed, "memory": {"own": 0.5, "other": 0.25}}
    trials = {str(n): Ran("work", {"n": n}, float(n), flops=100.0 * n, speed=speed) for n in (1, 2)}
    return Past(trials, [("laptop", run | ({"estimate": {"seconds": 9.0, "beside": beside}} if beside else {}), 0)])


def test_a_run_is_its_trials_on_its_workers_and_what_stands_beside_them():
    missing = [Made("a", {"n": 1}), Made("b", {"n": 2}), Made("c", {"n": 2})]
    about = {"study": "made", "preset": "laptop", "total": 5}
    found = estimate_run(known(0.001, beside=8.0), missing, jobs=1, speed=at(0.002), **about)
    assert found.trial_seconds == approx(2 * 5)  # this machine is half as fast as that of the records
    assert found.seconds == approx(2 * 5 + 3 * HANDLING * 0.002 + 2 * 8)
    assert (found.trials, found.stored, found.to_compute, found.calibrated) == (5, 2, 3, True)
    assert found.memory == {"own": 0.5, "other": 0.25} and found.unknown == {}
    two = estimate_run(known(0.001, beside=8.0), missing, jobs=2, speed=at(0.001), **about)
    assert two.seconds == approx(3 + 2 * HANDLING * 0.001 + STARTING * 0.001 + 8)
    old = estimate_run(known(), missing, jobs=1, speed=at(0.002), **about)
    assert old.trial_seconds == approx(5) and not old.calibrated
    assert old.seconds == approx(5 + 3 * HANDLING * 0.002 + 30)


def test_what_was_never_run_is_not_invented():
    other = Made("b", function="made:never")
    about = {"study": "made", "preset": "laptop", "jobs": 1, "speed": at(0.001)}
    none = estimate_run(Past(), [other], total=1, **about)
    assert none.seconds is None and none.unknown == {"never": 1} and none.memory is None
    part = estimate_run(known(), [Made("a", {"n": 1}), other], total=2, **about)
    assert part.unknown == {"never": 1} and part.seconds == approx(1 + 2 * HANDLING * 0.001 + 30)


def test_another_network_or_device_than_was_ever_run_is_unknown_and_another_number_is_not():
    trials = {
        str(n): Ran("work", {"n": 1, "network": name, "device": "cpu"}, 2.0, flops=50.0)
        for n, name in enumerate(("mlp", "conv"))
    }
    past = Past(trials, [("laptop", {"wall_seconds": 30.0}, 0)])
    missing = [
        Made(f"{n}", {"n": n, "network": name, "device": device, "fresh": "word"})
        for n, (name, device) in enumerate([("mlp", "cpu"), ("resnet", "cpu"), ("resnet", "cuda"), ("conv", "cuda")], 2)
    ]
    about = {"study": "made", "preset": "paper", "total": 4, "jobs": 1, "speed": None}
    found = estimate_run(past, missing, **about)
    assert found.unknown == {"work with network=resnet": 1, "work with device=cuda": 2}
    assert found.seconds == approx(found.trial_seconds + 30) and found.trial_seconds == approx(4.0)
    assert estimate_run(past, missing[1:], **about).seconds is None
    assert _operations(past, missing) == (approx(100.0), 1)


def test_trials_that_run_together_are_told_by_their_like_alone():
    """Shares of a group's time say nothing of a trial by itself, nor of another device; nor does the processor's speed
    of what a GPU takes."""
    cpu, cuda = (Batched("made:works", device=device) for device in ("cpu", "cuda"))
    trials = {
        "a": Ran("work", {"n": 1}, 8.0, speed=0.001),
        "b": Ran("work", {"n": 1}, 2.0, speed=0.001, together="cpu"),
    }
    past = Past(trials, [("laptop", {"wall_seconds": 30.0}, 0)])
    about = {"study": "made", "preset": "laptop", "total": 4, "jobs": 2, "speed": at(0.002)}
    alone, together = ([Made(key, {"n": 1}, batched=how) for key in "wxyz"] for how in (None, cpu))
    assert estimate_run(past, alone, **about).trial_seconds == approx(4 * 8 * 2)
    found = estimate_run(past, together, **about)
    assert found.trial_seconds == approx(4 * 2 * 2) and (found.together, found.jobs) == (4, 2)
    there = [Made(key, {"n": 1}, batched=cuda) for key in "wxyz"]
    found = estimate_run(past, there, **about)
    assert found.seconds is None and found.unknown == {"work together on cuda": 4} and found.together == 0
    past.trials["c"] = Ran("work", {"n": 1}, 0.5, speed=0.001, together="cuda")
    found = estimate_run(past, there, **about)
    assert found.trial_seconds == approx(4 * 0.5) and not found.calibrated
    assert found.jobs == 1 and found.seconds == approx(2 + 4 * HANDLING * 0.002 + 30), "all in one process"
    past.trials["d"] = Ran("play", {"n": 1, "device": "cuda"}, 3.0, speed=0.001)
    asked = [Made("p", {"n": 1, "device": "cuda"}, function="made:play")]
    assert estimate_run(past, asked, **about).trial_seconds == approx(3.0)


# What versions recorded -----------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """`written(number, rows, computed, **run)` leaves a version of the study `made` with a table of its trials."""

    def write(number, rows, computed, **run):
        folder = tmp_path / "reports" / "made" / f"{number:04d}-laptop-abcd{number:04d}"
        folder.mkdir(parents=True)
        (folder / "trials.csv").write_text("function,seed,steps,wide_parameter,wide,seconds,key\n" + rows)
        (folder / "results.json").write_text(json.dumps({"trials": {"computed": computed}}))
        (folder / "run.json").write_text(json.dumps({"wall_seconds": 40.0} | run))
        (folder / "MANIFEST.sha256").write_text("")
        return folder

    write.project = Project(tmp_path)
    return write


NAMES = {"work": {"steps", "wide"}}


def test_a_trial_belongs_to_the_run_that_computed_it(written):
    written(1, "work,0,100,True,7,2.5,k0\n", 1, calibration=0.001)
    written(2, "work,0,100,True,7,2.5,k0\nwork,1,100,True,7,9.0,k1\n", 1, calibration=0.002)
    written(3, "work,0,100,True,7,4.5,k0\n", 1, calibration=0.004)
    found = past(written.project, "made", NAMES).trials
    assert found["k1"] == Ran("work", {"steps": 100, "wide": True}, 9.0, None, 0.002)
    assert (found["k0"].seconds, found["k0"].speed) == (4.5, 0.004)  # computed again
    written(4, "work,0,100,True,7,9.5,k0\n", 0, calibration=None)  # elsewhere, at a time of which nothing is known
    assert past(written.project, "made", NAMES).trials == found
    shutil.rmtree(written.project.reports / "made" / "0004-laptop-abcd0004")
    shutil.rmtree(written.project.reports / "made" / "0003-laptop-abcd0003")
    found = past(written.project, "made", NAMES).trials
    assert (found["k0"].seconds, found["k0"].speed) == (2.5, 0.001)


def test_time_beside_the_trials(written):
    written(1, "", 5, wall_seconds=500.0)
    assert past(written.project, "made", NAMES).beside("laptop", None) is None  # it computed, so nothing can be told
    written(2, "", 0, wall_seconds=40.0)
    written(3, "", 0, wall_seconds=60.0)
    assert past(written.project, "made", NAMES).beside("laptop", None) == 40.0
    written(4, "", 5, calibration=0.001, estimate={"beside": 12.0})
    assert past(written.project, "made", NAMES).beside("laptop", 0.003) == approx(36.0)
    assert past(written.project, "made", NAMES).beside("smoke", None) == 12.0


def test_what_other_machines_computed_is_no_time_beside_the_trials(written):
    """An older version by Dask or SLURM has all of its time there, with null seconds and no trials."""
    here, there = {"own": 0.5, "other": 2.0}, {"own": 0.5, "other": 0.25}
    taken = {"seconds": 60.0, "took": 90.0, "beside": 12.0, "trials": 5}
    written(1, "", 5, calibration=0.001, estimate=taken, memory=here)
    taken = {"seconds": None, "took": 3600.0, "beside": 3600.0, "trials": 0}
    written(2, "", 5, calibration=None, estimate=taken, memory=there)
    assert past(written.project, "made", NAMES).beside("laptop", 0.001) == approx(12.0)
    assert past(written.project, "made", NAMES).memory("laptop") == {"own": 0.5, "other": 2.0}
    written(3, "", 5, calibration=0.001, estimate={"seconds": None, "took": 90.0, "beside": 13.0, "trials": 5})
    assert past(written.project, "made", NAMES).beside("laptop", 0.001) == approx(13.0)
    written(4, "", 5, calibration=None, estimate={"took": 3600.0, "beside": 14.0, "trials": 5}, memory=there)
    found = past(written.project, "made", NAMES)
    assert found.beside("laptop", 0.001) == approx(14.0) and found.memory("laptop") == here


def test_a_version_that_cannot_be_read_is_passed_over(written):
    written(1, "work,0,100,True,7,2.5,k0\n", 0)
    (written(2, "work,0,100,True,7,fast,k0\n", 0) / "run.json").write_text("{}")
    (written(3, "", 0) / "trials.jsonl.gz").write_bytes(b"not gzip")
    found = past(written.project, "made", NAMES)
    assert found.trials["k0"].seconds == 2.5 and len(found.runs) == 1


def test_what_a_preset_can_decide_is_what_its_newest_run_with_these_parameters_tested(written):
    def untested(seeds, preset="laptop"):
        return _untested(written.project, "made", preset, {"seeds": seeds})

    assert untested(2) is None
    for number, seeds, outcome in ((1, 2, "not_tested"), (2, 2, "contradicted"), (3, 9, "not_tested")):
        folder = written(number, "", 0, parameters={"seeds": seeds})
        claims = [
            {"id": "A", "outcome": outcome},
            {"id": "B", "outcome": "not_tested"},
            {"id": "C", "outcome": "blocked"},
        ]
        (folder / "results.json").write_text(json.dumps({"claims": claims}))
    assert (untested(2), untested(9), untested(3), untested(2, "paper")) == ({"B"}, {"A", "B"}, None, None)
    (folder / "run.json").write_text("{")
    assert untested(9) is None


def test_the_machine_is_measured_in_steps_and_gibibytes():
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    speed = calibrate(0.05)
    assert 1e-6 < speed.busy <= 1.05 * speed.clock < 10
    assert torch.equal(torch.random.get_rng_state(), state) and torch.get_num_threads() == threads
    assert 0.01 < peak_memory()["own"] < 1000


def test_a_longer_run_has_the_machine_measured_for_longer(monkeypatch):
    looks = []
    monkeypatch.setattr(_estimate, "calibrate", lambda seconds=SECONDS: looks.append(seconds) or at(0.001 * len(looks)))

    def estimate(amount, speed=None):
        seconds = None if amount is None else amount * (speed.clock if speed else 1)
        return Estimate("made", "laptop", 1, 1, 0, 1, seconds, 1.0, 0.0, speed=speed)

    for amount, wanted in ((None, [SECONDS]), (50e3, [SECONDS]), (100e3, [SECONDS, 1.5]), (1e6, [SECONDS, MOST])):
        looks.clear()
        found = _calibrated(partial(estimate, amount), [Made("a")])
        assert looks == wanted and found.speed == at(0.001 * len(wanted))
    looks.clear()
    assert _calibrated(partial(estimate, 1e6), [Made("a")], at(0.5)).speed == at(0.5)
    assert _calibrated(partial(estimate, 1e6), []).speed is None and not looks


def test_what_others_took_of_a_core_while_a_trial_was_recorded_does_not_count():
    """A trial recorded in a busy hour, on a machine measured in one, is foretold as it would be in a quiet one."""
    body = {"function": "made:work", "parameters": {"n": 1}, "seconds": 30.0, "busy_seconds": 8.0, "value": {}}
    run = {"calibration": 0.003, "busy_calibration": 0.002}
    quiet = {"function": "made:work", "parameters": {"n": 1}, "seconds": 8.0, "value": {}}
    recorded = [(body, run), (body, {"calibration": 0.003}), (quiet, run), (body, {})]
    assert [(ran.seconds, ran.speed) for ran in (ran_of(*one) for one in recorded)] == [
        (8.0, 0.002),
        (30.0, 0.003),  # from when it was not measured
        (8.0, 0.003),
        (30.0, None),
    ]
    there = (
        ran_of(body | {"parameters": {"n": 1, "device": "cuda"}}, run),
        ran_of(body | {"batched": {"device": "cuda"}}, run),
    )
    assert [one.seconds for one in there] == [30.0, 30.0], "a core that waits for a device"
    known = Past({str(i): ran_of(*one) for i, one in enumerate(recorded)}, [])
    assert [one.trust for one in known.of("work", None, 0.002)] == [2, 1, 1, 0]
    past = Past({"a": ran_of(body, run)}, [])
    about = {"study": "made", "preset": "laptop", "total": 1, "jobs": 1}
    assert estimate_run(past, [Made("b", {"n": 1})], speed=Speed(0.002, 0.002), **about).trial_seconds == approx(8)
    assert estimate_run(past, [Made("b", {"n": 1})], speed=Speed(0.006, 0.002), **about).trial_seconds == approx(24)


def test_a_trial_is_recorded_with_the_time_that_a_core_was_busy_with_it(tmp_path):
    store = Store(tmp_path)
    trials = [Trial(f"{__name__}:half_idle", {}, seed) for seed in range(2)]
    for result in run_trials(trials, store=store, jobs=1):
        assert result.body["busy_seconds"] < 0.15 < result.seconds


def half_idle(*, seed):
    time.sleep(0.2)
    return {}


# In a report ----------------------------------------------------------------------------------------------------


def test_the_report_tells_what_was_expected_and_what_it_took():
    results = {"seconds": 151.0, "trials": {"reused": 0}}
    estimate = {"seconds": 140.0, "took": 151.2, "trials": 75, "jobs": 2, "unknown": {}}
    run = {"trial_seconds": 280.0, "estimate": estimate, "memory": {"own": 0.61, "other": 0.88}}
    told = dict(costs(results, run))
    assert told["Expected"] == "2 min 20 s; it took 2 min 31 s, 75 trials computed, 2 at a time"
    assert told["Memory"] == "0.6 GiB at its peak, 0.9 GiB in the largest of its other processes"
    part = dict(costs(results, run | {"estimate": estimate | {"unknown": {"probe": 3}}}))
    assert part["Expected"].startswith("2 min 20 s at least, probe never having been run; it took")
    none = dict(costs(results, run | {"estimate": estimate | {"seconds": None}}))
    assert none["Expected"].startswith("nothing: no trial like these had been run; it took 2 min 31 s, 75 trials")
    stored = dict(costs(results, run | {"estimate": estimate | {"seconds": 9.0, "trials": 0}}))
    assert stored["Expected"] == "9.0 s; it took 2 min 31 s, all trials stored"
    engine = dict(costs(results, run | {"estimate": {"took": 151.2, "beside": 9.0, "trials": 75}}))
    assert (
        engine["Expected"] == "nothing: a run by Dask or SLURM is not estimated; it took 2 min 31 s, 75 trials computed"
    )
    assert engine["Memory"] == "0.6 GiB at its peak; what the workers of Dask or SLURM held was not measured"
    older = dict(costs(results, run | {"estimate": estimate | {"seconds": None, "trials": 0}}))
    assert older["Expected"] == "nothing: a run by Dask or SLURM is not estimated; it took 2 min 31 s"
    before = dict(costs(results, {"trial_seconds": 280.0}))
    assert before.keys() == {"This run", "Computing time", "Work", "Energy"}  # as older versions have it
    assert before["Computing time"] == "4 min 40 s on one core, over all trials of this version"
    gpu = dict(costs(results, run | {"determinism": {"device": "NVIDIA H200"}}))
    assert gpu["Computing time"] == "4 min 40 s on NVIDIA H200, over all trials of this version"
    assert gpu["Energy"] == "not estimated: what NVIDIA H200 drew is not known"


# A run, and what would be one ------------------------------------------------------------------------------------


@contextmanager
def engine(missing, store, jobs):
    """An engine that is none of Redraw's own, in this process."""
    yield running._Here(), 1, 1


def test_a_run_by_an_engine_records_what_it_measured_and_no_estimate(checkout, enter, unexecuted):
    enter(checkout)
    project, said = Project(checkout.root), []

    def run(**more):
        usual = {"preset": "smoke", "jobs": 1, "execute": unexecuted, "say": said.append}
        path = run_study(project, "tiny", **usual | more).version.path
        return json.loads((path / "run.json").read_text()), (path / "report.html").read_text()

    record, page = run(engine=engine, overrides={"seconds": 0.5})
    assert record["estimate"].keys() == {"took", "beside", "trials"} and record["calibration"] is None
    assert record["estimate"]["trials"] == 3 and record["estimate"]["took"] - record["estimate"]["beside"] >= 1.4
    assert "a run by Dask or SLURM is not estimated; it took" in page and "3 trials computed" in page
    assert "took" in said[-1] and "estimate" not in said[-1]
    assert past(project, "tiny", {}).beside("smoke", 0.001) == record["estimate"]["beside"]
    stored, page = run(engine=engine, overrides={"seconds": 0.5, "seeds": 2})
    assert stored["estimate"]["trials"] == 0 and stored["estimate"]["seconds"] == record["estimate"]["beside"]
    assert "all trials stored" in page


OFFERED = """

def uniform_means(calls, device):
    return [uniform_mean(**call) for call in calls]


BATCHED = {"uniform_mean": Batched(f"{__name__}:uniform_means")}
"""


@pytest.fixture
def offering(checkout, enter, monkeypatch):
    """The project of a checkout whose study's trials can run together, seen from this process."""
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    study.write_text(study.read_text().replace("import Samples, Trial", "import Batched, Samples, Trial") + OFFERED)
    enter(checkout)
    monkeypatch.setattr(_cli_estimate, "without_compiler", lambda: None)  # this process is not one that only runs
    return Project(checkout.root)


def test_a_forecast_knows_the_trials_that_ran_together(offering):
    trials = offering.module("tiny").plan(seeds=3, seconds=0.0, dataset="none")
    run_trials(batched(trials, "cpu"), store=Store(), jobs=1)
    about = {"preset": "smoke", "jobs": 1, "speed": at(0.001)}
    found = forecast(offering, "tiny", device="cpu", **about)
    assert (found.stored, found.to_compute) == (3, 0)
    found = forecast(offering, "tiny", **about)
    assert (found.stored, found.to_compute, found.unknown) == (0, 3, {"uniform_mean": 3})
    found = forecast(offering, "tiny", device="cpu", overrides={"seeds": 5}, **about)
    assert (found.stored, found.to_compute, found.together, found.unknown) == (3, 2, 2, {})


@pytest.mark.parametrize(("batch", "to_compute"), [(None, 0), (True, 0), (False, 3)])
def test_a_dry_run_on_cuda_finds_what_the_run_stored(offering, monkeypatch, batch, to_compute):
    monkeypatch.setattr(running, "how_it_ran", lambda device, members: {"device": device, "members": members})
    run_trials(
        batched(offering.module("tiny").plan(seeds=3, seconds=0.0, dataset="none"), "cuda"), store=Store(), jobs=1
    )
    found = _cli_estimate.dry_run(offering, ["tiny"], "smoke", {}, 1, None, batch, lambda: True, "processes")
    assert found.plain[0]["to_compute"] == to_compute and found.plain[0]["engine"] == "processes"
    laptop = found.plain[0]["presets"]["laptop"]
    assert (laptop["to_compute"], laptop["together"]) == ((10, 0) if batch is False else (7, 7))


def test_a_dry_run_says_what_its_time_is_not(offering):
    (found,) = _cli_estimate.dry_run(offering, ["tiny"], "smoke", {}, 1, None, None, lambda: True, "dask").plain
    assert found["unknown"] == {"uniform_mean together on cuda": 3}, "as the workers of the cluster would run them"
    (found,) = _cli_estimate.dry_run(offering, ["tiny"], "smoke", {}, 1, None, None, lambda: False, "dask").plain
    line = "on this machine, by its processes; the time with --engine dask is not estimated"
    assert _cli_estimate._grounds(found)[0] == line
    assert found["unknown"] == {"uniform_mean": 3}
    here = found | {"engine": "processes", "together": 2}
    grounds = _cli_estimate._grounds(here)
    assert line not in grounds
    assert (
        "2 trials run together: each taken as its share of a recorded group's time, whatever the size of" in grounds[0]
    )


def test_the_command_forecasts_the_run_that_it_would_make(offering, monkeypatch):
    asked = []
    monkeypatch.setattr(
        _cli_estimate, "dry_run", lambda *given: asked.append(given[4:]) or _cli_estimate.DryRun([{}], "")
    )
    for more in ({"batch": True}, {"engine": "serial"}, {"jobs": 3, "batch": False}):
        cli.run("tiny", preset="smoke", dry=True, as_json=True, **more)
    jobs, records, batch, has_cuda, engine = zip(*asked, strict=True)
    assert (jobs, records, batch) == ((None, 1, 3), (None,) * 3, (True, None, False))
    assert engine == ("processes", "serial", "processes") and not any(asks() for asks in has_cuda)


# The command ----------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_is_unknown_writes_nothing_and_afterwards_knows(checkout):
    before = checkout.files()
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "-p", "seconds=0.5", "--dry-run")
    assert ran.code == 0 and "time: unknown: never run" in ran.out and "not recorded" in ran.out, ran
    assert "3 trials" in ran.out and "0 stored, 3 to compute" in ran.out
    assert checkout.files() == before and not (checkout.root.parent / "store").exists()

    done = checkout.redraw("run", "tiny", "--preset", "smoke", "-p", "seconds=0.5", "--json")
    assert done.code == 0 and "no estimate, since nothing like it was ever run" in done.err, done
    run = json.loads((checkout.version() / "run.json").read_text())
    assert run["calibration"] > 0 and run["memory"]["own"] > 0 and run["memory"]["other"] > 0
    assert run["estimate"]["seconds"] is None and run["estimate"]["unknown"] == {"uniform_mean": 3}
    assert run["estimate"]["took"] - run["estimate"]["beside"] >= 1.5  # three trials of half a second, one by one
    page = (checkout.version() / "report.html").read_text()
    assert "Expected" in page and "GiB at its peak" in page and "calibration" not in page

    before = checkout.files()
    ran = checkout.redraw(
        "run", "--all", "--preset", "laptop", "-p", "seconds=0.5", "--jobs", "1", "--dry-run", "--json"
    )
    (found,) = json.loads(ran.out)
    assert ran.code == 0 and checkout.files() == before
    assert (found["trials"], found["stored"], found["to_compute"], found["calibrated"]) == (10, 3, 7, True)
    assert found["trial_seconds"] > 0 and found["memory"]["own"] > 0 and found["flops"] is None
    assert found["seconds"] > found["beside_seconds"] > 0
    assert (
        found["decides"] == found["main"] == ["C1"]
        and not found["decided"]
        and found["presets"].keys() == {"smoke", "laptop", "paper"}
    )
    assert found["presets"]["smoke"]["to_compute"] == 3  # without the parameter that was set for the other


def test_the_estimate_stands_beside_what_the_next_run_takes(checkout):
    assert checkout.redraw("run", "tiny", "--preset", "smoke").code == 0
    done = checkout.redraw("run", "tiny", "--preset", "smoke", "-p", "seeds=5")
    assert done.code == 0 and "took " in done.err and ", estimated " in done.err
    newest = sorted((checkout.reports / "tiny").glob("0002-*"))[0]
    estimate = json.loads((newest / "run.json").read_text())["estimate"]
    assert estimate["trials"] == 2 and estimate["seconds"] > 0 and estimate["calibrated"]
    results = json.loads((newest / "results.json").read_text())
    assert results.keys() == {"study", "version", "preset", "parameters", "claims", "started", "seconds", "trials"}
