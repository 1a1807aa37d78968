"""Learning-rate schedules (Defazio et al. 2023, Chen et al. 2022, Li et al. 2020 and others): who wins over tasks and
budgets when every base learning rate is tuned alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from redraw.scaling import PowerLaw, fit_power_law
from redraw.schedules import cosine, polynomial, power, rex_repository, warmup
from redraw.studies._ranks import bootstrap_ranks, ranks
from redraw.studies._requests import each_once
from redraw.studies._schedule_runs import SCHEDULES, TRANSFORMER, Recipe
from redraw.workbook import Samples, Trial

# Tasks and competitors -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A recipe, the steps of its full length, and the middle of the base learning rates that are tried."""

    recipe: Recipe
    steps: int
    lr: float


def _tasks(*rows: tuple) -> dict[str, Task]:
    return {name: Task(Recipe(name, *recipe), steps, lr) for name, *recipe, steps, lr in rows}


# name, dataset, network, optimizer, batch, examples to train and to test on (windows for a text), steps, middle rate
TASKS = _tasks(
    ("logistic_digits", "digits", "logistic", "sgd", 32, 1200, 360, 2000, 0.1),
    ("logistic_mnist", "mnist", "logistic", "sgd", 32, 10_000, 10_000, 2000, 0.015),
    ("logistic_fashion", "fashion_mnist", "logistic", "sgd", 32, 10_000, 10_000, 2000, 0.015),
    ("mlp_mnist1d", "mnist1d", "mlp", "sgd", 32, 3000, 1000, 2000, 0.1),
    ("mlp_fashion", "fashion_mnist", "mlp", "sgd", 32, 10_000, 10_000, 1200, 0.015),
    ("conv_mnist", "mnist", "small_conv", "sgd", 16, 10_000, 5000, 800, 0.015),
    ("lenet_sgd", "fashion_mnist", "lenet_5", "sgd", 16, 10_000, 2000, 400, 0.01),
    ("lenet_adam", "fashion_mnist", "lenet_5", "adam", 16, 10_000, 2000, 400, 0.002),
    ("transformer", "world_english_bible", "transformer", "adam", 8, 0, 500, 500, 0.015),
)
FEWEST = 3  # tasks that a claim about tasks needs
CONVEX = ("logistic_digits", "logistic_mnist", "logistic_fashion")

NAMES = {
    "constant": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "step": "step",
    "exponential": "exponential",
    "one_cycle": "one-cycle",
    "rex": "REX",
    "cosine_power": "cosine power",
    "inverse_sqrt": "inverse sqrt",
    "wsd": "WSD",
    "refined": "refined",
    "schedule_free": "schedule-free",
    "prodigy": "Prodigy",
    "auto_lrs": "AutoLRS",
}
FREE = {"sgd": 20.0, "adam": 3.0}  # schedule-free learning rates are larger, its authors say: 10-50 times, 1-10 times
SPACING = 3.0  # from one tried rate to the next

DEFAULTS = ("linear", "cosine", "step", "constant", "exponential")
REX_AMONG = ("rex", "linear", "cosine", "step", "constant", "exponential", "one_cycle")
LOW = 0.1  # budgets up to this one are low; horizons of a trunk are not below it
HORIZONS = (0.1, 0.25, 0.5, 1.0)  # of the claim about steps saved

TUNING_SEED = 10_000
SWEPT, SWEEP = (
    "transformer",
    tuple(2.0**k for k in range(-4, 4)),
)  # the constant rates of the power law, times the middle


def rates(middle: float, count: int) -> list[float]:
    """`count` rates around a middle one, a factor of `SPACING` apart, to four digits."""
    return [float(f"{middle * SPACING ** (i - (count - 1) / 2):.4g}") for i in range(count)]


def grid(task: str, schedule: str, count: int) -> list[float]:
    """The base learning rates that a competitor is tuned over; for Prodigy its d_coef."""
    lr = TASKS[task].lr
    free = lr * FREE[TASKS[task].recipe.optimizer]
    return rates({"prodigy": 3.0, "schedule_free": free}.get(schedule, lr), count)


def length(task: str, budget: float) -> int:
    """Steps of a task at a budget, a share of its full length."""
    return max(round(budget * TASKS[task].steps), 1)


# The plan -------------------------------------------------------------------------------------------------------


