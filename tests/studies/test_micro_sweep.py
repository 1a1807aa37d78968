"""Our own sweep: what one run is, and the table that was made of them."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import redraw.data
from redraw import data
from redraw.models import initialize_transformer, transformer
from redraw.seeds import generator
from redraw.studies import _micro_sweep as micro
from redraw.workbook import Store, run_trials

SETTINGS = {"width": 24, "tokens": 2048, "lr": 0.01, "batch": 64, "floor": "fixed"}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text file of 20,000 characters with something to learn in it."""
    path = tmp_path_factory.mktemp("text") / "mine.txt"
    words = ["in ", "the ", "beginning ", "was ", "a ", "word ", "and "]
    order = torch.randint(len(words), (5000,), generator=generator(0, "words"))
    path.write_text("".join(words[i] for i in order))
    return str(path)


def run(text, **changes):
    return micro.micro_run(seed=changes.pop("seed", 0), dataset=text, **SETTINGS | changes)


# One run --------------------------------------------------------------------------------------------------------


def test_a_run_learns_is_reproducible_and_differs_by_seed(text):
    first = run(text)
    assert first["N"] == 2 * (12 * 24**2 + 2 * 24) + 24 and first["steps"] == 32
    assert 0 < first["loss"] < math.log(len(data.text(text).symbols)) and not first["diverged"]
    assert run(text) == first and run(text, seed=1)["loss"] != first["loss"]
    assert run(text, tokens=8192)["loss"] < first["loss"]


def test_a_run_is_the_one_written_out_by_hand(text):
    """The same steps with torch's own AdamW, schedule by its formula and windows cut one by one."""
    made, draws = data.text(text), generator(3, "windows")
    model = transformer(len(made.symbols), width=24, layers=2, heads=2, context=32)
    initialize_transformer(model, generator(3, "weights"))
    groups = [[p for p in model.parameters() if (p.ndim == 2) == flag] for flag in (True, False)]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": 0.1}, {"params": groups[1], "weight_decay": 0.0}], betas=(0.9, 0.95)
    )
    losses = []
    for k in range(1, 33):
        t = k / 32
        rising, falling = t / 0.1, (1 + math.cos(math.pi * (t - 0.1) / 0.9)) / 2
        rate = 0.01 * min(rising, 1) if t < 0.1 else 1e-5 + (0.01 - 1e-5) * falling
        starts = torch.randint(len(made.train) - 32, (2, 1), generator=draws).flatten().tolist()
        x = torch.stack([made.train[s : s + 32] for s in starts])
        y = torch.stack([made.train[s + 1 : s + 33] for s in starts])
        loss = -model(x).log_softmax(-1).gather(2, y[..., None]).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))
        for p in model.parameters():
            p.grad *= min(1.0, 1 / (norm + 1e-6))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    found = run(text, seed=3)
    assert found["smooth"] == pytest.approx(np.mean(losses[-3:]), rel=1e-4)
    with torch.no_grad():
        starts = np.linspace(0, len(made.validation) - 33, 1024).astype(int)
        windows = torch.stack([made.validation[s : s + 33] for s in starts.tolist()])
        held = -model(windows[:, :-1]).log_softmax(-1).gather(2, windows[:, 1:, None]).mean()
    assert found["loss"] == pytest.approx(held.item(), rel=1e-3)


def test_rates_rise_for_a_tenth_and_end_at_the_floor():
    fixed, tenth = (micro.learning_rates(0.02, 200, floor) for floor in ("fixed", "tenth"))
    assert fixed.argmax() == 19 and fixed[19] == pytest.approx(0.02) and fixed[9] == pytest.approx(0.01)
    assert fixed[-1] == pytest.approx(1e-5) and tenth[-1] == pytest.approx(0.002)
    assert (tenth[20:] > fixed[20:]).all()


def test_a_run_that_diverges_is_a_row_and_no_error(text):
    found = run(text, lr=3e38)
    assert found["diverged"] and found["loss"] is None and found["steps"] < 32
    assert run(text, lr=30.0)["diverged"]


