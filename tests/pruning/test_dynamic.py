"""Masks that evolve: each update against the same by hand, and what must hold at every step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import initialize
from redraw.pruning import (
    Masks,
    cosine_decay,
    cubic,
    erk,
    evolve,
    gradual_magnitude_pruning,
    granet,
    random_pruning,
    rigl,
    sparse_evolutionary_training,
)
from redraw.seeds import generator

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "adam": lambda p: torch.optim.AdamW(p, lr=1e-2),
}


def network(seed=0):
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3))
    return initialize(model, "kaiming_normal", generator(seed, "theta"))


def batch(step):
    x = torch.randn(16, 12, generator=generator(step, "x"))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def backward(model, optimizer, step):
    x, y = batch(step)
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(x), y).backward()


def sparse(model, remaining=0.3):
    return random_pruning(model, erk(Masks.dense(model), remaining), generator(0, "mask"))


METHODS = {
    "set": lambda model, o: sparse_evolutionary_training(
        model, o, sparse(model), until=30, every=5, generator=generator(0, "growth")
    ),
    "rigl": lambda model, o: rigl(model, o, sparse(model), until=30, every=5),
    "gmp": lambda model, o: gradual_magnitude_pruning(model, o, 0.2, until=28, every=5),
    "granet": lambda model, o: granet(model, o, 0.2, until=28, every=5),
}


def check_zero(method, optimizer):
    """After every step all that is not kept is zero, and so is what the optimizer remembers of it."""
    model = network()
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    evolution, moved = METHODS[method](model, optimizer), {}
    for step in range(40):
        backward(model, optimizer, step)
        optimizer.step()
        moved[id(evolution.masks)] = evolution.masks
        parameters = dict(model.named_parameters())
        for name, mask in evolution.masks.items():
            assert not parameters[name][~mask].any(), f"{name} at step {step + 1}"
            for state in optimizer.state[parameters[name]].values():
                assert state.shape != mask.shape or not state[~mask].any(), f"state of {name} at step {step + 1}"
    assert len(moved) > 5 and evolution.steps == 40


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_kept_is_zero_at_every_step(method, optimizer):
    check_zero(method, optimizer)


@pytest.mark.parametrize("method", ["set", "rigl"])
def test_the_number_of_weights_of_each_layer_stays(method):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    evolution = METHODS[method](model, optimizer)
    before = evolution.masks.survivors()
    for step in range(40):
        backward(model, optimizer, step)
        optimizer.step()
        assert evolution.masks.survivors() == before
    assert [update.step for update in evolution.updates] == [5, 10, 15, 20, 25, 30]
    assert all(update.survivors == before for update in evolution.updates)
    assert sum(update.grown for update in evolution.updates) > 0


# One update by hand -----------------------------------------------------------------------------------------------


def check_rigl():
    """Dropped and grown as the paper's algorithm 1 says; the batch is spent, nothing else moves."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    masks = sparse(model)
    evolution = rigl(model, optimizer, masks, until=100, every=3)
    for step in range(2):
        backward(model, optimizer, step)
        optimizer.step()
    backward(model, optimizer, 2)
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    optimizer.step()
    share = cosine_decay(3 / 100, 0.3)
    for name, mask in masks.items():
        weight, kept = weights[name].abs().flatten(), mask.flatten()
        count = round(share * int(kept.sum()))
        order = [i for i in weight.argsort(stable=True).tolist() if kept[i]]
        left = set(order[count:])
        gradient = gradients[name].abs().flatten()
        candidates = [i for i in range(len(kept)) if i not in left]
        grown = sorted(candidates, key=lambda i, g=gradient: -g[i].item())[:count]
        expected = torch.zeros_like(kept)
        expected[list(left | set(grown))] = True
        assert torch.equal(evolution.masks[name].flatten(), expected), name
        now = dict(model.named_parameters())[name].detach().flatten()
        both = expected & kept
        assert torch.equal(now[both], weights[name].flatten()[both]), "a kept weight moved"
        assert not now[expected & ~kept].any(), "a new connection does not start at zero"
    for name in ("0.bias", "2.bias", "4.bias"):
        assert torch.equal(dict(model.named_parameters())[name], weights[name])
    assert evolution.masks != masks


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    check_rigl()


def test_gradients_decide_though_they_are_of_pruned_weights():
    """A connection whose gradient is by far the largest grows: the gradient is read before it is set to zero."""
    model, x = nn.Linear(50, 2, bias=False), torch.randn(20, 50, generator=generator(0, "x"))
    initialize(model, "kaiming_normal", generator(0))
    x[:, 7] *= 100
    masks = Masks({"weight": torch.arange(50).expand(2, 50) >= 40})
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    evolution = rigl(model, optimizer, masks, until=10, every=1)
    F.cross_entropy(model(x), (x[:, 7] > 0).long()).backward()
    optimizer.step()
    assert evolution.masks["weight"][:, 7].all()


