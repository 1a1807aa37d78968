"""The study of hyperparameter search: its trials against what they say they are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from redraw import data, hpo
from redraw.studies import _hpo_figures as shown
from redraw.studies import _hpo_net as made
from redraw.studies import _hpo_runs as runs
from redraw.studies import hyperparameter_search as study
from redraw.workbook import load_card

CARD = load_card(Path(__file__).parents[2] / "params" / "hyperparameter_search.yaml")
CONFIG = {"lr": 0.1, "dropout": 0.2, "weight_decay": 1e-3}


def knobs(preset="smoke", **overrides):
    return CARD.resolve(preset, overrides)


# The plan -------------------------------------------------------------------------------------------------------


def test_the_plan_counts_its_trials():
    trials = study.plan(**knobs("paper"))
    tasks = 10 * 2 + 4
    compared = 5 * tasks * 8 + (4 + 1) * 8 + 12 * 8
    assert len(trials) == 4 * 20 + 8 + 20 + 18 + compared
    assert len({trial.key for trial in study.plan(**knobs())}) == len(study.plan(**knobs()))


def test_the_laptops_searches_are_some_of_the_papers():
    def named(preset):
        return {(t.function, str(sorted(t.parameters.items())), t.seed) for t in study.plan(**knobs(preset))}

    apart = named("laptop") - named("paper")
    assert {function.partition(":")[2] for function, _, _ in apart} == {"populated"}  # shorter there


def test_random_search_has_twice_the_evaluations_of_the_others():
    searches = [t.needs["search"] for t in study.plan(**knobs("paper")) if t.function.endswith(":told")]
    searches = [t for t in searches if t.parameters.get("fixed") or "problem" in t.parameters]
    lengths = {(t.parameters["sampler"], t.parameters["trials"]) for t in searches}
    assert lengths == {("random", 60), ("tpe", 30), ("gp", 30), ("cma_es", 30)}


def test_rows_are_trained_again_by_themselves_and_are_rows_of_the_table():
    again = [t.needs["run"] for t in study.plan(**knobs("paper")) if "run" in t.needs]
    assert len(again) == 20 and {t.parameters["seeds"] for t in again} == {1}
    assert all(t.parameters[name] in made.GRID[name] for t in again for name in made.GRID)
    assert {t.seed for t in again} <= set(made.TUNING + made.TEST) and len({t.seed for t in again}) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samplers": ["tpe"]}, "samplers: must have random, which all are compared with, got tpe"),
        ({"functions": ["sphere", "sphere"]}, "functions: must name at least one, each once, got sphere, sphere"),
        ({"functions": []}, "functions: must name at least one, each once, got none"),
        ({"dimensions": []}, "dimensions: must name at least one, each once, got none"),
        ({"stoppers": []}, "stoppers: must name at least one, each once, got none"),
    ],
)
def test_plans_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        study.plan(**knobs(**change))


# Population based training ---------------------------------------------------------------------------------------


def test_the_toy_does_what_the_paper_says():
    ends = {
        ways: [runs.toy(seed=s, exploit=e, explore=x)["best"] for s in range(3)] for ways, (e, x) in study.TOYS.items()
    }
    assert ends["grid"] == ends["exploit"] == pytest.approx([1.2 - 0.81 - 0.81 * 0.98**400] * 3)
    assert min(ends["population"]) > 1.19 > max(ends["explore"]) > 1
    found = runs.toy(seed=0, exploit=True, explore=True)
    assert len(found["path"]) == 2 and found["steps"][-1] == 200 and found["best"] == max(p[-1] for p in found["path"])


def test_a_net_that_goes_on_is_a_net_trained_in_one_go():
    straight, state = runs.net_objective("mnist1d", CONFIG, 2, 3, None)
    _, half = runs.net_objective("mnist1d", CONFIG, 1, 3, None)
    resumed, again = runs.net_objective("mnist1d", CONFIG, 2, 3, half)
    assert straight == resumed
    assert all(torch.equal(a, b) for a, b in zip(state["weights"], again["weights"], strict=True))
    changed, _ = runs.net_objective("mnist1d", CONFIG | {"lr": 1e-3}, 2, 3, half)
    assert changed != straight


def test_a_net_is_trained_as_pytorch_trains_it():
    config = {"lr": 0.1, "dropout": 0.0, "weight_decay": 1e-2}
    _, state = runs.net_objective("mnist1d", config, 1, 0, None)
    examples = data.load("mnist1d", validation=made.VALIDATION)
    from redraw.models import initialize, perceptron
    from redraw.seeds import generator

    model = initialize(perceptron((40,), runs.NET["hidden"]), "kaiming_normal", generator(0, "weights"))
    update = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    order = torch.randperm(len(examples.train_x), generator=generator(0, "batches", 0))
    for index in order.split(runs.NET["batch"]):
        update.zero_grad()
        torch.nn.functional.cross_entropy(model(examples.train_x[index]), examples.train_y[index]).backward()
        update.step()
    ours = [w[0].T if w.shape[1] > 1 else w[0, 0] for w in state["weights"]]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, model.parameters(), strict=True))


def test_a_population_is_recorded_with_its_lineage_and_replayed():
    found = runs.populated(seed=0, members=3, epochs=4, replays=1, dataset="mnist1d")
    steps = [
        ({name: found["schedule"][name][i] for name in runs.NET_SPACE.names}, stop)
        for i, stop in enumerate(found["schedule"]["stop"])
    ]
    assert steps[-1][1] == 4 and found["population"] == min(found["rounds"]["value"][-3:])
    assert found["population_test"] == runs.net_test_error("mnist1d", steps, 0)
    assert found["replayed"] == runs.net_test_error("mnist1d", steps, 1000)
    assert found["constant_test"] == runs.net_test_error("mnist1d", [(found["best_constant"], 4)], 0)
    replayed = hpo.replay(runs.partial(runs.net_objective, "mnist1d"), steps, seed=0)
    assert replayed[-1] == found["population"]  # the lineage's schedule leads to the very network
    assert set(found["rounds"]) >= {"member", "source", "fidelity", "survives", "value", "lr"}


# The table ------------------------------------------------------------------------------------------------------


def test_the_table_is_searched_by_its_own_rows():
    (frame,) = data.tables(study.GRID).values()
    table, test = runs.as_table(study.GRID)
    levels, *_ = runs.recorded(study.GRID)
    assert len(table.configs) == len(frame) / 6
    for place in (0, 100, len(table.configs) - 1):
        config = {name: levels[name][i] for name, i in table.configs[place].items()}
        rows = frame[(frame[list(config)] == list(config.values())).all(axis=1)]
        tuned = 100 * rows[rows["seed"].isin(made.TUNING)]["error_81"].mean()
        assert table.on(made.TUNING)(table.configs[place], 81, 0, None)[0] == pytest.approx(tuned, nan_ok=True)
        assert test[place] == pytest.approx(100 * rows[rows["seed"].isin(made.TEST)]["test_error"].fillna(0.9).mean())
        assert table.costs[place, -1] == pytest.approx(rows["cpu"].mean())


def test_a_part_of_the_table_is_a_task():
    whole, part = (
        runs.as_table(study.GRID)[0],
        runs.as_table(study.GRID, {"optimizer": "adamw", "schedule": "cosine"})[0],
    )
    assert len(part.configs) == len(whole.configs) / 4 and "optimizer" not in part.space.names
    config = {**part.configs[7], "optimizer": 1, "schedule": 1}
    assert np.array_equal(part.values[7], whole.values[whole.row(config)], equal_nan=True)


def test_searches_record_each_time_they_improve():
    found = runs.searched_table(seed=1, sampler="random", settings={}, trials=30, fixed={}, dataset=study.GRID)[
        "improved"
    ]
    values = [value for _, _, value, _ in found]
    assert values == sorted(values, reverse=True) and found[0][0] >= 1 and found[-1][0] <= 30
    assert all(spent == 81 * n for n, spent, _, _ in found)
    table, test = runs.as_table(study.GRID)
    row = int(np.argmin(np.abs(test - found[-1][3])))
    assert test[row] == pytest.approx(found[-1][3])
    assert found[-1][2] == pytest.approx(np.nanmin(table.values[test == test[row], :3, -1].mean(axis=1)))


def test_halving_spends_what_it_should():
    found = runs.stopped(seed=0, method="successive_halving", dataset=study.GRID)
    assert found["begun"] == 81 and 0 < found["busy"] <= 1
    assert found["spent"] <= (81 * 1 + 27 * 2 + 9 * 6 + 3 * 18 + 1 * 54) / 81 + 1e-9
    assert len(found["improved"]) == 1  # one setting is trained to the end


def test_test_functions_are_measured_from_their_optimum():
    found = runs.searched_function(seed=0, sampler="random", settings={}, trials=20, problem="sphere", dimension=2)
    f = hpo.bbob("sphere", 2, 0)
    search = hpo.random_search(f.objective, f.space, trials=20, seed=0)
    assert found["improved"][-1][2] == pytest.approx(search.best.value - f.value) and found["improved"][-1][2] >= 0


def test_settings_are_chosen_on_tuning_seeds_and_judged_on_test_seeds():
    first, second = (runs.chosen(seed=k, size=64, dataset=study.GRID) for k in (0, 1))
    assert first != second and -1 <= first["tau"] <= 1
    assert first["loss_one"] >= 0 and first["loss_three"] >= 0
    assert [row[0] for row in first["places"]] == sorted(row[0] for row in first["places"]) and first["places"][0][
        0
    ] == 1
    with pytest.raises(ValueError, match="^seed: must be one of 18 subsets"):
        runs.chosen(seed=18, size=64, dataset=study.GRID)


# The importance of hyperparameters --------------------------------------------------------------------------------


def test_variance_is_split_as_it_was_put_together():
    a, b, c = np.array([-1.0, 1]), np.array([-2.0, 0, 2]), np.array([-1.0, 1])
    values = 3 * a[:, None, None] + b[None, :, None] + 0.5 * a[:, None, None] * b[None, :, None] + 0 * c
    alone, pairs = shown.variance_shares(values)
    total = 9 + 8 / 3 + 0.25 * 8 / 3
    assert alone == pytest.approx([9 / total, 8 / 3 / total, 0])
    assert pairs == pytest.approx([0.25 * 8 / 3 / total] * 2 + [0])


def test_importance_is_of_every_hyperparameter():
    frame = shown.importance()
    assert len(frame) == 16 and (frame["estimate"] > -1e-12).all() and frame["estimate"].max() < 1
    assert (frame["low"] <= frame["estimate"]).all() and (frame["estimate"] <= frame["high"]).all()


def test_every_seed_is_the_tuning_seed_in_turn():
    lucky = np.zeros((3, 6)) + np.array([3.0, 0, 0, 0, 0, 0]) + np.array([[0.0], [1.0], [2.0]])
    assert runs._tuned_on(lucky, 1) == pytest.approx((0, 0))  # a seed that is bad for all settings is not overfitting
    assert runs._tuned_on(lucky, 3) == pytest.approx((0, 0))
    noise = [np.random.default_rng(k).normal(size=(100, 6)) for k in range(60)]
    one, three = (np.mean([runs._tuned_on(errors, count)[0] for errors in noise]) for count in (1, 3))
    assert one == pytest.approx(2.508, rel=0.1)  # the expected lowest of 100 normal numbers: all of it is luck
    assert three == pytest.approx(2.508 / np.sqrt(3), rel=0.1)
