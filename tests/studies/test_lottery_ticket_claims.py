"""The study's plan and what it measures, on tables whose answers are known; nothing is trained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw.studies import lottery_ticket as study
from redraw.workbook import judge_all, load_card

CARD = load_card(Path(__file__).parents[2] / "params" / "lottery_ticket.yaml")


def knobs(preset="laptop", **overrides):
    return CARD.resolve(preset, overrides)


def row(function, seed, remaining, stop=5000, accuracy=0.98, censored=False, **more):
    return {
        "function": function,
        "seed": seed,
        "remaining": remaining,
        "stop_iteration": stop,
        "stop_test_accuracy": accuracy,
        "final_test_accuracy": accuracy,
        "censored": censored,
        **more,
    }


def made_up(seeds=5):
    """Tickets that stop at 62 % of the dense network's iterations and are 0.5 points better at 13.5 %, and so on."""
    levels, rows = study.levels(18), []
    for seed in range(seeds):
        jitter = 0.0001 * np.cos(seed)
        rows.append(row("ticket", seed, 1.0, stop=10000 + 100 * seed, accuracy=0.98 + jitter))
        for k in range(1, 19):
            gain = 0.005 if k < 12 else 0.002 if k < 15 else 0.0 if k < 16 else -0.01
            rows.append(row("ticket", seed, levels[k] / 100, 6200 + 62 * seed, 0.98 + gain - jitter))
            rows.append(
                row("reinitialized", seed, levels[k] / 100, 15562 + 150 * seed, 0.98 - 0.002 * (k > 3) + jitter)
            )
        for level in (0.95, 0.675, 0.35, 0.176, 0.087, 0.0517):
            rows.append(row("one_shot", seed, level, 7000 + 50 * seed, 0.984 + jitter))
    return pd.DataFrame(rows)


def outcomes(table, preset="paper"):
    return {v.id: v.outcome for v in judge_all(CARD.claims, study.measure(table), preset)}


def test_the_plan_counts_its_networks_and_chains_the_rounds():
    trials = study.plan(**knobs(seeds=3, rounds=4, reinit_rounds=[2, 4], reinit_draws=2, one_shot_levels=[0.5]))
    assert len(trials) == 3 * 5 + 3 * 2 * 2 + 3
    fourth = next(t for t in trials if t.parameters.get("round") == 4 and t.seed == 1)
    chain = [fourth]
    while chain[-1].needs:
        chain.append(chain[-1].needs["previous"])
    assert [t.parameters["round"] for t in chain] == [4, 3, 2, 1, 0] and {t.seed for t in chain} == {1}
    assert len({t.key for t in trials}) == len(trials)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"rounds": 3}, "reinit_rounds: must be at most rounds"),
        ({"model": "conv_2", "protocol": "open_lth"}, "model: must be lenet_300_100"),
        (
            {"model": "conv_2", "dataset": "digits"},
            "model: must be lenet_300_100 for the inputs of digits, which are no",
        ),
        ({"budget": 0.001}, "evaluate_every: must be at most"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_one_line(overrides, message):
    with pytest.raises(ValueError, match=message) as caught:
        study.plan(**knobs(**overrides))
    assert "\n" not in str(caught.value)


def test_open_lth_trains_forty_epochs_and_prunes_globally():
    recipe = study.settings(dataset="mnist", model="lenet_300_100", protocol="open_lth", budget=1.0, evaluate_every=100)
    assert (recipe["iterations"], recipe["scope"], recipe["optimizer"]) == (40 * 429, "global", "sgd")


def test_a_world_where_the_paper_is_right_is_reproduced():
    found = outcomes(made_up())
    assert found.pop("L5b") == "paper_error"
    assert set(found.values()) == {"reproduced"}, found


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (lambda t: t.assign(stop_iteration=np.where(t.remaining == 1, 4000 + t.seed, t.stop_iteration)), "L1a"),
        (lambda t: t.assign(stop_iteration=np.where(t.remaining == 1, 6300 + 62 * t.seed, t.stop_iteration)), "L1b"),
        (lambda t: t.assign(stop_test_accuracy=np.where(t.function == "ticket", 0.98, t.stop_test_accuracy)), "L2a"),
        (lambda t: t.assign(stop_test_accuracy=np.where(t.remaining < 1, 0.99, t.stop_test_accuracy)), "L3c"),
        (lambda t: t.assign(stop_test_accuracy=np.where(t.remaining < 1, 0.99, t.stop_test_accuracy)), "L3a"),
        (lambda t: t.assign(stop_test_accuracy=np.where(t.remaining < 1, 0.99, t.stop_test_accuracy)), "L3b"),
        (lambda t: t.assign(stop_iteration=6200 + t.seed), "L3d"),
        (lambda t: t.assign(stop_test_accuracy=0.98), "L3e"),
        (
            lambda t: t.assign(stop_iteration=np.where(t.function == "one_shot", 20000 + t.seed, t.stop_iteration)),
            "L4a",
        ),
        (lambda t: t.assign(stop_test_accuracy=np.where(t.function == "one_shot", 0.97, t.stop_test_accuracy)), "L4b"),
    ],
)
def test_a_world_where_the_paper_is_wrong_is_not_reproduced(change, claim):
    assert outcomes(change(made_up()))[claim] == "contradicted"


