"""`redraw predict` and `redraw fit`: what is computed, read and shown, and one line for everything else."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from redraw._cli_scaling import FitError, fit_file, fit_table, prediction_table, predictions
from redraw.scaling import LossSurface

SURFACE = LossSurface(1.8, 480.0, 2085.0, 0.35, 0.366)


def shown(table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def csv_of(path, **columns):
    rows = zip(*columns.values(), strict=True)
    path.write_text(",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


# predict -------------------------------------------------------------------------------------------------------


def laws(found):
    return {row["law"]: row for row in found["laws"]}


def test_predictions_are_the_laws():
    N, D = 1e9, 1e11
    found = laws(predictions(N, D, loss=2.5))
    assert set(found) == {"step", "openai", "microsoft", "deepseek", "porian", "minicpm"}
    assert found["step"]["lr"] == pytest.approx(1.79 * N**-0.713 * D**0.307)
    assert found["step"]["batch"] == pytest.approx(0.58 * D**0.571)
    assert found["step"]["notes"] == []
    low, high = found["step"]["lr_interval"]
    assert low < found["step"]["lr"] < high
    assert found["deepseek"]["lr"] == pytest.approx(0.3118 * (6 * N * D) ** -0.125)
    assert found["porian"]["batch"] == pytest.approx(0.7576 * N**0.703)
    assert found["openai"]["batch"] == pytest.approx(2e8 * 2.5 ** (-1 / 0.21))
    assert (found["microsoft"]["batch"], found["minicpm"]["lr"]) == (None, None)
    assert found["minicpm"]["batch"] == pytest.approx(1.21e9 * 2.5**-6.24)


def test_outside_its_range_a_law_says_so_and_without_a_loss_what_it_lacks():
    found = laws(predictions(1e6, 1e9))
    assert any("N = 1e+06 is outside 2.1e+08 to 1.1e+09" in note for note in found["step"]["notes"])
    assert any("D = 1e+09 is outside 4e+09 to 1e+11" in note for note in found["step"]["notes"])
    assert found["openai"]["batch"] is None and any("give loss" in note for note in found["openai"]["notes"])


def test_a_law_that_has_no_answer_leaves_the_others_theirs():
    found = laws(predictions(1e12, 1e12))
    assert found["openai"]["lr"] is None and "limit" in found["openai"]["notes"][0]
    assert found["step"]["lr"] > 0
    with pytest.raises(FitError, match="^params: must be below the openai law's limit"):
        predictions(1e12, 1e12, "openai")


def test_intervals_widen_with_the_level():
    narrow, wide = (laws(predictions(1e9, 1e11, "step", level=level))["step"]["lr_interval"] for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((float("nan"), 1e9), "params: must be a finite number greater than 0, not nan"),
        ((-1, 1e9), "params: must be greater than 0, not -1"),
        ((1e9, 0), "tokens: must be greater than 0, not 0"),
        ((1e9, float("inf")), "tokens: must be a finite number greater than 0, not inf"),
        ((1e9, 1e9, "chinchilla"), "law: must be one of step, openai,"),
        ((1e9, 1e9, None, -2.0), "loss: must be greater than 0, not -2"),
        ((1e9, 1e9, "minicpm", 1e-80), "params, tokens, loss: must be where the minicpm law gives a batch above 0"),
        (
            (1e300, 1e300, "deepseek"),
            "params, tokens, loss: must be where the deepseek law gives a learning rate above",
        ),
        ((1e9, 1e9, None, None, 1.0), "level: must be between 0 and 1, not 1"),
    ],
)
def test_requests_that_make_no_sense_get_one_line(arguments, message):
    with pytest.raises(FitError) as caught:
        predictions(*arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_table_shows_values_intervals_units_and_notes():
    text = shown(prediction_table(predictions(1e9, 1e11)))
    for piece in ("0.001632 [0.0015 to 0.00178]", "tokens a step", "none", "is outside", "Li et al. 2025", "95 %"):
        assert piece in text


# fit -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path):
    """48 runs of a known surface, without noise, under names of their own."""
    N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 8), np.geomspace(1e9, 1e11, 6)))
    return csv_of(tmp_path / "runs.csv", params=N.tolist(), D=D.tolist(), val=SURFACE(N, D).tolist())


def test_a_surface_is_found_again_under_the_files_own_names(runs):
    found = fit_file(runs, columns="N=params, loss=val")
    estimates = [found["parameters"][name]["estimate"] for name in ("E", "A", "B", "alpha", "beta")]
    assert estimates == pytest.approx(SURFACE.values, rel=1e-3)
    assert found["runs"] == 48 and found["identified"] and found["warnings"] == []
    assert found["compute_exponent"] == pytest.approx(SURFACE.a, rel=1e-3)
    json.dumps(found)
    text = shown(fit_table(found))
    for piece in ("runs.csv: 48 runs", "alpha", "standard error", "profile likelihood", "condition", "starts agreeing"):
        assert piece in text


def test_a_saturating_power_law(tmp_path):
    x = np.geomspace(1, 1e4, 12)
    found = fit_file(csv_of(tmp_path / "t.csv", x=x, loss=2 + 3 * x**-0.5), "saturating")
    assert [row["estimate"] for row in found["parameters"].values()] == pytest.approx([2, 3, 0.5], rel=1e-3)


def test_a_power_law_of_the_last_column_or_of_those_named(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 10, (2, 30))
    path = csv_of(tmp_path / "t.csv", a=a, y=3 * a**1.5 / b, b=b)
    found = fit_file(path, "power", "a,b,y")
    assert found["target"] == "y" and list(found["parameters"]) == ["c", "a", "b"]
    assert [row["estimate"] for row in found["parameters"].values()] == pytest.approx([3, 1.5, -1])
    assert fit_file(path, "power")["target"] == "b"


def test_a_sweep_gives_the_laws_of_learning_rate_and_batch_and_counts_what_diverged(tmp_path):
    columns = {name: [] for name in ("N", "D", "lr", "batch", "loss")}
    for N in (1e6, 4e6, 16e6):
        for D in (1e8, 4e8):
            for i in range(-3, 4):
                for j in range(-3, 4):
                    lr, batch = 10 * N**-0.5 * D**0.1 * 2.0**i, 3 * D**0.5 * 2.0**j
                    loss = SURFACE(N, D) * np.exp(0.01 * (i * i + j * j))
                    for name, value in zip(columns, (N, D, lr, batch, "nan" if i == 3 == j else loss), strict=True):
                        columns[name].append(value)
    found = fit_file(csv_of(tmp_path / "t.csv", **columns), "sweep", threshold=0.001)
    law = {name: row["estimate"] for name, row in found["parameters"].items()}
    assert (law["lr c"], law["lr N"], law["lr D"]) == pytest.approx((10, -0.5, 0.1))
    assert (law["batch c"], law["batch D"]) == pytest.approx((3, 0.5)) and abs(law["batch, with N too: N"]) < 1e-9
    assert (found["cells"], found["cells_with_the_best_at_an_edge"]) == (6, 0)
    assert "6 runs without a finite loss were left out" in found["warnings"]


def sweep_of(path, cells):
    """A noisy bowl of 7 by 7 runs in each of `cells`, (N, D)."""
    rng, columns = np.random.default_rng(0), {name: [] for name in ("N", "D", "lr", "batch", "loss")}
    for N, D in cells:
        for i in range(-3, 4):
            for j in range(-3, 4):
                loss = SURFACE(N, D) * np.exp(0.01 * (i * i + j * j) + 0.004 * rng.standard_normal())
                row = (N, D, 10 * N**-0.5 * D**0.1 * 2.0**i, 3 * D**0.5 * 2.0**j, loss)
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    return csv_of(path, **columns)


def test_cells_that_a_law_fits_exactly_tell_no_spread(tmp_path):
    """Three cells and three parameters: errors clustered by cell would be nothing, whatever the runs are."""
    cells = [(1e6, 1e8), (4e6, 1e8), (1e6, 4e8), (4e6, 4e8), (4e6, 1e9)]
    found = fit_file(sweep_of(tmp_path / "few.csv", cells[:3]), "sweep", threshold=0.02)
    for name in ("lr c", "lr N", "lr D", "batch, with N too: N"):
        row = found["parameters"][name]
        assert (row["standard_error"], row["interval"]) == (None, None) and np.isfinite(row["estimate"])
    assert found["parameters"]["batch D"]["interval"] is not None, "two parameters, three cells"
    assert any("no interval of lr c, lr N, lr D" in said and "more cells" in said for said in found["warnings"])
    json.dumps(found, allow_nan=False)
    assert "unknown" in shown(fit_table(found)) and "none" in shown(fit_table(found))
    more = fit_file(sweep_of(tmp_path / "more.csv", cells), "sweep", threshold=0.02)
    assert all(row["standard_error"] > 1e-6 for name, row in more["parameters"].items() if name.startswith("lr"))
    assert not any("no interval" in said for said in more["warnings"])


def test_cells_that_nearly_agree_are_cells_of_their_own(tmp_path):
    cells = [(N, D) for N in (10_000_001, 10_000_002, 2e7) for D in (1e8, 4e8)]
    assert fit_file(sweep_of(tmp_path / "t.csv", cells), "sweep", threshold=0.02)["cells"] == 6


@pytest.mark.parametrize("kind, columns", [("surface", ("N", "D", "loss")), ("saturating", ("x", "loss"))])
@pytest.mark.parametrize("flat", [True, False])
def test_runs_without_any_spread_give_json_and_say_so(tmp_path, kind, columns, flat):
    """Where nothing is left over there are no errors: None, where NaN was no JSON."""
    x = np.geomspace(1e2, 1e5, 12)
    y = np.full(12, 2.0) if flat else 1.7 + 400 / x**0.34
    values = {"N": x, "D": x[::-1], "x": x, "loss": y}
    found = fit_file(csv_of(tmp_path / "t.csv", **{name: values[name] for name in columns}), kind)
    json.dumps(found, allow_nan=False)
    lost = [name for name, row in found["parameters"].items() if row["interval"] is None]
    assert lost or kind == "surface" or not flat  # else rounding leaves a spread over, or not
    assert not lost or any(f"no interval of {', '.join(lost)}" in said for said in found["warnings"])
    assert "nan to nan" not in shown(fit_table(found))


def test_weak_ground_is_warned_of(tmp_path):
    N = np.array([1e7, 1e8] * 6)
    D = np.repeat([1e9, 1e10, 1e11], 4)
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(12)
    found = fit_file(csv_of(tmp_path / "t.csv", N=N, D=D, loss=SURFACE(N, D) * noise))
    assert not found["identified"] and any("not identified" in warning for warning in found["warnings"])
    assert "warning:" in shown(fit_table(found))


HEAD = b"N,D,loss\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "must hold a header and at least one row"),
        (HEAD, "must hold a header and at least one row"),
        (b"\xff\xfe\x00N", "must be a CSV text file ("),
        (b"N,D\n1,2\n", "must have the column 'loss' once; it is not in the header (N, D)"),
        (b"N,D,loss,D\n1,2,3,4\n", "must have the column 'D' once; it is there twice"),
        (HEAD + b"1,2,3\n1,x,3\n", "line 3, column D: must be a finite positive number, not 'x'"),
        (HEAD + b"1,2\n", "line 2, column loss: must be a finite positive number, not ''"),
        (HEAD + b"1,2,nan\n", "column loss: must be a finite positive number, not 'nan'"),
        (HEAD + b"1,2,-3\n", "column loss: must be a finite positive number, not '-3'"),
        (HEAD + b"1e999,2,3\n", "column N: must be a finite positive number, not '1e999'"),
        (HEAD + b"1,2,3\n" * 4, "loss: must have more than 5 runs for 5 parameters, not 4"),
        (HEAD + b"".join(b"7,%d,%d\n" % (k, k) for k in range(1, 9)), "N: must take at least 2 distinct values"),
        (HEAD + b'"1,2,3\n' * 3, "must be a finite positive number"),
    ],
)
def test_bad_files_get_one_line(tmp_path, content, message):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(FitError) as caught:
        fit_file(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kind, columns, message",
    [
        ("cubic", "", "kind: must be one of surface, saturating, power, sweep, not 'cubic'"),
        ("surface", "N", "columns: must be NAME=COLUMN with NAME one of N, D, loss, not 'N'"),
        ("surface", "M=params", "columns: must be NAME=COLUMN with NAME one of N, D, loss, not 'M=params'"),
        ("surface", "N=width", "must have the column 'width' once"),
        ("surface", "N=params,N=D", "columns: must give each NAME once, got N, N"),
        ("surface", "N=params,loss=D", "columns: must give each COLUMN once, got params, D, D"),
        ("power", "params", "columns: must name at least one predictor and then the target, each once"),
        ("power", "val,val", "columns: must name at least one predictor and then the target, each once"),
        ("power", "y=val", "columns: must be names of the file's columns for kind power"),
    ],
)
def test_bad_requests_get_one_line(runs, kind, columns, message):
    with pytest.raises(FitError) as caught:
        fit_file(runs, kind, columns)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kind, option, message",
    [
        ("power", "delta", "delta: must be given with kind surface or saturating only, got kind power"),
        ("sweep", "delta", "delta: must be given with kind surface or saturating only, got kind sweep"),
        ("surface", "threshold", "threshold: must be given with kind sweep only, got kind surface"),
    ],
)
def test_an_option_that_the_kind_does_not_take_is_refused(runs, kind, option, message):
    with pytest.raises(FitError, match=f"^{message}$"):
        fit_file(runs, kind, **{option: 5.0})


def test_an_option_that_the_kind_takes_is_taken(runs):
    names = "N=params,loss=val"
    default, same, wide = (fit_file(runs, "surface", names, delta=delta) for delta in (None, 1e-3, 5.0))
    assert default == same != wide


@pytest.mark.parametrize("path", ["absent.csv", "."])
def test_files_that_cannot_be_read(tmp_path, path):
    with pytest.raises(FitError, match="cannot be read"):
        fit_file(tmp_path / path)


def redraw(*arguments, cwd):
    command = [sys.executable, "-m", "redraw.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_commands_print_json_and_end_as_promised(runs, tmp_path):
    done = redraw("predict", "--params", "1e9", "--tokens", "1e11", "--law", "step", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["laws"][0]["law"] == "step"
    done = redraw("fit", runs, "--columns", "N=params,loss=val", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["parameters"]["alpha"]["estimate"] > 0
    done = redraw("fit", runs, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("redraw: ") and done.stderr.count("\n") == 1
