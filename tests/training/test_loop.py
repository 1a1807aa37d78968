import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator
from redraw.training import batches, evaluate, steps


def numbered(n):
    """Examples that carry their own number, with a label that goes with it."""
    return torch.arange(n).float().unsqueeze(1), torch.arange(n) * 3


def epochs(n, batch_size, count, seed=0):
    data = batches(*numbered(n), batch_size, generator(seed, "order"))
    return [[next(data) for _ in range(n // batch_size)] for _ in range(count)]


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (13, 4), (15, 4), (7, 7), (7, 1), (9, 5)])
def test_an_epoch_holds_every_example_at_most_once_and_drops_the_incomplete_batch(n, batch_size):
    for epoch in epochs(n, batch_size, 5):
        seen = torch.cat([x.squeeze(1) for x, _ in epoch]).long().tolist()
        assert all(x.shape == (batch_size, 1) and y.shape == (batch_size,) for x, y in epoch)
        assert len(seen) == len(set(seen)) == n // batch_size * batch_size
        assert all(torch.equal(y, x.squeeze(1).long() * 3) for x, y in epoch)


def test_each_epoch_has_its_own_order():
    orders = [tuple(x.item() for x, _ in epoch) for epoch in epochs(50, 1, 6)]
    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_what_is_dropped_changes_from_epoch_to_epoch():
    left_out = [set(range(13)) - {int(v) for x, _ in epoch for v in x} for epoch in epochs(13, 6, 40)]
    assert all(len(out) == 1 for out in left_out)
    assert len(set.union(*left_out)) > 8


def test_the_generator_alone_decides_the_order():
    def first(seed):
        return [x.squeeze(1).tolist() for x, _ in epochs(20, 4, 2, seed)[1]]

    state = torch.get_rng_state()
    assert first(0) == first(0) != first(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_order_is_that_of_one_permutation_per_epoch():
    by_hand = generator(4, "order")
    for epoch in epochs(11, 3, 3, seed=4):
        order = torch.randperm(11, generator=by_hand)
        assert [x.squeeze(1).long().tolist() for x, _ in epoch] == [order[i : i + 3].tolist() for i in (0, 3, 6)]


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_an_impossible_batch_is_refused(batch_size):
    with pytest.raises(ValueError, match=rf"^batch_size: must be from 1 to 10, got {batch_size}$"):
        next(batches(*numbered(10), batch_size, generator(0)))


def problem(seed=0):
    g = generator(seed, "problem")
    x, y = torch.randn(60, 8, generator=g), torch.randint(3, (60,), generator=g)
    return x, y, initialize(lenet_300_100((8,), classes=3), "kaiming_normal", generator(seed, "model"))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
        lambda p: torch.optim.Adam(p, lr=1e-2, fused=True),
    ],
    ids=["sgd", "adam"],
)
def test_steps_equal_a_loop_written_by_hand(optimizer):
    x, y, model = problem()
    trained = optimizer(model.parameters())
    losses = [loss for _, loss in steps(model, batches(x, y, 7, generator(1, "order")), trained, 40)]

    x, y, by_hand = problem()
    optimizer, order, expected = optimizer(by_hand.parameters()), generator(1, "order"), []
    while len(expected) < 40:
        permutation = torch.randperm(60, generator=order)
        for start in range(0, 56, 7):
            index = permutation[start : start + 7]
            loss = F.cross_entropy(by_hand(x[index]), y[index])
            for p in by_hand.parameters():
                p.grad = None
            loss.backward()
            optimizer.step()
            expected.append(loss.detach())
    assert torch.equal(torch.stack(losses), torch.stack(expected))
    for p, q in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(p, q)


def test_steps_counts_from_one_takes_any_loss_and_leaves_its_gradients():
    x, y, model = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    taken = []
    for iteration, loss in steps(model, batches(x, y, 60, generator(1)), optimizer, 3, F.multi_margin_loss):
        taken.append(iteration)
        assert not loss.requires_grad and loss.shape == ()
        expected = F.multi_margin_loss(model(x), y)
        assert torch.isclose(loss, expected.detach())
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        assert all(torch.allclose(p.grad, g, atol=1e-7) for p, g in zip(model.parameters(), gradients, strict=True))
    assert taken == [1, 2, 3]


def test_steps_takes_no_batch_that_it_does_not_train_on():
    x, y, model = problem()
    data = batches(x, y, 5, generator(1, "order"))
    list(steps(model, data, torch.optim.SGD(model.parameters(), lr=0.1), 4))
    other = batches(x, y, 5, generator(1, "order"))
    for _ in range(4):
        next(other)
    assert torch.equal(next(data)[0], next(other)[0])


@pytest.mark.parametrize("chunk", [1, 7, 60, 1000])
def test_evaluate_equals_the_whole_batch_at_once(chunk):
    x, y, model = problem()
    loss, accuracy = evaluate(model, x, y, chunk)
    logits = model(x).detach().double()
    assert loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-6)
    assert accuracy == (logits.argmax(1) == y).double().mean().item()


def test_evaluate_uses_and_keeps_running_statistics():
    g = generator(0, "x")
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    initialize(model, "glorot_normal", g)
    x, y = torch.randn(50, 4, generator=g) + 3, torch.randint(3, (50,), generator=g)
    model(x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    logits = model(x)
    expected = F.cross_entropy(logits, y).item()
    for mode in (True, False):
        model.train(mode)
        assert evaluate(model, x, y, 9)[0] == pytest.approx(expected, rel=1e-6)
        assert model.training is mode
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_evaluate_leaves_a_frozen_batch_norm_frozen():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    model.train()
    model[1].eval()
    evaluate(model, torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    model.eval()
    model[0].train()
    evaluate(model, torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    assert [module.training for module in model.modules()] == [False, True, False, False]
