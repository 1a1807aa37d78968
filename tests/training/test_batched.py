"""`fit_many` against `fit`: the same networks, trained side by side and one by one."""

import math

import pytest
import torch
from torch import nn

from redraw import data
from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.training import fit, fit_many

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
OPTIMIZERS = {
    "adam": lambda parameters, lr=0.0: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr=0.0: torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True),
}
NETWORKS = {
    "lenet": lambda: lenet_300_100((64,)),
    "conv": lambda: nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *conv(2, (1, 8, 8))),
    "normed": lambda: nn.Sequential(nn.Linear(64, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10)),
}


@pytest.fixture(autouse=True)
def as_trials_run():
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def network(kind, seed):
    return initialize(NETWORKS[kind](), "glorot_normal", generator(seed, "theta"))


def pruned(model, seed):
    return magnitude(initialize(model, "glorot_normal", generator(seed, "other")).state_dict(), Masks.dense(model), 0.7)


def members(kind, seeds, masked=False):
    models = [network(kind, seed) for seed in seeds]
    return models, [pruned(network(kind, seed), seed) for seed in seeds] if masked else None


def together(kind, seeds, rates, optimizer="adam", masked=False, iterations=200, every=20, **more):
    models, masks = members(kind, seeds, masked)
    histories = fit_many(
        models,
        data.load_splits("digits", seeds=seeds),
        OPTIMIZERS[optimizer],
        learning_rates=rates,
        iterations=iterations,
        batch_size=60,
        evaluate_every=every,
        generators=[generator(seed, "order") for seed in seeds],
        masks=masks,
        **more,
    )
    return models, histories, masks


def alone(kind, seed, rate, optimizer="adam", masked=False, iterations=200, every=20):
    (model,), masks = members(kind, [seed], masked)
    made = OPTIMIZERS[optimizer](model.parameters(), rate)
    if masked:
        masks[0].hold(model, made)
    history = fit(
        model,
        data.load("digits", seed=seed),
        made,
        iterations=iterations,
        batch_size=60,
        evaluate_every=every,
        generator=generator(seed, "order"),
    )
    return model, history


def assert_alike(model, history, other, expected):
    for (name, value), known in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(value, known, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    assert history.iterations == expected.iterations
    assert history.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5, abs=1e-5)
    for name in ("validation_accuracy", "stop_iteration", "censored", "diverged"):
        assert getattr(history, name) == getattr(expected, name), name
    assert history.stop_test_accuracy == expected.stop_test_accuracy
    assert history.final_test_accuracy == expected.final_test_accuracy


@pytest.mark.parametrize(
    ("kind", "optimizer", "masked", "rates"),
    [
        ("lenet", "adam", False, [1.2e-3] * 3),
        ("lenet", "adam", True, [1.2e-3] * 3),
        ("lenet", "sgd", True, [0.05] * 3),
        ("lenet", "sgd", False, [0.02, 0.02, 0.1]),
        ("lenet", "adam", False, [1e-3, 4e-4, 1.2e-3]),
        ("conv", "sgd", True, [0.01] * 3),
        ("normed", "sgd", False, [0.02] * 3),
    ],
)
def test_each_member_is_as_if_it_had_trained_alone(kind, optimizer, masked, rates):
    seeds = [4, 1, 7]
    models, histories, _ = together(kind, seeds, rates, optimizer, masked)
    for seed, rate, model, history in zip(seeds, rates, models, histories, strict=True):
        assert_alike(model, history, *alone(kind, seed, rate, optimizer, masked))
        assert history.validation_loss[-1] < 0.7 * history.validation_loss[0]  # it does train
