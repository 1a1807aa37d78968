"""The study of schedules: its runs against what they say they are, its claims on tables whose answers are known."""

import io
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from redraw.schedules import cosine, linear, refine
from redraw.schedules._autolrs import _plan
from redraw.studies import _schedule_runs as runs
from redraw.studies import lr_schedules as study
from redraw.workbook import Store, Trial, judge_all, load_card, run_trials, trial_table

CARD = load_card(Path(__file__).parents[2] / "params" / "lr_schedules.yaml")
DIGITS = study.TASKS["logistic_digits"].recipe
MNIST1D = replace(study.TASKS["mlp_mnist1d"].recipe, optimizer="adam")


def knobs(preset="smoke", **overrides):
    return CARD.resolve(preset, overrides)


class Stored(dict):
    """A result as a trial gets it."""

    def __init__(self, record):
        super().__init__(record)
        self.tensors = self.pop("tensors", {})


def tuned(schedule="linear", recipe=DIGITS, **options):
    return Stored(
        runs.tuning(
            **{"seed": 7, "schedule": schedule, "steps": 30, "lrs": [0.01, 0.1, 1.0]} | options | asdict(recipe)
        )
    )


# The plan -------------------------------------------------------------------------------------------------------


def test_the_plan_counts_its_trials():
    trials = study.plan(**knobs("paper"))
    tasks, budgets, tuned, seeds = 9, 6, 13, 3
    judged = tasks * budgets * tuned * (1 + seeds) + tasks * budgets * 2 * seeds  # AutoLRS twice, with nothing to tune
    assert len(trials) == judged + tasks * seeds * (1 + 4) + budgets * seeds
    assert len({trial.key for trial in study.plan(**knobs())}) == len(study.plan(**knobs()))


def test_the_laptops_runs_are_some_of_the_papers():
    def named(preset):
        return {(t.function, str(sorted(t.parameters.items())), t.seed) for t in study.plan(**knobs(preset))}

    apart = named("laptop") - named("paper")
    assert {function.partition(":")[2] for function, _, _ in apart} <= {"trunk"}  # towards fewer horizons


def test_tuning_has_a_seed_of_its_own_and_as_many_candidates_for_all():
    trials = study.plan(**knobs("laptop"))
    tuning = [t for t in trials if t.function.endswith(":tuning")]
    assert {t.seed for t in tuning} == {study.TUNING_SEED} and {len(t.parameters["lrs"]) for t in tuning} == {5}
    judged = [t for t in trials if t.function.endswith(":judged")]
    assert all(t.needs["tuning"].parameters["schedule"] == t.parameters["schedule"] for t in judged)
    assert all(t.needs["tuning"].parameters["steps"] == t.parameters["steps"] for t in judged)
    refined = [t for t in trials if t.parameters.get("schedule") == "refined"]
    assert refined and all(t.needs["base"].parameters["norms"] for t in refined)


def test_the_grid_is_spaced_by_a_factor_of_three_around_its_middle():
    assert study.rates(0.1, 3) == [0.03333, 0.1, 0.3]
    assert study.grid("mlp_mnist1d", "schedule_free", 1) == [2.0] and study.grid("lenet_adam", "prodigy", 1) == [3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": [0.1, 0.1]}, "budgets: must name at least one, each once, got 0.1, 0.1"),
        ({"tasks": []}, "tasks: must name at least one, each once, got none"),
        ({"schedules": ["linear"]}, "schedules: must name at least two, each once, got linear"),
        ({"schedules": ["refined", "wsd"]}, "schedules: must have linear where it has refined"),
    ],
)
def test_plans_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        study.plan(**knobs(**change))


# The runs -------------------------------------------------------------------------------------------------------


def test_tuning_takes_the_best_validation_score():
    found = tuned(lrs=[1e-6, 0.1, 1e5])
    assert found["best"] == 0.1 and found["edge"] is False
    assert found["validation_score"][1] == min(found["validation_score"])
    assert tuned(lrs=[0.1, 1e-6])["edge"] is True
    assert tuned() == tuned()


