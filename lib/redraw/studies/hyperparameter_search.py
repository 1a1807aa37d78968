"""Hyperparameter search (Jaderberg et al. 2017, Li et al. 2018, Krishnan et al. 2023, Eimer et al. 2023, Benjamins et
al. 2025): what beats random search, whether the searcher's own settings matter more, and what tuning on few seeds
costs."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy import stats

from redraw.hpo import representative
from redraw.seeds import generator
from redraw.studies import _hpo_net as made
from redraw.studies import _ranks as comparison
from redraw.studies._hpo_runs import SAMPLERS, as_table, recorded, toy_search
from redraw.studies._requests import each_once
from redraw.workbook import Samples, Trial

__all__ = ["as_table", "measure", "plan", "recorded", "toy_search"]

GRID = "perceptron_grid"  # the dataset with the recorded table
NAMES = {
    "random": "random",
    "random_twice": "random, twice the budget",
    "tpe": "TPE",
    "tpe_multivariate": "TPE, multivariate",
    "gp": "Gaussian process",
    "cma_es": "CMA-ES",
    "successive_halving": "successive halving",
    "hyperband": "Hyperband",
    "asha": "ASHA",
    "bohb": "Hyperband with TPE",
}
TABLE_TASKS = tuple(
    {"optimizer": o, "schedule": s} for o, s in product(made.GRID["optimizer"], made.GRID["schedule"])
)  # four parts of the table, each a task
TOYS = {"population": (True, True), "exploit": (True, False), "explore": (False, True), "grid": (False, False)}
FEWEST = 4  # tasks that a claim about tasks needs

# The lottery: each algorithm's own settings, all of them reasonable.
LOTTERY = {
    "tpe": [{"n_startup_trials": n, "multivariate": m} for n in (3, 10, 30) for m in (False, True)],
    "cma_es": [{"sigma0": s, "popsize": p} for s in (0.05, 0.17, 0.5) for p in (6, 12)],
}
SHORT = 30  # evaluations, where the lottery is drawn
REPLAYS = 3  # other seeds of training, for what a population or random search found
LONGER = 10  # times the early stopper's budget that random search has at most
SUBSET = 64  # settings in each disjoint subset of the table
PART = 8  # tasks in a representative subset
PROFILE = 4.0  # largest ratio in a performance profile, as AlgoPerf's


# The plan -----------------------------------------------------------------------------------------------------


def plan(
    *,
    toys: int,
    populations: int,
    members: int,
    epochs: int,
    searches: int,
    samplers: Sequence[str],
    trials: int,
    functions: Sequence[str],
    dimensions: Sequence[int],
    stoppers: Sequence[str],
    random_trials: int,
    lottery: int,
    subsets: int,
    again: int,
) -> list[Trial]:
    """The trials: the toy and the real net of population based training; on every task a search by each sampler and
    random search, this with twice the budget; early stoppers on the whole table, and a long random search there;
    samplers under each of their own settings; tuning on few seeds; rows of the table trained again.

    Raises ValueError for no name or dimension or one given twice, or samplers without random search.
    """
    named = {"samplers": samplers, "functions": functions, "dimensions": dimensions, "stoppers": stoppers}
    for field, names in named.items():
        each_once(field, names)
    if "random" not in samplers:
        raise ValueError(f"samplers: must have random, which all are compared with, got {', '.join(samplers)}")
    found = [
        _trial("toy", {"exploit": exploit, "explore": explore}, seed)
        for exploit, explore in TOYS.values()
        for seed in range(toys)
    ]
    net = {"members": members, "epochs": epochs, "replays": REPLAYS, "dataset": made.DATASET}
    found += [_trial("populated", net, seed) for seed in range(populations)]
    found += _again(again)
    found += [_trial("chosen", {"size": SUBSET, "dataset": GRID}, k) for k in range(subsets)]
    tasks = [{"problem": f, "dimension": d} for f in functions for d in dimensions]
    for sampler in samplers:
        length = 2 * trials if sampler == "random" else trials
        for seed in range(searches):
            found += [_searched(task, sampler, length, seed) for task in (*tasks, *TABLE_TASKS)]
    for seed in range(searches):
        found += [_stopped(method, seed) for method in stoppers]
        found.append(_searched({}, "random", random_trials, seed))
    for sampler, settings in LOTTERY.items() if lottery else ():
        found += [_searched({}, sampler, lottery, seed, own) for own in settings for seed in range(searches)]
    return found


def _trial(function: str, parameters: Mapping, seed: int, **needs: Trial) -> Trial:
    return Trial(f"redraw.studies._hpo_runs:{function}", parameters, seed, needs)


def _searched(task: Mapping, sampler: str, trials: int, seed: int, own: Mapping | None = None) -> Trial:
    """The search of a sampler, with the settings that it has in a comparison or others of its `own`, on a task."""
    name, settings = SAMPLERS[sampler]
    settings = settings if own is None else dict(own)
    parameters = {"sampler": name, "settings": settings, "trials": trials}
    if "problem" in task:
        search = _trial("searched_function", parameters | dict(task), seed)
    else:
        search = _trial("searched_table", parameters | {"fixed": dict(task), "dataset": GRID}, seed)
    label = ", ".join(map(str, task.values())) if "problem" in task else ", ".join(["table", *task.values()])
    words = ", ".join(f"{name} {value}" for name, value in settings.items()) or "none"
    return _trial("told", {"task": label, "sampler": sampler, "own": words, "trials": trials}, seed, search=search)


def _stopped(method: str, seed: int) -> Trial:
    search = _trial("stopped", {"method": method, "dataset": GRID}, seed)
    return _trial("told_stopped", {"method": method}, seed, search=search)


def _again(rows: int) -> list[Trial]:
    """`rows` of the table drawn at random, a setting and a seed each, to be trained again by themselves."""
    draws, settings = generator(0, "again"), list(product(*made.GRID.values()))
    places = torch.randperm(len(settings), generator=draws)[:rows].tolist()
    seeds = torch.randint(len(made.TUNING + made.TEST), (rows,), generator=draws).tolist()
    found = []
    for place, seed in zip(places, seeds, strict=True):
        setting = dict(zip(made.GRID, settings[place], strict=True))
        run = Trial("redraw.studies._hpo_net:table_run", setting | {"seeds": 1, "dataset": made.DATASET}, seed)
        found.append(_trial("trained_again", setting | {"dataset": GRID}, seed, run=run))
    return found


# What it measures ---------------------------------------------------------------------------------------------


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`)."""
    toys, nets, seeds = toy_ends(table), _of(table, "populated").set_index("seed"), _of(table, "chosen")
    found = {
        "P1": Samples.exact(float(toys["grid"].iloc[0])) if len(toys) else _nothing("the toy"),
        "P2": _each(toys, "population", "the toy"),
        "P3": _each(toys, "exploit", "the toy"),
        "P4": _arms(toys, "the toy", population="population", explore="explore"),
        "P5": _arms(nets, "the net", a="population_test", b="constant_test"),
        "P6": _arms(nets, "the net", a="replayed", b="constant_again"),
        "S1": _each(seeds, "tau", "seeds"),
        "S2": _each(seeds, "gap_one", "seeds"),
        "S3": _arms(seeds, "seeds", one="gap_one", three="gap_three"),
        "T1": _arms(_of(table, "trained_again"), "rows trained again", a="again", b="recorded"),
    }
    return found | _stopping(table) | _models(table, knobs["trials"]) | _lottery(table, knobs) | _compared(table, knobs)


