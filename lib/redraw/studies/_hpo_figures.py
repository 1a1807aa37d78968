"""What the figures of the study of hyperparameter search show, as tidy frames."""

import json
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from redraw.studies import _hpo_net as made
from redraw.studies._hpo_runs import FULL, recorded
from redraw.studies._interval import mean_interval
from redraw.studies.hyperparameter_search import GRID, NAMES, TOYS, best_after, lots, searches

WAYS = {"population": "population based training", "exploit": "exploit only", "explore": "explore only", "grid": "grid"}


def toy_paths(table: pd.DataFrame) -> pd.DataFrame:
    """The toy: way, step, seed, Q of the better worker."""
    named = {ways: WAYS[name] for name, ways in TOYS.items()}
    parts = [
        {"way": named[bool(row.exploit), bool(row.explore)], "step": step, "seed": row.seed, "Q": max(values)}
        for row in table[table["function"] == "toy"].itertuples()
        for step, values in zip(row.steps, zip(*row.path, strict=True), strict=True)
    ]
    return pd.DataFrame(parts, columns=["way", "step", "seed", "Q"])


def population_rounds(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Every member's stretches in one population: member, source, fidelity (epochs), survives, value (%), lr, ..."""
    rows = table[(table["function"] == "populated") & (table["seed"] == seed)]
    return pd.DataFrame(rows["rounds"].iloc[0])


def schedules(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The best network's schedule of a hyperparameter in every population: population, epoch, and the value as `name`;
    a row at both ends of each stretch."""
    parts = []
    for row in table[table["function"] == "populated"].itertuples():
        found = pd.DataFrame(row.schedule)
        ends = found[["start", "stop"]].to_numpy().ravel()
        values = np.repeat(found[name].to_numpy(), 2)
        parts.append(pd.DataFrame({"population": f"seed {row.seed}", "epoch": ends, name: values}))
    return pd.concat(parts, ignore_index=True)


def stopping_curves(table: pd.DataFrame, budgets: Sequence[float]) -> pd.DataFrame:
    """Random search on the whole table: test error (%) of the best so far against what was spent, in full trainings:
    method, spent, seed, error."""
    found = searches(table)
    found = found[(found["task"] == "table") & (found["sampler"] == "random")]
    parts = [
        (NAMES["random"], budget, row.seed, best_after(row.improved, budget * FULL, spent=True, tested=True))
        for row in found.itertuples()
        for budget in budgets
    ]
    return pd.DataFrame(parts, columns=["method", "spent", "seed", "error"])


def stopping_ends(table: pd.DataFrame) -> pd.DataFrame:
    """What early stoppers end with: method, spent (full trainings), estimate, low, high (test error in %, 95 % interval
    over seeds)."""
    rows = table[table["function"] == "told_stopped"]
    parts = []
    for method, mine in rows.groupby("method", sort=False):
        errors = np.array([best_after(json.loads(record), np.inf, tested=True) for record in mine["improved"]])
        parts.append((NAMES[method], mine["spent"].astype(float).mean(), *mean_interval(errors)))
    return pd.DataFrame(parts, columns=["method", "spent", "estimate", "low", "high"])


def sampler_curves(table: pd.DataFrame, task: str, trials: int) -> pd.DataFrame:
    """The best value so far on a task against evaluations: method, evaluations, seed, value."""
    rows = searches(table)
    rows = rows[rows["task"] == task]
    parts = [
        (NAMES[row.sampler], n, row.seed, best_after(row.improved, n))
        for row in rows.itertuples()
        for n in range(1, min(trials, int(row.trials)) + 1)
    ]
    return pd.DataFrame(parts, columns=["method", "evaluations", "seed", "value"])


def lottery_spread(table: pd.DataFrame, trials: int) -> pd.DataFrame:
    """The lottery after `trials` evaluations: sampler, own (its settings), seed, error (%)."""
    frame = lots(table, trials)
    if frame.empty:
        return pd.DataFrame(columns=["sampler", "own", "seed", "error"])
    tidy = frame.stack(["sampler", "own"], future_stack=True).rename("error").reset_index()
    return tidy.assign(sampler=tidy["sampler"].map(NAMES))


def crossing(table: pd.DataFrame, subset: int = 0) -> pd.DataFrame:
    """The places of ten settings on each tuning seed: those that are best on the first, a row each."""
    rows = table[(table["function"] == "chosen") & (table["seed"] == subset)]
    return pd.DataFrame(rows["places"].iloc[0], columns=[f"seed {seed}" for seed in made.TUNING])


def importance() -> pd.DataFrame:
    """How much of the variance of the final error each hyperparameter of the table accounts for, an exact analysis.

    The grid is complete, so the decomposition of variance (Hutter, Hoos and Leyton-Brown 2014, ICML, functional ANOVA)
    needs no model: alone, the variance of the means at its levels; with another, that of the means at pairs of levels
    less what both have alone, summed over the others. Columns: label, what, estimate, low, high (shares of the
    variance over settings; the 95 % interval over seeds of training). Divergence counts as guessing.
    """
    levels, errors, _, _ = recorded(GRID)
    final = np.nan_to_num(errors[..., -1], nan=100 * made.CHANCE)
    shares = [variance_shares(final[..., seed]) for seed in range(final.shape[-1])]
    parts = []
    for what, place in (("alone", 0), ("with one other", 1)):
        values = np.array([share[place] for share in shares])
        middle, low, high = mean_interval(values)
        frame = pd.DataFrame({"label": [name.replace("_", " ") for name in levels], "what": what})
        parts.append(frame.assign(estimate=middle, low=low, high=high))
    order = np.argsort(-parts[0]["estimate"].to_numpy(), kind="stable")
    return pd.concat([part.iloc[order] for part in parts], ignore_index=True)


def variance_shares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares of the variance of a complete grid `values` (one axis a factor) that each factor has alone (k,) and in
    interactions of two that it takes part in (k,)."""
    axes, total = range(values.ndim), values.var()
    alone = np.array([values.mean(axis=tuple(a for a in axes if a != i)).var() for i in axes])
    pairs = np.zeros(values.ndim)
    for i, j in combinations(axes, 2):
        both = values.mean(axis=tuple(a for a in axes if a not in (i, j))).var() - alone[i] - alone[j]
        pairs[[i, j]] += both
    return alone / total, pairs / total
