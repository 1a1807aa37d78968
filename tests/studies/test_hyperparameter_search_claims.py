"""The claims of the study of hyperparameter search ruled on made-up worlds: true ones reproduced, false ones
contradicted."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw.studies import hyperparameter_search as study
from redraw.workbook import Project, rule

CARD = Project(Path(__file__).resolve().parents[2]).card("hyperparameter_search")
FUNCTIONS = ["sphere", "rastrigin", "discus", "schwefel", "katsuura", "lunacek"]
KNOBS = CARD.resolve("paper", {"functions": FUNCTIONS, "searches": 6, "subsets": 12, "again": 6})
TOY = {(True, True): 1.198, (True, False): 0.39, (False, True): 1.1, (False, False): 0.39}
STOPPED = {"successive_halving": 30.0, "hyperband": 29.5, "bohb": 29.0, "asha": 30.0}
SPENT = {"successive_halving": 3.6, "hyperband": 19.5, "bohb": 19.5, "asha": 3.6}


def world(
    *,
    exploit=0.39,
    net=-2.0,
    replay=-2.0,
    early=0.0,
    model=1.0,
    own=2.0,
    apart=0.0,
    tau=0.2,
    gap=1.0,
    again=0.0,
    busy=0.9,
):
    """A table as the study's trials would give it. net, replay: of the population against constants; early: of early
    stoppers (pp); model: factor on the samplers' results against random's; own, apart: spread of a sampler's settings
    and between samplers."""
    rng, rows = np.random.default_rng(0), []
    for trial in study.plan(**KNOBS):
        p, function = dict(trial.parameters), trial.function.partition(":")[2]
        row, noise = {"function": function, "seed": trial.seed, **p}, rng.normal(0, 0.03)
        if function == "toy":
            ways = p["exploit"], p["explore"]
            row["best"] = exploit if ways == (True, False) else TOY[ways] + (noise / 100 if p["explore"] else 0)
        elif function == "populated":
            row |= {"population_test": 35 + net + noise, "constant_test": 35.0}
            row |= {"replayed": 35 + replay + noise, "constant_again": 35.0}
        elif function == "told_stopped":
            end = [9, 81.0, 30.0, STOPPED[p["method"]] + early + noise]
            row |= {"improved": json.dumps([end]), "spent": SPENT[p["method"]]}
            row |= {"busy": (busy if p["method"] == "asha" else 0.5) + noise / 10}
        elif function == "chosen":
            row |= {"tau": tau + noise, "gap_one": gap + noise, "gap_three": gap / 2 + noise}
        elif function == "trained_again":
            row |= {"again": 40 + again + noise, "recorded": 40.0}
        else:
            row["improved"] = json.dumps(improved(p, trial.seed, rng, model, own, apart))
        rows.append(row)
    return pd.DataFrame(rows)


def improved(p, seed, rng, model, own, apart):
    """A search's record: random search halves its distance with every doubling, others are `model` times as far."""
    if p["task"] == "table" and p["sampler"] != "random":
        words = [", ".join(f"{n} {v}" for n, v in settings.items()) for settings in study.LOTTERY[p["sampler"]]]
        level = 30 + own * words.index(p["own"]) / len(words) + apart * (p["sampler"] == "tpe")
        return [[n, 81.0 * n, level + 2 / n, level + 2 / n + rng.normal(0, 0.03)] for n in (1, 5, 25, 125)]
    if p["task"] == "table":
        return [[n, 81.0 * n, 30 + 4 / n, 30 + 4 / n + rng.normal(0, 0.03)] for n in (1, 2, 5, 10, 30, 60, 190)]
    far = (1 if p["sampler"] == "random" else model) * np.exp(rng.normal(0, 0.2)) * (10 + seed)
    return [[n, 81.0 * n, far / n, far / n] for n in range(1, p["trials"] + 1)]


def outcomes(table):
    verdicts = rule(CARD, study.measure(table, **KNOBS), "paper", KNOBS | {})
    return {verdict.id: verdict.outcome for verdict in verdicts}


