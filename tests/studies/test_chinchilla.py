"""The Chinchilla study: its trials against their definitions, its claims on tables whose answers are known."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redraw import data
from redraw.scaling import (
    bootstrap_surface,
    compute_optimal,
    fit_loss_surface,
    hoffmann_starts,
    lbfgs_grid,
    resample_counts,
    wald_test,
)
from redraw.studies import chinchilla as study
from redraw.workbook import Store, judge_all, load_card, run_trials, trial_table

CARD = load_card(Path(__file__).parents[2] / "params" / "chinchilla.yaml")
MADE_UP = {"dropped": 0, "delta": 1e-3}


def knobs(preset="smoke", **overrides):
    return CARD.resolve(preset, overrides)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The table of a small run on made-up runs."""
    trials = study.plan(**knobs(replicates=200, starts=10))
    return trial_table(trials, run_trials(trials, store=Store(tmp_path_factory.mktemp("store")), jobs=1))


@pytest.fixture(scope="module")
def runs():
    return study.synthetic_runs()


def as_csv(table):
    """What a committed report keeps of a table: its scalars, as text."""
    kept = [name for name in table if not table[name].map(lambda v: isinstance(v, list | dict)).any()]
    return pd.read_csv(io.StringIO(table[kept].to_csv(index=False)))


def made_up(seeds=5):
    """A table in which the papers are right, but for a little noise between seeds."""
    published = {name: estimate for name, (estimate, _) in study.PUBLISHED.items()}
    rows = [
        {
            "function": "surface",
            "seed": 0,
            "log_likelihood": 879.8,
            "log_likelihood_0": 837.8,
            "log_likelihood_1": 562.3,
        }
    ]
    for seed in range(seeds):
        noise = 1 + 0.002 * np.cos(seed)
        row = {"function": "resampled", "seed": seed, **published}
        row |= {f"bootstrap_error_{name}": noise * error for name, (_, error) in study.PUBLISHED.items()}
        row |= {"low_alpha": 0.317 * noise, "high_alpha": 0.373, "low_beta": 0.331 * noise, "high_beta": 0.415}
        row |= {"low_a": 0.48 * noise, "high_a": 0.55 * noise, "wald": 238.4 * noise, "wald_log10_p": -48.8 * noise}
        row |= {"runs_needed": 6e5 * noise, "tokens_low": 10 * noise, "tokens_high": 29 * noise}
        rows += [
            row,
            {"function": "stopped", "seed": seed, "mean_over_sum": 1.7 * noise, "optimum": 1.0, "best_converged": 1.0},
        ]
    rows.append({"function": "classical", "seed": 0, "reduction": "mean", "a": 0.4605, "a_from_known": 0.4565})
    return pd.DataFrame(rows)


def outcomes(table, preset="laptop"):
    samples = study.measure(table, **knobs(preset))
    return {verdict.id: verdict.outcome for verdict in judge_all(CARD.claims, samples, preset)}


# The plan -------------------------------------------------------------------------------------------------------


def test_the_plan_counts_its_trials_and_names_its_data():
    trials = study.plan(**knobs("laptop", seeds=3, grid=["mean", "sum"]))
    assert len(trials) == 1 + 5 + 3 + 3 + 2
    assert all(trial.parameters["dataset"] == "chinchilla" for trial in trials)
    made_up = study.plan(**knobs())
    assert not any("dataset" in trial.parameters for trial in made_up) and len({t.key for t in made_up}) == len(made_up)
    with pytest.raises(ValueError, match="grid: must name each reduction once"):
        study.plan(**knobs(grid=["mean", "mean"]))


# The trials -----------------------------------------------------------------------------------------------------


