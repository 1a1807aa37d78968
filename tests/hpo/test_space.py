import math

import numpy as np
import pytest
from scipy import stats

from redraw.hpo import Choice, Float, Int, SearchError, Space

SPACE = Space(
    momentum=Float(0, 0.99, when={"optimizer": "sgd"}),
    optimizer=Choice(["sgd", "adam", "none"]),
    lr=Float(1e-4, 1.0, log=True, when={"optimizer": ["sgd", "adam"]}),
    batch=Int(16, 256, log=True),
    nesterov=Choice([True, False], when={"optimizer": "sgd"}),
)


def draw(space, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


def test_a_conditions_subject_goes_first():
    assert SPACE.names == ("optimizer", "momentum", "lr", "batch", "nesterov")


def test_samples_are_valid_and_hold_what_their_conditions_say():
    for config in draw(SPACE):
        assert SPACE.check(config) == config
        assert ("momentum" in config) == ("nesterov" in config) == (config["optimizer"] == "sgd")
        assert ("lr" in config) == (config["optimizer"] != "none")
        assert type(config["batch"]) is int


def test_samples_are_spread_as_declared():
    configs = draw(Space(x=Float(-1, 3), lr=Float(1e-4, 1, log=True), n=Int(1, 4), c=Choice(["a", "b"])))
    assert stats.kstest([c["x"] for c in configs], stats.uniform(-1, 4).cdf).pvalue > 0.01
    assert stats.kstest([math.log10(c["lr"]) for c in configs], stats.uniform(-4, 4).cdf).pvalue > 0.01
    assert stats.chisquare(np.bincount([c["n"] for c in configs])[1:]).pvalue > 0.01
    assert stats.binomtest(sum(c["c"] == "a" for c in configs), len(configs)).pvalue > 0.01


def test_a_log_int_is_even_in_its_logarithm():
    n = np.array([c["n"] for c in draw(Space(n=Int(1, 3, log=True)), 6000)])
    shares = np.diff(np.log([0.5, 1.5, 2.5, 3.5])) / np.log(7)  # each whole number owns the half on either side
    assert stats.chisquare(np.bincount(n)[1:], shares * len(n)).pvalue > 0.01


def test_the_unit_cube_and_back():
    for config in draw(SPACE, 200):
        point = SPACE.to_unit(config)
        assert np.isnan(point).tolist() == [name not in config for name in SPACE.names]
        again = SPACE.from_unit(np.nan_to_num(point, nan=0.5))
        assert again.keys() == config.keys()
        assert all(
            math.isclose(again[k], v, rel_tol=1e-9) if isinstance(v, float) else again[k] == v
            for k, v in config.items()
        )


@pytest.mark.parametrize("u", [0.0, 1.0, math.nextafter(1, 0)])
def test_the_cubes_edges_stay_in_range(u):
    config = SPACE.from_unit([0, u, u, u, u])
    assert SPACE.check(config) == config


def test_a_grid_has_every_combination_once():
    configs = list(SPACE.grid({"momentum": 2, "lr": 3, "batch": 2}))
    # sgd: 2 momenta x 3 rates x 2 batches x 2; adam: 3 x 2; none: 2 batches
    assert len(configs) == 24 + 6 + 2
    assert len({tuple(c.items()) for c in configs}) == len(configs)
    assert sorted({c["lr"] for c in configs if "lr" in c}) == pytest.approx([1e-4, 1e-2, 1])
    assert {c["batch"] for c in configs} == {16, 256}
    assert [c["x"] for c in Space(x=Float(0, 1)).grid(1)] == [0.5]
    assert [c["n"] for c in Space(n=Int(1, 2)).grid(5)] == [1, 2]


REFUSED = {
    "space: must declare": lambda: Space(),
    "lr: low must be below high, not 1 and 0.1": lambda: Space(lr=Float(1, 0.1)),
    "lr: low must be below high, not 1 and 1": lambda: Space(lr=Float(1, 1)),
    "lr: low: must be above 0": lambda: Space(lr=Float(0, 1, log=True)),
    "lr: high: must be finite": lambda: Space(lr=Float(0, math.inf)),
    "lr: low: must be a number": lambda: Space(lr=Float("a", 1)),
    "n: low must be below high": lambda: Space(n=Int(3, 2)),
    "n: low: must be at least 1": lambda: Space(n=Int(0, 2, log=True)),
    "n: high: must be a whole number": lambda: Space(n=Int(0, 2.5)),
    "c: must have a list of at least one choice": lambda: Space(c=Choice([])),
    "c: must have a list": lambda: Space(c=Choice("abc")),
    "c: choices must differ": lambda: Space(c=Choice(["a", "a"])),
    r"c: choices must be text, finite numbers.*not \(1, 2\)": lambda: Space(c=Choice([(1, 2)])),
    "c: choices must be text, finite numbers": lambda: Space(c=Choice([math.nan])),
    "x: must be a Float, an Int or a Choice": lambda: Space(x=(0, 1)),
    "m: depends on o, which the space does not declare": lambda: Space(m=Float(0, 1, when={"o": "sgd"})),
    "m: depends on o, which must be a Choice": lambda: Space(m=Float(0, 1, when={"o": 1}), o=Int(0, 1)),
    "m: depends on o = 'b', which is not among": lambda: Space(m=Float(0, 1, when={"o": ["a", "b"]}), o=Choice(["a"])),
    "a: its conditions run in a circle, a -> b -> a": lambda: Space(
        a=Choice([1, 2], when={"b": 1}), b=Choice([1, 2], when={"a": 1})
    ),
    "x: can never be there, its conditions want o to be two things": lambda: Space(
        x=Float(0, 1, when={"o": 1, "p": 1}), o=Choice([1, 2]), p=Choice([1, 2], when={"o": 2})
    ),
    "points: must name hyperparameters": lambda: list(SPACE.grid({"momentum": 2, "lr": 3, "batch": 2, "x": 1})),
    "points: lr: must be a whole number": lambda: list(SPACE.grid({"momentum": 2, "batch": 2})),
    "points: momentum: must be at least 1": lambda: list(SPACE.grid(0)),
    "width: must be a hyperparameter of the space": lambda: SPACE.check({"width": 1}),
    "batch: is missing": lambda: SPACE.check({"optimizer": "none"}),
    "batch: must be within Int": lambda: SPACE.check({"optimizer": "none", "batch": 16.0}),
    "lr: must be absent": lambda: SPACE.check({"optimizer": "none", "lr": 0.1, "batch": 16}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_one_line(message):
    with pytest.raises(SearchError, match=f"^{message}") as caught:
        REFUSED[message]()
    assert "\n" not in str(caught.value)
