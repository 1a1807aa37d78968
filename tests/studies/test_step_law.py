"""The Step Law study: its trials against their definitions, its claims on tables whose answers are known."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw import data
from redraw.scaling import LAWS, fit_step_law, law_regret, plateau_width
from redraw.studies import step_law as study
from redraw.workbook import Store, judge_all, load_card, run_trials, trial_table

CARD = load_card(Path(__file__).parents[2] / "params" / "step_law.yaml")


def knobs(preset="smoke", **overrides):
    return CARD.resolve(preset, overrides)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The table of the smoke run."""
    trials = study.plan(**knobs())
    return trial_table(trials, run_trials(trials, store=Store(tmp_path_factory.mktemp("store")), jobs=1))


@pytest.fixture(scope="module")
def runs():
    return study.synthetic_sweep()


def as_csv(table):
    """What a committed report keeps of a table: its scalars, as text."""
    kept = [name for name in table if not table[name].map(lambda v: isinstance(v, list | dict)).any()]
    return pd.read_csv(io.StringIO(table[kept].to_csv(index=False)))


def made_up(seeds=5):
    """A table in which the paper is right, but for a little noise between seeds and cells."""
    rows = []
    for seed in range(seeds):
        row = {"function": "fitted", "seed": seed, "low_batch_N": -0.05, "high_batch_N": 0.06}
        for name, value in study.PRINTED.items():
            noise = 0.002 * np.cos(seed)
            row |= {f"cell_low_{name}": value - 0.08 + noise, f"cell_high_{name}": value + 0.08 + noise}
        rows.append(row)
    for design, count in (("dense", 17), ("moe", 16)):
        for k in range(count):
            wobble = 1 + 0.1 * np.cos(k)
            row = {
                "function": "cell",
                "seed": k,
                "design": design,
                "slices": 20,
                "single": 20,
                "N": 1e9,
                "D": 1e10 * (k + 1),
            }
            row |= {f"regret_{law}": 8.0 * wobble for law in LAWS} | {"regret_step": 0.94 * wobble}
            rows.append(
                row | {"lr_factor": 2.6 * wobble, "batch_factor": 2.5 * wobble, "lr_over": 1.0, "batch_over": 1.0}
            )
    return pd.DataFrame(rows)


def outcomes(table, preset="laptop"):
    samples = study.measure(table, **knobs(preset))
    return {verdict.id: verdict.outcome for verdict in judge_all(CARD.claims, samples, preset)}


# The plan -------------------------------------------------------------------------------------------------------


def test_the_plan_counts_its_trials_and_names_its_data():
    trials = study.plan(**knobs("laptop", seeds=3))
    assert len(trials) == 3 + 2 + 17 + 16
    assert all(trial.parameters["dataset"] == "steplaw" for trial in trials)
    assert not any("dataset" in trial.parameters for trial in study.plan(**knobs()))
    with pytest.raises(ValueError, match="designs: must be dense for made-up runs"):
        study.plan(**knobs(designs=["moe"]))
    with pytest.raises(ValueError, match="designs: must name each design once"):
        study.plan(**knobs(designs=["dense", "dense"]))


# The trials -----------------------------------------------------------------------------------------------------


def test_the_made_up_sweep_has_its_optimum_at_the_printed_law():
    clean = study.synthetic_sweep(noise=0.0)
    assert clean["cell"].nunique() == study.CELLS["synthetic", "dense"]
    for _, cell in clean.groupby("cell"):
        best = cell.loc[cell["loss"].idxmin()]
        lr, batch = 1.79 * best["N"] ** -0.713 * best["D"] ** 0.307, 0.58 * best["D"] ** 0.571
        # the nearest run of a grid of half octaves
        assert abs(np.log2(best["lr"] / lr)) < 0.5 and abs(np.log2(best["batch"] / batch)) < 0.5
    again, other = study.synthetic_sweep(), study.synthetic_sweep(seed=1)
    assert study.synthetic_sweep().equals(again) and not other["loss"].equals(again["loss"])