def test_made_up_runs_follow_the_truth(runs):
    N, D, loss = runs
    C = 6 * N * D
    assert len(N) == 240 and (C > 1e18).all() and (C < 1e22).all() and (D / N > 1).all() and (D / N < 300).all()
    noise = np.log(loss / study.TRUTH(N, D))
    assert abs(noise.mean()) < 4 * 0.006 / np.sqrt(240) and noise.std() == pytest.approx(0.006, rel=0.2)
    again, other = study.synthetic_runs(), study.synthetic_runs(seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(runs, again, strict=True)) and not np.array_equal(N, other[0])


def test_dropping_takes_the_highest_losses_and_keeps_the_order(runs):
    N, D, loss = study.training_runs("synthetic", 7)
    assert len(loss) == 233 and loss.max() < np.sort(runs[2])[-7]
    kept = np.isin(runs[2], loss)
    assert np.array_equal(runs[0][kept], N) and np.array_equal(runs[1][kept], D)


def test_the_surface_trial_is_the_fit_and_its_residuals_are_grouped_by_compute(ran, runs):
    row = study.one(ran, "surface").iloc[0]
    N, D, loss = runs
    fit = fit_loss_surface(N, D, loss)
    for name in study.NAMES:
        assert row[name] == pytest.approx(fit[name], rel=1e-9)
        assert row[f"error_{name}"] == pytest.approx(fit.standard_errors[name], rel=1e-6)
    assert row["a"] == pytest.approx(fit["beta"] / (fit["alpha"] + fit["beta"]))
    frame = study.residuals(ran)
    assert list(dict.fromkeys(frame["surface"])) == ["refit", "truth", "truth, rounded"]
    order = np.argsort(6 * N * D)
    for label, known in {"refit": fit.surface, **study.SURFACES["synthetic"]}.items():
        bins = frame[frame["surface"] == label]
        for k in range(8):
            group = order[30 * k : 30 * (k + 1)]
            ratio = 100 * (np.sort(loss[group] / known(N[group], D[group])) - 1)
            assert bins["middle"].iloc[k] == pytest.approx((ratio[14] + ratio[15]) / 2, abs=1e-3)
            assert ratio[6] <= bins["low"].iloc[k] <= ratio[8] and ratio[21] <= bins["high"].iloc[k] <= ratio[23]


def test_the_bootstrap_trial_summarises_its_draws(ran, runs):
    row = study.one(ran, "resampled").iloc[1]
    fit = fit_loss_surface(*runs)
    draws = bootstrap_surface(fit, replicates=200, seed=1)
    a = draws.column("a")
    assert row["seed"] == 1 and row["bootstrap_error_a"] == pytest.approx(np.std(a, ddof=1))
    assert (row["low_a"], row["high_a"]) == pytest.approx(tuple(np.quantile(a, [0.025, 0.975])))
    z = stats.norm.ppf(0.9)
    assert row["runs_needed"] == pytest.approx(240 * (2 * z * np.std(a, ddof=1) / 0.001) ** 2)
    ratios = [compute_optimal(study.LossSurface(*draw[:5]), study.BUDGET).tokens_per_parameter for draw in draws.draws]
    found = [row["tokens_low"], row["tokens_middle"], row["tokens_high"]]
    assert found == pytest.approx(np.quantile(ratios, [0.1, 0.5, 0.9]))
    test = wald_test(fit, study.TRUTH, draws)
    assert row["wald"] == pytest.approx(test.statistic) and 10 ** row["wald_log10_p"] == pytest.approx(test.p_value)
    # one replicate is a fit to runs drawn with replacement
    counts = resample_counts(240, 200, 1)[17].astype(int)
    refit = fit_loss_surface(*(np.repeat(values, counts) for values in runs))
    assert draws.draws[17, :5] == pytest.approx(refit.estimate, rel=1e-4)


