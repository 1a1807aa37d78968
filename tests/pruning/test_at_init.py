"""Pruning before training as the papers do it, and what its sanity checks and counts rest on."""

import pytest
import torch
from torch import nn

from redraw.models import initialize, lenet_300_100, small_conv, strided_conv
from redraw.pruning import (
    Evolution,
    Masks,
    Update,
    collapsed,
    connected,
    erk,
    flops,
    gradual_magnitude_pruning,
    grasp,
    grasp_scores,
    keep,
    positions,
    random_pruning,
    rigl,
    shuffle,
    snip,
    snip_scores,
    synflow,
    synflow_scores,
    training_flops,
)
from redraw.seeds import generator


def network(shape=(64,)):
    return initialize(lenet_300_100(shape), "kaiming_normal", generator(0, "theta"))


def examples(n=40, shape=(64,)):
    return torch.rand(n, *shape, generator=generator(0, "x")), torch.arange(n) % 10


def test_single_shots_are_one_ranking():
    model, (x, y) = network(), examples()
    dense = Masks.dense(model)
    assert snip(model, x, y, 0.1) == keep(snip_scores(model, x, y), dense, 0.1)
    assert grasp(model, x, y, 0.1) == keep(grasp_scores(model, x, y), dense, 0.1)
    assert synflow(model, x, 0.1, rounds=1) == keep(synflow_scores(model, x), dense, 0.1)


def test_rounds_score_again_what_is_left():
    model, (x, y) = network(), examples()
    masks = Masks.dense(model)
    for fraction in (0.1 ** (1 / 3), 0.1 ** (2 / 3), 0.1):
        masks = keep(snip_scores(model, x, y, masks), masks, fraction)
    assert snip(model, x, y, 0.1, rounds=3) == masks != snip(model, x, y, 0.1)


def check_no_collapse():
    """Down to one weight per layer, one path, SynFlow leaves that path; in one round it does not."""
    model, (x, _) = network(), examples()
    few = 3 / Masks.dense(model).total
    masks = synflow(model, x, few)
    assert masks.survivors() == {"1.weight": 1, "3.weight": 1, "5.weight": 1}
    assert connected(model, x, masks) == masks
    assert collapsed(synflow(model, x, few, rounds=1))


def test_synflow_collapses_no_layer():
    check_no_collapse()


def test_methods_work_on_convolutions_with_batch_norm():
    model = initialize(strided_conv((3, 16, 16), 10), "kaiming_normal", generator(0, "theta"))
    x, y = examples(10, (3, 16, 16))
    for masks in (snip(model, x, y, 0.05), grasp(model, x, y, 0.05), synflow(model, x, 0.05, rounds=3)):
        assert masks.kept == round(0.05 * masks.total)


def test_random_pruning_by_layer():
    model = network()
    fractions = erk(Masks.dense(model), 0.1)
    masks = random_pruning(model, fractions, generator(3))
    assert masks.survivors() == {n: round(f * masks[n].numel()) for n, f in fractions.items()}
    assert masks == random_pruning(model, fractions, generator(3)) != random_pruning(model, fractions, generator(4))


def check_shuffle():
    """As many in each layer, in other places: about the share of them in common that chance gives."""
    model, (x, y) = network(), examples()
    masks = snip(model, x, y, 0.1)
    shuffled = shuffle(masks, generator(0, "shuffle"))
    assert shuffled.survivors() == masks.survivors()
    common = int((masks["1.weight"] & shuffled["1.weight"]).sum()) / masks.survivors()["1.weight"]
    density = masks.survivors()["1.weight"] / masks["1.weight"].numel()
    assert common == pytest.approx(density, abs=0.03) and density < 0.2
    assert shuffled != shuffle(masks, generator(1, "shuffle"))
    assert torch.equal(masks["1.weight"], snip(model, x, y, 0.1)["1.weight"]), "the mask itself moved"


def test_a_shuffle_shuffles():
    check_shuffle()


# Counting ---------------------------------------------------------------------------------------------------------


def check_collapsed():
    masks = {
        "a": torch.tensor([True, False]),
        "b": torch.zeros(3, dtype=torch.bool),
        "c": torch.ones(1, dtype=torch.bool),
    }
    assert collapsed(Masks(masks)) == ["b"]
    assert collapsed(Masks({"a": masks["a"]})) == []


def test_a_layer_without_weights_has_collapsed():
    check_collapsed()