def test_the_fit_is_the_authors_rule(ran, runs):
    row = study.one(ran, "fitted").iloc[1]
    near = runs[runs["loss"] <= 1.0025 * runs.groupby("cell")["loss"].transform("min")]
    assert row["runs"] == len(near)
    X = np.column_stack([np.ones(len(near)), np.log(near["N"]), np.log(near["D"])])
    lr, batch_full = (np.linalg.lstsq(X, np.log(near[y]), rcond=None)[0] for y in ("lr", "batch"))
    batch = np.linalg.lstsq(X[:, [0, 2]], np.log(near["batch"]), rcond=None)[0]
    assert (row["lr_N"], row["lr_D"]) == pytest.approx(tuple(lr[1:]))
    assert (row["batch_D"], row["batch_N"]) == pytest.approx((batch[1], batch_full[1]))
    assert row["lr_c"] == pytest.approx(np.exp(lr[0])) and row["batch_c"] == pytest.approx(np.exp(batch[0]))
    fit = fit_step_law(runs, replicates=200, seed=1)
    assert (row["cell_low_lr_D"], row["cell_high_lr_D"]) == fit.by_cell.interval("D")
    assert (row["run_low_batch_D"], row["run_high_batch_D"]) == fit.batch_by_run.interval("D")
    first = study.one(ran, "fitted").iloc[0]
    assert first["lr_N"] == row["lr_N"] and first["run_low_lr_N"] != row["run_low_lr_N"]


def test_the_made_up_law_is_found_again(ran):
    row = study.one(ran, "fitted").iloc[0]
    for name, value in study.PRINTED.items():
        assert row[f"low_{name}"] - 0.05 < value < row[f"high_{name}"] + 0.05


@pytest.mark.parametrize("index", range(6))
def test_a_cell_is_the_one_that_it_says_and_its_numbers_are_its_own(ran, runs, index):
    row = study.cells(ran, "dense").iloc[index]
    name = sorted(set(runs["cell"]))[index]
    whole = law_regret(runs, "porian").set_index("cell").loc[name]
    assert (row["N"], row["D"]) == (whole["N"], whole["D"])
    assert row["regret_porian"] == pytest.approx(whole["regret"])
    width = plateau_width(runs).set_index("cell").loc[name]
    assert row["lr_factor"] == width["lr_factor"] and row["batch_factor"] == width["batch_factor"]
    cell = runs[runs["cell"] == name]
    near = cell[cell["loss"] <= 1.0025 * cell["loss"].min()]
    lr = 1.79 * row["N"] ** -0.713 * row["D"] ** 0.307
    assert row["lr_over"] == pytest.approx(lr / near["lr"].prod() ** (1 / len(near)))
    assert 0 <= row["regret_step"] < 2 and row["regret_step"] < row["regret_openai"]
    assert row["slices"] >= row["single"] > 0


def test_the_bowl_is_the_median_over_cells(ran, runs):
    frame = study.heat(ran)
    point = frame[(frame["lr"] == 1.0) & (frame["batch"] == -0.5)]["excess"].item()
    found = []
    for _, cell in runs.groupby("cell"):
        best = cell.loc[cell["loss"].idxmin()]
        here = cell[np.isclose(cell["lr"], best["lr"] * 2) & np.isclose(cell["batch"], best["batch"] * 2**-0.5)]
        found += (1000 * (here["loss"] / best["loss"] - 1)).tolist()
    assert len(found) >= 3 and point == pytest.approx(np.median(found))
    assert frame[(frame["lr"] == 0) & (frame["batch"] == 0)]["excess"].item() == 0 and (frame["excess"] >= 0).all()


def test_the_exponents_at_the_authors_threshold_are_the_fit(ran):
    frame, row = study.by_threshold(ran), study.one(ran, "fitted").iloc[0]
    at = frame[np.isclose(frame["threshold"], 0.25)].set_index("exponent")
    for name, symbol in study.SYMBOLS.items():
        assert at.loc[symbol, "middle"] == pytest.approx(row[name])
        assert at.loc[symbol, "low"] == pytest.approx(row[f"low_{name}"])


# The claims -----------------------------------------------------------------------------------------------------


def test_microsofts_coefficient():
    assert study.microsoft(1e9) == 1.55e-3 and study.microsoft(1.0) == pytest.approx(
        CARD.claim("K1").counted, rel=1e-13
    )
    N, D = 3e9, 5e10
    ours = study.microsoft(1.0) * N**-0.23 * D**-0.32
    assert ours == pytest.approx(LAWS["microsoft"].lr(N, D, None)) == pytest.approx(1.55e-3 * 3**-0.23 * 50**-0.32)


