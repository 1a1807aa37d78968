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
    return pd.DataFrame(rows + made_up_own())


def made_up_own():
    """The same of our own sweep: cells whose exponents are the printed ones, and runs trained again."""
    rows = []
    for floor, factor in (("fixed", 1.0), ("tenth", 0.8)):
        for k, (N, D) in enumerate((N, D) for N in (1e4, 3e4, 1e5) for D in (1e5, 2e5, 4e5)):
            wobble = 1 + 0.02 * np.cos(3 * k + factor)
            row = {"function": "micro_cell", "seed": k, "floor": floor, "N": N, "D": D, "slices": 10, "single": 10}
            for batch in study.GRID["batch"]:
                # along a batch that grows as D^0.571: D^(0.307 - 0.571 / 2 + 0.571 / 2)
                row[f"lr_{batch}"] = factor * wobble * N**-0.713 * D ** (0.307 - 0.571 / 2) * batch**0.5
            row |= {"near_batch": wobble * D**0.571, "noise": 0.004, "batch_edge": False}
            row |= {f"regret_{law}": 80.0 * wobble for law in LAWS} | {"regret_step": 9.0 * wobble}
            rows.append(row)
    for k, run in enumerate(study.own_runs().head(6).itertuples()):
        settings = {"width": run.width, "tokens": run.D, "lr": run.lr, "batch": run.batch, "floor": run.floor}
        rows.append({"function": "micro_run", "seed": run.seed, **settings, "loss": run.loss * (1 + 1e-5 * np.cos(k))})
    return rows


OURS = {f"S{i}" for i in range(1, 9)} | {"T1"}


def outcomes(table, preset="laptop"):
    samples = study.measure(table, **knobs(preset))
    return {verdict.id: verdict.outcome for verdict in judge_all(CARD.claims, samples, preset)}


# The plan -------------------------------------------------------------------------------------------------------


def test_the_plan_counts_its_trials_and_names_its_data():
    trials = study.plan(**knobs("laptop", seeds=3))
    assert len(trials) == 3 + 2 + 17 + 16 + 2 * 9 + 12
    named = [trial.parameters["dataset"] for trial in trials]
    assert [named.count(name) for name in ("steplaw", "micro_sweep", "world_english_bible")] == [38, 18, 12]
    assert {trial.parameters.get("dataset") for trial in study.plan(**knobs())} == {None, "micro_sweep"}
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
    assert found.pop("K1") == "paper_error" and found.pop("T1") == "not_tested"
    ours = {found.pop(id) for id in OURS - {"T1"}}
    assert "not_tested" not in ours and set(found.values()) == {"not_tested"}


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
        ("regret_porian", 2.0, "S8"),
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


@pytest.mark.parametrize(
    ("change", "contradicted"),
    [
        (lambda t: t | {f"lr_{b}": t[f"lr_{b}"] * t["N"] ** 1.0 for b in study.GRID["batch"]}, {"S1", "S2"}),
        (lambda t: t | {f"lr_{b}": t[f"lr_{b}"] * t["D"] ** -0.7 for b in study.GRID["batch"]}, {"S3", "S4"}),
        (lambda t: t | {"near_batch": t["near_batch"] * t["D"] ** -0.9}, {"S5"}),
        (lambda t: t | {"near_batch": t["near_batch"] * t["N"] ** 0.4}, {"S6"}),
    ],
)
def test_our_own_sweep_in_a_world_where_the_law_is_another(change, contradicted):
    rows = [change(row) if row["function"] == "micro_cell" else row for row in made_up_own()]
    found = outcomes(pd.DataFrame(rows))
    ours = {id: found[id] for id in OURS}
    assert {id for id, outcome in ours.items() if outcome == "contradicted"} == contradicted, ours
    assert set(ours.values()) == {"contradicted", "reproduced"}


