"""Trials that run together: their keys, who goes with whom, what is stored, and what a failure takes down."""

import dataclasses
import importlib
import json
import sys
import textwrap

import pytest
import torch

from redraw.workbook import Batched, Store, Trial, TrialError, run_study, run_trials
from redraw.workbook import _batched as batching
from redraw.workbook import _trials as module
from redraw.workbook._batched import MOST, batched, device_of, groups, on_cuda
from redraw.workbook._command import command
from redraw.workbook._engines import engine_of
from redraw.workbook._project import find_project
from redraw.workbook._report import _sentences
from redraw.workbook._rulings import gather

MODULE = "redraw_test_batched"

TRIALS = '''
    """Trial functions of these tests, and what computes several of their trials at once."""

    import os
    import signal

    import torch

    from redraw.workbook import Batched

    CALLS = []


    def number(*, seed, n, rate=1.0):
        return {"value": seed + n * rate, "tensors": {"x": torch.full((3,), float(seed))}}


    def numbers(calls, device):
        CALLS.append([call["seed"] for call in calls])
        if calls[0]["n"] == 13:
            raise ValueError("thirteen")
        if calls[0]["n"] == 15 and len(calls) > 2:
            raise torch.OutOfMemoryError("no room")
        return [number(**call) for call in calls]


    def twice(*, seed, one):
        return {"value": 2 * one["value"] + one.tensors["x"].sum().item()}


    def twices(calls, device):
        CALLS.append(["twice", *(call["seed"] for call in calls)])
        return [twice(**call) for call in calls]


    def dies(calls, device):
        os.kill(os.getpid(), signal.SIGKILL)


    def single(*, seed, one=None):
        return {"value": one["value"] if one else 0.0}


    BATCHED = {
        "number": Batched(f"{__name__}:numbers", varying=("rate",)),
        "twice": Batched(f"{__name__}:twices"),
        "doomed": Batched(f"{__name__}:dies"),
    }


    doomed = twice
'''


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batched_module")
    (folder / f"{MODULE}.py").write_text(textwrap.dedent(TRIALS))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield importlib.import_module(MODULE)
    sys.path.remove(str(folder))
    sys.modules.pop(MODULE, None)


@pytest.fixture(autouse=True)
def calls(functions):
    functions.CALLS.clear()
    return functions.CALLS


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def number(seed=0, n=1, **more):
    return Trial(f"{MODULE}:number", {"n": n, **more}, seed)


def twice(one):
    return Trial(f"{MODULE}:twice", {}, one.seed, {"one": one})


def here(trials, store, **more):
    return run_trials(batched(trials, "cpu"), store=store, **{"jobs": 1} | more)


# Keys -----------------------------------------------------------------------------------------------------------


def test_a_batched_trial_has_a_key_of_its_own_and_so_has_what_needs_it():
    trials = [number(), twice(number()), Trial(f"{MODULE}:single", {}, 0, {"one": number()})]
    keys = [[t.key for t in chosen] for chosen in (trials, batched(trials, "cpu"), batched(trials, "cuda"))]
    assert len({key for found in keys for key in found}) == 9
    assert all(batched(trials, device) == trials for device in (None, ""))
    alone = Trial(f"{MODULE}:single", {}, 0)
    assert batched([alone], "cpu")[0] is alone
    assert [t.batched is None for t in batched(trials, "cpu")] == [False, False, True]


def test_needs_that_are_shared_stay_shared():
    one = number()
    first, second = batched([twice(one), twice(one)], "cpu")
    assert first.needs["one"] is second.needs["one"]


def test_the_key_holds_the_batched_functions_meaning_and_not_who_is_beside(monkeypatch):
    (one,) = batched([number()], "cpu")
    assert batched([number(), number(1)], "cpu")[0].key == one.key
    other = dataclasses.replace(one.batched, varying=("n",))
    assert dataclasses.replace(one, batched=other).key == one.key
    assert dataclasses.replace(one, batched=dataclasses.replace(other, function=f"{MODULE}:twices")).key != one.key
    monkeypatch.setattr(batching, "meaning", lambda function: "another")
    assert dataclasses.replace(one).key != one.key


def test_where_trials_run_together(monkeypatch):
    for cuda, expected in ((False, {None: None, True: "cpu", False: None}), (True, {None: "cuda", True: "cuda"})):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        assert {asked: device_of(asked, engine_of("serial", None).has_cuda) for asked in expected} == expected
    assert device_of(False, None) is None  # then nobody is asked


