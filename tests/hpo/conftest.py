"""Objectives that count and fail, and searches to run them in."""

from collections import Counter

import pytest

from redraw.hpo import Choice, Float, Int, Space


@pytest.fixture
def space():
    return Space(
        lr=Float(1e-4, 1, log=True),
        width=Int(1, 8),
        optimizer=Choice(["sgd", "adam"]),
        momentum=Float(0, 0.9, when={"optimizer": "sgd"}),
    )


class Training:
    """A quadratic's descent: each step is counted, and going on is the same as going in one go."""

    def __init__(self):
        self.steps = Counter()
        self.calls = []

    def __call__(self, config, fidelity, seed, state):
        weights, done = state or [1.0 + seed, 0]
        self.calls.append((config["lr"], done, fidelity))
        while done < fidelity:
            weights -= min(config["lr"], 0.9) * weights / 4
            done += 1
            self.steps[config["lr"]] += 1
        return weights**2 + config["width"] / 100, [weights, done]


@pytest.fixture
def training():
    return Training()
