import math
from collections import Counter

import numpy as np
import optuna
import pytest

from redraw.hpo import (
    Choice,
    Float,
    Int,
    SearchError,
    Space,
    asha,
    bbob,
    grid,
    hyperband,
    model_search,
    random_search,
    sampler,
    successive_halving,
)
from redraw.hpo._methods import Asha
from redraw.hpo._samplers import Listed


def rate(config, fidelity, seed, state):
    return abs(math.log10(config["lr"]) + 2) + 1 / fidelity, fidelity


# Halving ----------------------------------------------------------------------------------------------------------


def test_the_best_third_goes_on(space):
    search = successive_halving(rate, space, trials=30, low=1, high=27)
    frame = search.frame()
    assert frame.groupby("fidelity").size().to_dict() == {1: 30, 3: 10, 9: 3, 27: 1}
    for low, high in ((1, 3), (3, 9), (9, 27)):
        here = frame[frame["fidelity"] == low].sort_values("value")
        promoted = frame[frame["fidelity"] == high]
        assert set(promoted["trial"]) == set(here["trial"].head(len(promoted)))
        assert (promoted["from_fidelity"] == low).all() and (promoted["from_trial"] == promoted["trial"]).all()


def test_the_last_rung_is_the_highest_fidelity_and_whole_numbers_stay_whole(space):
    search = successive_halving(rate, space, trials=9, low=2, high=25)
    fidelities = sorted({e.fidelity for e in search.evaluations})
    assert fidelities == [3, 8, 25] and all(isinstance(f, int) for f in fidelities)
    search = successive_halving(rate, space, trials=9, low=2.0, high=25)
    assert sorted({e.fidelity for e in search.evaluations}) == pytest.approx([25 / 9, 25 / 3, 25])


@pytest.mark.parametrize("eta", [1.5, 2.2, 2.5, 3, 3.5])
def test_some_reach_the_last_rung_whatever_eta_is(space, eta):
    """Rounded down rung by rung, 7 / 2.5 / 2.5 is nobody; of the 7 that began it is 7 / 2.5^2 = 1."""
    for trials in (math.ceil(eta**2), math.ceil(eta**2) + 1, 20):
        found = successive_halving(rate, space, trials=trials, low=1.0, high=eta**2, eta=eta, seed=0)
        reached = [sum(e.info["rung"] == rung for e in found.evaluations) for rung in range(3)]
        assert reached == [trials, math.floor(trials / eta + 1e-9), math.floor(trials / eta**2 + 1e-9)]
    brackets = hyperband(rate, space, low=1.0, high=eta**3, eta=eta, seed=0).frame()
    assert brackets.groupby("bracket")["fidelity"].max().tolist() == pytest.approx([eta**3] * 4)


def test_where_most_fail_the_best_of_the_rest_is_still_trained_to_the_end(space):
    def fails(config, fidelity, seed, state):
        return (config["lr"] if config["lr"] <= bar else math.nan), fidelity

    bar = sorted(e.config["lr"] for e in random_search(rate, space, trials=9, seed=0).evaluations)[1]
    found = successive_halving(fails, space, trials=9, low=1, high=9, seed=0)
    assert [e.fidelity for e in found.evaluations] == [1] * 9 + [3] * 2 + [9]


def test_hyperbands_brackets_are_the_papers(space):
    """R = 81, eta = 3: ceil(5 / (s + 1) 3^s) configurations from 3^(4 - s) on."""
    frame = hyperband(rate, space, low=1, high=81).frame()
    sizes = {int(b): part.groupby("fidelity").size().to_dict() for b, part in frame.groupby("bracket")}
    assert sizes == {
        0: {1: 81, 3: 27, 9: 9, 27: 3, 81: 1},
        1: {3: 34, 9: 11, 27: 3, 81: 1},
        2: {9: 15, 27: 5, 81: 1},
        3: {27: 8, 81: 2},
        4: {81: 5},
    }
    assert frame["trial"].nunique() == 81 + 34 + 15 + 8 + 5


def test_asha_in_order_by_hand():
    """One slot, eta 2: two begin, the better goes on; after four, two have, and the better of those goes on."""
    values = iter([3, 1, 1, 4, 2, 2, 0.5])
    search = asha(lambda c, f, s, t: (next(values), f), Space(x=Float(0, 1)), trials=4, low=1, high=4, eta=2, slots=1)
    assert [(e.trial, e.fidelity) for e in search.evaluations] == [
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 1),
        (3, 2),
        (1, 4),
    ]


