"""Concrete Ticket Search: its parts in closed form, and a search whose answer is known."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import initialize
from redraw.pruning import Masks, concrete_ticket_search, snip
from redraw.pruning._concrete import _loss, balanced, relaxed_coins
from redraw.seeds import generator


def check_coins():
    """P(m < q) = sigmoid(t (logit(q) - alpha)), so that P(m > 1/2) = sigmoid(t alpha), t the temperature."""
    n, temperature = 200_000, 2 / 3
    for alpha in (-2.0, 0.0, 1.5):
        coins = relaxed_coins(torch.full((n,), alpha), temperature, generator(0, "coins"))
        for q in (0.1, 0.5, 0.9):
            expected = 1 / (1 + math.exp(-temperature * (math.log(q / (1 - q)) - alpha)))
            error = 4 * (expected * (1 - expected) / n) ** 0.5
            assert (coins < q).float().mean().item() == pytest.approx(expected, abs=error)


def test_relaxed_coins_fall_as_they_should():
    check_coins()


def test_objectives_are_the_divergences_they_are_called():
    sparse, dense = (torch.randn(5, 4, generator=generator(0, n), dtype=torch.float64) for n in ("sparse", "dense"))
    p, q, y = sparse.softmax(1), dense.softmax(1), torch.tensor([0, 1, 2, 3, 0])
    reverse, forward = (p * (p / q).log()).sum(1).mean(), (q * (q / p).log()).sum(1).mean()
    assert _loss("reverse_kl", sparse, y, lambda: dense).item() == pytest.approx(100 * reverse.item())
    assert _loss("forward_kl", sparse, y, lambda: dense).item() == pytest.approx(100 * forward.item())
    assert _loss("cross_entropy", sparse, y, lambda: dense) == F.cross_entropy(sparse, y)


def test_gradients_are_balanced_while_too_much_is_kept():
    towards, penalty = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])
    assert balanced(1.0, towards, penalty, expected=112, goal=100) == pytest.approx(0.99 + 0.01 * 2.5)
    assert balanced(1.0, towards, penalty, expected=109, goal=100) == pytest.approx(0.99)


def teacher():
    """A linear layer in which 6 of 60 weights do all the work."""
    model = nn.Linear(20, 3, bias=False)
    model.weight.data = 0.01 * torch.randn(3, 20, generator=generator(0, "weights"))
    for row, columns in enumerate(((0, 5), (3, 9), (7, 11))):
        model.weight.data[row, list(columns)] = 3.0
    return model


def inputs():
    for i in range(10**6):
        x = torch.randn(64, 20, generator=generator(i, "x"))
        yield x, teacher()(x).argmax(1)


@pytest.mark.parametrize("objective", ["cross_entropy", "reverse_kl", "forward_kl"])
def test_it_finds_the_weights_that_do_the_work(objective):
    model = teacher()
    before = model.weight.detach().clone()
    search = concrete_ticket_search(
        model, inputs(), 0.1, iterations=300, generator=generator(0, "coins"), objective=objective
    )
    assert search.masks == Masks({"weight": model.weight > 1})
    assert torch.equal(model.weight, before) and model.weight.requires_grad and model.weight.grad is None
    assert sum(search.losses[-20:]) < 0.5 * sum(search.losses[:20])


def test_its_expected_density_comes_to_the_goal():
    model = initialize(nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3)), "kaiming_normal", generator(0))
    search = concrete_ticket_search(model, inputs(), 0.05, iterations=600, generator=generator(0, "coins"))
    assert 0.03 < search.density[-1] < 0.07 and search.density[0] == pytest.approx(0.05)
    assert search.masks.kept == round(0.05 * search.masks.total)
    x, y = next(inputs())
    sparse = {}
    for name, masks in {"search": search.masks, "snip": snip(model, x, y, 0.05)}.items():
        weights = {n: w * masks[n] if n in masks else w for n, w in model.state_dict().items()}
        logits = torch.func.functional_call(model, weights, (x,))
        sparse[name] = F.kl_div(model(x).log_softmax(1), logits.log_softmax(1), reduction="sum", log_target=True)
    assert sparse["search"] < sparse["snip"]


def test_batch_norm_and_random_state_are_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    initialize(model, "kaiming_normal", generator(0))
    before, state = {n: v.clone() for n, v in model.state_dict().items()}, torch.get_rng_state()
    batches = iter([(torch.randn(8, 1, 8, 8, generator=generator(i)), torch.arange(8) % 3) for i in range(5)])
    concrete_ticket_search(model, batches, 0.2, iterations=5, generator=generator(0))
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": "kl"}, "objective: must be one of cross_entropy, reverse_kl, forward_kl, got 'kl'"),
        ({"remaining": 1.0}, "remaining: must be above 0 and below 1, got 1.0"),
        ({"iterations": 0}, "iterations: must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    arguments = {"remaining": 0.1, "iterations": 3, "generator": generator(0)} | given
    with pytest.raises(ValueError, match=words):
        concrete_ticket_search(teacher(), inputs(), **arguments)
