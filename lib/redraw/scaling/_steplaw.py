"""Analyses of a learning rate x batch size sweep over cells of (model size, tokens), after the Step Law
paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from redraw.scaling._errors import ScalingError, column, scalar
from redraw.scaling._laws import LAWS
from redraw.scaling._powerlaw import PowerLaw, bootstrap_power_law, fit_power_law
from redraw.scaling._resample import Bootstrap

RUNS = ("cell", "N", "D", "lr", "batch", "loss")
SEQUENCE = 2048  # tokens per sequence in the released runs


def snap(values, *, per_octave: int = 2, tolerance: float = 0.02) -> np.ndarray:
    """Values moved to the nearest 2^(k / per_octave), the grid they were rounded from.

    Released tables spell one learning rate in several ways (0.000345, 0.0003453); unsnapped, a slice at fixed
    learning rate falls apart. Raises ScalingError on a value further than `tolerance` (relative) from the
    grid.
    """
    values = column("values", values)
    grid = 2.0 ** (np.round(np.log2(values) * per_octave) / per_octave)
    far = np.abs(values / grid - 1) > tolerance
    if far.any():
        raise ScalingError(
            f"values: must lie within {tolerance:.0%} of a power of 2^(1/{per_octave}); {values[far][0]:g} does not"
        )
    return grid


def sweep_table(cell, N, D, lr, batch, loss) -> pd.DataFrame:
    """A checked sweep, one row a run: cell, N, D, lr, batch (tokens), loss; all but cell in float64.

    cell: label of the run's (model, tokens) cell. Runs whose loss is NaN or infinite are kept out of the
    table, as diverged. Raises ScalingError on malformed columns or a cell with two values of N or D.
    """
    loss = np.asarray(loss, dtype=np.float64)
    keep = np.isfinite(loss)
    size = len(loss)
    table = pd.DataFrame({"cell": np.asarray(cell).astype(str)})
    if len(table) != size:
        raise ScalingError(f"cell: has {len(table)} values, must have {size} like the other columns")
    for name, values in (("N", N), ("D", D), ("lr", lr), ("batch", batch)):
        table[name] = column(name, values, size=size)
    table["loss"] = np.where(keep, loss, np.nan)
    table = table[keep].reset_index(drop=True)
    column("loss", table["loss"])
    for name in ("N", "D"):
        counts = table.groupby("cell")[name].nunique()
        if (counts > 1).any():
            raise ScalingError(f"{name}: must be constant in a cell, takes {counts.max()} values in {counts.idxmax()}")
    return table


def steplaw_runs(frame: pd.DataFrame, *, size: str = "N") -> pd.DataFrame:
    """The Step Law authors' released table, dense or mixture of experts, as a `sweep_table`.

    frame: their CSV as read by pandas. size: the column that stands for N, "N" or, for mixtures, "Na" (active
    parameters). Loss is their smoothed training loss, batch their sequences times 2,048 tokens, learning
    rates are snapped to half octaves; a cell is (N, D) and, for mixtures, the design. Raises ScalingError on
    missing columns.
    """
    wanted = ["lr", "bs", "smooth loss", "D", "N", size]
    missing = [c for c in wanted if c not in frame.columns]
    if missing:
        raise ScalingError(f"frame: must have the columns {', '.join(wanted)}; {', '.join(missing)} is missing")
    design = frame["moe_name"].astype(str) + " " if "moe_name" in frame.columns else pd.Series("", index=frame.index)
    cell = design + frame["N"].map("N={:.4g}".format) + frame["D"].map(" D={:.4g}".format)
    batch = frame["bs"].to_numpy(np.float64) * SEQUENCE
    return sweep_table(cell, frame[size], frame["D"], snap(frame["lr"]), batch, frame["smooth loss"])


def _check(runs: pd.DataFrame) -> pd.DataFrame:
    missing = [c for c in RUNS if c not in runs.columns]
    if missing:
        raise ScalingError(f"runs: must have the columns {', '.join(RUNS)}; {', '.join(missing)} is missing")
    return runs


def cell_minima(runs: pd.DataFrame) -> pd.DataFrame:
    """The best run of each cell, indexed by cell: N, D, lr, batch, loss, runs, and edge.

    edge: the best lr or batch is the smallest or largest tried in its cell, so the optimum may lie beyond the
    grid.
    """
    runs = _check(runs).reset_index(drop=True)  # of tables put together an index holds a label twice
    groups = runs.groupby("cell", sort=True)
    best = runs.loc[groups["loss"].idxmin()].set_index("cell")
    span = groups[["lr", "batch"]].agg(["min", "max"])
    best["runs"] = groups.size()
    best["edge"] = False
    for name in ("lr", "batch"):
        best["edge"] |= (best[name] <= span[name, "min"]) | (best[name] >= span[name, "max"])
    return best


def near_optimal(runs: pd.DataFrame, threshold: float = 0.0025) -> pd.DataFrame:
    """The runs within `threshold` (relative) of their cell's lowest loss: loss <= (1 + threshold) * minimum.

    The authors' rule is 0.25 % (Li et al. 2025, fit_tool.py); 0 keeps each cell's best run alone.
    """
    if not 0 <= threshold < np.inf:
        raise ScalingError(f"threshold: must be at least 0, not {threshold}")
    floor = _check(runs).groupby("cell")["loss"].transform("min")
    return runs[runs["loss"] <= floor * (1 + threshold)].reset_index(drop=True)


def slice_optima(runs: pd.DataFrame, axis: str = "lr") -> pd.DataFrame:
    """The best lr at each batch of each cell (axis "lr"), or the best batch at each lr (axis "batch"), between runs.

    The vertex of the parabola of log loss in log lr through the lowest run of a slice and its two neighbours; a
    plateau's bottom is found to a fraction of a step of the grid, where the lowest run is good to a step. One row a
    slice: cell, N, D, lr, batch, loss (at the vertex) and edge, where the lowest run is the first or last and stands
    for the vertex. Raises ScalingError on missing columns or another axis.
    """
    if axis not in ("lr", "batch"):
        raise ScalingError(f"axis: must be lr or batch, not {axis!r}")
    other, rows = {"lr": "batch", "batch": "lr"}[axis], []
    for (cell, fixed), part in _check(runs).groupby(["cell", other], sort=True):
        part = part.sort_values(axis)
        x, y = np.log(part[axis].to_numpy()), np.log(part["loss"].to_numpy())
        i = int(np.argmin(y))
        edge = i in (0, len(y) - 1)
        at, low = (x[i], y[i]) if edge else _vertex(x[i - 1 : i + 2], y[i - 1 : i + 2])
        first = part.iloc[0]
        row = {"cell": cell, "N": first["N"], "D": first["D"], axis: np.exp(at), other: fixed, "loss": np.exp(low)}
        rows.append(row | {"edge": edge})
    return pd.DataFrame(rows, columns=["cell", "N", "D", "lr", "batch", "loss", "edge"])


def _vertex(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The vertex of the parabola through three points whose middle one is lowest; the middle where all are level."""
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curvature = (right - left) / (x[2] - x[0])
    if curvature <= 0:
        return float(x[1]), float(y[1])
    slope = left + curvature * (x[1] - x[0])  # at the middle
    return float(x[1] - slope / (2 * curvature)), float(y[1] - slope**2 / (4 * curvature))


