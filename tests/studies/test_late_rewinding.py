"""The trials of the rewinding study against the same steps taken by hand, on digits."""

from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw import data
from redraw.models import initialize, lenet_300_100, narrow_conv_2, small_resnet
from redraw.pruning import Masks
from redraw.seeds import generator
from redraw.studies import _rewound
from redraw.studies import late_rewinding as study

RECIPE = replace(study.SETTINGS["lenet_digits"], iterations=30)
K = 6


class Kept(dict):
    """What stands for a result in the store."""

    def __init__(self, value):
        super().__init__(value)
        self.tensors = value["tensors"]


@pytest.fixture(scope="module")
def dense():
    return Kept(study.dense(seed=3, keep=[0, K], **asdict(RECIPE)))


@pytest.fixture(scope="module")
def tickets(dense):
    first = Kept(study.ticket(seed=3, k=K, round=1, rate=0.5, dense=dense, **asdict(RECIPE)))
    return [first, Kept(study.ticket(seed=3, k=K, round=2, rate=0.5, dense=dense, previous=first, **asdict(RECIPE)))]


def end(result):
    return _rewound.checkpoint_at(result.tensors, 30).state


def masks_of(result):
    return study._masks(result, lenet_300_100((64,)))


# Rewinding --------------------------------------------------------------------------------------------------------


def whole_batches(seed=0, shape=(1, 14, 14)):
    """Twelve random pictures of which a batch takes all: the order of the data then changes nothing but rounding."""
    x, y = torch.randn(12, *shape, generator=generator(seed)), torch.arange(12) % 10
    return data.Dataset("made up", x, y, x, y, x, y, 10)


def check_resumed(network=small_resnet, optimizer="sgd"):
    """Rewound to k under no masks, a training ends where it ended: weights, statistics of batch normalization, the
    optimizer's state and the place in the schedule are all restored."""
    recipe = _rewound.Recipe("", "", optimizer, 0.05, "step", 1e-3, 12, 24, False, "cpu")
    dataset, model = whole_batches(), initialize(network((1, 14, 14)), "kaiming_normal", generator(1))
    masks, start = Masks.dense(model), _rewound.fresh(model)
    kept = _rewound.train(recipe, model, masks, dataset, start, (0, "one"), keep=[0, 5, 11])
    there = _rewound.state_of(model)
    assert [one.iteration for one in kept] == [0, 5, 11]
    for one in kept:
        stored = _rewound.checkpoint_at(one.tensors() | {"at_51.state.x": torch.zeros(1)}, one.iteration)
        _rewound.train(recipe, model, masks, dataset, stored, (0, "another"))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, there[name], rtol=2e-3, atol=2e-4, msg=f"{name} from {one.iteration}")


@pytest.mark.parametrize("network, optimizer", [(small_resnet, "sgd"), (narrow_conv_2, "adam")])
def test_rewound_means_weights_statistics_optimizer_and_schedule(network, optimizer):
    check_resumed(network, optimizer)


