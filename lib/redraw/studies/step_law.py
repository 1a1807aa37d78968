"""Step Law (Li et al. 2025, Predictable Scale Part I, arXiv 2503.04715): its rule on the runs its authors released, its
exponents, and what its predictions and those of other laws cost; and a small sweep of our own."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats

from redraw import data
from redraw.scaling import (
    LAWS,
    Bootstrap,
    LossSurface,
    PowerLaw,
    SurfaceFit,
    fit_loss_surface,
    fit_power_law,
    fit_step_law,
    jackknife,
    law_regret,
    near_optimal,
    plateau_width,
    slice_optima,
    steplaw_runs,
    sweep_table,
    threshold_sensitivity,
    unimodality,
)
from redraw.seeds import generator
from redraw.studies._interval import mean_interval
from redraw.studies._micro_sweep import FLOORS, GRID, row_trial
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


def micro_sweep(floor: str) -> pd.DataFrame:
    """Our own runs with that floor as `redraw.scaling.sweep_table`, the mean loss where there are several seeds."""
    runs = own_runs()
    runs = runs[(runs["floor"] == floor) & runs["loss"].notna()]
    means = runs.groupby(["N", "D", "lr", "batch"], as_index=False)["loss"].mean()
    cell = means["N"].map("N={:06d}".format) + means["D"].map(" D={:07d}".format)
    return sweep_table(cell, *(means[name] for name in ("N", "D", "lr", "batch", "loss")))


def own_runs() -> pd.DataFrame:
    """The committed table of our own runs, a row each: width, N, D, lr, batch, floor, seed, loss, smooth, steps,
    diverged."""
    (runs,) = data.tables("micro_sweep").values()
    return runs


def micro_cell(*, seed: int, floor: str, threshold: float, dataset: str = "micro_sweep") -> dict:
    """One cell of our own sweep, the `seed`-th by size and then tokens: where its optimum lies, what the laws lose in
    it.

    lr_<batch>: the best learning rate at that batch (`slice_optima`), None where it is at an end of the grid. lr,
    batch, loss: of the best run; batch_edge: it has the smallest or largest batch. near_batch: middle (geometric mean)
    of the near-optimal runs. noise: pooled standard deviation over seeds of the loss, relative. regret_<law>: per
    mille. slices, single: as in `cell`, with dips of two standard deviations of the noise allowed, over whole slices.
    """
    runs = micro_sweep(floor)
    name = sorted(runs["cell"].unique())[seed]
    runs = runs[runs["cell"] == name].reset_index(drop=True)
    best = runs.loc[runs["loss"].idxmin()]
    record: dict = {name: float(best[name]) for name in ("N", "D", "lr", "batch", "loss")}
    record["batch_edge"] = bool(best["batch"] in (runs["batch"].min(), runs["batch"].max()))
    for row in slice_optima(runs).itertuples():
        record[f"lr_{row.batch:.0f}"] = None if row.edge else float(row.lr)
    record["near_batch"] = float(np.exp(np.log(near_optimal(runs, threshold)["batch"]).mean()))
    record["noise"] = noise(own_runs())
    for law in LAWS:
        record[f"regret_{law}"] = float(law_regret(runs, law)["regret"].iloc[0])
    slices = unimodality(runs, tolerance=2 * record["noise"], window=np.inf)
    return record | {"slices": len(slices), "single": int(slices["unimodal"].sum())}


def noise(runs: pd.DataFrame) -> float:
    """Standard deviation of log loss between seeds at the same settings, pooled over all that have several."""
    settings = ["N", "D", "lr", "batch", "floor"]
    logs = runs[runs["loss"].notna()].assign(loss=lambda t: np.log(t["loss"])).groupby(settings)["loss"]
    squares, counts = logs.var().mul(logs.count() - 1), logs.count() - 1
    return float(np.sqrt(squares.sum() / counts.sum()))


def again(retrain: int, longest: int) -> list[Trial]:
    """`retrain` runs of our own table, drawn at random from those of at most `longest` steps, to be trained again."""
    runs = own_runs()
    runs = runs[runs["D"] // runs["batch"] <= longest]
    drawn = torch.randperm(len(runs), generator=generator(0, "retrain"))[:retrain]
    return [row_trial(row) for row in runs.iloc[drawn.tolist()].itertuples()]


def plan(
    *,
    dataset: str,
    threshold: float,
    seeds: int,
    replicates: int,
    designs: Sequence[str],
    retrain: int,
    longest: int,
) -> list[Trial]:
    """The trials: the fit with its bootstraps per seed, the exponents by threshold, the typical bowl, and every cell of
    each of `designs`; every cell of our own sweep under both floors, and `retrain` of its runs (`again`).

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
        *(
            _trial("micro_cell", {"dataset": "micro_sweep", "threshold": threshold}, k, floor=floor)
            for floor in FLOORS
            for k in range(len(GRID["width"]) * len(GRID["tokens"]))
        ),
        *again(retrain, longest),
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
    found |= _ours(table)
    fits, dense = one(table, "fitted"), cells(table, "dense")
    if fits.empty or knobs.get("dataset") == "synthetic":
        why = "no trial ran" if fits.empty else "this run fits made-up runs, which the paper says nothing about"
        return found | {i: Samples.not_tested(why) for i in _OF_RUNS}
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


