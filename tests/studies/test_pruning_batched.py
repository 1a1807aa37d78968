"""The trials of `pruning_at_init` side by side: the same records as one by one, and a run's verdicts."""

from functools import partial
from pathlib import Path

import pytest
import torch

from redraw.models import resnet_18
from redraw.pruning import Masks
from redraw.seeds import generator
from redraw.studies import _pruning_batched as together
from redraw.studies import _pruning_trials as trials
from redraw.studies import pruning_at_init as study
from redraw.workbook import Project, Store, rule, run_trials, trial_table
from redraw.workbook._batched import batched, told_of

ROOT = Path(__file__).resolve().parents[2]
KNOBS = {
    "dataset": "digits",
    "network": "lenet_300_100",
    "other_network": "none",
    "levels": [1, 2],
    "methods": ["random", "snip", "magnitude", "ltr"],
    "check_levels": [2, 2],
    "checks": ["snip", "magnitude"],
    "dynamic": [],
    "steps": [40, 40],
    "rewind": 5,
    "batch_size": 50,
    "learning_rate": 0.1,
    "seeds": 2,
    "device": "cpu",
}


class Kept(dict):
    """What stands for a result in the store."""

    def __init__(self, value):
        super().__init__(value)
        self.tensors = value.get("tensors", {})


def assert_alike(one, other, tolerance=1e-5):
    """One record and the other, but for times, and to one example of the digits' test set."""
    assert list(one) == list(other)
    for name in one.keys() - {"tensors"}:
        if "seconds" in name:
            assert other[name] >= 0
        elif name == "test_accuracy":
            assert other[name] == pytest.approx(one[name], abs=1.01 / 360)
        else:
            assert other[name] == one[name], name
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        if name.startswith("masks."):
            assert torch.equal(value, other.tensors[name]), name
        else:
            assert torch.allclose(value, other.tensors[name], rtol=tolerance, atol=tolerance), name


def test_records_are_those_of_single_trials(tmp_path):
    """Every check, rewound and not, and tickets of rounds 0 to 2."""
    plan = [trial for trial in study.plan(**KNOBS) if not trial.function.endswith(":critical")]
    single = run_trials(plan, store=Store(tmp_path / "single"), jobs=1)
    side = run_trials(batched(plan, "cpu"), store=Store(tmp_path / "batched"), jobs=1)
    seen, groups = set(), set()
    for trial, one, other in zip(plan, single, side, strict=True):
        assert_alike(one, other)
        name, asked = trial.function.partition(":")[2], trial.parameters
        if "batched" in other.body:
            arm = (asked["check"], asked["rewound"]) if name == "trained" else asked["round"]
            seen.add((name, arm))
            groups.add((name, arm[1] if name == "trained" else arm, other.body["batched"]["members"]))
    checked = {(check, rewound) for check in ("none", "shuffle", "reinit") for rewound in (True, False)}
    assert seen == {("trained", arm) for arm in checked} | {("ticket", k) for k in (0, 1, 2)}
    assert groups == {
        ("trained", False, 12),
        ("trained", True, 8),
        ("ticket", 0, 2),
        ("ticket", 1, 2),
        ("ticket", 2, 2),
    }


# Networks with batch normalization --------------------------------------------------------------------------------


@pytest.fixture
def pictures(monkeypatch):
    """Ten kinds of pictures, a narrow ResNet-18, and double precision: what is left between the two is rounding."""
    chance = generator(0, "pictures")
    kinds, y = torch.randn(10, 1, 12, 12, generator=chance), torch.arange(120) % 10
    x = (kinds[y] + torch.randn(120, 1, 12, 12, generator=chance)).double()
    arrays = (x, y, x[:40].flip(0) + 0.1, y[:40].flip(0))
    monkeypatch.setattr(trials, "_arrays", lambda dataset, device: arrays)
    narrow = {"resnet_18": partial(resnet_18, width=4)}
    monkeypatch.setattr(trials, "NETWORKS", trials.NETWORKS | narrow)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("network", ["strided_conv", "resnet_18"])