def _of(table: pd.DataFrame, *functions: str) -> pd.DataFrame:
    """The rows of some trial functions."""
    return table[table["function"].isin(functions)]


def _nothing(what: str) -> Samples:
    return Samples.not_tested(f"this run has too little of {what}")


def _each(frame: pd.DataFrame, column: str, what: str) -> Samples:
    return Samples.of(frame[column]) if len(frame) > 1 else _nothing(what)


def _arms(frame: pd.DataFrame, what: str, **columns: str) -> Samples:
    return Samples.many({arm: frame[name] for arm, name in columns.items()}) if len(frame) > 1 else _nothing(what)


def _stopping(table: pd.DataFrame) -> dict[str, Samples]:
    """Early stopping against random search with a multiple of its budget: test errors, a row per seed."""
    ends = stopped_ends(table)
    if len(ends) < 2:
        return {name: _nothing("early stopping") for name in ("H1", "H2", "H3", "H4", "H5")}
    busy = _of(table, "told_stopped").pivot(index="seed", columns="method", values="busy")
    return {
        "H1": _present(ends, halving="successive_halving", random="random_10_successive_halving"),
        "H2": _present(ends, hyperband="hyperband", random="random_10_hyperband"),
        "H3": _present(ends, hyperband="hyperband", random="random_3_hyperband"),
        "H4": _present(ends, bohb="bohb", hyperband="hyperband"),
        "H5": _present(busy, asha="asha", halving="successive_halving"),
    }