def _ours(table: pd.DataFrame) -> dict[str, Samples]:
    """The samples of the claims on our own sweep (S1 to S8) and of its table (T1)."""
    fixed, tenth = own_cells(table, "fixed"), own_cells(table, "tenth")
    found = {"T1": _reproduced(table)}
    if fixed.empty or tenth.empty:
        return found | {f"S{i}": Samples.not_tested("no trial ran") for i in range(1, 9)}
    units = {name: Samples.of(values) for name, values in own_units(fixed).items()}
    shift = own_shift(table)
    return found | {
        "S1": units["lr_N"],
        "S2": units["lr_N"],
        "S3": units["lr_D"],
        "S4": units["lr_D"],
        "S5": units["batch_D"],
        "S6": units["batch_N"],
        "S7": Samples.pair(shift["tenth"], shift["fixed"]),
        "S8": _regrets(fixed),
    }


def _reproduced(table: pd.DataFrame) -> Samples:
    both = compared(table)
    if both.empty:
        return Samples.not_tested("this run trains none of these runs again")
    return Samples.of(1000 * (both["loss_again"] / both["loss"] - 1))


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of our own sweep that were trained again, each beside its row in the committed table: loss_again."""
    trained = one(table, "micro_run")
    if trained.empty:
        return pd.DataFrame(columns=["loss", "loss_again"])
    settings = ["width", "D", "lr", "batch", "floor", "seed"]
    trained = trained[["width", "tokens", "lr", "batch", "floor", "seed", "loss"]].rename(columns={"tokens": "D"})
    trained = trained.astype({name: int for name in ("width", "D", "batch", "seed")})
    both = own_runs().merge(trained, on=settings, suffixes=("", "_again"))
    return both[both["loss"].notna() & both["loss_again"].notna()]


def own_cells(table: pd.DataFrame, floor: str) -> pd.DataFrame:
    """The rows of our own cells with that floor."""
    found = one(table, "micro_cell")
    return found[found["floor"] == floor] if len(found) else found


def best_lr(found: pd.DataFrame) -> pd.DataFrame:
    """The best learning rate by cell and batch, where it is inside the grid: cell, N, D, batch, lr."""
    batches = [f"lr_{batch}" for batch in GRID["batch"]]
    long = found.rename(columns={"seed": "cell"})[["cell", "N", "D", *batches]]
    long = long.melt(["cell", "N", "D"], var_name="batch", value_name="lr").dropna(subset="lr")
    return long.assign(batch=long["batch"].str.removeprefix("lr_").astype(float), lr=long["lr"].astype(float))


def own_lr_law(long: pd.DataFrame) -> PowerLaw:
    """The best learning rate (`best_lr`) as c N^p D^q batch^r, with errors clustered by cell."""
    predictors = {name: long[name] for name in ("N", "D", "batch")}
    return fit_power_law(predictors, long["lr"], cluster=long["cell"].to_numpy())


def own_units(found: pd.DataFrame) -> dict[str, np.ndarray]:
    """Jackknife pseudo-values by cell (`redraw.scaling.jackknife`) of the exponents of our own cells of one floor.

    lr_N: of the best learning rate at a given batch, in N. lr_D: in D when the batch grows as the printed law's, which
    is the exponent in D at a given batch plus 0.571 times that in the batch. batch_N, batch_D: of the middle of the
    near-optimal batches.
    """

    def of_lr(long: pd.DataFrame) -> np.ndarray:
        law = own_lr_law(long)
        return np.array([law["N"], law["D"] + PRINTED["batch_D"] * law["batch"]])

    def of_batch(rows: pd.DataFrame) -> np.ndarray:
        law = fit_power_law({"N": rows["N"], "D": rows["D"]}, rows["near_batch"])
        return np.array([law["N"], law["D"]])

    lr, batch = jackknife(of_lr, best_lr(found), "cell"), jackknife(of_batch, found, "seed")
    return {"lr_N": lr[:, 0], "lr_D": lr[:, 1], "batch_N": batch[:, 0], "batch_D": batch[:, 1]}


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
    """What each law loses over the cells of a design ("own": of our own sweep, fixed floor), a row each, least first:
    label, mean, low, high (95 % bootstrap interval of the mean over cells), worst; all in per mille."""
    found, rows = own_cells(table, "fixed") if design == "own" else cells(table, design), []
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


# What the figures of our own sweep show ---------------------------------------------------------------------------


def own_bowl(floor: str = "fixed") -> pd.DataFrame:
    """All cells of our own sweep on one grid: lr and batch (octaves), excess (per mille above the cell's best), the
    median over the cells."""
    runs = micro_sweep(floor)
    excess = 1000 * (runs["loss"] / runs.groupby("cell")["loss"].transform("min") - 1)
    runs = runs.assign(excess=excess, lr=np.log2(runs["lr"]), batch=np.log2(runs["batch"]))
    return runs.groupby(["lr", "batch"], as_index=False)["excess"].median()


def own_lr(table: pd.DataFrame) -> pd.DataFrame:
    """The best learning rate of our own cells at every batch, the fitted law and the printed one beside it: floor, N,
    D, batch, lr, fitted, printed."""
    parts = []
    for floor in FLOORS:
        found = own_cells(table, floor)
        if len(found):
            long = best_lr(found)
            printed = LAWS["step"].lr(long["N"], long["D"], None)
            parts.append(long.assign(floor=floor, fitted=own_lr_law(long).predict(long), printed=printed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["floor", "N", "D", "batch", "lr"])


def own_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Exponents of our own sweep beside the printed ones, a row each: label, who, estimate, low, high (95 % t interval
    of the jackknife over cells)."""
    rows, found = [], own_cells(table, "fixed")
    for name, values in own_units(found).items() if len(found) else ():
        rows.append((f"{SYMBOLS[name]}, printed", "printed", PRINTED[name], np.nan, np.nan))
        rows.append((f"{SYMBOLS[name]}, ours", "our own sweep", *mean_interval(values)))
    return pd.DataFrame(rows, columns=["label", "who", "estimate", "low", "high"])


def own_shift(table: pd.DataFrame) -> pd.DataFrame:
    """The best learning rate of our own cells under both floors, a row each, the geometric mean over those batches at
    which both lie inside the grid: N, D, fixed, tenth, ratio (tenth over fixed)."""
    long = [best_lr(own_cells(table, floor)).set_index(["N", "D", "batch"])["lr"].rename(floor) for floor in FLOORS]
    both = np.log(pd.concat(long, axis=1, join="inner")).groupby(level=["N", "D"]).mean()
    return np.exp(both).assign(ratio=lambda t: t["tenth"] / t["fixed"]).reset_index()


def own_surface(floor: str = "fixed") -> tuple[SurfaceFit, pd.DataFrame]:
    """L(N, D) fitted to the best mean loss of each of our own cells, and those with what it predicts: N, D, loss,
    fitted, residual (per mille)."""
    runs = micro_sweep(floor)
    best = runs.loc[runs.groupby("cell")["loss"].idxmin(), ["N", "D", "loss"]].reset_index(drop=True)
    fit = fit_loss_surface(best["N"], best["D"], best["loss"])
    fitted = fit.predict(best["N"], best["D"])
    return fit, best.assign(fitted=fitted, residual=1000 * (best["loss"] / fitted - 1))