@dataclass(frozen=True)
class StepLawFit:
    """lr = c N^p D^q and batch = c D^q on near-optimal runs; batch_full has N too, to test whether it is needed.

    Standard errors are clustered by cell. runs, cells: how many entered. threshold: of the selection. by_run,
    by_cell: bootstraps of lr; batch_by_run, batch_by_cell: of batch, drawing runs (the authors' way) or
    cells.
    """

    lr: PowerLaw
    batch: PowerLaw
    batch_full: PowerLaw
    runs: int
    cells: int
    threshold: float
    by_run: Bootstrap
    by_cell: Bootstrap
    batch_by_run: Bootstrap
    batch_by_cell: Bootstrap


def fit_step_law(runs: pd.DataFrame, *, threshold: float = 0.0025, replicates: int = 1000, seed: int = 0) -> StepLawFit:
    """The Step Law authors' procedure: near-optimal runs of each cell, log-log least squares, bootstrap.

    runs: a `sweep_table` with at least 2 distinct N and D. The bootstrap by cell beside the authors'
    bootstrap by run is the honest one: near-optimal runs of one cell share its optimum. Raises ScalingError
    as `fit_power_law` does.
    """
    near = near_optimal(runs, threshold)
    both = {"N": near["N"], "D": near["D"]}
    tokens, cell = {"D": near["D"]}, near["cell"].to_numpy()

    def draw(predictors, y, cluster):
        return bootstrap_power_law(predictors, near[y], replicates=replicates, cluster=cluster, seed=seed)

    return StepLawFit(
        fit_power_law(both, near["lr"], cluster=cell),
        fit_power_law(tokens, near["batch"], cluster=cell),
        fit_power_law(both, near["batch"], cluster=cell),
        len(near), near["cell"].nunique(), threshold,
        draw(both, "lr", None), draw(both, "lr", cell), draw(tokens, "batch", None), draw(tokens, "batch", cell),
    )  # fmt: skip