def test_a_profile_is_lowest_at_the_estimate_and_ends_at_the_limit(ran):
    frame = study.profiles(ran)
    assert list(dict.fromkeys(frame["parameter"])) == ["E", "alpha", "beta"]
    for _, rows in frame.groupby("parameter"):
        first = rows.iloc[0]
        assert rows["ratio"].min() == pytest.approx(0, abs=1e-4)
        assert first["low"] < first["estimate"] < first["high"]
        for end in ("low", "high"):
            assert np.interp(first[end], rows["value"], rows["ratio"]) == pytest.approx(first["limit"], rel=0.05)


def test_searches_stop_where_they_stop(ran, runs):
    row = study.one(ran, "stopped").iloc[0]
    fit = fit_loss_surface(*runs)
    drawn = np.random.default_rng(0).choice(hoffmann_starts(), size=10, replace=False)
    summed, averaged = (lbfgs_grid(*runs, starts=drawn, reduction=reduction) for reduction in ("sum", "mean"))
    assert row["share_sum"] == np.mean(summed.objectives < fit.objective * 1.001)
    assert row["mean_over_sum"] == pytest.approx(stats.gmean(averaged.objectives / summed.objectives))
    assert row["share_converged"] >= row["share_sum"] >= row["share_mean"]
    assert row["optimum"] <= row["best_converged"] * (1 + 1e-9)
    frame = study.endings(ran)
    assert set(frame["way"]) == set(study.WAYS.values()) and frame["share"].between(0, 100).all()
    assert (frame.groupby("way")["share"].diff().dropna() >= 0).all()


def test_the_best_of_all_starts_and_what_the_known_surface_leads_to(monkeypatch, runs):
    few = hoffmann_starts()[::300]
    monkeypatch.setattr("redraw.scaling._classic.hoffmann_starts", lambda: few)
    fit = fit_loss_surface(*runs)
    summed, averaged = (study.classical(seed=0, reduction=reduction, **MADE_UP) for reduction in ("sum", "mean"))
    assert summed["objective"] == pytest.approx(fit.objective, rel=1e-6) and summed["share"] > 0
    assert summed["a_from_known"] == pytest.approx(fit.surface.a, abs=1e-4)
    assert averaged["objective"] > 1.01 * fit.objective and averaged["share"] == 0
    # the mean's gradient at the truth is below the tolerance: the search ends where it began
    assert averaged["a_from_known"] == pytest.approx(study.TRUTH.a, abs=2e-3)
    assert abs(averaged["a_from_known"] - fit.surface.a) > 2e-3


# The bias of approach 2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", study.PARABOLAS)
@pytest.mark.parametrize("width", study.WIDTHS)
def test_the_bias_is_the_vertex_of_a_parabola_through_two_exponentials(name, width):
    """Around the optimum the profile is P e^(-alpha u) + Q e^(beta u), u = log(N / N_opt), alpha P = beta Q; the
    least-squares parabola on a symmetric grid has its vertex at -s / 2c, and D misses by its inverse."""
    known = study.PARABOLAS[name]
    u = np.linspace(-1, 1, 15) * math.log(width)
    y = np.exp(-known.alpha * u) / known.alpha + np.exp(known.beta * u) / known.beta
    s2, s4 = (u**2).sum(), (u**4).sum()
    slope = (u * y).sum() / s2
    curvature = (len(u) * (u**2 * y).sum() - s2 * y.sum()) / (len(u) * s4 - s2**2)
    error, b = study.parabolas(name, width)
    assert error == pytest.approx(100 * (math.exp(slope / (2 * curvature)) - 1), abs=1e-7)
    assert b == pytest.approx(known.alpha / (known.alpha + known.beta), abs=1e-9)


def test_off_centre_grids_lie_at_more_tokens():
    """Towards more tokens, so too many are found; a constant error of the centre leaves b right, a drift does not."""
    assert all(error > 0 for error in study.errors("symmetric", "off by 3"))
    constant, drifting = (
        study.parabolas("symmetric", 8, off=study.OFF[how])[1] for how in ("off by 3", "drifting to 3")
    )
    assert constant == pytest.approx(0.5, abs=1e-9) and drifting > 0.501