def test_connected_weights_are_those_on_a_path():
    """Against boolean reachability from the inputs and to the outputs."""
    model = network((6,))
    masks = random_pruning(model, 0.01, generator(0))
    a, b, c = (masks[name] for name in masks)
    reached, used = a.any(1), c.any(0)
    first, second = a, b & reached[None, :]
    third = c & second.any(1)[None, :]
    second = second & third.any(0)[:, None]
    first = first & second.any(0)[:, None]
    third = third & second.any(1)[None, :]
    found = connected(model, torch.zeros(1, 6), masks)
    for name, expected in zip(masks, (first, second, third), strict=True):
        assert torch.equal(found[name], expected), name
    assert 0 < found.kept < masks.kept and used.any()


def test_weights_are_multiplied_once_per_position():
    model = small_conv((1, 28, 28))
    initialize(model, "kaiming_normal", generator(0))
    x = torch.zeros(2, 1, 28, 28)
    assert list(positions(model, x).values()) == [14 * 14, 7 * 7, 1]
    assert flops(model, x) == 2 * (8 * 9 * 196 + 16 * 8 * 9 * 49 + 7840)
    masks = Masks({n: torch.arange(m.numel()).view_as(m) % 2 == 0 for n, m in Masks.dense(model).items()})
    assert flops(model, x, masks) * 2 == flops(model, x)


def test_a_layer_used_twice_is_counted_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    assert flops(Twice(), torch.zeros(1, 4)) == 2 * 2 * 16


class Past(nn.Module):
    """Its layer `b` is never run."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.a(x)


def test_a_layer_that_is_never_run_connects_nothing_and_costs_nothing():
    model, x = Past(), torch.zeros(2, 4)
    assert connected(model, x, Masks.dense(model)).survivors() == {"a.weight": 12, "b.weight": 0}
    assert flops(model, x) == 2 * 12 and training_flops(model, x, 10) == 3 * 2 * 12 * 10


# What a training costs --------------------------------------------------------------------------------------------


def test_training_costs_three_times_as_much_as_its_forward_passes():
    """In a convolutional network the positions count: each kept weight works once per position."""
    model = initialize(small_conv((1, 28, 28)), "kaiming_normal", generator(0))
    x = torch.zeros(2, 1, 28, 28)
    assert training_flops(model, x, 7) == 3 * 7 * 2 * (8 * 9 * 196 + 16 * 8 * 9 * 49 + 7840)
    masks = random_pruning(model, 0.3, generator(0, "masks"))
    kept = list(masks.survivors().values())
    assert training_flops(model, x, 7, masks) == 3 * 7 * 2 * (kept[0] * 196 + kept[1] * 49 + kept[2])
    assert training_flops(model, x, 0, masks) == 0


@pytest.mark.parametrize("spent", [False, True])
def test_training_with_masks_that_change_is_counted_step_by_step(spent):
    """Of 24 weights 10, 8 and 6 are kept from step 1, 4 and 8 on: a step that changes them ran with those before."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
    masks = Masks({"0.weight": torch.arange(12).view(3, 4) < 6, "1.weight": torch.arange(12).view(4, 3) < 4})
    updates = [Update(3, {"0.weight": 4, "1.weight": 4}, 0, spent), Update(7, {"0.weight": 4, "1.weight": 2}, 0, spent)]
    by_step = [3 * 2 * kept for kept in (10, 10, 10, 8, 8, 8, 8, 6, 6)]
    if spent:
        by_step[2], by_step[6] = 2 * (2 * 10 + 24), 2 * (2 * 8 + 24)
    evolution = Evolution(masks, updates)
    for steps in (7, 8, 9):
        assert training_flops(model, torch.zeros(1, 4), steps, masks, evolution) == sum(by_step[:steps])
    with pytest.raises(ValueError, match="^steps: must be at least 7, got 6$"):
        training_flops(model, torch.zeros(1, 4), 6, masks, evolution)
    with pytest.raises(ValueError, match="^steps: must be at least 0, got -1$"):
        training_flops(model, torch.zeros(1, 4), -1)


@pytest.mark.parametrize("method", ["rigl", "gmp"])
def test_training_that_evolves_costs_what_its_steps_did(method):
    """RigL keeps the number and spends every fifth batch; gradual pruning spends none and gets cheaper."""
    model, x = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.ones(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    if method == "rigl":
        masks = random_pruning(model, 0.5, generator(0, "masks"))
        evolution = rigl(model, optimizer, masks, until=18, every=5)
    else:
        masks, evolution = Masks.dense(model), gradual_magnitude_pruning(model, optimizer, 0.2, until=18, every=5)
    kept = []
    for _ in range(20):
        kept.append(evolution.masks.kept)
        model(x).square().sum().backward()
        optimizer.step()
    spent = [5, 10, 15] if method == "rigl" else []
    expected = sum(2 * (2 * n + 72 if step in spent else 3 * n) for step, n in enumerate(kept, 1))
    assert training_flops(model, x, 20, masks, evolution) == expected
    assert len(set(kept)) == (1 if method == "rigl" else 5)