def threshold_sensitivity(runs: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """The fitted exponents at each selection threshold, one row each, with cell-clustered 95 % intervals.

    Columns: threshold, runs, and for lr_N, lr_D, batch_D (batch on D) and batch_N (batch on N and D) the
    estimate and `_low`, `_high`.
    """
    rows = []
    for threshold in thresholds:
        near = near_optimal(runs, threshold)
        both = {"N": near["N"], "D": near["D"]}
        cell = near["cell"].to_numpy()
        lr = fit_power_law(both, near["lr"], cluster=cell)
        batch = fit_power_law({"D": near["D"]}, near["batch"], cluster=cell)
        full = fit_power_law(both, near["batch"], cluster=cell)
        row = {"threshold": threshold, "runs": len(near)}
        for label, law, name in (("lr_N", lr, "N"), ("lr_D", lr, "D"), ("batch_D", batch, "D"), ("batch_N", full, "N")):
            low, high = law.interval(name)
            row |= {label: law[name], f"{label}_low": low, f"{label}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def law_regret(runs: pd.DataFrame, law: str | Callable, *, how: str = "linear") -> pd.DataFrame:
    """What a law's prediction costs in each cell against the cell's best run, in per mille of the loss.

    law: a name in `LAWS`, or a function (N, D, loss) -> (lr, batch) with None for what it does not define;
    loss is the cell's minimum, which a law that needs a loss could not know in advance: its regret is a lower
    bound. What a law does not define is set to the best choice in the cell (the same generosity).

    how: "nearest", the loss of the nearest run in (log lr, log batch); or "linear", interpolated in those
    coordinates on the triangulated runs, nearest outside them. A linear interpolant of a convex bowl
    overstates the loss a little.

    Returns one row a cell: N, D, lr, batch (None as NaN), best, loss, regret = 1000 (loss / best - 1),
    regret_lr (the lr of the law with the cell's best batch), inside (the prediction lies within the hull of
    the runs). Raises ScalingError on an unknown law or how.
    """
    rule = _rule(law)
    if how not in ("linear", "nearest"):
        raise ScalingError(f"how: must be linear or nearest, not {how!r}")
    rows = []
    for cell, group in _check(runs).groupby("cell", sort=True):
        N, D, best = group["N"].iloc[0], group["D"].iloc[0], group["loss"].min()
        lr, batch = rule(N, D, best)
        points = np.log(group[["lr", "batch"]].to_numpy())
        values = group["loss"].to_numpy()
        found, inside = _lookup(points, values, lr, batch, how)
        lr_only = np.nan if lr is None else _lookup(points, values, lr, None, how)[0]
        rows.append({
            "cell": cell, "N": N, "D": D, "lr": np.nan if lr is None else lr,
            "batch": np.nan if batch is None else batch, "best": best, "loss": found,
            "regret": 1000 * (found / best - 1), "regret_lr": 1000 * (lr_only / best - 1), "inside": inside,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _rule(law: str | Callable) -> Callable:
    if callable(law):
        return law
    if law not in LAWS:
        raise ScalingError(f"law: must be one of {', '.join(LAWS)} or a function, not {law!r}")
    known = LAWS[law]

    def rule(N, D, loss):
        lr = None if known.lr is None else float(known.lr(N, D, loss))
        return lr, None if known.batch is None else float(known.batch(N, D, loss))

    return rule


def _lookup(points, values, lr, batch, how) -> tuple[float, bool]:
    """Loss at (lr, batch) and whether that is inside the runs; None asks for the best over that axis."""
    if lr is None and batch is None:
        raise ScalingError("law: must define a learning rate or a batch size")
    wanted = [None if v is None else np.log(v) for v in (lr, batch)]
    for axis, value in enumerate(wanted):
        if value is None:
            levels = np.unique(points[:, axis])
            queries = np.tile(np.array(wanted[1 - axis]), (len(levels), 2)).astype(float)
            queries[:, axis] = levels
            break
    else:
        queries = np.array([wanted], dtype=float)
    distance = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    losses, inside = values[distance.argmin(axis=1)], np.zeros(len(queries), dtype=bool)
    try:
        surface = LinearNDInterpolator(points, values)(queries)
        inside = np.isfinite(surface)
        if how == "linear":
            losses = np.where(inside, surface, losses)
    except QhullError:  # all runs on one line: no triangles, the nearest run stands
        pass
    pick = int(np.argmin(losses))
    return float(losses[pick]), bool(inside[pick])


def regret_table(runs: pd.DataFrame, laws: dict[str, str | Callable], *, how: str = "linear") -> pd.DataFrame:
    """Regret in per mille of several laws over all cells, one row a law.

    Columns law, mean, median, worst, mean_lr, inside, defines.

    laws: label to a name in `LAWS` or a function, as in `law_regret`. mean_lr: the learning rate alone, with
    the best batch. inside: share of cells in which the prediction lies within the sweep. defines: "lr",
    "batch" or "lr, batch".
    """
    rows = []
    for label, law in laws.items():
        table = law_regret(runs, law, how=how)
        defines = [name for name in ("lr", "batch") if table[name].notna().any()]
        rows.append({
            "law": label, "mean": table["regret"].mean(), "median": table["regret"].median(),
            "worst": table["regret"].max(), "mean_lr": table["regret_lr"].mean(),
            "inside": table["inside"].mean(), "defines": ", ".join(defines),
        })  # fmt: skip
    return pd.DataFrame(rows)


def plateau_width(runs: pd.DataFrame, threshold: float = 0.0025) -> pd.DataFrame:
    """How wide each cell's bottom is: factors over which lr, or batch, stays within `threshold` of the minimum.

    Along the two slices through the best run the bounds are interpolated in (log value, loss); a bound at the
    end of the slice is the end itself and marked. Returns one row a cell: lr_factor, batch_factor (high /
    low), lr_open, batch_open, and share (of the cell's runs within the threshold).
    """
    threshold = scalar("threshold", threshold)
    rows = []
    for cell, group in _check(runs).groupby("cell", sort=True):
        best = group.loc[group["loss"].idxmin()]
        row = {"cell": cell, "N": best["N"], "D": best["D"]}
        limit = best["loss"] * (1 + threshold)
        for name, other in (("lr", "batch"), ("batch", "lr")):
            part = group[group[other] == best[other]].sort_values(name)
            x, y = np.log(part[name].to_numpy()), part["loss"].to_numpy()
            low, high, is_open = _level_set(x, y, limit)
            row |= {f"{name}_factor": float(np.exp(high - low)), f"{name}_open": is_open}
        row["share"] = float((group["loss"] <= limit).mean())
        rows.append(row)
    return pd.DataFrame(rows)


def _level_set(x: np.ndarray, y: np.ndarray, limit: float) -> tuple[float, float, bool]:
    """(low, high, open at an end): the interval around the minimum of (x, y) below the limit, linear between points."""
    i = int(np.argmin(y))
    bounds, is_open = [], False
    for step in (-1, 1):
        j = i
        while 0 <= j + step < len(x) and y[j + step] <= limit:
            j += step
        k = j + step
        if 0 <= k < len(x):
            bounds.append(x[j] + (limit - y[j]) / (y[k] - y[j]) * (x[k] - x[j]))
        else:
            bounds.append(x[j])
            is_open = True
    return bounds[0], bounds[1], is_open


def unimodality(runs: pd.DataFrame, *, tolerance: float = 0.0, window: float = 0.02, least: int = 4) -> pd.DataFrame:
    """Whether each slice of each cell falls to one minimum and rises again: one row a slice.

    A slice holds batch (axis "lr") or lr (axis "batch") fixed and has at least `least` runs within `window`
    (relative) of the cell's minimum; worse runs are left out, since among diverged runs the loss is noise
    (window=inf keeps them). dip: the largest relative fall of the loss when walking away from the slice's
    minimum; unimodal: dip <= tolerance. The tolerance is for noise: with 0, any inversion between neighbours
    on a flat bottom counts. Columns: cell, axis, fixed, points, dip, unimodal.
    """
    if not tolerance >= 0:
        raise ScalingError(f"tolerance: must be at least 0, not {tolerance}")
    if not window > 0:
        raise ScalingError(f"window: must be positive, not {window}")
    near = runs if np.isinf(window) else near_optimal(runs, window)
    rows = []
    for axis, other in (("lr", "batch"), ("batch", "lr")):
        for (cell, fixed), part in _check(near).groupby(["cell", other], sort=True):
            if len(part) < least:
                continue
            y = part.sort_values(axis)["loss"].to_numpy()
            i = int(np.argmin(y))
            dip = 0.0
            for side in (y[i:], y[i::-1]):
                peak = np.maximum.accumulate(side)
                dip = max(dip, float((peak / side - 1).max()))
            rows.append({"cell": cell, "axis": axis, "fixed": fixed, "points": len(y), "dip": dip,
                         "unimodal": dip <= tolerance})  # fmt: skip
    return pd.DataFrame(rows, columns=["cell", "axis", "fixed", "points", "dip", "unimodal"])
