"""What a tabular search costs beside its evaluations, and Optuna's random sampler over the same table: `pytest -s`."""

import time
from statistics import median

import numpy as np
import optuna
import pytest

from redraw.hpo import Choice, Float, Int, Space, Table, asha, random_search

SPACE = Space(
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


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    configs = [SPACE.sample(rng) for _ in range(1000)]
    values = rng.random((1000, 3, 1)) + 1 / np.array(FIDELITIES)
    return Table(SPACE, configs, FIDELITIES, values, costs=np.outer(rng.random(1000) + 0.5, FIDELITIES))


def with_optuna(table):
    """The same: 100 random configurations, answered by the nearest recorded one."""
    objective = table.on([0, 1, 2])

    def evaluate(trial):
        config = {
            "lr": trial.suggest_float("lr", 1e-4, 1, log=True),
            "batch": trial.suggest_int("batch", 8, 256, log=True),
            "width": trial.suggest_int("width", 8, 128, log=True),
            "depth": trial.suggest_int("depth", 1, 4),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "dropout": trial.suggest_float("dropout", 0, 0.5),
            "schedule": trial.suggest_categorical("schedule", ["constant", "cosine", "linear"]),
            "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
        }
        return objective(config, 81, 0, None)[0]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).optimize(evaluate, n_trials=TRIALS)


def test_a_tabular_search_of_100_evaluations(table, benchmark, capsys, tmp_path):
    objective, journals = table.on([0, 1, 2]), (tmp_path / f"{i}.jsonl" for i in range(1000))
    searches = {
        "random_search": lambda: random_search(objective, SPACE, trials=TRIALS, fidelity=81, cost=table.cost, slots=8),
        "random_search, journal": lambda: random_search(
            objective, SPACE, trials=TRIALS, fidelity=81, cost=table.cost, slots=8, journal=next(journals)
        ),
        "asha, 100 evaluations": lambda: asha(objective, SPACE, trials=70, low=1, high=81, cost=table.cost, slots=8),
        "Optuna, random sampler": lambda: with_optuna(table),
    }

    def measure():
        times = {name: [] for name in searches}
        for _ in range(7):  # in turn, and the time of this process, so that what else runs counts little
            for name, search in searches.items():
                started = time.process_time()
                search()
                times[name].append(time.process_time() - started)
        return {name: median(rounds) for name, rounds in times.items()}

    seconds = benchmark.pedantic(measure, rounds=1, warmup_rounds=1)
    benchmark.extra_info |= seconds
    with capsys.disabled():
        for name, took in seconds.items():
            print(
                f"\n{name:<26} {1000 * took:6.1f} ms, {took / seconds['Optuna, random sampler']:.2f} of Optuna's",
                end="",
            )
    assert seconds["random_search"] < seconds["Optuna, random sampler"]
    assert seconds["random_search"] < 0.05
