"""The measured table: stacked training is training each network, and the table is what its trials say."""

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from redraw import data, schedules
from redraw.models import initialize, perceptron
from redraw.seeds import generator
from redraw.studies import _hpo_net as made
from redraw.studies import _hpo_table
from redraw.training import batches

SETTING = {"lr": 0.1, "batch": 500, "width": 8, "depth": 3, "weight_decay": 0.01, "dropout": 0.0}
SETTING |= {"schedule": "cosine", "optimizer": "sgd", "dataset": "mnist1d"}


def alone(seed, *, lr, batch, width, depth, weight_decay, dropout, schedule, optimizer, dataset, steps):
    """One network trained by PyTorch's own modules and the project's own loop parts; its logits on validation."""
    examples = data.load(dataset, validation=made.VALIDATION)
    model = perceptron((40,), depth * (width,))
    initialize(model, "kaiming_normal", generator(seed, "weights"))
    kinds = {"sgd": lambda p: torch.optim.SGD(p, momentum=0.9, weight_decay=weight_decay, lr=lr)}
    kinds["adamw"] = lambda p: torch.optim.AdamW(p, weight_decay=weight_decay, lr=lr)
    update, draws = kinds[optimizer](model.parameters()), generator(seed, "dropout")
    total = max(made.steps_after(b, batch) for b in made.BUDGETS)
    drawn = batches(examples.train_x, examples.train_y, batch, generator(seed, "batches"))
    for step in range(steps):
        update.param_groups[0]["lr"] = lr * float(getattr(schedules, schedule)(step / total))
        x, y = next(drawn)
        for module in model:
            x = module(x)
            if isinstance(module, torch.nn.ReLU) and dropout:
                x = x * (torch.rand(x.shape, generator=draws) >= dropout) / (1 - dropout)
        update.zero_grad()
        F.cross_entropy(x, y).backward()
        update.step()
    return model(examples.validation_x).detach()


@pytest.mark.parametrize("change", [{}, {"optimizer": "adamw", "lr": 0.01}, {"dropout": 0.2, "schedule": "constant"}])
def test_stacked_training_is_training_each_network(change, monkeypatch):
    setting = SETTING | change
    last, seen = 27, {}
    monkeypatch.setattr(made, "BUDGETS", (1, last, 81))

    def keep(layers, x, y):
        seen.setdefault(len(seen), made.forward(layers, x).detach().clone())
        return original(layers, x, y)

    original = made.error_of
    monkeypatch.setattr(made, "error_of", keep)
    made.table_run(seed=4, seeds=2, **setting)
    for place, budget in ((0, 1), (1, last)):
        for which, seed in enumerate((4, 5)):
            expected = alone(seed, **setting, steps=made.steps_after(budget, setting["batch"]))
            assert torch.allclose(seen[place][which], expected, atol=1e-5, rtol=1e-5)


def test_a_seed_does_not_depend_on_those_beside_it():
    both = made.table_run(seed=0, seeds=3, **SETTING | {"dropout": 0.2})
    one = made.table_run(seed=2, seeds=1, **SETTING | {"dropout": 0.2})
    assert np.allclose(both["error"][2], one["error"][0], atol=0.003)
    assert both["error"][0] != both["error"][2]
    assert len(one["error"][0]) == len(made.BUDGETS) and one["cpu"] > 0


def test_what_diverges_is_recorded_as_none_for_that_seed_alone():
    found = made.table_run(seed=0, seeds=2, **SETTING | {"lr": 1e5})
    assert found["error"][0][-1] is None and found["test_error"][0] is None
    weights = [(torch.zeros(2, 40, 10), torch.zeros(2, 1, 10))]
    weights[0][1][1] = torch.nan
    x, y = torch.zeros(10, 40), torch.arange(10)
    assert made.error_of(weights, x, y) == [0.9, None]


def test_budgets_are_whole_steps():
    assert [made.steps_after(b, 500) for b in made.BUDGETS] == [2, 4, 6, 10, 14, 18, 26, 36, 54, 76, 108, 162]
    assert all(len({made.steps_after(b, batch) for b in made.BUDGETS}) == 12 for batch in made.GRID["batch"])


@pytest.mark.parametrize("bad, named", [({"optimizer": "lion"}, "optimizer"), ({"schedule": "step"}, "schedule")])
def test_settings_that_are_none_are_refused(bad, named):
    with pytest.raises(ValueError, match=f"^{named}: must be one of"):
        made.table_run(seed=0, seeds=1, **SETTING | bad)


# The committed table ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame():
    return data.tables("perceptron_grid")["perceptron_grid.csv"]


def test_the_declared_checksum_is_the_files():
    path = Path(data.__file__).with_name("perceptron_grid.csv")
    declared = {"generator": f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"}
    assert data.checksums("perceptron_grid") == declared
    assert data.available("perceptron_grid") and data.locate("perceptron_grid") == {}
    assert path.read_text().startswith(_hpo_table.HEADER)


def test_the_table_holds_the_whole_grid_once_with_every_seed(frame):
    names = [*made.GRID, "seed"]
    wanted = set(product(*made.GRID.values(), made.TUNING + made.TEST))
    assert set(frame[names].itertuples(index=False, name=None)) == wanted and len(frame) == len(wanted) >= 6000


def test_the_table_is_sound(frame):
    errors = frame[[f"error_{b}" for b in made.BUDGETS] + ["test_error"]]
    assert errors.min().min() > 0.2 and errors.max().max() < 1 and (frame["cpu"] > 0).all()
    assert not (errors.isna().astype(int).diff(axis=1).iloc[:, 1:] < 0).any(axis=None)  # what diverged stays so
    assert (errors["error_81"] < errors["error_1"]).mean() > 0.95
    assert frame["error_81"].corr(frame["test_error"]) > 0.98


def test_a_row_of_the_table_is_trained_again(frame):
    row = frame[(frame["batch"] == 500) & (frame["width"] == 8) & (frame["depth"] == 1) & (frame["lr"] == 0.1)].iloc[0]
    found = made.table_run(seed=int(row["seed"]), seeds=1, dataset="mnist1d", **{name: row[name] for name in made.GRID})
    expected = [row[f"error_{budget}"] for budget in made.BUDGETS]
    assert found["error"][0] == pytest.approx(expected, abs=0.01)
    assert found["test_error"][0] == pytest.approx(row["test_error"], abs=0.01)


def test_a_table_is_made_of_its_trials():
    (one,) = [t for t in _hpo_table.grid() if t.parameters["lr"] == 0.1 and t.parameters["batch"] == 500][:1]
    result = {"error": [[0.5] * 11 + [None], [0.4] * 12], "test_error": [None, 0.3], "cpu": 0.2}
    table = _hpo_table.table([one], [result])
    assert table["seed"].tolist() == [0, 1] and table["error_81"].isna().tolist() == [True, False]
    assert table["lr"].tolist() == [0.1, 0.1] and table["test_error"].iloc[1] == 0.3