def test_the_held_out_part_is_never_trained_on(text):
    """A held-out part that is of another kind is not learned."""
    plain = Path(text).read_text()
    path = Path(text).with_name("turned.txt")
    path.write_text(plain[: int(0.9 * len(plain))] + "abcdefghi" * (len(plain) // 90 + 2))
    assert run(str(path), tokens=16384)["loss"] > run(str(path), tokens=16384)["smooth"] + 0.5


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"floor": "half"}, "^floor: must be one of fixed, tenth, got 'half'"),
        ({"batch": 48}, "^batch: must be a multiple of 32 that divides 2048 tokens, got 48"),
        ({"tokens": 2000}, "^batch: must be a multiple of 32 that divides 2000 tokens, got 64"),
    ],
)
def test_impossible_settings_are_refused(text, changes, message):
    with pytest.raises(ValueError, match=message):
        run(text, **changes)


# The whole sweep ------------------------------------------------------------------------------------------------


def test_the_grid_is_the_promised_one():
    trials = micro.grid()
    assert len(trials) == len({trial.key for trial in trials}) == 3 * 3 * 6 * 4 * 2
    assert {trial.parameters["dataset"] for trial in trials} == {"world_english_bible"}


def test_more_seeds_go_to_the_best_of_each_cell_and_a_sweep_of_a_text_of_ones_own(text, tmp_path, monkeypatch):
    small = {
        "width": (24,),
        "tokens": (2048,),
        "batch": (64, 128),
        "lr": (1e-2, 2e-2, 3e38),
        "floor": ("fixed", "tenth"),
    }
    monkeypatch.setattr(micro, "GRID", small)
    monkeypatch.setenv("REDRAW_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REDRAW_JOBS", "1")
    micro.main(str(tmp_path / "mine.csv"), text)
    table = pd.read_csv(tmp_path / "mine.csv", comment="#")
    assert tuple(table) == micro.COLUMNS and len(table) == 12 + 2 * micro.BEST * len(micro.MORE_SEEDS)
    first, more = table[table["seed"] == 0], table[table["seed"] > 0]
    assert first["diverged"].sum() == 4 and first["loss"].isna().sum() == 4 and not more["diverged"].any()
    for floor, rows in more.groupby("floor"):
        best = first[first["floor"] == floor].nsmallest(micro.BEST, "loss")
        assert set(zip(rows["lr"], rows["batch"], strict=True)) == set(zip(best["lr"], best["batch"], strict=True))
    (trial,) = [t for t in map(micro.row_trial, more.itertuples()) if t.seed == 2][:1]
    assert trial.parameters["tokens"] == 2048


# The committed table --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return data.tables("micro_sweep")["micro_sweep.csv"]


def test_the_declared_checksum_is_the_files():
    path = Path(redraw.data.__file__).with_name("micro_sweep.csv")
    assert data.checksums("micro_sweep") == {"generator": f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"}
    assert data.available("micro_sweep") and data.locate("micro_sweep") == {}


def test_the_table_holds_the_whole_grid_once_and_more_seeds_of_the_best(table):
    settings = ["width", "D", "lr", "batch", "floor"]
    assert not table.duplicated([*settings, "seed"]).any() and tuple(table) == micro.COLUMNS
    first = table[table["seed"] == 0]
    wanted = {tuple(t.parameters[n] for n in ("width", "tokens", "lr", "batch", "floor")) for t in micro.grid()}
    assert set(first[settings].itertuples(index=False, name=None)) == wanted
    again = micro.more_seeds(table)
    assert {(*(t.parameters[n] for n in ("width", "tokens", "lr", "batch", "floor")), t.seed) for t in again} == set(
        table[table["seed"] > 0][[*settings, "seed"]].itertuples(index=False, name=None)
    )


def test_the_table_is_sound(table):
    assert (table["N"] == 2 * (12 * table["width"] ** 2 + 2 * table["width"]) + table["width"]).all()
    kept = table[~table["diverged"]]
    assert (kept["steps"] == kept["D"] / kept["batch"]).all()
    assert kept["loss"].between(1, math.log(73)).all() and kept["smooth"].notna().all()


def test_a_row_of_the_table_is_trained_again(table, tmp_path):
    try:
        data.locate("world_english_bible")
    except data.DataUnavailable as reason:
        pytest.skip(str(reason).splitlines()[0])
    (row,) = table[(table["D"] == 2**16) & (table["batch"] == 512) & (table["width"] == 24)].head(1).itertuples()
    (found,) = run_trials([micro.row_trial(row)], store=Store(tmp_path), jobs=1)
    assert found["loss"] == pytest.approx(row.loss, rel=1e-3) and found["N"] == row.N
