"""Step Law (Li et al. 2025, Predictable Scale Part I, arXiv 2503.04715): its rule on the runs its authors released, its
exponents, and what its predictions and those of other laws cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from redraw import data
from redraw.scaling import (
    LAWS,
    Bootstrap,
    LossSurface,
    fit_step_law,
    law_regret,
    near_optimal,
    plateau_width,
    steplaw_runs,
    sweep_table,
    threshold_sensitivity,
    unimodality,
)
from redraw.workbook import Samples, Trial

FILES = {"dense": "dense_lr_bs_loss.csv", "moe": "moe_lr_bs_loss.csv"}
PRINTED = {"lr_N": -0.713, "lr_D": 0.307, "batch_D": 0.571, "batch_N": 0.0}
"""Exponents of the printed law, lr = 1.79 N^-0.713 D^0.307 and B = 0.58 D^0.571 (B in tokens; N has no part in it)."""

# The runs ------------------------------------------------------------------------------------------------------


def synthetic_sweep(noise: float = 5e-4, *, seed: int = 0) -> pd.DataFrame:
    """A made-up sweep whose optimum is the printed law: six cells, a row per learning rate and batch size, as
    `redraw.scaling.sweep_table`.

    Around the optimum log loss rises by 0.008 u^2 + 0.006 v^2 - 0.003 u v with u and v the logarithms of learning rate
    and batch over the law's; normal noise of standard deviation `noise` in log loss.
    """
    rng = np.random.default_rng(seed)
    surface, law, parts = LossSurface(1.82, 480.0, 2090.0, 0.348, 0.366), LAWS["step"], []
    lrs, batches = (2.0 ** np.arange(low, high, 0.5) for low, high in ((-13, -5), (15, 22)))
    for N in (2e8, 4e8, 8e8):
        for D in (5e9, 4e10):
            lr, batch = (grid.ravel() for grid in np.meshgrid(lrs, batches))
            u, v = np.log(lr / law.lr(N, D, None)), np.log(batch / law.batch(N, D, None))
            bowl = 0.008 * u**2 + 0.006 * v**2 - 0.003 * u * v + noise * rng.standard_normal(len(lr))
            parts.append(pd.DataFrame({"N": N, "D": D, "lr": lr, "batch": batch, "loss": surface(N, D) * np.exp(bowl)}))
    table = pd.concat(parts, ignore_index=True)
    cell = table["N"].map("N={:.4g}".format) + table["D"].map(" D={:.4g}".format)
    return sweep_table(cell, *(table[name] for name in ("N", "D", "lr", "batch", "loss")))


def sweep(dataset: str, design: str) -> pd.DataFrame:
    """The runs of a dataset, dense or of mixtures of experts (N is then the number of all parameters, not of those
    active), as `redraw.scaling.sweep_table`."""
    return synthetic_sweep() if dataset == "synthetic" else steplaw_runs(data.tables(dataset)[FILES[design]])


CELLS = {("synthetic", "dense"): 6, ("steplaw", "dense"): 17, ("steplaw", "moe"): 16}


# The trials ----------------------------------------------------------------------------------------------------


def fitted(*, seed: int, threshold: float, replicates: int, dataset: str = "synthetic") -> dict:
    """The authors' rule on the dense runs: runs within `threshold` of their cell's minimum, log-log least squares,
    bootstrap by run (their way) and by cell.

    Per exponent its estimate; low_ and high_: the 95 % interval by cell, Student's t on the clustered covariance;
    run_low_ and run_high_, cell_low_ and cell_high_: percentiles of the two bootstraps, all that `seed` decides.
    """
    fit = fit_step_law(sweep(dataset, "dense"), threshold=threshold, replicates=replicates, seed=seed)
    record: dict = {"runs": fit.runs, "cells": fit.cells, "lr_c": fit.lr["c"], "batch_c": fit.batch["c"]}
    for label, law, name, by_run, by_cell in (
        ("lr_N", fit.lr, "N", fit.by_run, fit.by_cell),
        ("lr_D", fit.lr, "D", fit.by_run, fit.by_cell),
        ("batch_D", fit.batch, "D", fit.batch_by_run, fit.batch_by_cell),
        ("batch_N", fit.batch_full, "N", None, None),
    ):
        low, high = law.interval(name)
        record |= {label: law[name], f"low_{label}": low, f"high_{label}": high}
        record |= _percentiles(f"run_{{}}_{label}", by_run, name) | _percentiles(f"cell_{{}}_{label}", by_cell, name)
    return record


def _percentiles(label: str, draws: Bootstrap | None, name: str) -> dict[str, float]:
    if draws is None:
        return {}
    return dict(zip((label.format("low"), label.format("high")), draws.interval(name), strict=True))


THRESHOLDS = (0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01)


def thresholds(*, seed: int, dataset: str = "synthetic") -> dict:
    """The exponents at each of `THRESHOLDS`, with their 95 % intervals by cell. Not random."""
    found = threshold_sensitivity(sweep(dataset, "dense"), THRESHOLDS)
    return {"sensitivity": found.to_dict("list")}


def cell(*, seed: int, design: str, threshold: float, dataset: str = "synthetic") -> dict:
    """One cell of the sweep, the `seed`-th by its name: what the laws lose in it, and the shape of its bowl.

    regret_<law>: loss at the law's prediction over the cell's best, per mille; regret_lr: that of the printed law's
    learning rate with the cell's best batch; inside: its prediction lies within the runs. slices, single: slices at
    fixed lr or batch, and how many have a single minimum but for dips under 1 per mille. lr_factor, batch_factor: the
    factor over which the loss stays within `threshold` along the slices through the best run. lr_over, batch_over: the
    printed law's prediction over the middle (geometric mean) of the near-optimal runs.
    """
    runs = sweep(dataset, design)
    name = sorted(runs["cell"].unique())[seed]
    runs = runs[runs["cell"] == name].reset_index(drop=True)
    record: dict = {"N": float(runs["N"].iloc[0]), "D": float(runs["D"].iloc[0])}
    for law in LAWS:
        found = law_regret(runs, law).iloc[0]
        record[f"regret_{law}"] = float(found["regret"])
        if law == "step":
            record |= {"regret_lr": float(found["regret_lr"]), "inside": bool(found["inside"])}
            near = near_optimal(runs, threshold)
            for axis in ("lr", "batch"):
                record[f"{axis}_over"] = float(found[axis] / np.exp(np.log(near[axis]).mean()))
    slices, width = unimodality(runs, tolerance=1e-3), plateau_width(runs, threshold).iloc[0]
    record |= {"slices": len(slices), "single": int(slices["unimodal"].sum())}
    return record | {f"{axis}_factor": float(width[f"{axis}_factor"]) for axis in ("lr", "batch")}


STEPS = 4.0  # octaves of learning rate and batch to either side of a cell's best that the bowl shows


def bowl(*, seed: int, dataset: str = "synthetic") -> dict:
    """The typical bowl of the dense cells: loss above the cell's best (per mille) by half octaves of learning rate and
    batch away from the best run, the median over the cells that have a run there (three or more). Not random."""
    runs = sweep(dataset, "dense")
    best = runs.loc[runs.groupby("cell")["loss"].idxmin()].set_index("cell")
    away = pd.DataFrame({"cell": runs["cell"]})
    for axis in ("lr", "batch"):
        away[axis] = np.round(2 * np.log2(runs[axis] / runs["cell"].map(best[axis]))) / 2
    away["excess"] = 1000 * (runs["loss"] / runs["cell"].map(best["loss"]) - 1)
    away = away[(away[["lr", "batch"]].abs() <= STEPS).all(axis=1)]
    one = away.groupby(["lr", "batch", "cell"])["excess"].mean()
    median = one.groupby(["lr", "batch"]).agg(["median", "count"]).reset_index()
    median = median[median["count"] >= 3].rename(columns={"median": "excess"})
    return {"bowl": median[["lr", "batch", "excess"]].to_dict("list")}


def plan(*, dataset: str, threshold: float, seeds: int, replicates: int, designs: Sequence[str]) -> list[Trial]:
    """The trials: the fit with its bootstraps per seed, the exponents by threshold, the typical bowl, and every cell of
    each of `designs`.

    Raises ValueError for mixtures of experts among made-up runs, or a design named twice.
    """
    if len(set(designs)) < len(designs):
        raise ValueError(f"designs: must name each design once, got {', '.join(designs)}")
    if dataset == "synthetic" and "moe" in designs:
        raise ValueError("designs: must be dense for made-up runs, got moe")
    common = {} if dataset == "synthetic" else {"dataset": dataset}
    fit = common | {"threshold": threshold}
    return [
        *(_trial("fitted", fit, seed, replicates=replicates) for seed in range(seeds)),
        _trial("thresholds", common),
        _trial("bowl", common),
        *(_trial("cell", fit, k, design=design) for design in designs for k in range(CELLS[dataset, design])),
    ]


def _trial(function: str, common: dict, seed: int = 0, **more) -> Trial:
    return Trial(f"{__name__}:{function}", common | more, seed)


# What it measures ----------------------------------------------------------------------------------------------


def microsoft(per: float) -> float:
    """The coefficient of Bjorck et al.'s learning rate, 1.55e-3 (N/1e9)^-0.23 (D/1e9)^-0.32, for N and D in units of
    `per`: 1.55e-3 for billions (1e9), and the one to use with plain numbers for 1."""
    return 1.55e-3 * (1e9 / per) ** (0.23 + 0.32)


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    For exponents the ends of intervals, one per bootstrap seed; for regrets and bowls one number per cell, which are
    the units that vary. Claims about the released runs are not tested on made-up ones.
    """
    found = {"K1": Samples.exact(microsoft(1.0)), "G3": Samples.not_tested("the authors did not release this cell")}
    if table.empty or knobs.get("dataset") == "synthetic":
        why = "no trial ran" if table.empty else "this run fits made-up runs, which the paper says nothing about"
        return found | {i: Samples.not_tested(why) for i in _OF_RUNS}
    fits, dense = one(table, "fitted"), cells(table, "dense")
    for i, label in enumerate(PRINTED, 1):
        ends = {"low": _authors(fits, "low", label), "high": _authors(fits, "high", label)}
        found[f"X{i}"] = Samples.many({**ends, "printed": np.full(len(fits), PRINTED[label])})
    return found | {
        "G1": _regrets(dense),
        "G2": _per_cell(dense, "regret_step"),
        "G4": _regrets(cells(table, "moe")),
        "U1": _single(dense),
        "W1": _per_cell(dense, "lr_factor"),
        "W2": _per_cell(dense, "batch_factor"),
    }