def _present(frame: pd.DataFrame, **columns: str) -> Samples:
    lacking = [NAMES.get(name, "a random search long enough") for name in columns.values() if name not in frame]
    return _nothing(", ".join(lacking)) if lacking else _arms(frame[list(columns.values())].dropna(), "this", **columns)


def _models(table: pd.DataFrame, trials: int) -> dict[str, Samples]:
    """How often a sampler beats random search with twice its budget: a share for each task."""
    found = results(table, trials)
    twice = results(table, 2 * trials, among=["random"])["random"]
    parts = {}
    for claim, sampler in (("B1", "tpe"), ("B2", "gp")):
        if sampler not in found:
            parts[claim] = _nothing(NAMES[sampler])
            continue
        pair = pd.DataFrame({"a": found[sampler], "b": twice}).dropna()
        wins = ((pair["a"] < pair["b"]) + 0.5 * (pair["a"] == pair["b"])).groupby(level="task").mean()
        parts[claim] = Samples.of(wins) if len(wins) >= FEWEST else _nothing("tasks")
    return parts


def _lottery(table: pd.DataFrame, knobs: Mapping) -> dict[str, Samples]:
    short, long = (lots(table, n) for n in (SHORT, knobs["lottery"]))
    if short.empty or short.shape[1] < 2 * 2 or len(short) < 4:
        return {"L1": _nothing("the lottery"), "L2": _nothing("the lottery")}
    spread, ends = [], []
    for mine, others in ((0, 1), (1, 0)):  # what is best is found on one half of the seeds and measured on the other
        spread.append(_spread(short.iloc[mine::2].mean(), short.iloc[others::2]))
        best = long.iloc[mine::2].mean().groupby(level="sampler").idxmin()
        ends.append(long.iloc[others::2][list(best)].set_axis(best.index, axis="columns"))
    spread, ends = pd.concat(spread), pd.concat(ends)
    return {
        "L1": _arms(spread, "the lottery", within="within", between="between"),
        "L2": _arms(ends, "the lottery", a="tpe", b="cma_es"),
    }


def _spread(seen: pd.Series, new: pd.DataFrame) -> pd.DataFrame:
    """Worst less best test error (pp) of each new seed: `within` a sampler over its own settings, a mean over samplers;
    `between` samplers, each with its best settings. seen: means that tell which is best and worst; by (sampler,
    own)."""
    by = seen.groupby(level="sampler")
    best, worst = by.idxmin(), by.idxmax()
    within = np.mean([new[worst[name]] - new[best[name]] for name in best.index], axis=0)
    ends = seen[list(best)]
    return pd.DataFrame({"within": within, "between": new[ends.idxmax()] - new[ends.idxmin()]})


def _compared(table: pd.DataFrame, knobs: Mapping) -> dict[str, Samples]:
    """What comparing all samplers over all tasks says, with bootstrap intervals over tasks."""
    found = results(table, knobs["trials"], among=knobs["samplers"])
    means = found.groupby(level="task").mean()
    if means.shape[1] < 3 or len(means) < FEWEST:
        return {name: _nothing("samplers and tasks") for name in ("C1", "C2", "C3", "C4")}
    difference = comparison.critical_difference(means.shape[1], len(means))
    ranked, changed = comparison.ranks(means).to_numpy(), task_changes(to_target(table, knobs["trials"]))
    subset = subset_ranks(table, knobs["trials"], knobs["samplers"])
    return {
        "C1": _resampled(partial(share_alike, difference=difference), ranked),
        "C2": _each(subset, "tau", "tasks"),
        "C3": _arms(subset, "tasks", representative="representative", random="random"),
        "C4": _resampled(largest_change, changed),
    }