def plan(
    *, tasks: Sequence[str], budgets: Sequence[float], schedules: Sequence[str], seeds: int, candidates: int
) -> list[Trial]:
    """The trials: per budget, task and competitor one that tunes the base learning rate over `candidates` values and
    one per seed with the best; AutoLRS, which tunes as it goes, with its search paid for and free; the trunks of WSD
    with their branches; and the constant rates of the power law. Small budgets come first.

    Raises ValueError for nothing named, a schedule alone, a name or budget given twice, refined without the linear runs
    it is made from, or so many seeds that the one for tuning is among them.
    """
    for field, names, least in (("tasks", tasks, 1), ("budgets", budgets, 1), ("schedules", schedules, 2)):
        each_once(field, names, least)
    if "refined" in schedules and "linear" not in schedules:
        raise ValueError("schedules: must have linear where it has refined, which is made from its runs")
    if seeds > TUNING_SEED:
        raise ValueError(f"seeds: must be at most {TUNING_SEED}, got {seeds}")
    tuned = {
        (task, budget, schedule): trial
        for budget in sorted(budgets)
        for task in tasks
        for schedule, trial in _tunings(task, budget, schedules, candidates).items()
    }
    trials: list[Trial] = []
    for budget in sorted(budgets):
        for task in tasks:
            mine = {s: trial for (t, b, s), trial in tuned.items() if (t, b) == (task, budget)}
            trials += mine.values()
            trials += [_judged(trial, mine, s, seed) for s, trial in mine.items() for seed in range(seeds)]
            if "auto_lrs" in schedules:
                trials += [
                    _searched(task, budget, pay, seed, candidates) for pay in (True, False) for seed in range(seeds)
                ]
    horizons = [budget for budget in sorted(budgets) if budget >= LOW]
    for task in tasks:
        if {"wsd", "cosine"} <= set(schedules) and len(horizons) > 1:
            trials += _trunks(task, horizons, tuned[task, horizons[-1], "wsd"], seeds)
    if SWEPT in tasks and "constant" in schedules and len(budgets) > 2:
        trials += [_swept(budget, seed) for budget in sorted(budgets) for seed in range(seeds)]
    return trials


def _trial(function: str, parameters: Mapping, seed: int, needs: Mapping[str, Trial] | None = None) -> Trial:
    return Trial(f"redraw.studies._schedule_runs:{function}", parameters, seed, needs or {})


def _tunings(task: str, budget: float, schedules: Sequence[str], candidates: int) -> dict[str, Trial]:
    """The tuning trial of each competitor that has something to tune; linear first, as refined needs it."""
    tuned: dict[str, Trial] = {}
    for schedule in sorted(schedules, key=lambda name: (name != "linear", list(NAMES).index(name))):
        if schedule == "auto_lrs":
            continue
        parameters = asdict(TASKS[task].recipe) | {"schedule": schedule, "steps": length(task, budget)}
        parameters |= {"lrs": grid(task, schedule, candidates)} | ({"norms": True} if schedule == "linear" else {})
        needs = {"base": tuned["linear"]} if schedule == "refined" else {}
        tuned[schedule] = _trial("tuning", parameters, TUNING_SEED, needs)
    return tuned


def _judged(tuning: Trial, tuned: Mapping[str, Trial], schedule: str, seed: int) -> Trial:
    parameters = {name: value for name, value in tuning.parameters.items() if name not in ("lrs", "norms")}
    needs = {"tuning": tuning} | ({"base": tuned["linear"]} if schedule == "refined" else {})
    return _trial("judged", parameters, seed, needs)


def _searched(task: str, budget: float, pay: bool, seed: int, candidates: int) -> Trial:
    lrs = grid(task, "linear", candidates)
    search = {"steps": length(task, budget), "low": lrs[0], "high": lrs[-1], "pay": pay}
    return _trial("searched", asdict(TASKS[task].recipe) | search, seed)


def _trunks(task: str, horizons: Sequence[float], tuning: Trial, seeds: int) -> list[Trial]:
    """Per seed a trunk at the rate that WSD has at the longest horizon, and a branch to each horizon."""
    recipe, lengths, trials = asdict(TASKS[task].recipe), [length(task, budget) for budget in horizons], []
    for seed in range(seeds):
        trunk = _trial("trunk", recipe | {"horizons": lengths}, seed, {"tuning": tuning})
        trials += [trunk, *(_trial("branch", recipe | {"horizon": n}, seed, {"trunk": trunk}) for n in lengths)]
    return trials