_OF_RUNS = ("X1", "X2", "X3", "X4", "G1", "G2", "G4", "U1", "W1", "W2")


def _authors(fits: pd.DataFrame, end: str, label: str) -> np.ndarray:
    """An end of the bootstrap interval by cell; of the exponent that the authors do not fit, that of the t interval."""
    return fits[f"{end}_{label}" if label == "batch_N" else f"cell_{end}_{label}"].to_numpy()


def _regrets(found: pd.DataFrame) -> Samples:
    if found.empty:
        return Samples.not_tested("this run left these cells out")
    return Samples.many({law: found[f"regret_{law}"] for law in LAWS})


def _per_cell(found: pd.DataFrame, column: str) -> Samples:
    return Samples.of(found[column]) if len(found) else Samples.not_tested("this run left these cells out")


def _single(found: pd.DataFrame) -> Samples:
    if found.empty:
        return Samples.not_tested("this run left these cells out")
    return Samples.of(100 * found["single"] / found["slices"])


# What its figures show -----------------------------------------------------------------------------------------

NAMES = {
    "step": "Step Law",
    "openai": "OpenAI",
    "microsoft": "Microsoft",
    "deepseek": "DeepSeek",
    "porian": "Porian et al.",
    "minicpm": "MiniCPM",
}
SYMBOLS = {
    "lr_N": "learning rate, in N",
    "lr_D": "learning rate, in D",
    "batch_D": "batch, in D",
    "batch_N": "batch, in N",
}