def test_stops_at_the_budget_are_censored_not_observed():
    table = made_up()
    censored = table.assign(censored=(table.function == "reinitialized") & (table.seed < 4))
    samples = study.measure(censored)["L3d"]
    assert samples.arms["a"].censored.sum() == 4 and samples.arms["b"].censored.sum() == 0
    assert outcomes(censored)["L3d"] == "inconclusive"


def test_a_claim_about_networks_that_were_not_trained_is_not_tested():
    table = made_up()
    table = table[table.function != "one_shot"]
    found = outcomes(table)
    assert found["L4a"] == found["L4b"] == "not_tested" and found["L1a"] == "reproduced"
    assert set(outcomes(pd.DataFrame()).values()) == {"reproduced", "not_tested", "paper_error"}


def test_an_arm_is_the_level_nearest_within_five_per_cent_and_draws_are_averaged():
    table = pd.DataFrame(
        [row("reinitialized", 0, 0.2107, 100), row("reinitialized", 0, 0.2107, 300), row("ticket", 0, 0.26)]
    )
    arm = study.find_arm(table, "reinitialized", remaining=21.1)
    assert arm["stop_iteration"].tolist() == [200] and study.find_arm(table, "ticket", remaining=21.1).empty
    near = pd.DataFrame([row("one_shot", seed, share, 1000 * share) for seed in (0, 1) for share in (0.17, 0.18)])
    assert study.find_arm(near, "one_shot", remaining=17.6)["stop_iteration"].tolist() == [180, 180]


def test_the_figures_tables():
    frame = study.arms(made_up())
    assert set(frame["arm"]) == {"ticket", "reinitialized", "one-shot"}
    assert frame.groupby("arm")["remaining"].max().eq(100).all()  # the dense network opens every curve
    stops = study.paper_values(frame, "early stop").set_index("arm")["early stop"]
    assert stops["ticket"] == pytest.approx(0.62 * 10200) and stops["reinitialized"] == pytest.approx(
        0.62 * 2.51 * 10200
    )
    assert "ticket from" in study.in_words(frame, "accuracy", "%")
    history = pd.DataFrame([row("ticket", 0, 1.0, round=0, iterations=[100, 200], validation_accuracy=[0.5, 0.75])])
    assert study.training_curves(history, [0, 3])["accuracy"].tolist() == [50, 75]
    assert study.training_curves(pd.DataFrame(), [0]).empty and study.arms(pd.DataFrame()).empty
