"""Chinchilla's third approach, refitted and audited (Hoffmann et al. 2022, arXiv 2203.15556; Besiroglu et al. 2024,
arXiv 2404.10102), and the bias of its second (Czech et al. 2026, arXiv 2603.22339)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from redraw import data
from redraw.scaling import (
    LossSurface,
    SurfaceFit,
    approach2,
    bootstrap_allocation,
    bootstrap_surface,
    compute_optimal,
    fit_loss_surface,
    hoffmann_starts,
    huber_log_likelihood,
    isoflop_profiles,
    lbfgs_grid,
    likelihood_ratio_test,
    profile_likelihood,
    runs_needed,
    wald_test,
)
from redraw.workbook import Samples, Trial

NAMES = ("E", "A", "B", "alpha", "beta")
BUDGET = 5.76e23
"""FLOP that Chinchilla was trained with: 70e9 parameters on 1.4e12 tokens, 20 tokens per parameter."""

TRUTH = LossSurface(1.82, 480.0, 2090.0, 0.348, 0.366)
"""The surface that the made-up runs are drawn from: near the refit, so that its fits are as hard."""

# The surfaces that the runs are compared with. Of Hoffmann et al. the TeX source holds exponents and log E to five
# digits; the text prints two. Their counterpart for the made-up runs is the truth, with its exponents rounded likewise.
SURFACES = {
    "chinchilla": {
        "original": LossSurface(float(np.exp(0.52672)), 406.4, 410.7, 0.33917, 0.28491),
        "original, as printed": LossSurface(1.69, 406.4, 410.7, 0.34, 0.28),
    },
    "synthetic": {
        "truth": TRUTH,
        "truth, rounded": LossSurface(1.82, 480.0, 2090.0, 0.35, 0.37),
    },
}

# The runs ------------------------------------------------------------------------------------------------------


def synthetic_runs(
    runs: int = 240, noise: float = 0.006, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up training runs of `TRUTH`: parameters N (runs,), tokens D (runs,) and loss (runs,) in nats per token.

    The compute C = 6 N D is log-uniform on 1e18 to 1e22 FLOP and the tokens per parameter D / N on 1 to 300, about
    where the released runs lie; log loss is off by normal noise of standard deviation `noise`.
    """
    rng = np.random.default_rng(seed)
    C, ratio = (np.exp(rng.uniform(np.log(low), np.log(high), runs)) for low, high in ((1e18, 1e22), (1, 300)))
    N = np.sqrt(C / (6 * ratio))
    D = ratio * N
    return N, D, TRUTH(N, D) * np.exp(noise * rng.standard_normal(runs))