def test_the_optimum_is_the_lowest_point_of_a_parabola():
    def bowl(lr):
        return (np.log(lr) - np.log(0.02)) ** 2 + 1

    lrs = [0.001, 0.004, 0.03, 0.1]
    assert runs._lowest(lrs, [bowl(lr) for lr in lrs]) == pytest.approx(0.02)
    assert runs._lowest(lrs, [1.0, 2.0, 3.0, 4.0]) == 0.001
    assert runs._lowest(lrs, [2.0, 1.0, 1.0, 2.0]) <= 0.03


def test_a_run_follows_its_schedule():
    seen = []

    def watched(t):
        seen.append(t)
        return cosine(t)

    run = runs._run(DIGITS, 0, watched, "cosine", 0.1, 20)
    assert seen == [k / 20 for k in range(21)]
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_runs_of_a_seed_share_weights_and_data():
    first = [runs._run(DIGITS, seed, linear, "linear", lr, 1).losses for seed, lr in ((0, 0.1), (0, 0.5), (1, 0.1))]
    assert first[0] == first[1] != first[2]


def test_judged_runs_take_the_tuned_rate_and_are_measured_on_both_sets():
    tuning = tuned()
    found = runs.judged(seed=0, schedule="linear", steps=30, tuning=tuning, **asdict(DIGITS))
    assert found["lr"] == tuning["best"] and len(found["curve"]) == 25
    assert found["test_score"] == pytest.approx(100 * found["test_error"])
    assert found["diverged"] is False and found["test_loss"] != found["validation_loss"]


def test_a_run_that_diverges_is_given_the_score_of_guessing():
    run = runs._run(DIGITS, 0, linear, "linear", 1e38, 30)
    assert run.diverged and len(run.losses) < 30
    found = run.measure("test")
    assert found["test_score"] == pytest.approx(90) and found["test_loss"] == pytest.approx(np.log(10))


@pytest.mark.parametrize(("recipe", "order"), [(DIGITS, 2), (MNIST1D, 1)])
def test_norms_are_those_of_the_best_run(recipe, order):
    found = tuned(recipe=recipe, norms=True, lrs=[0.001, 0.01], steps=5)
    norms = found.tensors["norms"]
    assert norms.shape == (5,)
    run = runs._Run(recipe, 7, "linear", found["best"])
    loss = next(run.steps())  # its gradients are those of the first step
    g = torch.cat([p.grad.flatten() for p in run.model.parameters()])
    assert loss.isfinite() and norms[0].item() == pytest.approx(g.norm(order).item(), rel=1e-5)
    refined = refine(norms, optimizer=recipe.optimizer)
    assert found["peak"] == refined.argmax() / 5 and found["refined"] == pytest.approx(refined.tolist())


def test_refined_runs_follow_the_norms_of_their_base():
    base = tuned(norms=True)
    schedule = runs._named("refined", DIGITS, base)
    expected = refine(base.tensors["norms"], optimizer="sgd")
    assert [schedule(k / 30) for k in range(30)] == pytest.approx(expected.tolist())
    assert base["late"] == pytest.approx(expected[27] / (2 * expected.mean()))
    assert (
        runs.judged(seed=0, schedule="refined", steps=30, tuning=base, base=base, **asdict(DIGITS))["lr"]
        == base["best"]
    )


def test_schedule_free_is_evaluated_at_its_average():
    run = runs._run(DIGITS, 0, lambda t: 1.0, "schedule_free", 1.0, 30)
    before = [p.clone() for p in run.model.parameters()]
    run.measure("validation")
    assert any(not torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))


def test_prodigy_is_tuned_by_its_coefficient():
    run = runs._Run(DIGITS, 0, "prodigy", 9.0)
    assert run.optimizer.param_groups[0]["d_coef"] == 9.0 and run.optimizer.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize("pay", [True, False])
def test_searched_runs_count_their_search(pay):
    found = runs.searched(seed=0, steps=60, low=0.01, high=1.0, pay=pay, **asdict(DIGITS))
    assert found["trained"] + (found["searched"] if pay else 0) == 60 and found["searched"] > 0
    assert all(0.01 <= rate <= 1.0 for rate in found["rates"])


