"""The claims of the pruning study ruled on made-up worlds: true ones are reproduced, false ones contradicted."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw.studies import pruning_at_init as study
from redraw.workbook import Project, rule

CARD = Project(Path(__file__).resolve().parents[2]).card("pruning_at_init")
KNOBS = CARD.resolve(
    "laptop",
    {
        "levels": [12, 18, 24],
        "methods": ["random", "snip", "grasp", "synflow", "magnitude", "cts", "cts_kl", "ltr"],
        "checks": list(study.CHECKED),
        "dynamic": list(study.DYNAMIC),
    },
)
BASE = {"random": 70, "snip": 75, "grasp": 74, "synflow": 76, "magnitude": 80, "cts": 81, "cts_kl": 83, "ltr": 82}
MOVING = {"static": 72, "set": 74, "rigl": 78, "rigl_random": 75, "gmp": 79, "granet": 81}


def world(*, collapse=0.7, synflow=1.0, harm=0.0, trained_harm=4.0, search=0.0, cheap=True, growth=0.0):
    """A table as the study's trials would give it. harm and trained_harm: what a check takes from saliency methods, and
    from masks of trained weights and searched ones; search: added to the search; growth: to growth at random."""
    rng, parts = np.random.default_rng(0), []
    for trial in study.plan(**KNOBS):
        p, function = dict(trial.parameters), trial.function.partition(":")[2]
        row, noise = {"function": function, "seed": trial.seed, **p}, rng.normal(0, 0.1)
        if "remaining" in p:
            row |= {"remaining_parameter": p["remaining"]}
        if function == "critical":
            row["share"] = synflow if p["method"] == "synflow" else collapse + noise / 100
        elif function == "ticket":
            row |= {
                "test_accuracy": (90 if not p["round"] else BASE["ltr"] + noise) / 100,
                "finding_flops": 1e12 * p["round"],
            }
        elif function == "searched":
            row["finding_flops"] = 1e12 if cheap else 2e13
        elif function == "trained":
            value = BASE[p["masks_of"]] + (search if p["masks_of"] == "cts_kl" else 0)
            if p["check"] != "none":
                value -= harm if p["masks_of"] in study.SALIENCY else trained_harm
            row["test_accuracy"] = (value + noise) / 100
        elif function == "evolved":
            row["test_accuracy"] = (
                MOVING[p["method"]] + growth * (p["method"] in ("rigl_random", "static", "gmp")) + noise
            ) / 100
        parts.append(row)
    return pd.DataFrame(parts)


def outcomes(table, **knobs):
    verdicts = rule(CARD, study.measure(table, **KNOBS | knobs), "laptop", KNOBS)
    return {verdict.id: verdict.outcome for verdict in verdicts}


def test_one_seed_is_too_few_and_not_nothing():
    table = world()
    assert outcomes(table[table["seed"] == 0])["C1"] == "inconclusive"


def test_in_the_papers_world_every_claim_is_reproduced():
    assert set(outcomes(world()).values()) == {"reproduced"}


@pytest.mark.parametrize(
    "changed, contradicted",
    [
        ({"collapse": 1.2}, {"K1", "K1c"}),
        ({"synflow": 0.8}, {"K2", "K2c"}),
        ({"harm": 5.0}, {"S1", "S2", "S3", "S1m", "S2m", "S3m"}),
        ({"trained_harm": -3.0}, {"S4", "S4m", "S5", "S5m"}),
        ({"search": -10.0}, {"C1", "C3", "C4"}),
        ({"cheap": False}, {"C2"}),
        ({"growth": 9.0}, {"D1", "D2", "D4"}),
    ],
)
def test_another_world_contradicts_what_speaks_of_it(changed, contradicted):
    found = outcomes(world(**changed))
    assert {name for name, outcome in found.items() if outcome == "contradicted"} == contradicted


def test_the_search_is_checked_on_each_network():
    """Where the checks do it good on the convolutional network alone, that is ruled on."""
    table = world()
    changed = (table["masks_of"] == "cts_kl") & (table["check"] != "none") & (table["network"] == "strided_conv")
    table.loc[changed, "test_accuracy"] += 0.08
    found = outcomes(table)
    assert (found["S5"], found["S5m"]) == ("contradicted", "reproduced")
    assert {name for name, outcome in found.items() if outcome != "reproduced"} == {"S5"}


def test_the_check_figure_has_random_masks_beside_the_checks():
    """Per method and network: shuffled, reinitialized, and where there are such networks random masks instead."""
    where = list(zip(("lenet_300_100", "strided_conv"), KNOBS["check_levels"], strict=True))
    marks = study.slopes(world(trained_harm=4.0), where, ["snip", "magnitude"])
    assert list(dict.fromkeys(marks["label"])) == [
        f"{method}, {network}"
        for network in ("LeNet-300-100", "strided conv net")
        for method in ("SNIP", "magnitude, trained")
    ]
    assert marks.groupby("label")["check"].nunique().eq(3).all() and (marks["low"] < marks["high"]).all()
    changes = marks[marks["label"] == "magnitude, trained, strided conv net"].set_index("check")["estimate"]
    assert changes.to_dict() == pytest.approx(
        {"shuffled within layers": -4, "reinitialized": -4, "random (ERK) masks instead": BASE["random"] - 80}, abs=0.3
    )


def test_every_figure_draws_a_method_alike_and_names_what_it_shows():
    assert set(study.SLOTS) == {*study.LABELS.values(), *study.UNTRAINED.values()}
    assert study.SLOTS["magnitude, untrained"] == study.SLOTS["magnitude, trained"]
    assert set(CARD.parameters["network"].choices + CARD.parameters["dataset"].choices) == set(study.NAMES)


def test_what_is_kept_of_a_run_gives_the_same_verdicts():
    """`redraw check` rules again from trials.csv."""
    table = world()
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert outcomes(again) == outcomes(table)


def test_what_a_run_left_out_is_not_tested():
    table = world()
    for lacking, names in {
        "critical": {"K1", "K2", "K1c", "K2c"},
        "evolved": {"D1", "D2", "D3", "D4"},
        "searched": {"C2"},
        "ticket": {"C1", "C2"},
    }.items():
        found = outcomes(table[table["function"] != lacking])
        assert {name for name, outcome in found.items() if outcome == "not_tested"} == names, lacking
    found = outcomes(table[table["network"] != "strided_conv"], other_network="none")
    assert {name for name, outcome in found.items() if outcome == "not_tested"} == {
        "K1c",
        "K2c",
        "S1",
        "S2",
        "S3",
        "S4",
        "S5",
    }
    assert set(outcomes(pd.DataFrame()).values()) == {"not_tested"}
