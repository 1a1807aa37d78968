import numpy as np
import pandas as pd
import pytest

from redraw.scaling import (
    ScalingError,
    cell_minima,
    fit_step_law,
    law_regret,
    near_optimal,
    plateau_width,
    regret_table,
    rule_from_fit,
    slice_optima,
    snap,
    steplaw_runs,
    sweep_table,
    threshold_sensitivity,
    unimodality,
)


def truth(N, D, loss):
    return 2 * N**-0.7 * D**0.3, 0.5 * D**0.6


def test_snap_joins_spellings():
    np.testing.assert_allclose(
        snap([0.000345, 0.0003453, 0.0009766, 0.000977]), 2.0 ** np.array([-11.5, -11.5, -10, -10])
    )
    with pytest.raises(ScalingError, match="values"):
        snap([0.0004])


def test_sweep_table_checks():
    good = {"cell": ["a", "a"], "N": [1, 1], "D": [2, 2], "lr": [0.1, 0.2], "batch": [8, 16], "loss": [3.0, np.nan]}
    table = sweep_table(**good)
    assert len(table) == 1 and table.drop(columns="cell").dtypes.eq(np.float64).all()
    with pytest.raises(ScalingError, match="N: must be constant in a cell"):
        sweep_table(**(good | {"N": [1, 2], "loss": [3.0, 3.1]}))
    with pytest.raises(ScalingError, match="lr: must be positive"):
        sweep_table(**(good | {"lr": [0, 1]}))
    with pytest.raises(ScalingError, match="columns"):
        near_optimal(pd.DataFrame({"loss": [1.0]}))


def test_released_layout_is_understood():
    frame = pd.DataFrame({
        "lr": [0.000345, 0.0003453], "bs": [16, 32], "smooth loss": [2.5, 2.4], "D": np.array([10**11] * 2),
        "N": np.array([214663680] * 2), "Na": [10**7] * 2, "moe_name": ["1in8", "2in8"],
    })  # fmt: skip
    dense = steplaw_runs(frame.drop(columns=["moe_name", "Na"]))
    assert dense["cell"].nunique() == 1 and dense["lr"].nunique() == 1
    assert dense["batch"].tolist() == [32768.0, 65536.0]
    mixture = steplaw_runs(frame, size="Na")
    assert mixture["cell"].nunique() == 2 and mixture["N"].tolist() == [1e7, 1e7]
    with pytest.raises(ScalingError, match="smooth loss"):
        steplaw_runs(frame.drop(columns="smooth loss"))


def test_near_optimal_and_minima(bowl_sweep):
    runs = bowl_sweep()
    best = cell_minima(runs)
    assert len(best) == 12 and (best["runs"] == 400).all() and not best["edge"].any()
    assert len(near_optimal(runs, 0)) == 12
    near = near_optimal(runs, 0.0025)
    brute = [g[g["loss"] <= 1.0025 * g["loss"].min()] for _, g in runs.groupby("cell")]
    assert len(near) == sum(map(len, brute))
    with pytest.raises(ScalingError, match="threshold"):
        near_optimal(runs, -1)
    cut = runs[runs["lr"] < 5e-4]
    assert cell_minima(cut)["edge"].any()


def test_minima_of_tables_put_together(bowl_sweep):
    """Two tables under each other have every label twice, and a label is no run."""
    runs = bowl_sweep()
    parts = [part.reset_index(drop=True) for _, part in runs.groupby("cell")]
    pd.testing.assert_frame_equal(cell_minima(pd.concat(parts)), cell_minima(runs))
    pd.testing.assert_frame_equal(cell_minima(runs.sample(frac=1, random_state=0)), cell_minima(runs))


