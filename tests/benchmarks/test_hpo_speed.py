"""What a tabular search costs beside its evaluations, and Optuna's random sampler over the same table."""

from itertools import product
from time import process_time

import numpy as np
import optuna
import pytest

from redraw.hpo import Choice, Float, Int, Space, Table, asha, random_search

GRID = {  # of the size of the table that comes with Redraw, every combination recorded
    "lr": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
    "batch": [50, 150, 500],
    "width": [8, 24, 72],
    "depth": [1, 3],
    "weight_decay": [1e-4, 1e-2],
    "dropout": [0.0, 0.2],
    "schedule": ["constant", "cosine"],
    "optimizer": ["sgd", "adam"],
}
SPACE = Space(**{name: Choice(values) for name, values in GRID.items()})
RANGES = Space(
    lr=Float(1e-4, 1, log=True),
    batch=Int(8, 256, log=True),
    width=Int(8, 128, log=True),
    depth=Int(1, 4),
    weight_decay=Float(1e-6, 1e-1, log=True),
    dropout=Float(0, 0.5),
    schedule=Choice(["constant", "cosine", "linear"]),
    optimizer=Choice(["sgd", "adam"]),
)
TRIALS, FIDELITIES = 100, (1, 3, 9, 27, 81)


def recorded(space, configs):
    rng, n = np.random.default_rng(0), len(configs)
    values = rng.random((n, 3, 1)) + 1 / np.array(FIDELITIES)
    return Table(space, configs, FIDELITIES, values, costs=np.outer(rng.random(n) + 0.5, FIDELITIES))


@pytest.fixture(scope="module")
def table():
    return recorded(SPACE, [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())])


@pytest.fixture(scope="module")
def scattered():
    rng = np.random.default_rng(0)
    return recorded(RANGES, [RANGES.sample(rng) for _ in range(1000)])


def with_optuna(table):
    """The same random search by Optuna."""
    objective = table.on([0, 1, 2])

    def evaluate(trial):
        config = {name: trial.suggest_categorical(name, values) for name, values in GRID.items()}
        return objective(config, 81, 0, None)[0]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).optimize(evaluate, n_trials=TRIALS)


def test_a_tabular_search_of_100_evaluations(table, scattered, tmp_path, interleaved, record_ratio):
    journals = (tmp_path / f"{i}.jsonl" for i in range(1000))

    def at_random(table, **more):
        options = {"cost": table.cost, "slots": 8, **more}
        return random_search(table.on([0, 1, 2]), table.space, trials=TRIALS, fidelity=81, **options)

    searches = {
        "random search": (lambda: at_random(table), 1),
        "random search with a journal": (lambda: at_random(table, journal=next(journals)), 1),
        "random search, nearest recorded": (lambda: at_random(scattered), 1.5),  # what is asked is not recorded
        "asha": (lambda: asha(table.on([0, 1, 2]), SPACE, trials=70, low=1, high=81, cost=table.cost, slots=8), 1),
    }
    what = "searching a recorded table, 100 evaluations, beside Optuna's random sampler on the same table"
    for name, (search, limit) in searches.items():
        found = interleaved(search, lambda: with_optuna(table), 7, clock=process_time)
        record_ratio(f"tabular {name} / Optuna", found, limit=limit, what=what)
    took = []
    for _ in range(7):
        started = process_time()
        at_random(table)
        took.append(1000 * (process_time() - started))
    record_ratio("tabular random search", took, limit=50, unit="ms", what="searching a recorded table, 100 evaluations")
