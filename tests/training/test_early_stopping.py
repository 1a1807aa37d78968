import math

import pytest
import torch
from torch import nn

from redraw.data import Dataset
from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator
from redraw.training import batches, evaluate, fit, steps


def dataset(seed=0, classes=3):
    """A noisy linear problem, small enough to overfit, so that the minimum lies inside the budget."""
    g = generator(seed, "problem")
    x = torch.randn(200, 8, generator=g)
    y = (x @ torch.randn(8, classes, generator=g) + 2 * torch.randn(200, classes, generator=g)).argmax(1)
    return Dataset("noisy", x[:60], y[:60], x[60:120], y[60:120], x[120:], y[120:], classes)


def network(seed=0, normed=False):
    if normed:  # momentum 1: the statistics are those of the last batch, so that weights without theirs show
        model = nn.Sequential(nn.Linear(8, 20), nn.BatchNorm1d(20, momentum=1.0), nn.ReLU(), nn.Linear(20, 3))
    else:
        model = lenet_300_100((8,), classes=3)
    return initialize(model, "kaiming_normal", generator(seed, "model"))


def run(model, data, iterations=60, every=4, lr=3e-3, optimizer=torch.optim.Adam):
    return fit(
        model,
        data,
        optimizer(model.parameters(), lr=lr),
        iterations=iterations,
        batch_size=20,
        evaluate_every=every,
        generator=generator(0, "order"),
    )


def by_hand(model, data, iterations=60, every=4, lr=3e-3):
    """Keep the whole network at every evaluation, then look."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    kept = []
    for iteration, _ in steps(
        model, batches(data.train_x, data.train_y, 20, generator(0, "order")), optimizer, iterations
    ):
        if iteration % every == 0:
            validation = evaluate(model, data.validation_x, data.validation_y)
            test = evaluate(model, data.test_x, data.test_y)
            kept.append((iteration, *validation, test[1], test[0]))
    return kept


@pytest.mark.parametrize(("seed", "normed"), [(6, False), (5, True)], ids=["plain", "batch_norm"])
def test_the_stop_and_its_test_accuracy_are_those_of_brute_force(seed, normed):
    data, model, other = dataset(seed), network(normed=normed), network(normed=normed)
    history, kept = run(model, data, lr=1e-2), by_hand(other, data, lr=1e-2)
    best = min(kept, key=lambda row: row[1])
    assert history.iterations == [row[0] for row in kept] == list(range(4, 61, 4))
    assert history.validation_loss == [row[1] for row in kept]
    assert history.validation_accuracy == [row[2] for row in kept]
    assert (history.stop_iteration, history.stop_validation_loss) == best[:2]
    assert history.stop_test_accuracy == best[3]
    assert history.final_test_accuracy == kept[-1][3]
    assert history.stop_iteration < 60 and not history.censored
    # The problem tells these apart: another weights' accuracy, or a stop read off the test set, would show.
    assert best[3] != kept[-1][3]
    assert min(kept, key=lambda row: row[4])[0] != best[0] and max(kept, key=lambda row: row[3])[0] != best[0]
    for p, q in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(p, q)


def scripted(monkeypatch, losses):
    """Let the validation loss be as written; the test accuracies are counted 0.1, 0.2, ..."""
    import redraw.training._early_stopping as module

    script, tests = iter(losses), iter(range(1, 9))
    data = dataset()

    def evaluate(model, x, y):
        return (next(script), 0.5) if x is data.validation_x else (0.0, next(tests) / 10)

    monkeypatch.setattr(module, "evaluate", evaluate)
    return run(network(), data, iterations=2 * len(losses), every=2)


@pytest.mark.parametrize(
    ("losses", "stop", "censored"),
    [
        ([3.0, 1.0, 2.0, 1.0, 2.0], 4, False),
        ([1.0, 1.0, 1.0], 2, False),
        ([3.0, 2.0, 1.0], 6, True),
        ([1.0], 2, True),
        ([math.nan, 2.0, 1.0, 1.5], 6, False),
        ([2.0, math.nan, math.nan], 2, False),
        ([2.0, math.inf, 1.0], 6, True),
    ],
)
def test_the_first_minimum_wins_and_one_at_the_end_is_censored(monkeypatch, losses, stop, censored):
    history = scripted(monkeypatch, losses)
    assert (history.stop_iteration, history.censored) == (stop, censored)
    assert history.stop_validation_loss == losses[stop // 2 - 1]
    assert (history.final_test_accuracy, history.stop_test_accuracy) == (0.1, 0.2)


@pytest.mark.parametrize("losses", [[math.nan, math.inf, math.nan], [math.inf], [math.nan, math.nan]])
def test_a_loss_that_was_never_finite_is_no_observed_stop(monkeypatch, losses):
    history = scripted(monkeypatch, losses)
    assert history.diverged and history.censored
    assert history.stop_iteration == 2 * len(losses) and history.stop_validation_loss == math.inf
    assert history.stop_test_accuracy == history.final_test_accuracy == 0.1


@pytest.mark.parametrize("losses", [[math.nan, 2.0], [2.0, math.nan], [1.0]])
def test_a_loss_that_was_finite_once_has_not_diverged(monkeypatch, losses):
    assert not scripted(monkeypatch, losses).diverged


def test_a_run_that_really_diverges_ends_with_its_own_weights():
    model = network()
    history = run(model, dataset(), iterations=8, every=2, lr=1e30, optimizer=torch.optim.SGD)
    assert not any(map(math.isfinite, history.validation_loss)) and history.diverged and history.censored
    assert history.stop_iteration == 8 and history.stop_test_accuracy == history.final_test_accuracy
    assert not all(p.isfinite().all() for p in model.parameters())


def test_the_budget_need_not_be_a_multiple_of_the_evaluations():
    data, model, other = dataset(), network(), network()
    history = run(model, data, iterations=10, every=4)
    assert history.iterations == [4, 8]
    list(
        steps(
            other,
            batches(data.train_x, data.train_y, 20, generator(0, "order")),
            torch.optim.Adam(other.parameters(), lr=3e-3),
            10,
        )
    )
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))
    assert history.final_test_accuracy == evaluate(other, data.test_x, data.test_y)[1]


def test_the_test_set_decides_nothing():
    data = dataset()
    shuffled = Dataset(**{**vars(data), "test_y": data.test_y.roll(1)})
    first, second = run(network(), data), run(network(), shuffled)
    assert first.validation_loss == second.validation_loss
    assert first.stop_iteration == second.stop_iteration
    assert first.stop_test_accuracy != second.stop_test_accuracy


@pytest.mark.parametrize(("iterations", "every"), [(10, 0), (10, 11), (0, 1), (10, -2)])
def test_an_evaluation_that_never_comes_is_refused(iterations, every):
    with pytest.raises(ValueError, match=rf"^evaluate_every: must be from 1 to {iterations} iterations, got {every}$"):
        run(network(), dataset(), iterations, every)