def test_authors_rule_recovers_a_known_law(bowl_sweep):
    runs = bowl_sweep(octave=0.125)  # on half octaves the grid itself moves the exponents by a few hundredths
    fit = fit_step_law(runs, replicates=100)
    assert fit.lr["N"] == pytest.approx(-0.7, abs=0.02) and fit.lr["D"] == pytest.approx(0.3, abs=0.02)
    assert fit.batch["D"] == pytest.approx(0.6, abs=0.02)
    assert fit.batch_full["N"] == pytest.approx(0, abs=0.02)  # batch does not depend on N here
    assert fit.cells == 12 and fit.by_cell.standard_errors["D"] > 0
    table = threshold_sensitivity(runs, [0, 0.0025, 0.01])
    np.testing.assert_allclose(table["lr_N"], -0.7, atol=0.03)
    assert ((table["lr_N_low"] < table["lr_N"]) & (table["lr_N"] < table["lr_N_high"])).all()
    assert table["runs"].is_monotonic_increasing


def test_regret_of_the_truth_is_nothing_and_of_a_shift_is_the_bowl(bowl_sweep):
    runs = bowl_sweep()
    grid = 1000 * (np.exp(0.014 * (np.log(2) / 4) ** 2) - 1)  # no run is further than a quarter octave from the optimum
    right = law_regret(runs, truth)
    assert right["inside"].all() and (right["regret"].abs() < 3 * grid).all()
    for how in ("linear", "nearest"):
        # the nearest run is up to a quarter octave away, where the bowl has moved by 2 * 0.01 * log(4) * 0.17 and more
        wrong = law_regret(runs, lambda N, D, L: (4 * truth(N, D, L)[0], truth(N, D, L)[1]), how=how)
        expected = 1000 * (np.exp(0.01 * np.log(4) ** 2) - 1)
        np.testing.assert_allclose(wrong["regret"], expected, atol=6.5 if how == "nearest" else 1.2)
        # with the batch left free the tilt of the bowl buys some of it back
        assert (wrong["regret_lr"] < wrong["regret"] + 0.3).all()


def test_regret_of_partial_and_outside_laws(bowl_sweep):
    runs = bowl_sweep()
    table = regret_table(
        runs, {"truth": truth, "lr only": lambda N, D, L: (truth(N, D, L)[0], None), "far": lambda N, D, L: (1.0, 1e9),
               "batch only": lambda N, D, L: (None, truth(N, D, L)[1]), "step": "step"},
    ).set_index("law")  # fmt: skip
    assert table.loc["lr only", "defines"] == "lr" and table.loc["batch only", "defines"] == "batch"
    assert table.loc["far", "inside"] == 0 and table.loc["far", "mean"] > 100
    assert table.loc["truth", "mean"] < table.loc["step", "mean"]
    fit = fit_step_law(runs, replicates=10)
    refit = regret_table(runs, {"refit": rule_from_fit(fit.lr, fit.batch)})
    assert refit["mean"][0] < 0.5
    for bad, match in (("nobody", "law"), (lambda N, D, L: (None, None), "law: must define")):
        with pytest.raises(ScalingError, match=match):
            law_regret(runs, bad)
    with pytest.raises(ScalingError, match="how"):
        law_regret(runs, "step", how="cubic")


def test_plateau_width_of_a_known_bowl(bowl_sweep):
    widths = plateau_width(bowl_sweep(), 0.0025)
    # an axis-parallel slice of the bowl: 0.01 u^2 <= log 1.0025, up to where on the grid the slice and its ends lie
    exact = np.exp(2 * np.sqrt(np.log1p(0.0025) / 0.01))
    assert widths["lr_factor"].median() == pytest.approx(exact, rel=0.08)
    assert not widths[["lr_open", "batch_open"]].any().any()
    assert (plateau_width(bowl_sweep(), 0.01)["lr_factor"] > widths["lr_factor"]).all()


def test_plateau_open_at_the_end_of_the_grid():
    lr = np.array([1e-3, 2e-3, 4e-3])
    runs = sweep_table(["a"] * 3, [1e8] * 3, [1e9] * 3, lr, [1e5] * 3, [2.0, 2.001, 2.1])
    row = plateau_width(runs, 0.0025).iloc[0]
    assert row["lr_open"] and row["batch_open"]
    # linear from 2.001 towards 2.1, up to 2.005, in log lr
    assert row["lr_factor"] == pytest.approx(2 * 2 ** ((2.005 - 2.001) / 0.099))


