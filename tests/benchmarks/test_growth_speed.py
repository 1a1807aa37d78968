"""A run whose trials are stored, with more and more seeds: lookups, the table and the verdict, time per trial."""

import importlib
import sys
import time
from functools import cache

import pytest

from redraw.workbook import Claim, Samples, Store, Trial, judge, run_trials, trial_table

MODULE = "redraw_growth_trials"
WORK = '''
"""Trials that take no time."""


def work(*, seed, level):
    return {"score": level + (seed * 7919 % 101) / 101, "curve": [level / (1 + step) for step in range(50)]}
'''
FEW, MANY = 100, 1600
CLAIM = {
    "id": "C1",
    "statement": "The mean is one half.",
    "paper": "made",
    "place": "Section 1",
    "kind": "value",
    "metric": "mean",
    "reference": {"value": 0.5, "decimals": 1},
    "criterion": {"margin": 0.05, "basis": "half of the last printed digit"},
    "scope": {"laptop": "reduced"},
}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """(store, plan): `plan(seeds, levels)` gives trials that are in the store."""
    (tmp_path / f"{MODULE}.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    store = Store(tmp_path / "trials")

    @cache
    def plan(seeds, levels):
        trials = [Trial(f"{MODULE}:work", {"level": level}, seed) for seed in range(seeds) for level in range(levels)]
        for trial in trials:
            value = sys.modules[MODULE].work(seed=trial.seed, **trial.parameters)
            body = {"function": trial.function, "parameters": trial.parameters, "seed": trial.seed, "needs": {}}
            store.put(trial.key, body | {"stack": {}, "value": value, "seconds": 0.0})
        return trials

    importlib.import_module(MODULE)
    yield store, plan
    sys.modules.pop(MODULE, None)


@pytest.mark.parametrize("what, few, many", [("seeds", (FEW, 1), (MANY, 1)), ("trials a seed", (10, 10), (10, 160))])
def test_a_stored_run_grows_as_its_trials_do(stored, record_ratio, what, few, many):
    """Time per trial at 1,600 trials over that at 100."""
    store, plan = stored
    claim = Claim.model_validate(CLAIM)

    def seconds(size):
        trials, started = plan(*size), time.process_time()
        table = trial_table(trials, run_trials(trials, store=store))
        by_seed = table[table["level"] == 0].groupby("seed")["score"].mean()
        judge(claim, Samples.of(by_seed), scope="reduced")
        return (time.process_time() - started) / len(trials)

    plan(*few), plan(*many), seconds(few)
    pairs = [(seconds(few), seconds(many)) for _ in range(5)]
    told = f"lookups in the store, the table and a verdict: time per trial at {MANY:,} trials over that at {FEW}"
    record_ratio(f"stored run, more {what}", [m / f for f, m in pairs], limit=1.5, what=told)
