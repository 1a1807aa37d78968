import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
import torch

from redraw.hpo import (
    TOY_SPACE,
    Float,
    SearchError,
    Space,
    asha,
    grid,
    hyperband,
    model_search,
    over_seeds,
    population_based_training,
    random_search,
    successive_halving,
    toy_quadratic,
)

SEARCHES = {
    "random": partial(random_search, trials=9, fidelity=5),
    "grid": partial(grid, points=3, fidelity=5),
    "tpe": partial(model_search, trials=14, fidelity=5, slots=3),
    "cma_es": partial(model_search, trials=12, fidelity=5, sampler="cma_es", slots=2),
    "halving": partial(successive_halving, trials=9, low=1, high=9),
    "hyperband": partial(hyperband, low=1, high=9, sampler="tpe"),
    "asha": partial(asha, trials=15, low=1, high=9, slots=5),
    "pbt": partial(
        population_based_training, population=5, interval=4, total=20, explore="perturb", resample_probability=0.25
    ),
}
WHAT = ["trial", "fidelity", "from_trial", "from_fidelity", "start", "end", "value"]


def same(one, other):
    a, b = one.frame().drop(columns="seconds"), other.frame().drop(columns="seconds")
    return a.equals(b)


@pytest.fixture(scope="module")
def pools():
    spawn = get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as two, ProcessPoolExecutor(4, mp_context=spawn) as four:
        yield two, four


# The same seed, the same search -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEARCHES)
def test_workers_change_nothing(name, pools):
    search = partial(SEARCHES[name], toy_quadratic, TOY_SPACE, maximize=True, seed=3)
    alone = search()
    assert all(same(alone, search(workers=pool)) for pool in pools)
    assert not same(alone, partial(search, seed=4)()) or name == "grid"


def test_a_number_of_workers_makes_processes():
    search = partial(asha, toy_quadratic, TOY_SPACE, trials=6, low=1, high=3, maximize=True)
    assert same(search(), search(workers=2))


@pytest.mark.parametrize("name", ["tpe", "asha", "pbt"])
def test_results_that_arrive_out_of_order_wait_their_turn(name):
    def late(config, fidelity, seed, state):
        time.sleep(0.02 * (hash((config["h0"], fidelity)) % 5))
        return toy_quadratic(config, fidelity, seed, state)

    search = partial(SEARCHES[name], space=TOY_SPACE, maximize=True)
    with ThreadPoolExecutor(4) as pool:
        assert same(search(toy_quadratic), search(late, workers=pool))


def test_workers_work_at_once():
    meeting = threading.Barrier(3, timeout=20)

    def meet(config, fidelity, seed, state):
        meeting.wait()
        return config["x"]

    with ThreadPoolExecutor(3) as pool:
        search = random_search(meet, Space(x=Float(0, 1)), trials=6, workers=pool)
    assert not search.frame()["error"].notna().any()


def test_more_trials_begin_with_the_same_ones(training, space):
    few, many = (random_search(training, space, trials=n) for n in (3, 9))
    assert [e.config for e in many.evaluations][:3] == [e.config for e in few.evaluations]


# The clock --------------------------------------------------------------------------------------------------------


def test_slots_and_costs_set_the_clock():
    """Costs 3, 1, 1, 1, 2 on two slots, by hand."""
    costs = iter([3, 1, 1, 1, 2])
    search = random_search(
        lambda c, f, s, t: c["x"], Space(x=Float(0, 1)), trials=5, slots=2, cost=lambda c, a, b: next(costs)
    )
    assert [(e.trial, e.start, e.end) for e in search.evaluations] == [
        (1, 0, 1),
        (2, 1, 2),
        (0, 0, 3),
        (3, 2, 3),
        (4, 3, 5),
    ]


def test_nothing_starts_after_the_time_given():
    search = random_search(lambda c, f, s, t: 1, Space(x=Float(0, 1)), trials=99, fidelity=3, slots=2, until=7)
    assert len(search.evaluations) == 6 and max(e.start for e in search.evaluations) == 6


def test_only_what_is_added_is_paid_for(training, space):
    search = successive_halving(training, space, trials=9, low=1, high=9)
    spent = search.incumbents()["spent"]
    assert sum(e.end - e.start for e in search.evaluations) == 9 * 1 + 3 * 2 + 1 * 6 == sum(training.steps.values())
    assert spent.is_monotonic_increasing