def test_an_error_of_nothing_is_shown_as_nothing():
    assert [str(error) for error in study.errors("symmetric")] == ["0.0"] * 4


def test_what_is_drawn_beside_ours_is_what_the_claims_say():
    said = study.paper_bias().groupby("surface")["error"].apply(list)
    assert said["Chinchilla"] == CARD.claim("P2").reference.value
    assert said["asymmetric"] == CARD.claim("P3").reference.value
    ours = study.bias().groupby("surface")["error"].last()
    assert ours["asymmetric"] == pytest.approx(-23.12, abs=0.005) and ours["symmetric"] == pytest.approx(0, abs=1e-8)


# The claims -----------------------------------------------------------------------------------------------------


def test_every_claim_is_measured_whatever_ran(ran):
    ids = {claim.id for claim in CARD.claims}
    for table, name in ((ran, "smoke"), (pd.DataFrame(), "laptop"), (made_up(), "laptop")):
        assert set(study.measure(table, **knobs(name))) == ids


def test_estimates_and_errors_belong_to_their_claims():
    for i, (name, (estimate, error)) in enumerate(study.PUBLISHED.items(), 1):
        of_estimate, of_error = CARD.claim(f"E{i}"), CARD.claim(f"S{i}")
        assert (of_estimate.metric, of_estimate.reference.value) == (name, estimate)
        assert of_error.metric.endswith(f" {name}") and of_error.reference.value == error
        assert of_estimate.criterion.margin == pytest.approx(error / 10, rel=0.05)


def test_made_up_runs_decide_only_what_follows_from_formulas(ran):
    found = outcomes(ran, "smoke")
    assert found.pop("O1") == found.pop("W2") == "paper_error"
    decided = {id for id, outcome in found.items() if outcome != "not_tested"}
    assert decided == {f"P{i}" for i in range(1, 8)} and all(found[id] == "reproduced" for id in decided)


def test_a_world_where_the_papers_are_right_is_reproduced():
    found = outcomes(made_up())
    assert found.pop("O1") == found.pop("W2") == "paper_error"
    assert set(found.values()) == {"reproduced"}, found


@pytest.mark.parametrize(
    ("column", "value", "claims"),
    [
        ("A", 600.0, "E1"),
        ("B", 1000.0, "E2"),
        ("E", 1.69, "E3"),
        ("alpha", 0.34, "E4"),
        ("beta", 0.28, "E5"),
        ("a", 0.4565, "E6 M3"),
        ("bootstrap_error_A", 50.0, "S1"),
        ("bootstrap_error_B", 3000.0, "S2"),
        ("bootstrap_error_E", 0.01, "S3"),
        ("bootstrap_error_alpha", 0.001, "S4"),
        ("bootstrap_error_beta", 0.001, "S5"),
        ("bootstrap_error_a", 0.0003, "S6"),
        ("high_alpha", 0.35, "I1"),
        ("low_beta", 0.30, "I2"),
        ("wald_log10_p", -0.5, "R1"),
        ("wald", 20.0, "R2"),
        ("log_likelihood_1", 800.0, "R3"),
        ("runs_needed", 500.0, "W1"),
        ("high_a", 0.47, "C1"),
        ("low_a", 0.45, "C2"),
        ("tokens_high", 15.0, "T1"),
        ("tokens_high", 80.0, "T2"),
        ("mean_over_sum", 0.9, "M1"),
        ("a_from_known", 0.52, "M2"),
        ("best_converged", 0.9, "V1"),
    ],
)
def test_a_world_where_a_paper_is_wrong_is_contradicted(column, value, claims):
    table = made_up()
    wobble = 1 + 1e-4 * np.cos(table["seed"])
    found = outcomes(table.assign(**{column: np.where(table[column].notna(), value * wobble, np.nan)}))
    # 0.4565 is what the averaged loss should give, so M3 is the one claim that this a makes right
    assert {claim: found[claim] for claim in claims.split() if claim != "M3"} == {claims.split()[0]: "contradicted"}


