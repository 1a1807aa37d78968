"""The file side of `redraw refine`: what is read, shown and written, and one line for everything else."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from redraw._cli_refine import NormsError, read_norms, refine_file, save, table
from redraw.schedules import refine

NORMS = (1 + 9 * np.exp(-np.arange(200) / 20)).tolist()


@pytest.fixture
def norms(tmp_path):
    path = tmp_path / "norms.csv"
    path.write_text("step,norm\n" + "".join(f"{k},{g!r}\n" for k, g in enumerate(NORMS)))
    return path


def test_refines_a_file(norms):
    found = refine_file(norms, "norm")
    assert found.norms == NORMS and found.multipliers == refine(NORMS).tolist()
    found = refine_file(norms, "2", optimizer="adam", width=0.2)
    assert found.multipliers == refine(NORMS, optimizer="adam", width=0.2).tolist()
    assert found.to_dict()["column"] == "norm" and found.to_dict()["optimizer"] == "adam"


@pytest.mark.parametrize(
    "text, column, expected",
    [
        ("norm\n1\n2.5\n", None, ("norm", [1, 2.5])),
        ("1\n2.5\n", None, ("column 1", [1, 2.5])),
        ("\ufeffnorm\r\n1e-3\r\n\r\n 2 \r\n", None, ("norm", [1e-3, 2])),
        ('"a, b", norm\n9, 1\n9, 2\n', "norm", ("norm", [1, 2])),
        ("0,3\n1,4\n", "2", ("column 2", [3, 4])),
        ("2,1\nx,y\n", "2", None),
    ],
)
def test_reads_files_as_they_come(tmp_path, text, column, expected):
    path = tmp_path / "norms.csv"
    path.write_text(text, encoding="utf-8")
    if expected is None:
        with pytest.raises(NormsError, match="line 2: must be a finite positive number, not 'y'"):
            read_norms(path, column)
    else:
        assert read_norms(path, column) == expected


@pytest.mark.parametrize(
    "content, column, said",
    [
        (b"", None, "must hold at least one row of numbers"),
        (b"norm\n", None, "must hold at least one row of numbers"),
        (b"norm\n1\n0\n", None, "line 3: must be a finite positive number, not '0'"),
        (b"norm\n1\n-1\n", None, "line 3: must be a finite positive number, not '-1'"),
        (b"norm\n1\n\nnan\n", None, "line 4: must be a finite positive number, not 'nan'"),
        (b"norm\n1\n1e999\n", None, "line 3: must be a finite positive number, not '1e999'"),
        (b"norm\n1\nlate\n", None, "line 3: must be a finite positive number, not 'late'"),
        (b"a,b\n1,2\n3\n", "b", "line 3: must be a finite positive number, not ''"),
        (b"a,b\n1,2\n", None, "column: must be one of a, b; "),
        (b"1,2\n", None, "column: must be a number from 1 to 2 (there is no header); "),
        (b"a,b\n1,2\n", "c", "column: must be one of a, b, not 'c'"),
        (b"a,b\n1,2\n", "3", "column: must be one of a, b, not '3'"),
        (b"\xff\xfe\x00n", None, "must be a CSV text file ("),
    ],
)
def test_bad_files_get_one_line(tmp_path, content, column, said):
    path = tmp_path / "norms.csv"
    path.write_bytes(content)
    with pytest.raises(NormsError) as error:
        refine_file(path, column)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_bad_places_and_knobs_get_one_line(norms, tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(NormsError, match=r"cannot be read \([^\n]+\)$"):
            refine_file(path)
    with pytest.raises(NormsError, match="^optimizer: must be one of sgd, adam, not 'lion'$"):
        refine_file(norms, "norm", optimizer="lion")
    with pytest.raises(NormsError, match=r"^width: must be in \[0, 1\], not 7$"):
        refine_file(norms, "norm", width=7)
    found = refine_file(norms, "norm")
    with pytest.raises(NormsError, match="must end in .csv, .svg, .png, .pdf$"):
        save(found, tmp_path / "schedule.jpeg")
    with pytest.raises(NormsError, match="cannot be written"):
        save(found, tmp_path / "absent" / "schedule.csv")


def test_shows_the_first_and_the_last_step(norms):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(refine_file(norms, "norm"), rows=5))
    shown = [[cell.strip() for cell in line.split("│")] for line in capture.get().splitlines() if "│" in line]
    found = refine(NORMS)
    steps = [int(row[1]) for row in shown]
    assert steps[0] == 0 and steps[-1] == 199 and len(steps) == 5
    assert [row[4] for row in shown] == [f"{found[k]:.4f}" for k in steps]
    norms.write_text("2.0\n")
    with console.capture() as capture:
        console.print(table(refine_file(norms)))
    assert "1.0000" in capture.get()


def test_writes_a_table_and_figures(norms, tmp_path):
    found = refine_file(norms, "norm")
    save(found, tmp_path / "schedule.csv")
    with open(tmp_path / "schedule.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["multiplier"]) for row in rows] == found.multipliers
    assert read_norms(tmp_path / "schedule.csv", "norm")[1] == NORMS
    save(found, tmp_path / "schedule.svg")
    drawn = (tmp_path / "schedule.svg").read_text()
    assert drawn.count("<path") > 10 and "</svg>" in drawn


def test_a_bad_file_is_refused_before_torch_loads(tmp_path):
    code = (
        "import sys; from redraw._cli_refine import NormsError, refine_file\n"
        "try: refine_file('absent.csv')\n"
        "except NormsError: assert not {'torch', 'numpy', 'scipy'} & set(sys.modules), 'loaded too early'\n"
        "else: raise SystemExit('not refused')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=dict(os.environ))