def test_in_the_papers_world_claims_are_reproduced():
    found = outcomes(world())
    assert {name for name, outcome in found.items() if outcome == "contradicted"} == set()
    assert {"P1", "P2", "P3", "P4", "P5", "P6", "H1", "H2", "H3", "H4", "H5", "B1", "B2"} <= reproduced(found)
    assert {"L1", "L2", "S1", "S2", "S3", "C1", "T1"} <= reproduced(found)


def reproduced(found):
    return {name for name, outcome in found.items() if outcome == "reproduced"}


@pytest.mark.parametrize(
    ("changed", "contradicted"),
    [
        ({"exploit": 1.19}, {"P3"}),
        ({"net": 2.0}, {"P5"}),
        ({"replay": 2.0}, {"P6"}),
        ({"early": 3.0}, {"H1", "H2", "H3"}),
        ({"model": 0.2}, {"B1", "B2"}),
        ({"own": 0.1, "apart": 2.0}, {"L1", "L2"}),
        ({"tau": 0.8}, {"S1"}),
        ({"gap": -1.0}, {"S2", "S3"}),
        ({"again": 3.0}, {"T1"}),
        ({"busy": 0.2}, {"H5"}),
    ],
)
def test_another_world_contradicts_what_speaks_of_it(changed, contradicted):
    found = outcomes(world(**changed))
    assert {name for name, outcome in found.items() if outcome == "contradicted"} == contradicted


def test_verdicts_follow_from_the_table_as_a_file():
    table = world()
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert outcomes(read) == outcomes(table)


def test_what_was_left_out_is_not_tested():
    knobs = CARD.resolve("smoke")
    table = world()
    part = table[table["function"].isin(["toy", "trained_again"])]
    found = study.measure(part, **knobs)
    assert {name for name, samples in found.items() if not samples.missing} == {"P1", "P2", "P3", "P4", "T1"}
    assert {samples.missing for name, samples in found.items() if samples.missing} == {"not_tested"}
    assert found.keys() == {claim.id for claim in CARD.claims}


# What the claims rest on ------------------------------------------------------------------------------------------


def test_the_best_so_far_is_what_was_known_by_then():
    record = [[1, 81.0, 5.0, 9.0], [4, 324.0, 3.0, 8.0]]
    assert study.best_after(record, 3) == 5.0 and study.best_after(record, 4) == 3.0
    assert study.best_after(record, 324.0, spent=True, tested=True) == 8.0
    assert np.isnan(study.best_after(record, 0))


def test_nobody_gets_to_a_target_that_is_out_of_reach():
    rows = [
        {"function": "told", "seed": 0, "sampler": sampler, "own": "none", "trials": 8, "task": "sphere, 2"}
        | {"improved": json.dumps(record)}
        for sampler, record in (
            ("random", [[1, 1, 4.0, None], [3, 3, 2.0, None]]),
            ("tpe", [[2, 2, 1.0, None]]),
            ("cma_es", [[1, 1, 3.0, None]]),
        )
    ]
    times = study.to_target(pd.DataFrame(rows), 8)
    assert times.loc["sphere, 2"].to_dict() == {"random": 3.0, "tpe": 2.0, "cma_es": np.inf}


def test_pairs_that_are_always_in_the_same_order_differ():
    assert study.share_alike(np.array([[1.0, 2.0, 3.0]] * 40), 0.9) == 0
    assert study.share_alike(np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]] * 20), 0.9) == pytest.approx(1 / 3)


def test_a_score_hangs_on_the_best_competitor():
    times = pd.DataFrame([[1.0, 4.0, 8.0]] * 6, columns=["a", "b", "c"])
    changes = study.task_changes(times)
    assert changes.shape == (6, 3, 3) and study.largest_change(changes) == pytest.approx(1)  # of b, when a is out
    assert np.isnan(changes[0, 0, 0]) and changes[0, 2].tolist()[:2] == [0, 0]


def test_tasks_are_points_between_the_best_and_the_worst():
    index = pd.MultiIndex.from_product([["t", "u"], [0, 1]], names=["task", "seed"])
    found = pd.DataFrame({"a": [1.0, 1.0, 2.0, 2.0], "b": [4.0, 4.0, 2.0, 2.0]}, index=index)
    assert study.task_points(found).to_numpy().tolist() == [[0.0, 1.0], [0.0, 0.0]]
