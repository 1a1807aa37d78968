"""The claims of the data-diet study ruled on made-up worlds: true ones are reproduced, false ones contradicted."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw.studies import data_diet as study
from redraw.workbook import Project, rule

ROOT = Path(__file__).resolve().parents[2]
CARD = Project(ROOT).card("data_diet")
KNOBS = CARD.resolve(
    "laptop",
    {
        "datasets": ["fashion_mnist", "mnist"],
        "networks": 10,
        "other_network": "small_conv",
        "scores": ["el2n", "grand"],
    },
)


def world(*, loss=0.0, gain=1.0, start=-5.0, one=0.75, wrong=0.95, norm=0.83, worst=4.0):
    """A table as the study's trials would give it. loss: of half by EL2N against all, gain: of it over random (pp)."""
    rng, rows = np.random.default_rng(0), []
    level = {"el2n": 90 - loss, "random": 90 - loss - gain, "grand_start": 90 - loss - gain + start}
    for trial in study.plan(**KNOBS):
        p, function = dict(trial.parameters), trial.function.partition(":")[2]
        row = {"function": function, "seed": trial.seed, **p}
        noise = rng.normal(0, 0.03)
        if function == "trained":
            accuracy = 90 if p["keep"] == 1 else level[p["score"]] if p["score"] in level else 90 - loss
            accuracy -= 0.5 if p["source"] == "one" else 0
            accuracy -= 3 if p["noise"] and p["score"] == "el2n" and not p["skip"] else 0
            row["test_accuracy"] = (accuracy + noise) / 100
            cost = worst if p["keep"] == study.FEW and p["score"] == "el2n" else 0
            row |= {f"accuracy_{c}": (90 - (cost if c == 6 else 0) + noise) / 100 for c in range(10)}
        elif function == "ranked":
            row |= {"one_el2n": one + noise, "one_grand": one + noise, "forgetting_el2n": 0.7 + noise}
            row |= {"norm_grand": norm + noise}
            row |= {"precision": wrong + noise / 3, "auc": wrong + noise / 3} if p["noise"] else {}
        elif function == "unforgotten":
            row["unforgotten"] = 91.7 + noise
        elif function == "compared":
            row["between_el2n"] = 0.8 + noise
        rows.append(row)
    return pd.DataFrame(rows)


def outcomes(table, **knobs):
    verdicts = rule(CARD, study.measure(table, **KNOBS | knobs), "laptop", KNOBS)
    return {verdict.id: verdict.outcome for verdict in verdicts}


def test_in_the_papers_world_all_but_the_preprints_claim_is_reproduced():
    found = outcomes(world())
    assert [name for name, outcome in found.items() if outcome != "reproduced"] == ["G1"]
    assert found["G1"] == "contradicted"


@pytest.mark.parametrize(
    "changed, contradicted",
    [
        ({"loss": 2.0}, {"D1", "D2", "D1m", "D2m"}),
        ({"gain": -1.0}, {"D3", "D4", "D3m", "D4m", "T2"}),
        ({"start": 1.0}, {"G2"}),
        ({"one": 0.4}, {"S1", "S2"}),
        ({"wrong": 0.3}, {"N1", "N2"}),
        ({"norm": 0.2}, {"G3"}),
        ({"worst": 0.0}, {"C1"}),
    ],
)
def test_another_world_contradicts_what_speaks_of_it(changed, contradicted):
    found = outcomes(world(**changed))
    assert {name for name, outcome in found.items() if outcome == "contradicted"} - {"G1"} == contradicted


def test_what_is_kept_of_a_run_gives_the_same_verdicts():
    """`redraw check` rules again from trials.csv."""
    table = world()
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert outcomes(again) == outcomes(table)


def test_what_a_run_left_out_is_not_tested():
    table = world()
    for lacking, names in {
        "other": (table["function"] != "compared") & (table["network"] == "mlp"),
        "mnist": table["dataset"] != "mnist",
        "noise": table["noise"] == 0,
    }.items():
        found = outcomes(table[names], **({"noise": 0.0} if lacking == "noise" else {}))
        expected = {
            "other": {"T1", "T2"},
            "mnist": {"D1m", "D2m", "D3m", "D4m", "F2"},
            "noise": {"N1", "N2", "N3", "N4"},
        }[lacking]
        assert {name for name, outcome in found.items() if outcome == "not_tested"} == expected, lacking
    assert set(outcomes(pd.DataFrame()).values()) == {"not_tested"}


def test_four_networks_are_not_ten():
    table = world()
    found = outcomes(table[(table["function"] != "ranked") | (table["seed"] < 4)])
    assert {name for name, outcome in found.items() if outcome == "not_tested"} == {"S1", "S2"}


def test_the_worst_class_is_chosen_by_the_other_seeds():
    """Else noise alone would make some class lose more than the mean in every seed."""
    rng = np.random.default_rng(1)
    losses = pd.DataFrame(rng.normal(0, 1, (400, 10)))
    values = study._uneven(losses).arms["measured"].values
    assert abs(values.mean()) < 0.15
    losses[3] += 2
    values = study._uneven(losses).arms["measured"].values
    assert values.mean() == pytest.approx(1.8, abs=0.15)