def _swept(budget: float, seed: int) -> Trial:
    lrs = [float(f"{TASKS[SWEPT].lr * factor:.4g}") for factor in SWEEP]
    recipe = asdict(TASKS[SWEPT].recipe)
    return _trial("tuning", recipe | {"schedule": "constant", "steps": length(SWEPT, budget), "lrs": lrs}, seed)


# What it measures ----------------------------------------------------------------------------------------------


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    Tasks are the units that vary, a number each: its average over budgets and seeds. The power law alone has a number
    per seed.
    """
    return {
        "L1": _ranked(table, DEFAULTS),
        "L2": _lead(table),
        "R1": _ranked(table, REX_AMONG, low=True),
        "R2": _ranked(table, REX_AMONG, low=False),
        "C1": _ratio(table, "cosine_power", "cosine"),
        "F1": _ratio(table, "refined", "linear"),
        "F2": _refined(table, "peak"),
        "F3": _refined(table, "late"),
        "W1": _branches(table),
        "W2": _saved(table),
        "P1": _exponents(table),
        "P2": _exponents(table),
        "A1": _ratio(table, "auto_lrs_free", "original"),
        "A2": _ratio(table, "auto_lrs", "original"),
        "S1": _ranked(table, ("schedule_free", "linear", "cosine")),
    }


def results(table: pd.DataFrame) -> pd.DataFrame:
    """A row per judged run: task, budget, schedule, seed, score (test error in %, for the text test loss in nats).

    AutoLRS goes as auto_lrs where its search is paid for and as auto_lrs_free where it is not. Errors of zero count as
    half an example, so that they have ratios.
    """
    rows = _of(table, "judged", "searched")
    if rows.empty:
        return pd.DataFrame(columns=["task", "budget", "schedule", "seed", "score"])
    free = np.where(_column(rows, "pay").eq(False), "auto_lrs_free", "auto_lrs")
    schedule = np.where(rows["function"] == "judged", _column(rows, "schedule"), free)
    frame = pd.DataFrame({"task": rows["task"], "budget": _budgets(rows, "steps"), "schedule": schedule})
    return frame.assign(seed=rows["seed"], score=_scores(rows)).reset_index(drop=True)


def scores(table: pd.DataFrame, among: Sequence[str], *, low: bool | None = None) -> pd.DataFrame:
    """Scores of the competitors `among`, a column each, by task, budget and seed, where all of them ran; low: at the
    budgets up to `LOW` only (True) or above (False)."""
    wide = results(table).pivot(index=["task", "budget", "seed"], columns="schedule", values="score")
    if missing := [name for name in among if name not in wide]:
        wide = wide.iloc[:0].reindex(columns=[*wide.columns, *missing])
    if low is not None:
        wide = wide[(wide.index.get_level_values("budget") <= LOW) == low]
    return wide[list(among)].dropna().rename_axis(columns=None)


def task_ranks(table: pd.DataFrame, among: Sequence[str], *, low: bool | None = None) -> pd.DataFrame:
    """The average rank of each competitor on each task: by mean score over seeds, then averaged over budgets."""
    means = scores(table, among, low=low).groupby(level=["task", "budget"]).mean()
    return ranks(means).groupby(level="task").mean()


def _of(table: pd.DataFrame, *functions: str) -> pd.DataFrame:
    return table if table.empty else table[table["function"].isin(functions)]


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column, empty where no row of this run has it."""
    return rows[name] if name in rows else pd.Series(np.nan, index=rows.index, dtype=object)


def _budgets(rows: pd.DataFrame, steps: str) -> pd.Series:
    return (rows[steps] / rows["task"].map({name: task.steps for name, task in TASKS.items()})).round(3)


def _scores(rows: pd.DataFrame) -> pd.Series:
    half = 50 / rows["tested"].where(rows["model"] != "transformer", np.inf)
    return rows["test_score"].clip(lower=half)


def _nothing(*names: str) -> Samples:
    return Samples.not_tested(f"this run has no comparison of {', '.join(NAMES.get(name, name) for name in names)}")


def _by_task(arms: Mapping[str, pd.Series], *names: str) -> Samples:
    """Samples with a number per task, if there are enough of these; names: what is compared."""
    count = len(next(iter(arms.values())))
    if count == 0:
        return _nothing(*names)
    if count < FEWEST:
        return Samples.not_tested(f"what {count} tasks do says nothing of others: at least {FEWEST} are needed")
    return Samples.many(arms)