def test_unimodality():
    lr = 1e-3 * np.arange(1, 7)

    def one(loss, **options):
        runs = sweep_table(["a"] * 6, [1e8] * 6, [1e9] * 6, lr, [1e5] * 6, loss)
        return unimodality(runs, **options).iloc[0]

    assert one([2.2, 2.1, 2.0, 2.05, 2.1, 2.15], window=1)["unimodal"]
    two = one([2.2, 2.0, 2.1, 2.05, 2.1, 2.15], window=1)
    assert not two["unimodal"] and two["dip"] == pytest.approx(2.1 / 2.05 - 1) and two["axis"] == "lr"
    assert one([2.2, 2.0, 2.1, 2.05, 2.1, 2.15], window=1, tolerance=0.03)["unimodal"]
    # diverged runs are noise and are left out unless asked for
    wild = [2.0, 2.01, 2.02, 2.04, 7.1, 6.9]
    assert one(wild, window=0.1)["unimodal"] and not one(wild, window=np.inf)["unimodal"]
    assert one([7.0, 6.9, 2.0, 2.01, 2.02, 2.03], window=0.1)["points"] == 4


def test_a_smooth_bowl_is_unimodal_everywhere_and_noise_is_not(bowl_sweep):
    assert unimodality(bowl_sweep(), window=1)["unimodal"].all()
    noisy = unimodality(bowl_sweep(noise=0.002), window=1)["unimodal"].mean()
    assert noisy < 0.9
    assert unimodality(bowl_sweep(noise=0.002), window=1, tolerance=0.02)["unimodal"].all()


def test_slice_optima_are_exact_on_parabolas_whatever_the_grid():
    lr, batch = np.meshgrid([1e-4, 3e-4, 5e-4, 2e-3, 9e-3], [10.0, 20.0, 70.0])
    best = 6e-4 * (batch / 20) ** 0.5
    loss = 2.5 * np.exp(0.02 * np.log(lr / best) ** 2) * np.exp(0.01 * np.log(batch / 20) ** 2)
    columns = (grid.ravel() for grid in (lr, batch, loss))
    found = slice_optima(sweep_table(["a"] * 15, [1e9] * 15, [1e10] * 15, *columns))
    assert found["batch"].tolist() == [10, 20, 70] and not found["edge"].any()
    np.testing.assert_allclose(found["lr"], 6e-4 * (found["batch"] / 20) ** 0.5)
    np.testing.assert_allclose(found["loss"], 2.5 * np.exp(0.01 * np.log(found["batch"] / 20) ** 2))


def test_slice_optima_at_the_edge_are_marked_and_level_slices_keep_the_middle():
    falling = sweep_table(["a"] * 3, [1] * 3, [2] * 3, [1, 2, 4], [8] * 3, [3.0, 2.5, 2.0])
    (row,) = slice_optima(falling).itertuples()
    assert (row.lr, row.loss, row.edge) == (4, pytest.approx(2.0), True)
    (row,) = slice_optima(falling.assign(loss=[2.0, 2.0, 2.0])).itertuples()
    assert row.edge  # the first of equals
    assert len(slice_optima(falling, "batch")) == 3
    with pytest.raises(ScalingError, match="^axis: must be lr or batch, not 'loss'"):
        slice_optima(falling, "loss")


@pytest.mark.parametrize("axis, other", [("lr", "batch"), ("batch", "lr")])
def test_slice_optima_lie_between_the_neighbours_of_the_lowest_run(axis, other):
    rng = np.random.default_rng(0)
    points = {axis: [1.0, 2.0, 4.0, 8.0] * 50, other: np.repeat(np.arange(1.0, 51), 4)}
    runs = sweep_table(["a"] * 200, [1] * 200, [2] * 200, points["lr"], points["batch"], rng.uniform(2, 3, 200))
    for row in slice_optima(runs, axis).itertuples():
        part = runs[runs[other] == getattr(row, other)].sort_values(axis).reset_index()
        i = part["loss"].idxmin()
        assert part[axis][max(i - 1, 0)] <= getattr(row, axis) <= part[axis][min(i + 1, 3)]
        assert row.loss <= part["loss"].min() * (1 + 1e-12)