def check_set():
    """As many of the positive and of the negative weights nearest to zero are gone, but for those drawn again."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    masks = sparse(model)
    evolution = sparse_evolutionary_training(
        model, optimizer, masks, until=10, every=1, moved=0.5, generator=generator(0, "growth")
    )
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    backward(model, optimizer, 0)
    optimizer.step()
    for name, mask in masks.items():
        weight = weights[name]
        for group in (mask & (weight >= 0), mask & (weight < 0)):
            values = weight[group].abs().sort().values
            largest = values[round(0.5 * len(values)) :].min()
            assert evolution.masks[name][group & (weight.abs() >= largest)].all(), "a large weight was dropped"
    dropped = sum(int((mask & ~evolution.masks[name]).sum()) for name, mask in masks.items())
    assert dropped > 0.2 * masks.kept


def test_set_drops_by_sign():
    check_set()


def test_random_growth_goes_everywhere():
    """Of many places each is drawn about as often."""
    counts = torch.zeros(40)
    for seed in range(300):
        model = nn.Linear(40, 1, bias=False)
        model.weight.data = torch.arange(1.0, 41).view(1, 40)
        masks = Masks({"weight": torch.arange(40).view(1, 40) >= 30})
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        evolution = rigl(model, optimizer, masks, until=10**6, every=1, grow="random", generator=generator(seed))
        model(torch.ones(1, 40)).sum().backward()
        optimizer.step()
        counts += evolution.masks["weight"][0]
    assert (counts[33:] == 300).all(), "the largest were dropped"
    expected = 300 * 3 / 33
    assert (counts[:33] - expected).abs().max() < 5 * expected**0.5


def check_gradual():
    """Along the cubic schedule, and exactly there at the end although the end is no multiple of the period."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    evolution = gradual_magnitude_pruning(model, optimizer, 0.1, until=23, every=5)
    total = evolution.masks.total
    for step in range(30):
        backward(model, optimizer, step)
        optimizer.step()
    found = [(update.step, sum(update.survivors.values())) for update in evolution.updates]
    assert found == [(t, round(cubic(t / 23, 0.1) * total)) for t in (5, 10, 15, 20, 23)]
    assert evolution.masks.kept == round(0.1 * total) and not any(update.grown for update in evolution.updates)
    assert [update.consumed for update in evolution.updates] == [False] * 5


def test_gradual_pruning_follows_the_cubic_schedule():
    check_gradual()


def test_gradual_pruning_removes_the_smallest_of_the_whole_network():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    evolution = gradual_magnitude_pruning(model, optimizer, 0.25, until=1, every=1)
    weights = torch.cat([model.state_dict()[n].abs().flatten() for n in evolution.masks])
    backward(model, optimizer, 0)
    optimizer.step()
    kept = torch.cat([m.flatten() for m in evolution.masks.values()])
    assert weights[kept].min() >= weights[~kept].max() and int(kept.sum()) == round(0.25 * len(kept))


def test_granet_ends_where_gradual_pruning_does_and_regrows_on_the_way():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    evolution = granet(model, optimizer, 0.1, until=23, every=5)
    for step in range(30):
        backward(model, optimizer, step)
        optimizer.step()
    counts = [sum(update.survivors.values()) for update in evolution.updates]
    assert counts == [round(cubic(t / 23, 0.1) * evolution.masks.total) for t in (5, 10, 15, 20, 23)]
    assert sum(update.grown for update in evolution.updates) > 0


def test_remove_lets_go():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    evolution = rigl(model, optimizer, sparse(model), until=100, every=1)
    evolution.remove()
    backward(model, optimizer, 0)
    optimizer.step()
    assert evolution.steps == 0 and (model[0].weight != 0).all()


def test_it_draws_from_its_generator_alone():
    found = []
    for _ in range(2):
        model = network()
        state = torch.get_rng_state()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        evolution = METHODS["set"](model, optimizer)
        for step in range(12):
            backward(model, optimizer, step)
            optimizer.step()
        assert torch.equal(torch.get_rng_state(), state)
        found.append((evolution.masks, model[0].weight.detach().clone()))
    assert found[0][0] == found[1][0] and torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"every": 0}, "every, until: must be at least 1 step, got 0 and 10"),
        ({"grow": "both"}, "grow: must be one of gradient, random, none, got 'both'"),
        ({"grow": "none"}, "moved: must be given when something grows, and only then"),
        ({"moved": None}, "moved: must be given when something grows, and only then"),
        ({"grow": "random"}, "generator: must be given for random growth"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    arguments = {"every": 1, "until": 10, "moved": lambda progress: 0.3, "grow": "gradient"} | given
    with pytest.raises(ValueError, match=words):
        evolve(model, optimizer, sparse(model), **arguments)


MOVING = {
    "set": lambda model, o, **steps: sparse_evolutionary_training(
        model, o, sparse(model), generator=generator(0), **steps
    ),
    "rigl": lambda model, o, **steps: rigl(model, o, sparse(model), **steps),
    "granet": lambda model, o, **steps: granet(model, o, 0.2, **steps),
}


@pytest.mark.parametrize("name", MOVING)
def test_masks_that_could_never_move_are_refused(name):
    """RigL's and GraNet's share has fallen to its least at the last step, so one period is none."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    for steps in (dict(until=20), dict(until=100), dict(until=5, every=5)):
        every = steps.get("every", 100)
        words = f"^until: must be more than every={every} steps, after which masks first move, got {steps['until']}$"
        with pytest.raises(ValueError, match=words):
            MOVING[name](model, optimizer, **steps)
    MOVING[name](model, optimizer, until=6, every=5)


def test_gradual_pruning_needs_no_whole_period():
    model = network()
    evolution = gradual_magnitude_pruning(model, OPTIMIZERS["sgd"](model.parameters()), 0.5, until=20)
    assert evolution.steps == 0 and evolution.masks.remaining == 1.0


def test_steps_that_it_could_not_see_are_refused():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    rigl(model, optimizer, sparse(model), until=10, every=1)
    with pytest.raises(ValueError, match="closure: must not be given"):
        optimizer.step(lambda: torch.tensor(0.0))
    with pytest.raises(ValueError, match="gradient: must be there for '0.weight'"):
        optimizer.step()
    with pytest.raises(ValueError, match="begin: must be from 0 to before step 5, got 5"):
        gradual_magnitude_pruning(model, optimizer, 0.1, until=5, begin=5)