def _ranked(table: pd.DataFrame, among: Sequence[str], *, low: bool | None = None) -> Samples:
    found = task_ranks(table, among, low=low)
    return _by_task({name: found[name] for name in among}, *among)


def _logs(table: pd.DataFrame, among: Sequence[str]) -> pd.DataFrame:
    """Mean log score by task and budget."""
    return np.log(scores(table, among)).groupby(level=["task", "budget"]).mean()


def _ratio(table: pd.DataFrame, a: str, b: str) -> Samples:
    """Score of a over score of b, a geometric mean per task; "original" is what AutoLRS's authors compared it with:
    steps down for pictures, the inverse square root for text."""
    against = ("step", "inverse_sqrt") if b == "original" else (b,)
    logs = _logs(table, (a, *against))
    if b == "original":
        is_text = logs.index.get_level_values("task") == "transformer"
        logs[b] = np.where(is_text, logs["inverse_sqrt"], logs["step"])
    ratios = np.exp((logs[a] - logs[b]).groupby(level="task").mean())
    return _by_task({"measured": ratios}, a, *against)


def _lead(table: pd.DataFrame) -> Samples:
    """How far the other defaults' scores lie above linear's (%), a mean over them, at low and at high budgets."""
    logs = _logs(table, DEFAULTS)
    lead = 100 * logs[list(DEFAULTS[1:])].sub(logs["linear"], axis=0).mean(axis=1)
    is_low = lead.index.get_level_values("budget") <= LOW
    low, high = (lead[part].groupby(level="task").mean() for part in (is_low, ~is_low))
    both = low.index.intersection(high.index)
    return _by_task({"low": low[both], "high": high[both]}, "low and high budgets")


def refined_shapes(table: pd.DataFrame) -> pd.DataFrame:
    """The tuning rows of linear, whose norms the refined schedules are made of."""
    rows = _of(table, "tuning")
    return rows[rows["peak"].notna()] if "peak" in rows else rows.iloc[:0]


def _refined(table: pd.DataFrame, what: str) -> Samples:
    rows = refined_shapes(table)
    return _by_task({"measured": rows.groupby("task")[what].mean() if len(rows) else rows}, "refined", "linear")