def one(table: pd.DataFrame, function: str) -> pd.DataFrame:
    """The rows of one trial function, by seed; empty where nothing ran."""
    return table if table.empty else table[table["function"] == function].sort_values("seed")


def cells(table: pd.DataFrame, design: str) -> pd.DataFrame:
    """The rows of the cells of one design."""
    found = one(table, "cell")
    return found[found["design"] == design] if len(found) else found


def heat(table: pd.DataFrame) -> pd.DataFrame:
    """The typical bowl: lr and batch (octaves away from the cell's best), excess (per mille)."""
    found = one(table, "bowl")
    return pd.DataFrame(found["bowl"].iloc[0]) if len(found) else pd.DataFrame(columns=["lr", "batch", "excess"])


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Exponents with 95 % intervals, a row each: label, who (printed, or bootstrap by run or by cell), estimate, low
    and high (NaN where there is none)."""
    rows = []
    fits = one(table, "fitted")
    for name, symbol in SYMBOLS.items():
        rows.append((symbol, "printed", PRINTED[name], np.nan, np.nan))
        for _, fit in fits.head(1).iterrows():
            if name == "batch_N":
                rows.append((symbol, "by cell", fit[name], fit[f"low_{name}"], fit[f"high_{name}"]))
                continue
            for how in ("run", "cell"):
                rows.append((symbol, f"by {how}", fit[name], fit[f"{how}_low_{name}"], fit[f"{how}_high_{name}"]))
    frame = pd.DataFrame(rows, columns=["label", "who", "estimate", "low", "high"])
    return frame.assign(label=frame["label"] + ", " + frame["who"])


def by_threshold(table: pd.DataFrame) -> pd.DataFrame:
    """Exponents against the threshold: exponent, threshold (%), low, middle, high."""
    parts = []
    for found in one(table, "thresholds").get("sensitivity", ()):
        for name, symbol in SYMBOLS.items():
            bands = {"low": found[f"{name}_low"], "middle": found[name], "high": found[f"{name}_high"]}
            parts.append(pd.DataFrame({"exponent": symbol, "threshold": 100 * np.array(found["threshold"]), **bands}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["exponent"])


def regrets(table: pd.DataFrame, design: str) -> pd.DataFrame:
    """What each law loses over the cells of a design, a row each, least first: label, mean, low, high (95 % bootstrap
    interval of the mean over cells), worst; all in per mille."""
    found, rows = cells(table, design), []
    for law, label in NAMES.items() if len(found) else ():
        values = found[f"regret_{law}"].to_numpy()
        # percentiles, not mean -+ t se: a loss above the best cannot be negative
        interval = stats.bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
        rows.append((label, values.mean(), interval.low, interval.high, values.max()))
    frame = pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "worst"])
    return frame.sort_values("estimate", ignore_index=True).assign(design=design)


def misses(table: pd.DataFrame) -> pd.DataFrame:
    """The printed law over the middle of each cell's near-optimal runs: what, D (tokens), over (a factor)."""
    found = cells(table, "dense")
    parts = [
        pd.DataFrame({"what": what, "D": found["D"], "over": found[f"{axis}_over"]})
        for axis, what in (("lr", "learning rate"), ("batch", "batch size"))
        if len(found)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["what", "D", "over"])
