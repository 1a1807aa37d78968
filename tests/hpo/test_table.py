import math

import numpy as np
import pandas as pd
import pytest

from redraw.hpo import Choice, Float, Int, SearchError, Space, Table, asha, model_search, random_search

SPACE = Space(lr=Float(1e-3, 1, log=True), n=Int(1, 5), o=Choice(["a", "b"]), m=Float(0, 1, when={"o": "a"}))
FIDELITIES = (1, 3, 9)


def curve(config, fidelity, seed):
    return abs(math.log10(config["lr"]) + 2) + config.get("m", 0.5) / 10 + seed / 100 + 1 / fidelity


def seconds(config, fidelity):
    return fidelity * config["n"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    configs = [SPACE.sample(rng) for _ in range(300)]
    values = [[[curve(c, f, s) for f in FIDELITIES] for s in range(3)] for c in configs]
    return Table(SPACE, configs, FIDELITIES, values, costs=[[seconds(c, f) for f in FIDELITIES] for c in configs])


def test_what_is_recorded_is_what_comes_back(table):
    for config in table.configs[::17]:
        for fidelity in FIDELITIES:
            for seeds in ([0], [2], [0, 2], [0, 1, 2]):
                value, state = table.on(seeds)(config, fidelity, 99, None)
                assert (
                    value == pytest.approx(np.mean([curve(config, fidelity, s) for s in seeds])) and state == fidelity
                )
        assert table.cost(config, 0, 9) == seconds(config, 9)
        assert table.cost(config, 3, 9) == seconds(config, 9) - seconds(config, 3)


def test_what_is_not_recorded_is_answered_by_the_nearest(table):
    """Against the distance written out."""
    rng = np.random.default_rng(1)

    def apart(one, other):
        total = (math.log10(one["lr"] / other["lr"]) / 3) ** 2 + ((one["n"] - other["n"]) / 5) ** 2
        total += one["o"] != other["o"]
        if ("m" in one) != ("m" in other):
            return total + 1
        return total + (one["m"] - other["m"]) ** 2 if "m" in one else total

    for _ in range(100):
        config = SPACE.sample(rng)
        distances = [apart(config, other) for other in table.configs]
        assert distances[table.row(config)] == pytest.approx(min(distances))


def test_simulated_time_is_the_recorded_time(table):
    """An asynchronous search on the table ends at the times that a naive simulation of its slots gives."""
    search = asha(table.on([0]), table.space, trials=60, low=1, high=9, cost=table.cost, slots=4)
    frame = search.frame()
    free = [0.0] * 4
    for e in sorted(search.evaluations, key=lambda e: e.number):
        slot = int(np.argmin(free))
        took = table.cost(e.config, e.origin[1] if e.origin else 0, e.fidelity)
        assert free[slot] <= e.start and e.end == pytest.approx(e.start + took)
        free[slot] = e.end
    assert frame["end"].max() > 60 and frame["seconds"].sum() < 5


def test_searches_on_a_table_find_what_is_good_in_it(table):
    best = min(np.mean([curve(c, 9, s) for s in range(3)]) for c in table.configs)
    for search in (random_search, model_search):
        found = search(table.on([0, 1, 2]), table.space, trials=100, fidelity=9, cost=table.cost).best
        assert best <= found.value < best + 0.2


def test_a_training_that_diverged_is_a_failure():
    table = Table(Space(x=Float(0, 1)), [{"x": 0.1}, {"x": 0.9}], [1], [[0.5], [math.nan]])
    search = random_search(table.on([0]), table.space, trials=20)
    frame = search.frame()
    assert (frame["error"].notna() == (frame["config.x"] > 0.5)).all() and 0 < frame["error"].notna().sum() < 20


def test_a_table_from_a_frame():
    """Ten lines from a long frame, as one is recorded."""
    rows = [(lr, seed, f, lr + seed + 1 / f) for lr in (0.1, 0.2) for seed in (5, 6) for f in (1, 2)]
    frame = pd.DataFrame(rows, columns=["lr", "seed", "epochs", "error"])
    wide = frame.pivot(index=["lr", "seed"], columns="epochs", values="error")
    configs = [{"lr": lr} for lr in wide.index.unique("lr")]
    table = Table(Space(lr=Float(0, 1)), configs, list(wide), wide.to_numpy().reshape(2, 2, 2), seeds=[5, 6])
    assert table.on([6])({"lr": 0.2}, 2, 0, None)[0] == pytest.approx(0.2 + 6 + 0.5)


X = Space(x=Float(0, 1))
REFUSED = {
    "x: must be within": lambda: Table(X, [{"x": 2}], [1], [[0.5]]),
    "configs: must differ": lambda: Table(X, [{"x": 0.5}] * 2, [1], [[0.5]] * 2),
    r"values: must be of shape \(1, 1, 2\)": lambda: Table(X, [{"x": 0.5}], [1, 2], [[0.5]]),
    "fidelities: must increase": lambda: Table(X, [{"x": 0.5}], [2, 1], [[0.5, 0.5]]),
    "fidelities: must be above 0": lambda: Table(X, [{"x": 0.5}], [0, 1], [[0.5, 0.5]]),
    r"costs: must be of shape \(1, 1\)": lambda: Table(X, [{"x": 0.5}], [1], [[0.5]], costs=[1]),
    "costs: must be finite and never fall": lambda: Table(X, [{"x": 0.5}], [1, 2], [[0.5, 0.5]], costs=[[2, 1]]),
    "seeds: must be among those recorded": lambda: Table(X, [{"x": 0.5}], [1], [[0.5]]).on([1]),
    "seeds: must be at least one": lambda: Table(X, [{"x": 0.5}], [1], [[0.5]]).on([]),
    r"fidelity: must be one that the table recorded \(1\), not 2": lambda: random_search(
        (table := Table(X, [{"x": 0.5}], [1], [[0.5]])).on([0]), X, trials=1, fidelity=2, cost=table.cost
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_one_line(message):
    with pytest.raises(SearchError, match=f"^{message}") as caught:
        REFUSED[message]()
    assert "\n" not in str(caught.value)