def test_networks_with_batch_normalization_are_trained_and_tested_as_alone(network, pictures):
    """Their running statistics are each member's own: training mode while it trains, evaluation mode in the test."""
    recipe = {"dataset": "pictures", "network": network, "steps": 24, "rewind": 3, "batch_size": 20}
    recipe |= {"learning_rate": 0.05, "device": "cpu"}
    calls = [{"seed": seed, "round": 0, "rate": 0.2, **recipe} for seed in (0, 1)]
    for _ in range(2):  # a round, and the one that is pruned from it
        alone = [Kept(trials.ticket(**call)) for call in calls]
        found = [Kept(value) for value in together.tickets(calls, "cpu")]
        for one, other in zip(alone, found, strict=True):
            assert {name for name in one.tensors if "running" in name}
            assert_alike(one, other, 1e-9)
        calls = [{**call, "round": 1, "previous": one} for call, one in zip(calls, alone, strict=True)]
    more = {"rewound": True, "masks_of": "ltr", "level": 1, **recipe}
    checks = [{"seed": 1, "check": check, "found": alone[1], **more} for check in ("none", "shuffle", "reinit")]
    for call, value in zip(checks, together.trained(checks, "cpu"), strict=True):
        assert_alike(Kept(trials.trained(**call)), Kept(value))


def test_networks_that_start_alike_are_rewound_once(monkeypatch):
    """Each member still has weights of its own, under its own masks."""
    recipe = trials.Recipe("digits", "lenet_300_100", 12, 4, 50, 0.1, "cpu")
    model = trials._start(recipe, 0)
    masks = [trials._random(model, remaining, 0) for remaining in (0.5, 0.1)]
    members = [together._Member(0, one, trials._start(recipe, 0)) for one in masks]
    taken, take = [], together._take
    monkeypatch.setattr(together, "_take", lambda r, models, *more: taken.append(len(models)) or take(r, models, *more))
    records = together._train(recipe, members, first=4)
    assert taken == [1, 2] and [record["training_steps"] for record in records] == [8, 8]
    for one, record in zip(members, records, strict=True):
        again = trials._start(recipe, 0, rewound=True)
        expected = trials._train(recipe, again, one.masks, 0, first=4)
        assert record["test_accuracy"] == expected["test_accuracy"]
        for name, value in again.state_dict().items():
            assert torch.allclose(one.model.state_dict()[name], value, atol=1e-6), name
        assert all((one.model.state_dict()[name] == 0).equal(~mask) for name, mask in one.masks.items())
    assert Masks.dense(model).kept > members[0].masks.kept > members[1].masks.kept


# A run ------------------------------------------------------------------------------------------------------------


def test_a_batched_run_comes_to_the_verdicts_of_a_single_one(tmp_path):
    card = Project(ROOT).card("pruning_at_init")
    knobs = card.resolve("smoke", {"levels": [16], "methods": ["random", "snip"], "dynamic": [], "steps": [20, 20]})
    plan, store, samples, how = study.plan(**knobs), Store(tmp_path), [], []
    for chosen in (plan, batched(plan, "cpu")):  # what both run one by one is stored once
        results = run_trials(chosen, store=store, jobs=1)
        samples.append(study.measure(trial_table(plan, results), **knobs))
        how.append(told_of(results))
    side_by_side = [trial for trial in plan if trial.function.endswith((":ticket", ":trained"))]
    assert how == [None, {"trials": len(side_by_side), "device": "cpu", "largest group": 8}]
    assert samples[0]["S1m"].arms.keys() == {"found", "shuffled", "reinitialized"}
    for claim, one in samples[0].items():
        other = samples[1][claim]
        assert one.arms.keys() == other.arms.keys()
        for name, arm in one.arms.items():  # per cent: to one example of 360
            assert other.arms[name].values == pytest.approx(arm.values, abs=0.281), (claim, name)
    verdicts = [[(v.id, v.outcome) for v in rule(card, one, "smoke", knobs)] for one in samples]
    assert verdicts[0] == verdicts[1]
