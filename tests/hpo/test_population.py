import math
from collections import Counter

import numpy as np
import pytest

from redraw.hpo import (
    TOY_GRID,
    TOY_SPACE,
    Choice,
    Float,
    Int,
    SearchError,
    Space,
    grid,
    population_based_training,
    replay,
    toy_quadratic,
)
from redraw.hpo._population import _explored, _tournament, _Truncation


def toy(**settings):
    settings = {"explore": "perturb", "resample_probability": 0.25, "initial": TOY_GRID, **settings}
    return population_based_training(
        toy_quadratic, TOY_SPACE, population=2, interval=4, total=200, maximize=True, **settings
    )


# The paper's toy --------------------------------------------------------------------------------------------------


def test_the_toys_surrogate_is_followed_step_by_step():
    theta, h = [0.9, 0.9], {"h0": 0.3, "h1": 1.0}
    for _ in range(7):
        theta = [t - 0.01 * 2 * h[name] * t for t, name in zip(theta, h, strict=True)]
    value, (a, b, step) = toy_quadratic(h, 7, 0, None)
    assert (a, b, step) == (pytest.approx(theta[0]), pytest.approx(theta[1]), 7)
    assert value == pytest.approx(1.2 - theta[0] ** 2 - theta[1] ** 2)


def test_on_the_toy_only_exploit_with_explore_gets_there():
    by_hand = 1.2 - 0.9**2 - (0.9 * 0.98**200) ** 2  # one coordinate shrinks by 1 - 2 lr a step, the other stays
    alone = toy(exploit=None, explore=None)
    assert alone.best.value == pytest.approx(by_hand) == pytest.approx(0.39, abs=0.001)
    for seed in range(5):
        full, explore = toy(seed=seed).best.value, toy(seed=seed, exploit=None).best.value
        assert toy(seed=seed, explore=None).best.value == pytest.approx(by_hand)
        assert 1.196 < full < 1.2 and explore < full - 0.01
        assert toy(seed=seed, exploit="binary_tournament").best.value > 1.196


def test_members_that_tie_copy_all_the_same():
    """The toy's two start with the same value: without a lot nobody would ever copy."""
    first = [toy(seed=s).lineage().query("round == 1") for s in range(8)]
    assert all(part["copied"].sum() == 1 for part in first)
    assert {int(part["source"].iloc[0]) for part in first} == {0, 1}


# Exploit ----------------------------------------------------------------------------------------------------------


def test_truncation_copies_the_best_fifth_over_the_worst():
    values = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0, 0.0]
    drawn = [_Truncation(2)(values, np.random.default_rng(s)) for s in range(50)]
    assert {tuple(out[m] for m in range(10) if m not in (2, 6)) for out in drawn} == {(0, 1, 3, 4, 5, 7, 8, 9)}
    assert {out[2] for out in drawn} == {out[6] for out in drawn} == {9, 1}


def test_a_tournament_copies_the_better_of_two():
    values = [2.0, 0.0, 1.0]
    drawn = [_tournament(values, np.random.default_rng(s)) for s in range(300)]
    assert {out[1] for out in drawn} == {1} and {out[2] for out in drawn} == {2, 1}
    assert Counter(out[0] for out in drawn).keys() == {1, 2}
    assert abs(np.mean([out[0] == 1 for out in drawn]) - 0.5) < 0.1


def test_what_failed_is_never_copied_and_copies():
    values = [math.inf, 1.0, math.inf, 2.0, math.inf]
    for seed in range(20):
        out = _Truncation(1)(values, np.random.default_rng(seed))
        assert out == [1, 1, 1, 1 if out[3] == 1 else 3, 1]
        assert not set(_tournament(values, np.random.default_rng(seed))) - {0, 1, 2, 3, 4}
        assert all(
            o == m or values[o] < math.inf for m, o in enumerate(_tournament(values, np.random.default_rng(seed)))
        )
    assert _Truncation(1)([math.inf] * 3, np.random.default_rng(0)) == [0, 1, 2]


# Explore ----------------------------------------------------------------------------------------------------------

SPACE = Space(
    lr=Float(0.01, 1, log=True), n=Int(1, 100), o=Choice(["a", "b", "c"]), only_b=Float(0, 1, when={"o": "b"})
)


def test_perturbing_multiplies_steps_and_clips():
    seen = [
        _explored(SPACE, {"lr": 0.1, "n": 50, "o": "a"}, np.random.default_rng(s), "perturb", 0) for s in range(200)
    ]
    assert {round(c["lr"], 12) for c in seen} == {0.08, 0.12} and {c["n"] for c in seen} == {40, 60}
    assert {c["o"] for c in seen} == {"a", "b"}  # to a neighbour, or against the end
    assert all(("only_b" in c) == (c["o"] == "b") and SPACE.check(c) == c for c in seen)
    edge = [_explored(SPACE, {"lr": 1.0, "n": 1, "o": "c"}, np.random.default_rng(s), "perturb", 0) for s in range(50)]
    assert {c["lr"] for c in edge} == {0.8, 1.0} and {c["n"] for c in edge} == {1, 2}