def test_every_claim_is_measured_whatever_ran(ran):
    ids = {claim.id for claim in CARD.claims}
    for table, preset in ((ran, "smoke"), (pd.DataFrame(), "laptop"), (made_up(), "laptop")):
        assert set(study.measure(table, **knobs(preset))) == ids


def test_made_up_runs_decide_only_what_follows_from_formulas(ran):
    found = outcomes(ran, "smoke")
    assert found.pop("K1") == "paper_error" and set(found.values()) == {"not_tested"}


def test_a_world_where_the_paper_is_right_is_reproduced():
    found = outcomes(made_up())
    assert (found.pop("K1"), found.pop("G3")) == ("paper_error", "not_tested")
    assert set(found.values()) == {"reproduced"}, found


@pytest.mark.parametrize(
    ("column", "value", "claim"),
    [
        ("cell_high_lr_N", -0.75, "X1"),
        ("cell_high_lr_D", 0.26, "X2"),
        ("cell_low_batch_D", 0.60, "X3"),
        ("high_batch_N", -0.18, "X4"),
        ("regret_porian", 0.5, "G1"),
        ("regret_step", 5.0, "G2"),
        ("regret_microsoft", 0.5, "G4"),
        ("single", 15, "U1"),
        ("lr_factor", 1.3, "W1"),
        ("batch_factor", 1.3, "W2"),
    ],
)
def test_a_world_where_the_paper_is_wrong_is_contradicted(column, value, claim):
    table = made_up()
    wobble = 1 + 1e-3 * np.cos(table["seed"])
    broken = table.assign(**{column: np.where(table[column].notna(), value * wobble, np.nan)})
    assert outcomes(broken)[claim] == "contradicted"


def test_cells_that_were_left_out_are_not_tested():
    found = outcomes(made_up().query("design != 'moe'"))
    assert found["G4"] == "not_tested" and found["G1"] == "reproduced"


def test_a_report_gives_the_same_samples_as_its_run(ran):
    """`redraw check` rules again on the scalars that a report keeps."""
    for table in (made_up(), ran.assign(dataset="steplaw")):
        ours, again = (study.measure(t, **knobs("laptop")) for t in (table, as_csv(table)))
        for id, samples in ours.items():
            assert repr(samples) == repr(again[id]), id


def test_the_figures_tables(ran):
    frame = study.exponents(ran)
    assert frame["who"].tolist() == ["printed", "by run", "by cell"] * 3 + ["printed", "by cell"]
    costs = study.regrets(ran, "dense")
    assert costs["estimate"].is_monotonic_increasing and costs["label"].iloc[0] == "Step Law"
    values = study.cells(ran, "dense")["regret_step"]
    assert costs["estimate"].iloc[0] == pytest.approx(values.mean()) and costs["worst"].iloc[0] == values.max()
    assert set(study.misses(ran)["what"]) == {"learning rate", "batch size"} and len(study.misses(ran)) == 12


def test_without_data_the_figures_are_empty_and_nothing_breaks():
    nothing = trial_table([], [])
    for frame in (
        study.heat(nothing),
        study.by_threshold(nothing),
        study.misses(nothing),
        study.regrets(nothing, "moe"),
    ):
        assert frame.empty
    assert set(study.exponents(nothing)["who"]) == {"printed"}


# The released runs ----------------------------------------------------------------------------------------------


def test_the_released_runs_have_the_cells_that_are_planned_for():
    if not data.available("steplaw"):
        pytest.skip("the released runs are not part of the project")
    for design in ("dense", "moe"):
        assert study.sweep("steplaw", design)["cell"].nunique() == study.CELLS["steplaw", design]
    found = study.fitted(seed=0, threshold=0.0025, replicates=200, dataset="steplaw")
    assert found["low_lr_N"] < -0.713 < found["high_lr_N"] and found["low_batch_D"] < 0.571 < found["high_batch_D"]
    assert found["run_high_lr_D"] < 0.307 and found["high_batch_N"] < 0
