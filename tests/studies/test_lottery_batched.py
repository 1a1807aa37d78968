"""The trials of `lottery_ticket` side by side: the same records as one by one, and a run's verdicts."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from redraw import data
from redraw.pruning import Masks
from redraw.studies import lottery_ticket as study
from redraw.workbook import Project, Store, rule, run_study, run_trials, trial_table
from redraw.workbook._batched import batched

ROOT = Path(__file__).resolve().parents[2]
KNOBS = {
    "dataset": "digits",
    "model": "lenet_300_100",
    "protocol": "paper",
    "budget": 0.002,
    "evaluate_every": 20,
    "seeds": 3,
    "rounds": 2,
    "reinit_rounds": [2],
    "reinit_draws": 2,
    "one_shot_levels": [0.5, 0.2],
}
COUNTED = ("iterations", "kept", "remaining", "survivors", "stop_iteration", "censored", "diverged")


def both(trials, tmp_path, device="cpu"):
    """Results one by one and side by side."""
    single = run_trials(trials, store=Store(tmp_path / "single"), jobs=1)
    return zip(single, run_trials(batched(trials, device), store=Store(tmp_path / "batched"), jobs=1), strict=True)


def assert_alike(one, other, tolerance):
    assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=tolerance)
    assert {name: one[name] for name in COUNTED} == {name: other[name] for name in COUNTED}
    assert one.keys() == other.keys() and one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        if name.startswith("weights."):
            assert torch.allclose(value, other.tensors[name], rtol=tolerance, atol=tolerance), name
        else:
            assert torch.equal(value, other.tensors[name]), name


@pytest.mark.parametrize("protocol", ["paper", "open_lth"])
def test_tickets_reinitialized_and_one_shot_are_those_of_single_trials(tmp_path, protocol):
    trials = study.plan(**KNOBS | {"protocol": protocol, "budget": 0.002 if protocol == "paper" else 0.006})
    groups = {}
    for trial, (one, other) in zip(trials, both(trials, tmp_path), strict=True):
        assert_alike(one, other, 1e-5)
        if trial.parameters.get("round"):
            assert_held(other)
        groups.setdefault(trial.function.partition(":")[2], set()).add(other.body["batched"]["members"])
    assert groups == {"ticket": {3}, "reinitialized": {6}, "one_shot": {6}}


def assert_held(result):
    """The weights that a ticket's masks prune are exactly zero."""
    weights = {n.removeprefix("weights."): v for n, v in result.tensors.items() if n.startswith("weights.")}
    packed = {n.removeprefix("masks."): v for n, v in result.tensors.items() if n.startswith("masks.")}
    masks = Masks.unpack(packed, weights)
    assert masks.kept < masks.total and all((weights[name] == 0).equal(~mask) for name, mask in masks.items())


@pytest.mark.skipif(not data.available("mnist"), reason="MNIST is not on this machine")
def test_convolutional_networks_train_side_by_side(tmp_path, monkeypatch):
    few = data.load_splits("mnist", seeds=[0])
    small = data.Arrays(few.x[:400], few.y[:400], few.test_x[:60], few.test_y[:60])
    monkeypatch.setattr("redraw.data._load._arrays", lambda name: small)
    knobs = {"dataset": "mnist", "model": "conv_2", "protocol": "paper", "budget": 1.0, "evaluate_every": 1}
    recipe = study.settings(**knobs) | {"iterations": 2, "validation": 60, "batch_size": 10}
    dense = [study._trial("ticket", recipe, seed, {}, round=0) for seed in range(2)]
    pruned = [study._trial("ticket", recipe, one.seed, {"previous": one}, round=1) for one in dense]
    for one, other in both([*dense, *pruned], tmp_path):
        assert_alike(one, other, 1e-5)
        assert other.body["batched"]["members"] == 2


def test_a_batched_run_comes_to_the_verdicts_of_a_single_one(tmp_path, monkeypatch):
    root = tmp_path / "project"
    for name in ("params/lottery_ticket.yaml", "notebooks/lottery_ticket.ipynb"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, root / name)
    project, changed = Project(root), {"budget": 0.002, "rounds": 1, "reinit_rounds": [1]}
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    done = run_study(
        project,
        "lottery_ticket",
        preset="smoke",
        overrides=changed,
        jobs=1,
        store=Store(tmp_path / "batched"),
        device="cpu",
    )
    card = project.card("lottery_ticket")
    knobs = card.resolve("smoke", changed)
    trials = study.plan(**knobs)
    table = trial_table(trials, run_trials(trials, store=Store(tmp_path / "single"), jobs=1))
    expected = rule(card, study.measure(table, **knobs), "smoke", knobs)
    assert [(v["id"], v["outcome"]) for v in done.verdicts] == [(v.id, v.outcome) for v in expected]
    record = json.loads((done.version.path / "run.json").read_text())
    assert record["batched"] == {"trials": len(trials), "device": "cpu", "largest group": 2}
    assert record["determinism"]["device"] == "cpu"