def test_resampling_draws_anew_as_often_as_said():
    config = {"lr": 0.1, "n": 50, "o": "a"}
    some = [_explored(SPACE, config, np.random.default_rng(s), "perturb", 0.25) for s in range(400)]
    assert abs(np.mean([c["lr"] not in (0.1 * 0.8, 0.1 * 1.2) for c in some]) - 0.25) < 0.07
    anew = [_explored(SPACE, config, np.random.default_rng(s), "resample", 0) for s in range(400)]
    assert len({c["lr"] for c in anew}) == 400 and abs(np.mean([c["lr"] < 0.1 for c in anew]) - 0.5) < 0.1


# Lineage ----------------------------------------------------------------------------------------------------------


def test_the_schedule_it_found_replayed_gives_the_value_it_found():
    for seed in range(3):
        search = toy(seed=seed)
        values = replay(toy_quadratic, search.steps())
        assert values[-1] == search.best.value
        assert values == [e.value for e in search.ancestry()]
        worst = 1 - search.best.trial
        assert replay(toy_quadratic, search.steps(worst))[-1] == search.ancestry(worst)[-1].value


def test_the_schedule_covers_the_training_without_gaps(training, space):
    search = population_based_training(training, space, population=6, interval=3, total=20, fraction=0.5)
    schedule = search.schedule()
    assert schedule["start"].tolist() == [0, 3, 6, 9, 12, 15, 18] and schedule["stop"].tolist()[-1] == 20
    assert schedule["start"].tolist()[1:] == schedule["stop"].tolist()[:-1]
    assert schedule["value"].iloc[-1] == search.best.value
    assert set(space.names) & set(schedule) >= {"lr", "width", "optimizer"}
    assert sum(training.steps.values()) == 6 * 20  # equal steps: nobody trains more for having copied


def test_the_lineage_says_who_copied_whom(training, space):
    search = population_based_training(training, space, population=6, interval=3, total=20, seed=1)
    lineage = search.lineage()
    assert lineage.groupby("round").size().tolist() == [6] * 7
    assert lineage.query("round == 0")["source"].isna().all()
    assert (lineage.query("round > 0").groupby("round")["copied"].sum() == 1).all()  # a fifth of six
    assert (lineage["copied"] == (lineage["source"].fillna(lineage["member"]) != lineage["member"])).all()
    assert lineage.groupby("round")["survives"].sum().tolist() == [1] * 7
    configs = {(e.trial, e.fidelity): e.config for e in search.evaluations}
    for e in search.evaluations:  # who did not copy keeps its hyperparameters
        if e.origin and e.origin[0] == e.trial:
            assert e.config == configs[e.origin]


def test_a_member_that_fails_goes_on_from_another():
    def fragile(config, fidelity, seed, state):
        if config["lr"] > 0.5:
            raise OverflowError("diverged")
        return 1 - config["lr"], fidelity

    space = Space(lr=Float(0.01, 1))
    search = population_based_training(fragile, space, population=8, interval=1, total=8, seed=1)
    failed = [e for e in search.evaluations if e.error]
    assert failed and all(e.config["lr"] > 0.5 for e in failed)
    failures = {(e.trial, e.fidelity) for e in failed}
    assert all(e.origin not in failures for e in search.evaluations)
    alone = population_based_training(fragile, space, population=8, interval=1, total=3, exploit=None, explore=None)
    assert {e.trial for e in alone.evaluations if e.error} == {
        e.trial for e in alone.evaluations if e.config["lr"] > 0.5
    }


def test_replay_of_a_constant_and_of_a_failure():
    constant = grid(toy_quadratic, TOY_SPACE, points=2, fidelity=40, maximize=True).best
    assert replay(toy_quadratic, [(constant.config, 40)]) == [constant.value]

    def breaks(config, fidelity, seed, state):
        return (math.nan if fidelity > 1 else 1.0), fidelity

    assert np.array_equal(replay(breaks, [({}, 1), ({}, 2), ({}, 3)]), [1, math.nan, math.nan], equal_nan=True)
    with pytest.raises(SearchError, match="^objective: must return its state"):
        replay(lambda c, f, s, t: 1.0, [({}, 1), ({}, 2)])
    with pytest.raises(SearchError, match="^steps: fidelity: must be above 2"):
        replay(toy_quadratic, [(TOY_GRID[0], 2), (TOY_GRID[0], 2)])


REFUSED = {
    "population: must be at least 2": {"population": 1},
    "interval: must be in": {"interval": 300},
    "total: must be above 0": {"total": 0},
    "exploit: must be one of 'truncation', 'binary_tournament', None": {"exploit": "best"},
    "explore: must be one of 'perturb', 'resample', None": {"explore": "jump"},
    "fraction: must be in": {"fraction": 0.6},
    "resample_probability: must be in": {"resample_probability": 1.5},
    "initial: must have one configuration for each of 2 members, not 1": {"initial": TOY_GRID[:1]},
    "h0: must be within Float": {"initial": [TOY_GRID[0], {"h0": 2.0, "h1": 0.0}]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_one_line(message):
    arguments = {"population": 2, "interval": 4, "total": 200} | REFUSED[message]
    with pytest.raises(SearchError, match=f"^{message}") as caught:
        population_based_training(toy_quadratic, TOY_SPACE, **arguments)
    assert "\n" not in str(caught.value)
    with pytest.raises(SearchError, match="^member: must be one"):
        toy().ancestry(7)