def test_asha_promotes_what_is_among_the_best_third_of_its_rung_now():
    """Asked and told in a random order; each promotion is checked against all that was told until then."""
    rng, told, running, promoted = np.random.default_rng(0), [{}, {}, {}], [], set()
    method = Asha(Listed({"x": i} for i in range(80)), 80, [1, 3, 9], 3)
    for _ in range(400):
        job = method.ask() if len(running) < 5 else None
        if job is not None:
            running.append(job)
            rung = job.info["rung"]
            ready = [
                (r, n)
                for r in (1, 0)
                for n, value in told[r].items()
                if (r, n) not in promoted and sum(v < value for v in told[r].values()) < len(told[r]) // 3
            ]
            assert bool(ready) == (rung > 0)
            if rung:
                promoted.add((rung - 1, job.trial))
                assert (rung - 1, job.trial) in ready and rung - 1 == ready[0][0]  # the highest rung first
        elif running:
            job = running.pop(rng.integers(len(running)))
            told[job.info["rung"]][job.trial] = value = rng.random()
            method.tell(job, value)
    assert len(told[0]) == 80 and len(told[1]) >= 26 and len(told[2]) >= 8 and not running


def test_asha_keeps_its_slots_busy(space):
    slots = 5
    search = asha(rate, space, trials=60, low=1, high=27, slots=slots)
    last = max(e.start for e in search.evaluations if not e.origin)
    for e in search.evaluations:
        if e.start < last:
            assert sum(o.start <= e.start < o.end for o in search.evaluations) == slots


# Samplers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", [("tpe", "TPESampler"), ("cma_es", "CmaEsSampler"), ("gp", "GPSampler")])
def test_ask_and_tell_is_optuna(name, kind):
    """The same proposals as a study of Optuna's own with that sampler and seed."""
    f = bbob("rosenbrock", 2, 1)
    trials = 14 if name == "gp" else 40
    ours = sampler(name, f.space, seed=7)
    theirs = optuna.create_study(sampler=getattr(optuna.samplers, kind)(seed=7))
    for _ in range(trials):
        number, config = ours.ask()
        trial = theirs.ask()
        assert config == {n: trial.suggest_float(n, -5, 5) for n in f.space.names} and number == trial.number
        value = f.objective(config, 1, 0, None)
        ours.tell(number, value)
        theirs.tell(trial, value)


def test_conditions_hold_for_every_sampler(space):
    for name in ("random", "tpe", "cma_es"):
        asked = sampler(name, space, seed=0)
        for _ in range(30):
            number, config = asked.ask()
            assert space.check(config) == config
            asked.tell(number, config["lr"])


def test_model_searches_beat_random_search():
    """On the sphere in five dimensions, which both should learn: median of five seeds."""
    f = bbob("sphere", 5, 0)

    def reached(search, **more):
        best = [search(f.objective, f.space, trials=120, seed=s, **more).best.value for s in range(5)]
        return float(np.median(best)) - f.value

    at_random = reached(random_search)
    assert reached(model_search, sampler="tpe") < at_random / 3
    assert reached(model_search, sampler="cma_es") < at_random / 10


def test_a_sampler_learns_from_the_highest_fidelity_with_enough_results():
    """Low fidelity says up, high fidelity says down; once there are three results there, proposals go down."""
    asked = sampler("tpe", Space(x=Float(0, 1), y=Float(0, 1)), settings={"n_startup_trials": 3})

    def proposals(n, fidelity, sign):
        out = []
        for _ in range(n):
            number, config = asked.ask()
            asked.tell(number, sign * config["x"], fidelity)
            out.append((number, config["x"]))
        return out

    low = proposals(30, 1, -1)
    assert np.median([x for _, x in low[-15:]]) > 0.7
    for number, x in low[:12]:
        asked.tell(number, x, 9)
    assert np.median([x for _, x in proposals(30, 9, 1)][-15:]) < 0.3


def test_a_failure_counts_as_the_worst_value():
    asked = sampler("tpe", Space(x=Float(0, 1)), seed=0)
    for _ in range(60):
        number, config = asked.ask()
        asked.tell(number, math.inf if config["x"] > 0.5 else 1 + config["x"])
    tail = [asked.ask()[1]["x"] for _ in range(20)]
    assert np.mean(np.array(tail) < 0.5) > 0.7


def test_a_grid_and_a_random_search_cover_their_space():
    space = Space(n=Int(1, 3), c=Choice(["a", "b"]))
    value = lambda c, f, s, t: c["n"] + (c["c"] == "b")  # noqa: E731
    assert Counter(e.value for e in grid(value, space, points=3).evaluations) == {1: 1, 2: 2, 3: 2, 4: 1}
    assert random_search(value, space, trials=60).best.config == {"n": 1, "c": "a"}


def test_a_random_sampler_has_no_settings():
    with pytest.raises(SearchError, match="^settings"):
        sampler("random", Space(x=Float(0, 1)), settings={"gamma": 1})