@pytest.mark.parametrize("recipe", [DIGITS, MNIST1D])
def test_a_branch_goes_on_where_its_trunk_stood(recipe):
    trunk = Stored(runs.trunk(seed=0, horizons=[20, 40], tuning={"best": 0.01}, **asdict(recipe)))
    assert trunk["steps"] == 32
    run = runs._Run(recipe, 0, "constant", 0.01)
    for _, loss in zip(range(16), run.steps(), strict=False):
        assert loss.isfinite()
    for name, value in run.model.state_dict().items():
        assert torch.equal(trunk.tensors[f"20.model.{name}"], value)
    for i, state in run.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(trunk.tensors[f"20.optimizer.{i}.{name}"], value)
    branch = runs.branch(seed=0, horizon=20, trunk=trunk, **asdict(recipe))
    assert branch["steps"] == 4 and len(branch["curve"]) == 4
    # the same by hand: the optimizer in memory, the branch's own data, linear decay
    run.data, run.losses = run.task.batches(runs.generator(0, "branch", 20)), []
    run.train(linear, 4)
    assert run.losses == branch["curve"]
    assert run.measure("test")["test_loss"] == branch["test_loss"]


def test_losses_are_thinned_to_their_means():
    values = list(range(100))
    assert runs._thinned(values) == [float(np.mean(values[i : i + 4])) for i in range(0, 100, 4)]
    assert runs._thinned([1.0, 2.0]) == [1.0, 2.0]


# The claims -----------------------------------------------------------------------------------------------------


def made_up(truth=True, tasks=9):
    """A table in which the papers are right (or wrong), but for a little noise between tasks and seeds."""
    rng, rows, sign = np.random.default_rng(0), [], 1 if truth else -1
    good = {
        "rex": -0.12,
        "linear": -0.1,
        "refined": -0.15,
        "schedule_free": -0.14,
        "cosine_power": -0.07,
        "cosine": -0.04,
    }
    for task in list(study.TASKS)[:tasks]:
        recipe = asdict(study.TASKS[task].recipe)
        for budget in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0):
            steps = study.length(task, budget)
            common = recipe | {"steps": steps}
            for name in study.NAMES:
                better = sign * good.get(name, -0.17 if name == "auto_lrs" else 0.0)
                better *= 1.5 if budget <= study.LOW else 1.0
                for seed in range(3):
                    score = 10 * np.exp(better + rng.normal(0, 0.004))
                    row = common | {"function": "judged", "schedule": name, "seed": seed, "test_score": score}
                    if name == "auto_lrs":
                        row |= {"function": "searched", "schedule": None, "pay": True}
                        rows.append(row | {"pay": False, "test_score": score * 0.95**sign})
                    rows.append(row)
            shape = {"peak": 0.3 if truth else 0.0, "late": 0.3 if truth else 0.02}
            shape = {what: value * (1 + 0.1 * rng.normal()) for what, value in shape.items()}
            rows.append(common | {"function": "tuning", "schedule": "linear", "seed": 10_000, "edge": False} | shape)
            if task == study.SWEPT:
                best = 0.01 * budget ** (-0.5 * sign)
                sweep = common | {"function": "tuning", "schedule": "constant"}
                rows += [sweep | {"seed": s, "optimum": best * np.exp(rng.normal(0, 0.02))} for s in range(3)]
        for seed in range(3):
            lengths = {b: study.length(task, b) for b in (0.1, 0.25, 0.5, 1.0)}
            rows.append(recipe | {"function": "trunk", "seed": seed, "steps": runs._fork(lengths[1.0])})
            for budget, n in lengths.items():
                like = np.exp(sign * good["cosine"] * (1.5 if budget <= study.LOW else 1.0))
                score = 10 * like * np.exp(rng.normal(0, 0.004)) * (1.0 if truth else 1.2)
                row = recipe | {"function": "branch", "seed": seed, "horizon": n, "steps": n - runs._fork(n)}
                rows.append(row | {"test_score": score})
    return pd.DataFrame(rows)


def outcomes(table, preset="paper"):
    samples = study.measure(table, **knobs(preset))
    return {verdict.id: verdict.outcome for verdict in judge_all(CARD.claims, samples, preset)}


def test_where_the_papers_are_right_the_claims_are_reproduced():
    found = outcomes(made_up())
    assert found == dict.fromkeys(found, "reproduced")