def test_what_trains_on_cuda_is_not_crowded_by_processes():
    single, there = Trial(f"{MODULE}:single", {}, 0), Trial(f"{MODULE}:single", {"device": "cuda"}, 0)
    (cpu,), (cuda,) = batched([number()], "cpu"), batched([number()], "cuda")
    assert on_cuda([]) and on_cuda([cuda]) and on_cuda([there, cuda])
    assert not any(map(on_cuda, ([there], [single, cuda], [cpu], [there, cpu])))


def test_a_network_that_fills_a_device_runs_by_itself(functions, monkeypatch):
    offer = dataclasses.replace(functions.BATCHED["number"], alone=("large",))
    monkeypatch.setitem(functions.BATCHED, "number", offer)
    small, large = batched([number(network="small"), number(network="large")], "cpu")
    assert small.batched is not None and large.batched is None


# Groups ---------------------------------------------------------------------------------------------------------


def test_only_what_is_alike_but_for_seed_and_what_may_vary_goes_together():
    loose = Trial(f"{MODULE}:single", {}, 0), Trial(f"{MODULE}:single", {}, 1)
    ones = [number(0), number(1, rate=2.0), number(2, n=2), number(3, rate=1.0), twice(number(0))]
    found = groups(batched([*loose, *ones], "cpu"), 1)
    labels = [[(t.function.partition(":")[2], t.seed) for t in group] for group in found]
    assert labels == [
        [("single", 0)],
        [("single", 1)],
        [("number", 0), ("number", 1), ("number", 3)],
        [("number", 2)],
        [("twice", 0)],
    ]


@pytest.mark.parametrize(
    ("trials", "workers", "sizes"),
    [(5, 1, [5]), (5, 2, [3, 2]), (3, 4, [1, 1, 1]), (70, 1, [MOST, MOST, 6]), (70, 2, [MOST, MOST, 6]), (4, 0, [4])],
)
def test_a_group_is_divided_among_workers_and_has_no_more_than_the_most(trials, workers, sizes):
    alike = batched([number(seed) for seed in range(trials)], "cpu")
    found = groups(alike, workers)
    assert [len(group) for group in found] == sizes and [t for group in found for t in group] == alike


# Running --------------------------------------------------------------------------------------------------------


def test_a_group_is_one_call_and_each_member_is_stored_by_itself(store, calls):
    trials = [number(seed) for seed in range(4)]
    chain = [*trials, *(twice(one) for one in trials), Trial(f"{MODULE}:single", {}, 0, {"one": trials[2]})]
    seen = []
    results = here(chain, store, on_progress=lambda p: seen.append((p.reused, p.computed, p.total)))
    assert calls == [[0, 1, 2, 3], ["twice", 0, 1, 2, 3]]
    assert seen == [(0, 0, 9), (0, 4, 9), (0, 8, 9), (0, 9, 9)]
    single = run_trials(chain, store=Store(store.root / "single"), jobs=1)
    for trial, one, other in zip(batched(chain, "cpu"), results, single, strict=True):
        assert one.key == trial.key != other.key and dict(one) == dict(other)
        assert {n: t.tolist() for n, t in one.tensors.items()} == {n: t.tolist() for n, t in other.tensors.items()}
        members = {"batched": {"device": "cpu", "members": 4}} if trial.batched else {}
        assert {name: part for name, part in one.body.items() if name not in other.body} == members
        assert one.seconds >= 0
    assert here(chain, store)[0].key == results[0].key and len(calls) == 2
    here([number(seed) for seed in range(6)], store)
    assert calls[2:] == [[4, 5]]


def test_groups_run_in_processes_too(store):
    results = here([twice(number(seed)) for seed in range(4)], store, jobs=2)
    assert [result["value"] for result in results] == [2 * (seed + 1) + 3 * seed for seed in range(4)]
    assert {result.body["batched"]["members"] for result in results} <= {1, 2, 4}


def test_what_failed_takes_its_group_down_and_no_other(store, calls):
    bad = batched([number(seed, 13) for seed in range(2)], "cpu")
    good = batched([number(seed) for seed in range(2)], "cpu")
    with pytest.raises(TrialError, match=r"^number \(seed 0\) and 1 beside it: ValueError: thirteen$"):
        run_trials([*good, *bad], store=store, jobs=1)
    assert all(store.get(t.key) for t in good) and not any(store.get(t.key) for t in bad)