def test_a_floor_that_moves_the_best_rate_up_and_a_table_that_does_not_reproduce():
    rows = made_up_own()
    for row in rows:
        if row["function"] == "micro_run":
            row["loss"] *= 1.01
        elif row["floor"] == "tenth":
            row |= {f"lr_{batch}": 1.6 * row[f"lr_{batch}"] for batch in study.GRID["batch"]}
    found = outcomes(pd.DataFrame(rows))
    assert (found["S7"], found["T1"]) == ("contradicted", "contradicted")


def test_without_the_released_runs_our_own_are_still_ruled_on():
    found = outcomes(pd.DataFrame(made_up_own()))
    assert {id for id, outcome in found.items() if outcome == "reproduced"} == OURS
    assert found["X1"] == found["G1"] == "not_tested"


# Our own sweep --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 4, 8])
def test_a_cell_of_our_own_sweep_is_the_one_that_it_says(ran, index):
    row = study.own_cells(ran, "tenth").iloc[index]
    runs = study.own_runs()
    width = sorted(runs["width"].unique())[index // 3]
    mine = runs[(runs["width"] == width) & (runs["D"] == 2 ** (16 + index % 3)) & (runs["floor"] == "tenth")]
    assert (row["N"], row["D"]) == (mine["N"].iloc[0], mine["D"].iloc[0])
    means = mine.groupby(["lr", "batch"])["loss"].mean()
    assert row["loss"] == pytest.approx(means.min()) and (row["lr"], row["batch"]) == means.idxmin()
    near = means[means <= means.min() * 1.0025].reset_index()
    assert row["near_batch"] == pytest.approx(np.exp(np.log(near["batch"]).mean()))
    at = means.xs(128, level="batch").sort_index()
    i = at.to_numpy().argmin()
    three = np.polyfit(np.log(at.index[i - 1 : i + 2]), np.log(at.iloc[i - 1 : i + 2]), 2)
    assert row["lr_128"] == pytest.approx(np.exp(-three[1] / (2 * three[0])))
    assert row["regret_step"] >= 0 and row["slices"] == 6 + 4


def test_noise_is_the_pooled_spread_between_seeds():
    runs = study.own_runs()
    logs = [np.log(group["loss"]) for _, group in runs.groupby(["N", "D", "lr", "batch", "floor"]) if len(group) > 1]
    squares = sum(((values - values.mean()) ** 2).sum() for values in logs)
    assert study.noise(runs) == pytest.approx(np.sqrt(squares / sum(len(values) - 1 for values in logs)))
    assert 0.001 < study.noise(runs) < 0.02


def test_what_is_trained_again_is_drawn_from_the_short_runs_and_1000_is_all():
    few = study.again(5, 512)
    assert len(few) == 5 and all(t.parameters["tokens"] / t.parameters["batch"] <= 512 for t in few)
    assert [t.key for t in study.again(3, 512)] == [t.key for t in few[:3]]
    assert len(study.again(1000, 4096)) == len(study.own_runs()) and study.again(0, 4096) == []


def test_the_figures_of_our_own_sweep(ran):
    frame = study.own_lr(ran)
    assert set(frame["floor"]) == {"fixed", "tenth"} and len(frame) <= 2 * 9 * 4
    assert frame["printed"].to_numpy() == pytest.approx(1.79 * frame["N"] ** -0.713 * frame["D"] ** 0.307)
    exponents = study.own_exponents(ran)
    ours = exponents[exponents["who"] == "our own sweep"]
    assert (ours["low"] < ours["estimate"]).all() and (ours["estimate"] < ours["high"]).all()
    law = study.own_lr_law(study.best_lr(study.own_cells(ran, "fixed")))
    assert ours["estimate"].iloc[0] == pytest.approx(law["N"], abs=0.03)
    assert len(study.own_shift(ran)) == 9 and len(study.own_bowl()) == 24 and study.compared(ran).empty
    assert study.regrets(ran, "own")["estimate"].is_monotonic_increasing
    fit, best = study.own_surface()
    assert len(best) == 9 and best["residual"].abs().max() < 20


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