def test_where_they_are_wrong_the_claims_are_contradicted():
    found = outcomes(made_up(truth=False))
    assert found.pop("W2") == "reproduced"  # counting
    assert found == dict.fromkeys(found, "contradicted")


def test_the_committed_table_gives_the_same_verdicts():
    table = made_up()
    text = table.to_csv(index=False)
    assert outcomes(pd.read_csv(io.StringIO(text))) == outcomes(table)


def test_a_run_without_some_competitors_leaves_their_claims_untested():
    table = made_up()
    table = table[
        ~table["schedule"].isin(["rex", "refined"]) & ~table["function"].isin(["searched", "trunk", "branch"])
    ]
    found = outcomes(table)
    assert {i for i, outcome in found.items() if outcome == "not_tested"} == {"R1", "R2", "F1", "W1", "W2", "A1", "A2"}


def test_nothing_ran_and_nothing_is_tested():
    found = outcomes(trial_table([], []))
    assert found == dict.fromkeys(found, "not_tested")


def test_two_tasks_decide_nothing():
    found = outcomes(made_up(tasks=2))
    assert found.pop("W2") == "reproduced" and found == dict.fromkeys(found, "not_tested")
    assert outcomes(made_up(tasks=3))["F2"] == "reproduced"


def test_ranks_are_taken_among_the_named_by_mean_over_seeds():
    table = made_up(tasks=2)
    among = ("linear", "cosine", "constant")
    means = study.scores(table, among).groupby(level=["task", "budget"]).mean()
    expected = means.rank(axis=1).groupby(level="task").mean()
    pd.testing.assert_frame_equal(study.task_ranks(table, among), expected)


def test_an_error_of_zero_counts_as_half_an_example():
    row = asdict(DIGITS) | {"function": "judged", "schedule": "linear", "steps": 200, "seed": 0, "test_score": 0.0}
    assert study.results(pd.DataFrame([row]))["score"].item() == pytest.approx(50 / 360)


def test_the_saving_follows_from_the_horizons():
    table = made_up()
    samples = study.measure(table, **knobs("paper"))["W2"]
    assert samples.number == pytest.approx(100 * (1 - (0.8 + 0.2 * 1.85) / 1.85), abs=0.5)
    others = study.measure(table[table["horizon"] != study.length("transformer", 1.0)], **knobs("paper"))["W2"]
    assert others.missing == "not_tested" and "other horizons" in others.reason


def test_the_gallery_has_every_schedule_whole():
    frame = study.gallery()
    everyone = {study.NAMES[name] for name in runs.SCHEDULES} | set(study.OTHERS)
    assert set(frame["schedule"]) == everyone and len(everyone) == 14
    assert frame.groupby("schedule")["t"].agg(["min", "max"]).to_numpy().tolist() == [[0, 1]] * len(everyone)
    assert frame["multiplier"].between(0, 1 + 1e-12).all()
    at = frame[frame["t"] == 0.5].set_index("schedule")["multiplier"]
    assert at["polynomial (0.9)"] == pytest.approx(0.5**0.9) and at["REX's repository"] == pytest.approx(0.5 / 0.55)
    assert at["power"] == pytest.approx(128 * 4.6 * 5e9**-0.51 / 0.02)
    assert at["warm-up and cosine"] == pytest.approx((1 + np.cos(np.pi * 0.4 / 0.9)) / 2)


def test_edges_of_the_grid_are_counted_by_competitor():
    at = {"linear": [False, False], "prodigy": [True, False], "wsd": [True, True]}
    rows = [{"function": "tuning", "seed": study.TUNING_SEED, "schedule": s, "edge": e} for s in at for e in at[s]]
    rows.append(rows[0] | {"seed": 0, "edge": True})  # of the power law's rates
    found = study.edges(pd.DataFrame(rows))
    assert found.to_dict("split")["data"] == [["WSD", 2, 2], ["Prodigy", 1, 2], ["linear", 0, 2]]