def _resampled(statistic: Callable[[np.ndarray], float], by_task: np.ndarray, draws: int = 1000) -> Samples:
    """A statistic of arrays with a row per task, with a bootstrap over tasks."""
    rng, n = np.random.default_rng(0), len(by_task)
    return Samples.bootstrap(statistic(by_task), [statistic(by_task[rng.integers(n, size=n)]) for _ in range(draws)], n)


# The results, as frames ---------------------------------------------------------------------------------------


def toy_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Q of the better worker at the end of the toy: a row per seed; columns population, exploit, explore, grid."""
    rows, named = _of(table, "toy"), {ways: name for name, ways in TOYS.items()}
    if rows.empty:
        return pd.DataFrame(columns=list(TOYS))
    names = [named[bool(row.exploit), bool(row.explore)] for row in rows.itertuples()]
    return rows.assign(way=names).pivot(index="seed", columns="way", values="best").astype(float)


def best_after(improved: Sequence, limit: float, *, spent: bool = False, tested: bool = False) -> float:
    """The best value (or with `tested` its test error) after `limit` evaluations (or with `spent` as much training);
    NaN where there is none yet."""
    found = [row for row in improved if row[1 if spent else 0] <= limit]
    return float(found[-1][3 if tested else 2]) if found else float("nan")


def searches(table: pd.DataFrame) -> pd.DataFrame:
    """A row per search by a sampler: task, sampler (as in `SAMPLERS`), own (settings in words), seed, trials, improved.

    The whole table is the task "table"."""
    rows = _of(table, "told")
    if rows.empty:
        return pd.DataFrame(columns=["task", "sampler", "own", "seed", "trials", "improved"])
    rows = rows[["task", "sampler", "own", "seed", "trials", "improved"]].reset_index(drop=True)
    return rows.assign(improved=rows["improved"].map(json.loads))


def results(table: pd.DataFrame, trials: int, among: Sequence[str] | None = None) -> pd.DataFrame:
    """What samplers have after `trials` evaluations, by (task, seed), a column each; rows where any of `among` lacks
    are left out. f - f_opt on a test function, at least 1e-8; on a part of the table the test error (%)."""
    found = searches(table)
    found = found[(found["task"] != "table") & (found["trials"] >= trials)]
    value = [best_after(row.improved, trials, tested=row.task.startswith("table")) for row in found.itertuples()]
    wide = found.assign(value=np.maximum(value, 1e-8)).pivot(index=["task", "seed"], columns="sampler", values="value")
    wide = wide.reindex(columns=list(among) if among is not None else [name for name in SAMPLERS if name in wide])
    return wide.dropna(how="all" if among is None else "any").rename_axis(columns=None)


def stopped_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Test errors (%) of what early stoppers chose, by seed, and beside each what random search chose that could spend
    3 or 10 times as much (random_3_..., random_10_...; NaN where none was that long)."""
    rows, found = _of(table, "told_stopped"), searches(table)
    if rows.empty:
        return pd.DataFrame()
    long = found[(found["task"] == "table") & (found["sampler"] == "random")].set_index("seed")
    parts: dict[str, dict] = {}
    for row in rows.itertuples():
        parts.setdefault(row.method, {})[row.seed] = best_after(json.loads(row.improved), np.inf, tested=True)
        for times in (3, LONGER):
            n = int(times * row.spent)
            enough = row.seed in long.index and n <= long.loc[row.seed, "trials"]
            end = best_after(long.loc[row.seed, "improved"], n, tested=True) if enough else float("nan")
            parts.setdefault(f"random_{times}_{row.method}", {})[row.seed] = end
    return pd.DataFrame(parts).sort_index().dropna(axis="columns", how="all")


def lots(table: pd.DataFrame, trials: int) -> pd.DataFrame:
    """The lottery after `trials` evaluations: test errors (%), a row per seed, a column per (sampler, own settings)."""
    found = searches(table)
    found = found[(found["task"] == "table") & (found["sampler"] != "random") & (found["trials"] >= trials)]
    found = found.assign(end=[best_after(row.improved, trials, tested=True) for row in found.itertuples()])
    return found.pivot(index="seed", columns=["sampler", "own"], values="end").sort_index()