def test_an_objective_without_a_state_starts_again_and_pays_for_it(space):
    started = []

    def stateless(config, fidelity, seed, state):
        started.append(state)
        return config["lr"]

    search = successive_halving(stateless, space, trials=9, low=1, high=9)
    assert started == [None] * 13
    assert sum(e.end - e.start for e in search.evaluations) == 9 * 1 + 3 * 3 + 1 * 9


# Values and states ------------------------------------------------------------------------------------------------


def test_a_failure_is_recorded_and_the_search_goes_on(space):
    def moody(config, fidelity, seed, state):
        if config["optimizer"] == "sgd":
            raise ZeroDivisionError("of one\nand two")
        return math.nan if config["width"] > 4 else config["lr"]

    for search in (
        random_search(moody, space, trials=40),
        model_search(moody, space, trials=40),
        asha(moody, space, trials=40, low=1, high=9),
        hyperband(moody, space, low=1, high=9, sampler="tpe"),
    ):
        frame = search.frame()
        assert set(frame["error"].dropna()) == {"ZeroDivisionError: of one", "value is nan"}
        assert (frame["value"].isna() == frame["error"].notna()).all()
        assert (frame["error"].isna() == ((frame["config.optimizer"] == "adam") & (frame["config.width"] <= 4))).all()
        promoted = frame.dropna(subset="from_trial")
        assert promoted["error"].isna().all()
        assert search.best.value == frame[frame["fidelity"] == search.best.fidelity]["value"].min()


def test_a_search_in_which_all_fails_says_so(space):
    search = random_search(lambda c, f, s, t: math.inf, space, trials=3)
    with pytest.raises(SearchError, match="^search: none of its 3 evaluations succeeded; the first: value is inf$"):
        search.best  # noqa: B018
    assert search.incumbents().empty


def test_states_are_kept_apart_from_the_objectives_own_objects():
    """A network that is returned itself, and trained on by the next member, must not change under the first."""
    shared = {"weights": torch.zeros(2), "history": (1, {2: "two"})}

    def reuse(config, fidelity, seed, state):
        if state:
            shared["weights"].copy_(state["weights"])
            assert state["history"] == (1, {2: "two"})
        else:
            shared["weights"].zero_()
        shared["weights"] += 1
        return float(shared["weights"].sum()), shared

    search = population_based_training(
        reuse, Space(x=Float(0, 1)), population=4, interval=1, total=5, exploit=None, explore=None
    )
    assert {e.value for e in search.evaluations if e.fidelity == 5} == {10.0}
    assert [e.error for e in search.evaluations if e.error] == []


def test_a_state_that_would_not_come_back_is_refused(space):
    class Odd:
        pass

    with pytest.raises(SearchError, match="^state: must be tensors, numbers, text.* not Odd"):
        asha(lambda c, f, s, t: (1.0, Odd()), space, trials=1, low=1, high=3)


def test_the_mean_over_seeds(training, space):
    one, two, both = (
        successive_halving(objective, space, trials=9, low=1, high=9, seed=5)
        for objective in (over_seeds(training, [1]), over_seeds(training, [2]), over_seeds(training, [1, 2]))
    )
    first = {(e.trial, e.fidelity): e.value for e in one.evaluations}
    second = {(e.trial, e.fidelity): e.value for e in two.evaluations}
    for e in both.evaluations:
        if (e.trial, e.fidelity) in first.keys() & second.keys():
            assert e.value == pytest.approx((first[e.trial, e.fidelity] + second[e.trial, e.fidelity]) / 2)
    with pytest.raises(SearchError, match="^seeds: must be different"):
        over_seeds(training, [1, 1])


def test_maximizing_is_minimizing_the_opposite(space):
    for search in (partial(asha, trials=12, low=1, high=9), partial(model_search, trials=15, fidelity=9)):
        up = search(lambda c, f, s, t: (math.log(c["lr"]) + f, f), space, maximize=True)
        down = search(lambda c, f, s, t: (-math.log(c["lr"]) - f, f), space)
        assert [e.config for e in up.evaluations] == [e.config for e in down.evaluations]
        assert up.best.config == down.best.config and up.best.value == -down.best.value
        assert up.incumbents()["value"].is_monotonic_increasing


# Frames and bad input ---------------------------------------------------------------------------------------------


def test_the_frame_has_a_row_an_evaluation_and_the_hyperparameters_in_order(training, space):
    search = asha(training, space, trials=9, low=1, high=9)
    frame = search.frame()
    assert [c for c in frame if c.startswith("config.")] == [f"config.{name}" for name in space.names]
    assert set(WHAT) | {"rung", "error", "seconds"} < set(frame.columns)
    assert frame["end"].is_monotonic_increasing and len(frame) == len(search.evaluations)
    assert frame["config.momentum"].isna().equals(frame["config.optimizer"] != "sgd")