def swept(rate, seeds=(0, 1)):
    """A table of best constant rates, rate(tokens) where trained for so many."""
    common = asdict(study.TASKS[study.SWEPT].recipe) | {"function": "tuning", "schedule": "constant"}
    lengths = [study.length(study.SWEPT, budget) for budget in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)]
    return pd.DataFrame(
        [common | {"steps": n, "seed": s, "optimum": rate(n * 8 * 32.0)} for n in lengths for s in seeds]
    )


def test_a_power_law_has_no_bend_and_a_parabola_has_its_own():
    law = study.bends(swept(lambda tokens: 3 * tokens**-0.4))
    assert law["exponent"].tolist() == pytest.approx([-0.4] * 2) and law["r_squared"].tolist() == pytest.approx([1, 1])
    assert law["bend"].tolist() == pytest.approx([0, 0], abs=1e-9)
    bent = study.bends(swept(lambda tokens: np.exp(-0.4 * np.log(tokens) - 0.05 * np.log(tokens) ** 2)))
    assert bent["bend"].tolist() == pytest.approx([-0.05] * 2) and (bent["r_squared"] < 1).all()
    assert study.bends(swept(lambda tokens: 1.0 / tokens).iloc[:6])["error"].isna().all()  # three lengths
    assert study.bends_in_words(swept(lambda tokens: 1 / tokens)).startswith("seed 0: exponent -1.00, R² 1.00, ")


def test_equal_norms_of_few_steps_end_above_a_tenth():
    """What the card says of F3's bound in short runs."""
    late = {n: runs._shape([1.0] * n, "sgd")["late"] for n in (4, 12, 20, 2000)}
    assert late == {
        4: pytest.approx(0.2),
        12: pytest.approx(0.154, abs=1e-3),
        20: pytest.approx(0.095, abs=1e-3),
        2000: pytest.approx(0.1, abs=1e-3),
    }


def test_short_searches_have_the_stages_that_the_card_says():
    """Fewer than 100 steps leave candidates fewer than the five losses that a forecast is fitted to."""
    lengths = [study.length(task, budget) for task in study.TASKS for budget in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)]
    short = [n for n in lengths if next(_plan(n, max(n // 16, 50), 4 * max(n // 16, 50), 10, True))[2] < 5]
    assert sorted(short) == sorted(n for n in lengths if n < 100) and (len(short), len(lengths)) == (18, 54)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A small run of everything but the text."""
    small = knobs(tasks=["logistic_digits"], schedules=list(study.NAMES), budgets=[0.01, 0.02], candidates=2)
    trials = study.plan(**small)
    return trial_table(trials, run_trials(trials, store=Store(tmp_path_factory.mktemp("store")), jobs=1))


def test_a_small_run_fills_the_figures(ran):
    names = study.competing(ran)
    assert names == list(study.NAMES)
    ranked = study.rank_by_budget(ran, names, replicates=20)
    assert len(ranked) == 2 * len(names) and (ranked["low"] <= ranked["high"]).all()
    assert ranked.groupby("budget")["middle"].sum().tolist() == pytest.approx([105, 105])  # 1 + ... + 14
    assert study.settings(ran, names).shape == (2, 14)
    assert len(study.loss_curves(ran, "logistic_digits", 0.02, ["linear", "wsd"])) == 2 * 2 * 25
    assert len(study.refinements(ran, ["logistic_digits"])) == 25
    assert len(study.chosen_rates(ran, "logistic_digits")) == 2 * 20
    assert study.edges(ran)["tunings"].tolist() == [2] * 13  # AutoLRS tunes as it goes
    assert study.NAMES["linear"] in study.in_words(ranked)


def test_an_empty_table_fills_none(ran):
    empty = trial_table([], [])
    frames = [
        study.rank_by_budget(empty, ["linear"]),
        study.settings(empty, ["linear"]),
        study.loss_curves(empty, "logistic_digits", 0.1, ["linear"]),
        study.refinements(empty, ["logistic_digits"]),
        study.trunk_table(empty),
        study.sweep(empty),
        study.edges(empty),
        study.bends(empty),
        study.chosen_rates(empty, "logistic_digits"),
    ]
    assert all(frame.empty for frame in frames)


def test_trials_are_importable_by_name():
    for trial in study.plan(**knobs()):
        assert isinstance(trial, Trial) and hasattr(runs, trial.function.partition(":")[2])