def test_the_learning_rate_falls_where_the_papers_does():
    recipe = study.SETTINGS["resnet_20_cifar10"]
    rates = [_rewound.learning_rate(recipe, i) for i in (0, 31_999, 32_000, 47_999, 48_000, 62_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert _rewound.learning_rate(RECIPE, 29) == RECIPE.learning_rate


def by_hand(state, stream, masks, first, moments=None):
    """Plain Adam from `state` at iteration `first`, data in the order of `stream`, pruned weights zeroed every step."""
    dataset, model = data.load("digits", seed=3), lenet_300_100((64,))
    model.load_state_dict(state)
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3)
    if moments:
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    order, queue = generator(3, *stream, "order"), []
    masks.apply(model)
    for _ in range(first, 30):
        if not queue:
            queue = list(torch.randperm(1200, generator=order).split(60))
        ids = queue.pop(0)
        optimizer.zero_grad()
        F.cross_entropy(model(dataset.train_x[ids]), dataset.train_y[ids]).backward()
        for name, parameter in model.named_parameters():
            if name in masks:
                parameter.grad[~masks[name]] = 0
                if parameter in optimizer.state:
                    optimizer.state[parameter]["exp_avg"][~masks[name]] = 0
        optimizer.step()
        masks.apply(model)
    return model.state_dict()


def test_a_ticket_is_what_is_left_from_iteration_k(dense, tickets):
    """Half of the weights, the largest of the trained network, from its state at k, by hand; then half of the rest."""
    theta = initialize(lenet_300_100((64,)), "glorot_normal", generator(3, "theta_0")).state_dict()
    start = _rewound.checkpoint_at(dense.tensors, 0)
    assert all(torch.equal(start.state[name], theta[name]) for name in theta) and not start.optimizer
    before, shares = end(dense), []
    for number, ticket in enumerate(tickets, 1):
        masks, weights = masks_of(ticket), torch.cat([before[n].abs().flatten() for n in before if "weight" in n])
        line = weights.sort(descending=True).values[round(len(weights) / 2**number) - 1]
        for name in masks:
            assert torch.equal(masks[name], before[name].abs() >= line)
            assert not end(ticket)[name][~masks[name]].any()
        there = _rewound.checkpoint_at(dense.tensors, K)
        moments = {}
        for name, value in there.optimizer.items():
            moments.setdefault(int(name.split(".")[0]), {})[name.split(".")[1]] = value.clone()
        for name, value in by_hand(there.state, ("ticket", K, number), masks, K, moments).items():
            torch.testing.assert_close(end(ticket)[name], value, rtol=1e-2, atol=1e-3)
        before = end(ticket)
        shares.append(ticket["remaining"])
        away = sum(((end(dense)[n] - before[n])[m] ** 2).sum().item() for n, m in masks.items()) ** 0.5
        assert ticket["distance"] == pytest.approx(away, rel=1e-5)
    assert shares == pytest.approx([0.5, 0.25], abs=1e-4)


# Siblings ---------------------------------------------------------------------------------------------------------


def check_siblings(dense, tickets):
    """Siblings part at k: the same state and masks, another order; both ends of the line are they."""
    common = dict(seed=3, k=K, points=5, examples=360, dense=dense)
    for first, round in ((None, 0), (tickets[1], 2)):
        needs = {"first": first} if first else {}
        found = study.sibling(round=round, **common, **needs, **asdict(RECIPE))
        one = first or dense
        assert found["errors"][0] == pytest.approx(100 - one["test_accuracy"], abs=0.3)
        assert found["errors"][-1] == pytest.approx(100 - found["test_accuracy"], abs=0.3)
        ends = (found["errors"][0] + found["errors"][-1]) / 2
        assert found["instability"] == pytest.approx(max(found["errors"]) - ends)
        assert found["apart"] > 0.05 and found["remaining"] == one["remaining"]


def test_siblings_differ_in_the_order_of_the_data(dense, tickets):
    check_siblings(dense, tickets)


def test_a_sibling_is_trained_as_by_hand(dense):
    there = _rewound.checkpoint_at(dense.tensors, 0)
    other = by_hand(there.state, ("sibling", 0, 0), masks_of(dense), 0)
    found = study.sibling(seed=3, k=0, round=0, points=2, examples=360, dense=dense, **asdict(RECIPE))
    away = sum((end(dense)[n] - other[n]).square().sum().item() for n in masks_of(dense)) ** 0.5
    assert found["apart"] == pytest.approx(away, rel=1e-2)


# Ways to go on ----------------------------------------------------------------------------------------------------


def test_each_way_starts_where_it_says_and_learns_as_fast_as_it_says(dense, monkeypatch):
    seen = {}

    def train(recipe, model, masks, dataset, start, stream, *, rates=None, keep=(), saved=None):
        seen.update(start=start, rates=rates, masks=masks, fresh=model.state_dict())

    monkeypatch.setattr(study, "train", train)
    recipe = asdict(replace(RECIPE, schedule="step"))
    rates = [1.2e-3] * 15 + [1.2e-4] * 8 + [1.2e-5] * 7
    at = {k: _rewound.checkpoint_at(dense.tensors, k).state for k in (0, K, 30)}
    expected = {
        "rewound": (at[K], rates[K:]),
        "reset": (at[0], rates),
        "lr_rewound": (at[30], rates[K:]),
        "finetuned": (at[30], [1.2e-5] * 24),
    }
    for arm, (state, learned) in expected.items():
        study.retrained(seed=3, arm=arm, k=K, remaining=0.2, dense=dense, **recipe)
        assert seen["rates"] == pytest.approx(learned) and seen["masks"].remaining == pytest.approx(0.2, abs=1e-3)
        assert all(torch.equal(seen["start"].state[name], state[name]) for name in state), arm
    study.retrained(seed=3, arm="reinitialized", k=K, remaining=0.2, dense=dense, **recipe)
    fresh = initialize(lenet_300_100((64,)), "glorot_normal", generator(3, "reinitialization")).state_dict()
    assert all(torch.equal(seen["start"].state[name], fresh[name]) for name in fresh)
    for arm, state, count in (("ticket", at[0], None), ("scratch", fresh, None), ("finetuned", at[30], 7)):
        study.structured(seed=3, arm=arm, keep=0.5, dense=dense, **recipe)
        assert all(torch.equal(seen["start"].state[name], state[name]) for name in state), arm
        assert seen["rates"] is None if count is None else seen["rates"] == pytest.approx([1.2e-5] * count)


@pytest.mark.parametrize("network, shape", [(lenet_300_100, (64,)), (narrow_conv_2, (1, 12, 12))])
def test_a_network_without_units_computes_what_the_smaller_one_does(network, shape):
    model = initialize(network(shape), "kaiming_normal", generator(0))
    masks = _rewound.structured_masks(model.state_dict(), Masks.dense(model), 0.5)
    x = torch.randn(7, *shape, generator=generator(1))
    small, alive = nn.Sequential(), None
    layers = [layer for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in model:
        if layer not in layers:
            small.append(layer)
            continue
        weight = layer.weight.detach()
        norms = weight.abs().flatten(1).sum(1)
        rows = norms.topk(len(norms) // 2).indices.sort().values if layer is not layers[-1] else torch.arange(10)
        if alive is not None:
            spread = weight.shape[1] // alive[1]
            weight = weight[:, torch.cat([torch.arange(i * spread, (i + 1) * spread) for i in alive[0].tolist()])]
        alive, weight = (rows, len(norms)), weight[rows]
        kind = (
            nn.Linear(weight.shape[1], len(rows)) if weight.ndim == 2 else nn.Conv2d(*weight.shape[1::-1], 3, padding=1)
        )
        kind.load_state_dict({"weight": weight, "bias": layer.bias.detach()[rows]})
        small.append(kind)
    expected = small(x)
    torch.testing.assert_close(masks.apply(model)(x), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for n, p in small.named_parameters() if "weight" in n) == masks.kept < 0.6 * masks.total


# The plan ---------------------------------------------------------------------------------------------------------

KNOBS = dict(
    settings=["lenet_digits", "conv_2_fashion"],
    budget=1.0,
    rewind=[0.0, 0.1],
    rounds=2,
    rate=0.5,
    points=5,
    examples=100,
    retrain=["conv_2_fashion"],
    retrain_remaining=0.1,
    structured=["conv_2_fashion"],
    structured_keep=0.5,
    structured_rates=[0.01, 0.03],
    seeds=2,
    device="cpu",
)


def test_the_plan_has_what_each_setting_needs():
    trials = study.plan(**KNOBS)
    counts = {}
    for trial in trials:
        name = (trial.parameters["network"], trial.function.partition(":")[2])
        counts[name] = counts.get(name, 0) + 1
    assert counts == {
        ("lenet", "dense"): 2,
        ("lenet", "sibling"): 8,
        ("lenet", "ticket"): 8,
        ("conv_2", "dense"): 4,
        ("conv_2", "sibling"): 8,
        ("conv_2", "ticket"): 8,
        ("conv_2", "retrained"): 10,
        ("conv_2", "structured"): 12,
    }
    for trial in trials:
        for need in trial.needs.values():
            same = ("network", "learning_rate", "iterations", "dataset")
            assert all(need.parameters[name] == trial.parameters[name] for name in same) and need.seed == trial.seed
            if need.function.endswith("ticket"):
                assert need.parameters["k"] == trial.parameters["k"]
                assert need.parameters["round"] == trial.parameters["round"] - trial.function.endswith("ticket")


def test_impossible_requests_are_refused():
    for more, words in {
        "none": (dict(settings=[]), "settings: must name at least one, each once, got none"),
        "same": (
            dict(retrain=["conv_2_fashion"] * 2),
            "retrain: must name each once, got conv_2_fashion, conv_2_fashion",
        ),
        "rates": (dict(structured_rates=[]), "structured_rates: must name at least one, each once, got none"),
        "start": (dict(rewind=[0.1]), "rewind: must have 0, the initialization"),
        "twice": (dict(rewind=[0.0, 0.1, 0.101]), "in lenet_digits, some twice"),
        "norm": (dict(structured=["resnet_fashion"]), "structured: must be settings without batch normalization"),
    }.values():
        with pytest.raises(ValueError, match=words):
            study.plan(**KNOBS | more)


def test_early_is_the_latest_in_the_first_tenth():
    assert study.early_k([0.0, 0.02, 0.05, 0.3], 800) == 40 and study.early_k([0.0, 0.3], 800) is None


# The paper's network ----------------------------------------------------------------------------------------------


def test_resnet_20_runs_through_every_trial(monkeypatch):
    """Two steps on made-up pictures with the paper's recipe: crops and mirrors, weight decay, batch normalization."""
    monkeypatch.setattr(_rewound, "dataset_of", lambda *arguments: whole_batches(shape=(3, 32, 32)))
    recipe = asdict(replace(study.SETTINGS["resnet_20_cifar10"], iterations=2, batch_size=4))
    dense = Kept(study.dense(seed=0, keep=[0, 1], **recipe))
    ticket = Kept(study.ticket(seed=0, k=1, round=1, rate=0.2, dense=dense, **recipe))
    assert ticket["remaining"] == pytest.approx(0.8, abs=1e-4)
    line = dict(points=3, examples=12, seed=0, round=1)
    found = study.sibling(k=1, dense=dense, first=ticket, **line, **recipe)
    assert len(found["errors"]) == 3 and found["instability"] >= 0 and found["instability_interpolated"] >= 0
    for arm in ("rewound", "finetuned"):
        way = study.retrained(seed=0, arm=arm, k=1, remaining=0.5, dense=dense, **recipe)
        assert way["remaining"] == pytest.approx(0.5, abs=1e-4) and 0 <= way["test_accuracy"] <= 100


def test_figures_of_what_no_trial_of_could_run_are_empty():
    """As where data cannot be had, for all settings or for one of them."""
    other = pd.DataFrame(
        [{"function": "dense", "network": "lenet", "dataset": "digits", "learning_rate": 1.2e-3, "seed": 0}]
    )
    for table in (pd.DataFrame(), other):
        assert study.along(table, "resnet_20_cifar10", True).empty
        assert study.accuracies(table, "resnet_20_cifar10").empty
        assert study.instabilities(table, ["resnet_20_cifar10"]).empty
        assert study.distances(table, ["resnet_20_cifar10"]).empty
        assert study.ways(table, "retrained").empty and study.ways(table, "structured").empty