def branches(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of WSD branches and of separately tuned cosines by task, budget and seed: columns wsd, cosine."""
    cosine, rows = scores(table, ("cosine",)), _of(table, "branch")
    if rows.empty:
        return cosine.iloc[:0].assign(wsd=[])[["wsd", "cosine"]]
    keys = {"task": rows["task"], "budget": _budgets(rows, "horizon"), "seed": rows["seed"], "wsd": _scores(rows)}
    return pd.DataFrame(keys).set_index(["task", "budget", "seed"]).join(cosine, how="inner")


def _branches(table: pd.DataFrame) -> Samples:
    both = branches(table)
    logs = np.log(both).groupby(level=["task"]).mean()
    return _by_task({"measured": np.exp(logs["wsd"] - logs["cosine"])}, "wsd", "cosine")


def _saved(table: pd.DataFrame) -> Samples:
    """Share of the steps of separate runs that trunk and branches to `HORIZONS` save, counted over the tasks."""
    rows = _of(table, "branch", "trunk")
    if rows.empty:
        return _nothing("wsd", "cosine")
    reached = rows[rows["function"] == "branch"].assign(budget=lambda part: _budgets(part, "horizon"))
    if any(set(part["budget"]) != set(HORIZONS) for _, part in reached.groupby("task")):
        return Samples.not_tested("this run has other horizons")
    return Samples.exact(100 * (1 - rows["steps"].sum() / rows["horizon"].sum()))


def sweep(table: pd.DataFrame) -> pd.DataFrame:
    """The best constant rate by tokens: seed, budget, tokens, lr."""
    rows = _of(table, "tuning")
    rows = rows[rows["seed"] != TUNING_SEED] if len(rows) else rows
    if rows.empty:
        return pd.DataFrame(columns=["seed", "budget", "tokens", "lr"])
    tokens = rows["steps"] * rows["batch_size"] * TRANSFORMER["context"]
    frame = pd.DataFrame({"seed": rows["seed"], "budget": _budgets(rows, "steps"), "tokens": tokens})
    return frame.assign(lr=rows["optimum"]).sort_values(["seed", "tokens"], ignore_index=True)


def power_laws(table: pd.DataFrame) -> dict[int, PowerLaw]:
    """By seed the power law lr = c tokens^b through the best constant rates."""
    return {seed: fit_power_law({"tokens": part["tokens"]}, part["lr"]) for seed, part in sweep(table).groupby("seed")}


def bends(table: pd.DataFrame) -> pd.DataFrame:
    """How well a power law describes the best constant rates, by seed: exponent; r_squared, the share of the variation
    in log rate that it accounts for; bend, the coefficient of log(tokens)^2 when there is one, and error, its standard
    error (NaN for fewer than four lengths). A law in the strict sense has r_squared near 1 and no bend."""
    parts, laws = [], power_laws(table)
    for seed, rows in sweep(table).groupby("seed"):
        x, y = np.log(rows["tokens"]), np.log(rows["lr"])
        bend, error = np.nan, np.nan
        if len(rows) > 3:
            coefficients, covariance = np.polyfit(x - x.mean(), y, 2, cov=True)
            bend, error = coefficients[0], covariance[0, 0] ** 0.5
        parts.append((seed, laws[seed]["tokens"], laws[seed].r_squared, bend, error))
    return pd.DataFrame(parts, columns=["seed", "exponent", "r_squared", "bend", "error"])


def bends_in_words(table: pd.DataFrame) -> str:
    """`bends` as a sentence for its figure: the exponents, and how well they describe the rates, seed by seed."""
    return "; ".join(
        f"seed {row.seed}: exponent {row.exponent:.2f}, R\u00b2 {row.r_squared:.2f}, quadratic term in log tokens "
        f"{row.bend:.3f} \u00b1 {row.error:.3f}"
        for row in bends(table).itertuples()
    )


def _exponents(table: pd.DataFrame) -> Samples:
    laws = power_laws(table)
    return Samples.of([law["tokens"] for law in laws.values()]) if laws else _nothing("constant rates by tokens")


# What its figures show -----------------------------------------------------------------------------------------


POWER_TOKENS, POWER_BATCH = 1e10, 128  # of the run that the Power scheduler is drawn for: its curve depends on them

OTHERS = {
    "polynomial (0.9)": polynomial,
    "REX's repository": rex_repository,
    "power": lambda t: power(t * POWER_TOKENS, batch_size=POWER_BATCH, total=POWER_TOKENS),
    "warm-up and cosine": warmup(cosine, 0.1),
}  # shown, but no competitors


def gallery() -> pd.DataFrame:
    """Every schedule's curve, those of competitors first: schedule, t, multiplier."""
    t = np.linspace(0, 1, 201)
    shown = {NAMES[name]: schedule for name, schedule in SCHEDULES.items()} | OTHERS
    parts = [pd.DataFrame({"schedule": name, "t": t, "multiplier": curve(t)}) for name, curve in shown.items()]
    return pd.concat(parts, ignore_index=True)


def competing(table: pd.DataFrame) -> list[str]:
    """The competitors of this run, in the order of `NAMES`."""
    there = set(results(table)["schedule"])
    return [name for name in NAMES if name in there]


def rank_by_budget(table: pd.DataFrame, among: Sequence[str], *, replicates: int = 300) -> pd.DataFrame:
    """Average ranks at each budget with 95 % bootstrap intervals over tasks and seeds: schedule, budget (% of the full
    length), low, middle, high."""
    found, parts = scores(table, among), []
    for budget, part in found.groupby(level="budget"):
        frame = bootstrap_ranks(part, cluster="task", within="seed", replicates=replicates)
        parts.append(frame.assign(budget=100 * budget))
    if not parts:
        return pd.DataFrame(columns=["schedule", "budget", "low", "middle", "high"])
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.assign(schedule=frame["method"].map(NAMES), middle=frame["rank"])
    order = {name: i for i, name in enumerate(among)}
    return frame.sort_values(["method", "budget"], key=lambda c: c.map(order) if c.name == "method" else c)[
        ["schedule", "budget", "low", "middle", "high"]
    ]


def settings(table: pd.DataFrame, among: Sequence[str]) -> pd.DataFrame:
    """Mean score over seeds by task and budget, a row each, a column per competitor under the name it is shown by."""
    means = scores(table, among).groupby(level=["task", "budget"]).mean()
    return means.rename(columns=NAMES)


def loss_curves(table: pd.DataFrame, task: str, budget: float, among: Sequence[str]) -> pd.DataFrame:
    """Training loss while runs of one setting go on: schedule, seed, step, loss. Runs that diverged have none."""
    rows = _of(table, "judged")
    if rows.empty or "curve" not in rows:
        return pd.DataFrame(columns=["schedule", "seed", "step", "loss"])
    rows = rows[(rows["task"] == task) & (rows["steps"] == length(task, budget)) & rows["schedule"].isin(among)]
    parts = []
    for row in sorted(rows.itertuples(), key=lambda row: list(among).index(row.schedule)):
        n = len(row.curve)
        step = (np.arange(n) + 0.5) * row.steps / max(n, 1)
        name = NAMES[row.schedule]
        parts.append(pd.DataFrame({"schedule": name, "seed": row.seed, "step": step, "loss": row.curve}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["schedule", "seed", "step", "loss"])


def refinements(table: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """At the largest budget of each task: task, t, multiplier (refined from the norms), norm (over its mean)."""
    rows, parts = refined_shapes(table), []
    for task in tasks:
        mine = rows[rows["task"] == task] if len(rows) else rows
        for row in mine.nlargest(1, "steps").itertuples() if len(mine) else ():
            t = (np.arange(len(row.refined)) + 0.5) / len(row.refined)
            norm = np.array(row.norms_curve) / np.mean(row.norms_curve)
            parts.append(pd.DataFrame({"task": task, "t": t, "multiplier": row.refined, "norm": norm}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["task", "t", "multiplier", "norm"])


def trunk_table(table: pd.DataFrame) -> pd.DataFrame:
    """Branch over cosine by horizon: task, budget (%), ratio of scores (geometric mean over seeds)."""
    both = branches(table)
    if both.empty:
        return pd.DataFrame(columns=["task", "budget", "ratio"])
    logs = np.log(both).groupby(level=["task", "budget"]).mean()
    ratio = np.exp(logs["wsd"] - logs["cosine"]).rename("ratio").reset_index()
    return ratio.assign(budget=100 * ratio["budget"])


def chosen_rates(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """The learning rates that AutoLRS chose on a task at its largest budget, search paid for: seed, t, lr."""
    rows = _of(table, "searched")
    rows = rows[(rows["task"] == task) & rows["pay"].eq(True)] if len(rows) else rows
    parts = []
    for row in rows[rows["steps"] == rows["steps"].max()].itertuples() if len(rows) else ():
        t = (np.arange(len(row.rates)) + 0.5) / len(row.rates)
        parts.append(pd.DataFrame({"seed": row.seed, "t": t, "lr": row.rates}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["seed", "t", "lr"])


def edges(table: pd.DataFrame) -> pd.DataFrame:
    """In how many tunings the best rate was the first or last tried, by competitor, most first: schedule, edges,
    tunings. Where that is often, a wider grid would have found better."""
    rows = _of(table, "tuning")
    if rows.empty:
        return pd.DataFrame(columns=["schedule", "edges", "tunings"])
    found = rows[rows["seed"] == TUNING_SEED].groupby("schedule")["edge"].agg(["sum", "size"]).astype(int)
    found = found.set_axis(["edges", "tunings"], axis="columns").reset_index()
    order = {name: i for i, name in enumerate(NAMES)}
    found = found.sort_values("schedule", key=lambda column: column.map(order))
    found = found.sort_values("edges", ascending=False, kind="stable", ignore_index=True)
    return found.assign(schedule=found["schedule"].map(NAMES))


def in_words(ranked: pd.DataFrame) -> str:
    """`rank_by_budget` as a sentence for those who cannot see it: every schedule's rank at the ends."""
    parts = []
    for name, rows in ranked.groupby("schedule", sort=False):
        first, last = rows.iloc[0], rows.iloc[-1]
        parts.append(f"{name} {first.middle:.1f} at {first.budget:g} % and {last.middle:.1f} at {last.budget:g} %")
    return "; ".join(parts) + "."


def ends_in_words(drawn: pd.DataFrame) -> str:
    """Drawn loss curves as a sentence: every schedule's mean loss at the last step, by task."""
    last = drawn.groupby(["task", "schedule"], sort=False).last()["mean"]
    return "; ".join(f"{task}, {schedule} {loss:.3f}" for (task, schedule), loss in last.items()) + "."