def test_a_kill_loses_the_group_that_was_running_and_the_rest_is_found_again(store):
    good = [number(seed) for seed in range(3)]
    bad = [Trial(f"{MODULE}:doomed", {}, one.seed, {"one": one}) for one in good]
    with pytest.raises(TrialError) as killed:
        here([*bad, *good], store, jobs=2)
    assert killed.value.outcome == "killed" and not any(store.get(trial.key) for trial in batched(bad, "cpu"))
    kept = [trial.key for trial in batched(good, "cpu") if store.get(trial.key)]
    seen = []
    here(good, store, on_progress=lambda progress: seen.append(progress.reused))
    assert seen[0] == len(kept) >= 1


def test_a_group_too_large_for_the_device_runs_by_halves(store, calls):
    results = here([number(seed, 15) for seed in range(5)], store)
    assert calls == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3, 4]]
    assert [result.body["batched"]["members"] for result in results] == [2, 2, 1, 2, 2]


def test_an_edit_of_the_batched_function_is_noticed(store, monkeypatch):
    def edited(function, now=False):
        return "edited" if now and function == f"{MODULE}:numbers" else "as it was"

    monkeypatch.setattr(module, "meaning", edited)
    with pytest.raises(TrialError, match="the code changed while the run was going on"):
        here([number(0)], store)


def test_on_cuda_they_run_in_this_process(store, monkeypatch, calls):
    monkeypatch.setattr(module, "how_it_ran", lambda device, members: {"device": device, "members": members})
    run_trials(batched([number(seed) for seed in range(3)], "cuda"), store=store, jobs=4)
    assert calls == [[0, 1, 2]]  # a worker's would not be seen here


# A run ----------------------------------------------------------------------------------------------------------


def test_a_notebook_finds_what_its_run_batched(store, monkeypatch, calls):
    here([number(0), number(1)], store)
    monkeypatch.setenv("REDRAW_STORE", str(store.root))
    monkeypatch.setenv("REDRAW_BATCHED", "cpu")
    assert gather([number(0), number(1)])["value"].tolist() == [1.0, 2.0] and len(calls) == 1
    monkeypatch.setenv("REDRAW_BATCHED", "")
    gather([number(0)], jobs=1)
    assert len(calls) == 1 and store.get(number(0).key)


OFFERED = """

def uniform_means(calls, device):
    return [uniform_mean(**call) for call in calls]


BATCHED = {"uniform_mean": Batched(f"{__name__}:uniform_means")}
"""


def test_a_run_says_that_its_trials_ran_together(checkout, enter):
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    plain = study.read_text()
    said = []

    def run(**more):
        enter(checkout)
        return run_study(find_project(checkout.root), "tiny", preset="smoke", jobs=1, say=said.append, **more)

    single = run(device="cpu", device_asked=False)
    assert single.published and not [line for line in said if "batched" in line]
    run(device="cpu")
    assert "tiny has no batched trial functions: its trials run one by one" in said
    record = json.loads((checkout.version() / "run.json").read_text())
    assert record["batched"] is None and "--batch-seeds" not in record["command"]

    study.write_text(plain.replace("import Samples, Trial", "import Batched, Samples, Trial") + OFFERED)
    together = run(device="cpu")
    record = json.loads((together.version.path / "run.json").read_text())
    assert record["batched"] == {"trials": 3, "device": "cpu", "largest group": 3}
    assert record["command"] == "redraw run tiny --preset smoke --batch-seeds"
    assert [v["outcome"] for v in single.verdicts] == [v["outcome"] for v in together.verdicts]
    page = (together.version.path / "report.html").read_text()
    assert "3 trials trained side by side as one program on cpu, up to 3 at a time" in page
    assert "--batch-seeds" in page and _sentences({}, {"batched": None}) == _sentences({}, {})


def test_the_command_names_it():
    card = find_project().card("lottery_ticket")
    assert command(card, "smoke", {}, batched=True) == "redraw run lottery_ticket --preset smoke --batch-seeds"


def test_what_is_offered_is_where_it_says():
    """Every study's batched functions exist, and belong to trial functions of its own."""
    project, found = find_project(), 0
    for study in project.studies():
        home = project.module(study)
        for name, offer in getattr(home, "BATCHED", {}).items():
            where, _, function = offer.function.partition(":")
            assert callable(getattr(home, name)) and callable(getattr(importlib.import_module(where), function))
            assert isinstance(offer, Batched)
            found += 1
    assert found


def test_the_command_takes_the_flag_and_says_only_then_where_it_has_no_effect(checkout):
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    study.write_text(study.read_text() + "\n\ntorch.cuda.is_available = lambda: True\n")
    ran = checkout.redraw("run", "tiny", "--preset", "smoke")
    assert ran.code == 0 and "published" in ran.err and "batched" not in ran.err
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--batch-seeds")
    assert ran.code == 0 and "tiny has no batched trial functions: its trials run one by one" in ran.err