def training_runs(dataset: str, dropped: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N, D and loss of the runs of `dataset` but for the `dropped` with the highest loss.

    chinchilla: read off Figure 4 of Hoffmann et al. by Besiroglu et al.; D = C / (6 N) from their compute C.
    """
    if dataset == "synthetic":
        N, D, loss = synthetic_runs()
    else:
        table = data.tables(dataset)["svg_extracted_data.csv"]
        N, C, loss = (table[name].to_numpy(np.float64) for name in ("Model Size", "Training FLOP", "loss"))
        D = C / (6 * N)
    kept = np.sort(np.argsort(loss, kind="stable")[: len(loss) - dropped])
    return N[kept], D[kept], loss[kept]


def _fitted(dataset: str, dropped: int, delta: float) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], SurfaceFit]:
    runs = training_runs(dataset, dropped)
    return runs, fit_loss_surface(*runs, delta=delta)


# The trials ----------------------------------------------------------------------------------------------------

RESIDUAL_BINS = 8


def surface(*, seed: int, dropped: int, delta: float, dataset: str = "synthetic") -> dict:
    """The global fit, and how well it and the surfaces of `SURFACES` describe the runs.

    Log-likelihoods under Huber's density; residuals (observed minus predicted log loss) as medians and quartiles over
    `RESIDUAL_BINS` groups of equally many runs, ordered by compute. Nothing here is random: `seed` is not used.
    """
    runs, fit = _fitted(dataset, dropped, delta)
    record = _values(fit.surface) | {f"error_{name}": error for name, error in fit.standard_errors.items()}
    record |= {"runs": len(fit.residuals), "objective": fit.objective, "condition": fit.condition}
    record |= {
        "polished": fit.starts,
        "agree": fit.agree,
        "log_likelihood": huber_log_likelihood(fit.residuals, delta=delta),
    }
    residuals = {"refit": _binned(runs, fit.surface)}
    for k, (label, known) in enumerate(SURFACES[dataset].items()):
        test = likelihood_ratio_test(fit, known, *runs)
        record |= {f"log_likelihood_{k}": test.null_log_likelihood, f"likelihood_ratio_{k}": test.statistic}
        residuals[label] = _binned(runs, known)
    return record | {"residuals": residuals}


def resampled(*, seed: int, replicates: int, dropped: int, delta: float, dataset: str = "synthetic") -> dict:
    """One bootstrap of the fit: standard errors, percentile intervals, and what follows from them.

    wald: d' V^-1 d of the original (for made-up runs: true) surface, V the bootstrap's covariance; runs_needed: for
    an 80 % interval of a as narrow as the original's 0.454 to 0.455; tokens: per parameter at `BUDGET`, the ends of
    the 80 % interval and its middle. The estimates come along so that every seed has what it is compared with.
    """
    _, fit = _fitted(dataset, dropped, delta)
    draws = bootstrap_surface(fit, replicates=replicates, seed=seed)
    record = _values(fit.surface) | {"usable": float(draws.usable.mean())}
    for name, error in draws.standard_errors.items():
        low, high = draws.interval(name)
        record |= {f"bootstrap_error_{name}": error, f"low_{name}": low, f"high_{name}": high}
    test = wald_test(fit, next(iter(SURFACES[dataset].values())), draws)
    record |= {"wald": test.statistic, "wald_log10_p": float(stats.chi2.logsf(test.statistic, test.dof) / np.log(10))}
    record["runs_needed"] = float(runs_needed(draws.standard_errors["a"], len(fit.residuals), 0.455 - 0.454, level=0.8))
    budgets = np.geomspace(1e20, 1e26, 13).tolist()
    ratios = [_tokens(bootstrap_allocation(draws, flops)) for flops in budgets]
    low, middle, high = _tokens(bootstrap_allocation(draws, BUDGET))
    record |= {"tokens_low": low, "tokens_middle": middle, "tokens_high": high}
    return record | {"budgets": budgets, "tokens": ratios}


def profiled(*, seed: int, name: str, dropped: int, delta: float, dataset: str = "synthetic") -> dict:
    """Profile likelihood of one parameter: where it was held, the ratio there, and the 95 % interval. Not random."""
    _, fit = _fitted(dataset, dropped, delta)
    profile = profile_likelihood(fit, name)
    finite = np.isfinite(profile.values) & np.isfinite(profile.ratio)
    limit = float(stats.f.ppf(profile.level, 1, len(fit.residuals) - len(NAMES)))
    low, high = (end if np.isfinite(end) else None for end in profile.interval)
    record = {"estimate": fit[name], "profile_low": low, "profile_high": high, "limit": limit}
    return record | {"held": profile.values[finite].tolist(), "ratio": profile.ratio[finite].tolist()}


def stopped(*, seed: int, starts: int, dropped: int, delta: float, dataset: str = "synthetic") -> dict:
    """Where L-BFGS-B ends from `starts` of Hoffmann et al.'s 4,500 starts, drawn by `seed`, minimised in three ways.

    converged: the sum of the Huber losses, to tight tolerances; sum and mean: the sum or the mean over runs, to
    SciPy's default tolerances. excess_<way>: for each start, sorted, how far the sum of the losses ends above the
    optimum, as a fraction of it; share_<way>: of starts less than 0.1 % above; best_<way>: lowest of them;
    a_<way>: the exponent a of the best. mean_over_sum: geometric mean over starts of the objective reached with the
    mean over that reached with the sum.
    """
    runs, fit = _fitted(dataset, dropped, delta)
    drawn = np.random.default_rng(seed).choice(hoffmann_starts(), size=starts, replace=False)
    record, reached = {"optimum": fit.objective}, {}
    for way, options in _WAYS.items():
        found = lbfgs_grid(*runs, starts=drawn, delta=delta, **options)
        reached[way] = np.nan_to_num(found.objectives, nan=1e6, posinf=1e6)  # a start that ran off counts as far off
        excess = reached[way] / fit.objective - 1
        record |= {f"share_{way}": float(np.mean(excess < 1e-3)), f"best_{way}": float(found.objective)}
        record |= {f"a_{way}": found.surface.a, f"excess_{way}": np.sort(excess).tolist()}
    record["mean_over_sum"] = float(np.exp(np.mean(np.log(reached["mean"] / reached["sum"]))))
    return record


_WAYS = {
    "converged": {"reduction": "sum", "ftol": 1e-15, "gtol": 1e-9},
    "sum": {"reduction": "sum"},
    "mean": {"reduction": "mean"},
}


def classical(*, seed: int, reduction: str, dropped: int, delta: float, dataset: str = "synthetic") -> dict:
    """The best of Hoffmann et al.'s 4,500 starts, the Huber losses summed (and converged) or averaged. Not random.

    a_from_known: the exponent a at which the same minimisation ends when it starts from the original surface (for
    made-up runs: the truth).
    """
    runs, fit = _fitted(dataset, dropped, delta)
    options = _WAYS["converged" if reduction == "sum" else "mean"]
    found = lbfgs_grid(*runs, delta=delta, **options)
    known = next(iter(SURFACES[dataset].values())).values
    start = np.concatenate([np.log(known[:3]), known[3:]])
    ended = lbfgs_grid(*runs, starts=start, delta=delta, **options).surface.a
    share = float(np.mean(found.objectives < fit.objective * (1 + 1e-3)))
    record = {"objective": found.objective, "optimum": fit.objective, "share": share, "a_from_known": ended}
    return _values(found.surface) | record


def _values(found: LossSurface) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in (*NAMES, "a")}


def _binned(runs: tuple[np.ndarray, np.ndarray, np.ndarray], known: LossSurface) -> dict[str, list[float]]:
    N, D, loss = runs
    residual, compute = np.log(loss / known(N, D)), 6 * N * D
    groups = np.array_split(np.argsort(compute, kind="stable"), RESIDUAL_BINS)
    low, middle, high = np.array([np.quantile(residual[group], [0.25, 0.5, 0.75]) for group in groups]).T.tolist()
    centres = [float(np.exp(np.log(compute[group]).mean())) for group in groups]
    return {"compute": centres, "low": low, "middle": middle, "high": high}


def _tokens(allocations) -> list[float]:
    return np.quantile(allocations.tokens_per_parameter, [0.1, 0.5, 0.9]).tolist()


def plan(
    *, dataset: str, dropped: int, delta: float, seeds: int, replicates: int, starts: int, grid: Sequence[str]
) -> list[Trial]:
    """The trials: the fit, its profiles, a bootstrap and a sample of L-BFGS starts per seed, and all starts for each
    reduction in `grid`.

    Raises ValueError for a grid that names a reduction twice.
    """
    if len(set(grid)) < len(grid):
        raise ValueError(f"grid: must name each reduction once, got {', '.join(grid)}")
    common = {"dropped": dropped, "delta": delta} | ({} if dataset == "synthetic" else {"dataset": dataset})
    return [
        _trial("surface", common),
        *(_trial("profiled", common, name=name) for name in NAMES),
        *(_trial("resampled", common, seed, replicates=replicates) for seed in range(seeds)),
        *(_trial("stopped", common, seed, starts=starts) for seed in range(seeds)),
        *(_trial("classical", common, reduction=reduction) for reduction in grid),
    ]


def _trial(function: str, common: dict, seed: int = 0, **more) -> Trial:
    return Trial(f"{__name__}:{function}", common | more, seed)


# The bias of approach 2 ----------------------------------------------------------------------------------------

WIDTHS = (2, 4, 8, 16)
PARABOLAS = {
    "symmetric": LossSurface(1.69, 400.0, 400.0, 0.31, 0.31),
    "Chinchilla": LossSurface(1.69, 406.4, 410.7, 0.34, 0.28),
    "asymmetric": LossSurface(1.69, 406.4, 410.7, 0.465, 0.155),
}
"""The three surfaces of Czech et al.: equal exponents, Chinchilla's as printed, and a ratio of three."""


def parabolas(name: str, width: float, *, off: Sequence[float] | float = 1.0) -> tuple[float, float]:
    """The bias of approach 2 without noise: error (%) of the tokens it calls optimal at 1e24 FLOP, and its exponent b.

    As Czech et al.: five budgets from 1e17 to 1e21 FLOP, 15 sizes each over `width` times less to `width` times more
    than the optimum; off: how many times more tokens than the optimum the grids are centred at, one factor or one per
    budget.
    """
    flops, known = np.geomspace(1e17, 1e21, 5), PARABOLAS[name]
    found = approach2(flops, *isoflop_profiles(known, flops, width=width, offset=1 / np.asarray(off, np.float64)))
    best = float(compute_optimal(known, 1e24).D)
    return 100 * (found.allocate(1e24)[1] / best - 1), found.b


OFF = {"centred": 1.0, "off by 3": 3.0, "drifting to 3": np.geomspace(1, 3, 5)}


def errors(name: str, centres: str = "centred") -> list[float]:
    """The error (%) of approach 2's tokens at 1e24 FLOP for each of `WIDTHS`, its grids centred as `OFF` says.

    To nine decimals: what is left of an error of nothing is the rounding of this machine.
    """
    return [round(parabolas(name, width, off=OFF[centres])[0], 9) + 0.0 for width in WIDTHS]


def split(alpha: float, beta: float) -> float:
    """a = beta / (alpha + beta): the optimal number of parameters grows as C^a."""
    return LossSurface(1.0, 1.0, 1.0, alpha, beta).a


# What it measures ----------------------------------------------------------------------------------------------

PUBLISHED = {
    "A": (482.01, 124.58),
    "B": (2085.43, 1293.23),
    "E": (1.8172, 0.0257),
    "alpha": (0.3478, 0.0154),
    "beta": (0.3658, 0.0206),
    "a": (0.513, 0.020),
}
"""Estimates and standard errors of Besiroglu et al., Table 1, in the order of the claims E1 to E6 and S1 to S6."""


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    One number per seed; of what is not random, the fit and its log-likelihoods, each seed has the same. Claims about
    the released runs are not tested on made-up ones.
    """
    if table.empty or knobs.get("dataset") == "synthetic":
        why = "no trial ran" if table.empty else "this run fits made-up runs, which the papers say nothing about"
        return _closed() | {i: Samples.not_tested(why) for i in _OF_RUNS}
    draws, ends = (table[table["function"] == name].sort_values("seed") for name in ("resampled", "stopped"))
    fit = table[table["function"] == "surface"].iloc[0]
    likelihoods = [fit[name] for name in ("log_likelihood", "log_likelihood_0", "log_likelihood_1")]
    original = split(0.33917, 0.28491)
    tokens = float(compute_optimal(SURFACES["chinchilla"]["original"], BUDGET).tokens_per_parameter)
    low, high = draws["tokens_low"], draws["tokens_high"]
    found = {f"E{i}": Samples.of(draws[name]) for i, name in enumerate(PUBLISHED, 1)}
    found |= {f"S{i}": Samples.of(draws[f"bootstrap_error_{name}"]) for i, name in enumerate(PUBLISHED, 1)}
    return (
        _closed()
        | found
        | {
            "I1": Samples.curve([0.025, 0.975], draws[["low_alpha", "high_alpha"]]),
            "I2": Samples.curve([0.025, 0.975], draws[["low_beta", "high_beta"]]),
            "R1": Samples.of(draws["wald_log10_p"]),
            "R2": Samples.of(draws["wald"]),
            "R3": Samples.curve([1, 2, 3], [likelihoods] * len(draws)),
            "W1": Samples.of(draws["runs_needed"]),
            "C1": _beside(low=draws["low_a"], high=draws["high_a"], approach_1=0.50, approach_2=0.49),
            "C2": _beside(low=draws["low_a"], original=original),
            "T1": _beside(low=low, high=high, chinchilla=20.0),
            "T2": _beside(high=high, original=tokens),
            "M1": Samples.of(ends["mean_over_sum"]),
            "M2": _averaged(table, "a_from_known"),
            "M3": _averaged(table, "a"),
            "V1": Samples.of(ends["optimum"] / ends["best_converged"]),
        }
    )


_OF_RUNS = [f"{kind}{i}" for kind in "ES" for i in range(1, 7)]
_OF_RUNS += ["I1", "I2", "R1", "R2", "R3", "W1", "C1", "C2", "T1", "T2", "M1", "M2", "M3", "V1"]


def _closed() -> dict[str, Samples]:
    """What follows from printed numbers and formulas alone."""
    return {
        "O1": Samples.exact(split(0.34, 0.28)),
        "W2": Samples.exact(240 * 2116),
        "P1": Samples.exact(errors("symmetric")),
        "P2": Samples.exact(errors("Chinchilla")),
        "P3": Samples.exact(errors("asymmetric")),
        "P4": Samples.exact([parabolas(name, 16)[1] for name in PARABOLAS]),
        "P5": Samples.exact(errors("symmetric", "off by 3")),
        "P6": Samples.exact(errors("symmetric", "drifting to 3")),
        "P7": Samples.exact(errors("Chinchilla", "drifting to 3")),
    }


def _beside(**arms: pd.Series | float) -> Samples:
    """Arms, some of which are constants that every seed is compared with."""
    seeds = max(len(arm) for arm in arms.values() if isinstance(arm, pd.Series))
    return Samples.many({n: arm if isinstance(arm, pd.Series) else np.full(seeds, arm) for n, arm in arms.items()})


def _averaged(table: pd.DataFrame, column: str) -> Samples:
    rows = table[table["function"] == "classical"]
    rows = rows[rows["reduction"] == "mean"] if len(rows) else rows
    return Samples.exact(rows[column].iloc[0]) if len(rows) else Samples.not_tested("this run left all starts out")


# What its figures show -----------------------------------------------------------------------------------------

PAPER_BIAS = {
    "symmetric": (0.0, 0.0, 0.0, 0.0),
    "Chinchilla": (-0.33, -1.30, -2.90, -5.10),
    "asymmetric": (-1.67, -6.50, -13.91, -23.12),
}


def bias() -> pd.DataFrame:
    """The error of approach 2 on centred grids, ours along a fine range of widths: surface, width, error (%)."""
    widths = np.geomspace(1.5, 16, 25)
    rows = [(name, width, parabolas(name, width)[0]) for name in PARABOLAS for width in widths]
    return pd.DataFrame(rows, columns=["surface", "width", "error"])


def paper_bias() -> pd.DataFrame:
    """What Czech et al. print for it: surface, width, error (%)."""
    rows = [(name, w, e) for name, found in PAPER_BIAS.items() for w, e in zip(WIDTHS, found, strict=True)]
    return pd.DataFrame(rows, columns=["surface", "width", "error"])


def one(table: pd.DataFrame, function: str) -> pd.DataFrame:
    """The rows of one trial function, by seed; empty where nothing ran."""
    return table if table.empty else table[table["function"] == function].sort_values("seed")


def residuals(table: pd.DataFrame) -> pd.DataFrame:
    """Residuals against compute, a row per surface and group of runs: surface, compute (FLOP), and the quartiles low,
    middle and high of observed over predicted loss, less one (%)."""
    parts = []
    for found in one(table, "surface").get("residuals", ()):
        for label in sorted(found, key="refit".__ne__):  # ours first; the store sorts by name
            bins = found[label]
            shown = {name: 100 * np.expm1(bins[name]) for name in ("low", "middle", "high")}
            parts.append(pd.DataFrame({"surface": label, "compute": bins["compute"], **shown}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["surface"])


def profiles(table: pd.DataFrame, names: Sequence[str] = ("E", "alpha", "beta")) -> pd.DataFrame:
    """Profile likelihoods: parameter, value and ratio; estimate, low, high and limit of the parameter in every row."""
    parts = []
    for _, row in one(table, "profiled").iterrows():
        if row["name"] in names:
            kept = np.asarray(row["ratio"]) < 4 * row["limit"]
            part = pd.DataFrame({"value": row["held"], "ratio": row["ratio"]})[kept]
            ends = {"estimate": row["estimate"], "low": row["profile_low"], "high": row["profile_high"]}
            parts.append(part.assign(parameter=row["name"], limit=row["limit"], **ends))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["parameter"])


def exponents(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The exponent a, said and found, a row each: label, who (paper, reanalysis, ours), estimate, low, high (or NaN).

    Printed intervals are 80 % ones (the 10th and 90th percentiles of bootstraps); the others 95 %.
    """
    rows = []
    if dataset == "chinchilla":
        rows += [("approach 1: envelope of curves", "paper", 0.50, 0.488, 0.502)]
        rows += [
            ("approach 2: parabolas", "paper", 0.49, 0.462, 0.534),
            ("approach 3: surface", "paper", 0.46, 0.454, 0.455),
        ]
        rows += [("refit, Besiroglu et al.", "reanalysis", 0.513, 0.513 - 1.96 * 0.020, 0.513 + 1.96 * 0.020)]
    else:
        rows += [("truth", "paper", TRUTH.a, np.nan, np.nan)]
    for _, row in one(table, "resampled").head(1).iterrows():
        rows.append(("refit, here", "ours", row["a"], row["low_a"], row["high_a"]))
    for _, row in one(table, "classical").iterrows():
        how = "losses averaged" if row["reduction"] == "mean" else "losses summed"
        rows.append((f"best of 4,500 starts, {how}", "ours", row["a"], np.nan, np.nan))
    return pd.DataFrame(rows, columns=["label", "who", "estimate", "low", "high"])


def tokens_per_parameter(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Optimal tokens per parameter against compute: surface, compute (FLOP), low, middle, high (80 %; of the surfaces
    of `SURFACES`, which have no interval, thrice the same)."""
    parts = []
    for _, row in one(table, "resampled").head(1).iterrows():
        bands = pd.DataFrame(row["tokens"], columns=["low", "middle", "high"])
        parts.append(bands.assign(surface="refit", compute=row["budgets"]))
        for label, known in SURFACES[dataset].items():
            ratio = compute_optimal(known, row["budgets"]).tokens_per_parameter
            parts.append(
                pd.DataFrame(
                    {"low": ratio, "middle": ratio, "high": ratio, "surface": label, "compute": row["budgets"]}
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["surface"])


WAYS = {"converged": "sum, tight tolerances", "sum": "sum, default tolerances", "mean": "mean, default tolerances"}


def endings(table: pd.DataFrame) -> pd.DataFrame:
    """Where L-BFGS-B ends: way, excess (fraction of the optimum) and the share of starts (%) that end below it."""
    parts, ends = [], one(table, "stopped")
    levels = np.geomspace(1e-4, 1e2, 49)
    for way, label in WAYS.items() if len(ends) else ():
        excess = np.concatenate([np.asarray(found) for found in ends[f"excess_{way}"]])
        share = [100 * float(np.mean(excess < level)) for level in levels]
        parts.append(pd.DataFrame({"way": label, "excess": levels, "share": share}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["way"])


def estimates(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The fit beside what is known, a row per parameter: refit, its standard error (bootstrap, mean over seeds) and
    95 % profile interval; then the published estimate and error, or for made-up runs the truth.
    """
    rows, draws, held = [], one(table, "resampled"), one(table, "profiled")
    for name in PUBLISHED if len(draws) else ():
        row = {"parameter": name, "refit": draws[name].iloc[0], "error": draws[f"bootstrap_error_{name}"].mean()}
        if name != "a":
            row |= held.set_index("name").loc[name, ["profile_low", "profile_high"]].to_dict()
        known = dict(zip(("published", "its error"), PUBLISHED[name], strict=True))
        rows.append(row | (known if dataset == "chinchilla" else {"truth": getattr(TRUTH, name)}))
    return pd.DataFrame(rows)
