"""A table of our own for searching in: every setting of a small perceptron on MNIST1D, with its learning curves.

A full grid over eight hyperparameters, so that a search meets measured values only, never ones between them.
"""

import sys
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from redraw.seeds import generator
from redraw.studies._hpo_net import BUDGETS, DATASET, GRID, TEST, TUNING
from redraw.workbook import Trial, run_trials


def table_trial(**setting) -> Trial:
    """The trial of one setting of `GRID`, all six seeds."""
    parameters = {name: setting[name] for name in GRID} | {"seeds": len(TUNING + TEST), "dataset": DATASET}
    return Trial("redraw.studies._hpo_net:table_run", parameters, TUNING[0])


def grid() -> list[Trial]:
    """Every setting, those of few steps first, else in an order drawn at random."""
    points = [dict(zip(GRID, point, strict=True)) for point in product(*GRID.values())]
    drawn = [points[i] for i in torch.randperm(len(points), generator=generator(0, "grid"))]
    return [table_trial(**point) for point in sorted(drawn, key=lambda point: -point["batch"])]


def table(trials: list[Trial], results: list) -> pd.DataFrame:
    """A row per setting and seed: the setting, seed, error_1 ... error_81 (NaN once diverged), test_error, cpu."""
    rows = []
    for trial, result in zip(trials, results, strict=True):
        setting = {name: trial.parameters[name] for name in GRID}
        for place, (curve, test) in enumerate(zip(result["error"], result["test_error"], strict=True)):
            errors = {f"error_{budget}": value for budget, value in zip(BUDGETS, curve, strict=True)}
            rows.append(setting | {"seed": trial.seed + place} | errors | {"test_error": test, "cpu": result["cpu"]})
    return pd.DataFrame(rows)


def main(path: str) -> None:
    """Train the whole grid, or what of it is not stored, and write its table: half an hour on one core."""

    def tell(progress) -> None:
        left = "" if progress.seconds is None else f", {progress.seconds / 60:.0f} min left"
        print(f"{progress.done} of {progress.total} settings{left}", file=sys.stderr, flush=True)

    trials = grid()
    frame = table(trials, run_trials(trials, on_progress=tell))
    frame = frame.sort_values([*GRID, "seed"], kind="stable")
    Path(path).write_text(HEADER + frame.to_csv(index=False, float_format="%.3g"))


HEADER = """# A perceptron on mnist1d: 1,152 settings, six seeds each (redraw/studies/_hpo_table.py).
# Made by: python -m redraw.studies._hpo_table FILE.csv   (torch 2.13.0, x86-64, one thread)
# batch: examples. width: units a hidden layer. depth: hidden layers. weight_decay: L2 for sgd, decoupled for adamw.
# seed: 0, 1 and 2 to tune with, 3, 4 and 5 to test. error_b: of 1,000 validation examples after b thousand examples of
# training; test_error: of 1,000 test examples at the end; fractions, empty once a weight is not finite.
# cpu: seconds of one core that the seed took among its six.
"""


if __name__ == "__main__":
    main(*sys.argv[1:])