def test_the_averaged_search_is_held_to_the_printed_digits():
    table = made_up()
    elsewhere = table.assign(a=np.where(table["function"] == "classical", 0.4495, table["a"]))
    assert outcomes(elsewhere)["M3"] == "contradicted"
    without = outcomes(table[table["function"] != "classical"])
    assert without["M2"] == without["M3"] == "not_tested"


def test_a_report_gives_the_same_samples_as_its_run(ran):
    """`redraw check` rules again on the scalars that a report keeps."""
    for table in (made_up(), ran.assign(dataset="chinchilla")):
        ours, again = (study.measure(t, **knobs("laptop")) for t in (table, as_csv(table)))
        for id, samples in ours.items():
            assert repr(samples) == repr(again[id]), id


def test_without_data_the_figures_are_empty_and_nothing_breaks():
    nothing = trial_table([], [])
    for frame in (study.residuals(nothing), study.profiles(nothing), study.endings(nothing)):
        assert frame.empty
    assert study.estimates(nothing, "chinchilla").empty and study.tokens_per_parameter(nothing, "chinchilla").empty
    assert list(study.exponents(nothing, "chinchilla")["who"]) == ["paper"] * 3 + ["reanalysis"]


def test_the_figures_tables(ran):
    tokens = study.tokens_per_parameter(ran, "synthetic")
    truth = tokens[tokens["surface"] == "truth"].iloc[-1]
    assert truth["middle"] == compute_optimal(study.TRUTH, 1e26).tokens_per_parameter == truth["low"]
    refit = tokens[tokens["surface"] == "refit"]
    assert (refit["low"] < refit["middle"]).all() and (refit["middle"] < refit["high"]).all()
    shown = study.estimates(ran, "synthetic").set_index("parameter")
    assert shown.loc["alpha", "truth"] == 0.348 and shown.loc["a", "truth"] == study.TRUTH.a
    assert set(study.estimates(ran, "chinchilla")) > {"published", "its error"}
    said = study.exponents(ran, "synthetic")
    assert said["label"].tolist() == ["truth", "refit, here"] and said["estimate"].iloc[1] == shown.loc["a", "refit"]


# The released runs ----------------------------------------------------------------------------------------------


@pytest.fixture
def released():
    if not data.available("chinchilla"):
        pytest.skip("the released points are not part of the project")
    return {"dataset": "chinchilla", "dropped": 5, "delta": 1e-3}


def test_the_released_runs_give_the_reanalysis(released):
    found = study.surface(seed=0, **released)
    assert found["runs"] == 240 and found["agree"] >= 5
    for name, (value, error) in study.PUBLISHED.items():
        assert abs(found[name] - value) < 0.1 * error
    for name, value in (("log_likelihood", 879.8), ("log_likelihood_0", 837.8), ("log_likelihood_1", 562.3)):
        assert found[name] == pytest.approx(value, abs=0.5)
    whole = study.surface(seed=0, **released | {"dropped": 0})
    assert whole["runs"] == 245 and whole["alpha"] != found["alpha"]


def test_no_released_run_gets_into_what_a_report_keeps(released):
    """Summaries only: no run's size, compute, loss or residual is a number of the record."""
    N, D, loss = study.training_runs("chinchilla", 5)
    known = list(study.SURFACES["chinchilla"].values())
    rows = np.concatenate([N, 6 * N * D, D, loss, *(np.log(loss / surface(N, D)) for surface in known)])
    kept = []

    def walk(value):
        if isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                walk(item)
        else:
            kept.append(float(value))

    walk(study.surface(seed=0, **released))
    assert not np.isclose(np.array(kept)[:, None], rows[None], rtol=1e-9, atol=0).any()