def share_alike(ranked: np.ndarray, difference: float) -> float:
    """The share of pairs of methods whose average ranks differ by less than the critical difference; ranks by task,
    (tasks, methods)."""
    average = ranked.mean(axis=0)
    pairs = np.abs(average[:, None] - average)[np.triu_indices(len(average), 1)]
    return float((pairs < difference).mean())


def to_target(table: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Evaluations to a target, by task, a column per sampler: the median over seeds, infinite where most do not get
    there.

    The target is what random search has after half of the `trials`, in the median. Tasks where nobody gets there are
    out.
    """
    found = searches(table)
    found = found[(found["task"] != "table") & (found["trials"] >= trials)]
    random = found[found["sampler"] == "random"]
    half = random.assign(end=[best_after(row.improved, trials // 2) for row in random.itertuples()])
    target = half.groupby("task")["end"].median()
    first = [
        next((n for n, _, value, _ in row.improved if value <= target[row.task] and n <= trials), np.inf)
        for row in found.itertuples()
    ]
    wide = found.assign(first=first).groupby(["task", "sampler"])["first"].median().unstack()
    wide = wide[[name for name in SAMPLERS if name in wide]].rename_axis(columns=None)
    return wide[np.isfinite(wide).any(axis=1)]


def task_changes(times: pd.DataFrame) -> np.ndarray:
    """What each task adds to the change of each method's profile score when another does not compete: (tasks, left out,
    methods), NaN for the one that is left out and where none of the others gets there."""
    parts = []
    for task in times.index:
        scores = comparison.leave_one_out(times.loc[[task]], PROFILE)
        parts.append(scores.drop(columns="").sub(scores[""], axis=0).T.to_numpy())
    return np.array(parts)


def largest_change(changes: np.ndarray) -> float:
    """How much the score of any method changes, at the most, when one other does not compete; from `task_changes`."""
    known = ~np.isnan(changes)
    means = np.where(known, changes, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return float(np.abs(means).max())


def subset_ranks(table: pd.DataFrame, trials: int, among: Sequence[str]) -> pd.DataFrame:
    """How well a few tasks stand for all, a row per seed: tau (Kendall's, of the samplers' average ranks on them and on
    all), representative (mean difference of these ranks), random (the same for subsets drawn at random, on average).

    The subset of `PART` tasks is chosen on the even seeds and judged on the odd ones, and the other way round. A task
    is a point: what the first three samplers reached on it, from 0 (the best of all runs there) to 1 (the worst).
    """
    found, parts = results(table, trials, among=among), []
    if found.index.get_level_values("task").nunique() <= PART or found.index.get_level_values("seed").nunique() < 2:
        return pd.DataFrame(columns=["tau", "representative", "random"])
    odd, rng = found.index.get_level_values("seed") % 2 == 1, np.random.default_rng(0)
    for mine, others in ((found[~odd], found[odd]), (found[odd], found[~odd])):
        points = task_points(mine)
        part = [points.index[i] for i in representative(points.to_numpy(), PART)]
        lots = [rng.choice(points.index, PART, replace=False) for _ in range(50)]
        for _, rows in others.groupby(level="seed"):
            ranked = comparison.ranks(rows.droplevel("seed"))
            whole = ranked.mean()
            tau = stats.kendalltau(ranked.loc[part].mean(), whole)[0]
            apart = [(ranked.loc[list(names)].mean() - whole).abs().mean() for names in (part, *lots)]
            parts.append((tau, apart[0], np.mean(apart[1:])))
    return pd.DataFrame(parts, columns=["tau", "representative", "random"])


def task_points(found: pd.DataFrame) -> pd.DataFrame:
    """Each task as a point of the unit cube: what the first three samplers reached, a mean over seeds, scaled by
    task."""
    logs = np.log(found)
    low, high = (logs.groupby(level="task").agg(end).agg(end, axis=1) for end in ("min", "max"))
    means = logs.iloc[:, :3].groupby(level="task").mean()
    return means.sub(low, axis=0).div((high - low).where(high > low, 1.0), axis=0)