REFUSED = {
    "trials: must be at least 1, not 0": lambda s: random_search(toy_quadratic, s, trials=0),
    "trials: must be a whole number, not 1.5": lambda s: random_search(toy_quadratic, s, trials=1.5),
    "fidelity: must be above 0": lambda s: random_search(toy_quadratic, s, trials=1, fidelity=0),
    "seed: must be at least 0": lambda s: random_search(toy_quadratic, s, trials=1, seed=-1),
    "slots: must be at least 1": lambda s: random_search(toy_quadratic, s, trials=1, slots=0),
    "workers: must be at least 1": lambda s: random_search(toy_quadratic, s, trials=1, workers=0),
    "until: must be a number": lambda s: random_search(toy_quadratic, s, trials=1, until="noon"),
    "cost: must be at least 0": lambda s: random_search(toy_quadratic, s, trials=1, cost=lambda c, a, b: -1),
    "sampler: must be one of 'random', 'tpe'": lambda s: model_search(toy_quadratic, s, trials=1, sampler="smac"),
    "settings of tpe: must be one of 'consider_prior'.*not 'seed'": lambda s: model_search(
        toy_quadratic, s, trials=1, settings={"seed": 1}
    ),
    "low: must be above 0": lambda s: asha(toy_quadratic, s, trials=1, low=0, high=9),
    "high: must be at least 9": lambda s: hyperband(toy_quadratic, s, low=9, high=3),
    "eta: must be above 1": lambda s: hyperband(toy_quadratic, s, low=1, high=3, eta=1),
    "eta: 1.2 gives rungs": lambda s: hyperband(toy_quadratic, s, low=1, high=3, eta=1.2),
    "trials: must be at least 9, for one to reach": lambda s: successive_halving(
        toy_quadratic, s, trials=8, low=1, high=9
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_one_line(message):
    with pytest.raises(SearchError, match=f"^{message}") as caught:
        REFUSED[message](TOY_SPACE)
    assert "\n" not in str(caught.value)


def test_an_objective_that_cannot_be_sent_is_refused(pools):
    with pytest.raises(SearchError, match="^workers: the objective must be importable"):
        random_search(lambda c, f, s, t: 1.0, TOY_SPACE, trials=2, workers=pools[0])
    assert not random_search(toy_quadratic, TOY_SPACE, trials=2, workers=pools[0]).frame()["error"].notna().any()


# A reader's own training ------------------------------------------------------------------------------------------


def train(config, fidelity, seed, state):
    """Ten lines of one's own: a linear net by Adam or SGD on batches drawn at random."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 5, generator=draws)
    y, weights = x.sum(dim=1), torch.zeros(5, requires_grad=True)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config["optimizer"]]([weights], lr=config["lr"])
    if state:
        weights.data.copy_(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        draws.set_state(state["draws"])
    for _ in range(state["epoch"] if state else 0, fidelity):
        batch = torch.randint(64, (16,), generator=draws)
        loss = (x[batch] @ weights - y[batch]).square().mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    state = {
        "epoch": fidelity,
        "weights": weights.data,
        "optimizer": optimizer.state_dict(),
        "draws": draws.get_state(),
    }
    return (x @ weights - y).square().mean().item(), state


def test_a_promoted_net_is_the_net_trained_in_one_go(tmp_path, space):
    stop = iter([False] * 11 + [True])

    def stoppable(*arguments):
        if next(stop, False):
            raise KeyboardInterrupt
        return train(*arguments)

    search = partial(successive_halving, stoppable, space, trials=9, low=2, high=18, journal=tmp_path / "j.jsonl")
    with pytest.raises(KeyboardInterrupt):
        search()
    found = search()
    assert [e.fidelity for e in found.evaluations] == [2] * 9 + [6] * 3 + [18]
    for e in found.evaluations:
        assert e.value == train(e.config, e.fidelity, 0, None)[0]


def test_an_objective_of_a_notebook_is_refused_by_processes():
    code = (
        "from redraw.hpo import Float, Space, SearchError, random_search\n"
        "def mine(config, fidelity, seed, state): return config['x']\n"
        "try: random_search(mine, Space(x=Float(0, 1)), trials=2, workers=2)\n"
        "except SearchError as error: print(error)\n"
        "print(len(random_search(mine, Space(x=Float(0, 1)), trials=2).evaluations))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("workers: a process died (out of memory?) or cannot import the objective")
    assert done.stdout.endswith("\n2\n")
