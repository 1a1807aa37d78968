"""What `make bench` leaves in reports/benchmarks: the table, the figure and the page say what was recorded."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from redraw._benchmarks import Ratio, write_benchmarks
from redraw.workbook import Project, check_project
from redraw.workbook._board import write_board

ROOT = Path(__file__).resolve().parents[1]
SURROUNDINGS = {
    "hardware": {"processor": "A Processor", "cores": 2, "memory_gib": 7.8, "system": "Linux x86_64"},
    "libraries": {"torch": "2.13.0", "numpy": "2.0.0", "leftpad": "1.0"},
    "code": {"commit": "0123abcd", "uncommitted": None},
    "python": "3.11.9",
}
RATIOS = [
    Ratio("ours / theirs", (1.2, 1.0, 1.1, 0.9, 1.4), limit=1.15, what="an iteration <on> MNIST"),
    Ratio("theirs / ours", (40.0, 60.0), limit=100, better="higher"),
    Ratio("memory", (0.7,), limit=1.5, unit="GiB"),
    Ratio("seconds", (1234.0, 2345.0, 3456.0), unit="s"),
]


def test_a_ratio_is_held_by_its_median_whichever_way_is_better():
    assert [ratio.held for ratio in RATIOS] == [True, False, True, None]
    assert [ratio.median for ratio in RATIOS] == [1.1, 50.0, 0.7, 2345.0]
    assert RATIOS[0].share(2.3) == 2.0 and RATIOS[1].share(50.0) == 2.0
    plain = RATIOS[0].to_dict()
    assert (plain["low"], plain["first_quartile"], plain["third_quartile"], plain["high"]) == (0.9, 1.0, 1.2, 1.4)
    assert RATIOS[2].to_dict()["first_quartile"] == 0.7
    assert str(RATIOS[1]).endswith("(40 to 60, at least 100\N{NO-BREAK SPACE}x: NOT held)")
    for wrong in (Ratio, "x", ()), (Ratio, "x", (1.0,), 1, "faster"):
        with pytest.raises(ValueError, match="benchmark x: must have values, and be better lower or higher"):
            wrong[0](*wrong[1:])


def test_table_figure_and_page_say_what_was_recorded(tmp_path):
    page = write_benchmarks(tmp_path / "benchmarks", RATIOS, SURROUNDINGS, [("test_gpu", "needs a GPU")])
    folder = page.parent
    names = {"benchmarks.json", "index.html", "ratios.csv", "ratios.svg", "ratios.txt"}
    assert {path.name for path in folder.iterdir()} == names

    document = json.loads((folder / "benchmarks.json").read_text("utf-8"))
    assert [entry["values"] for entry in document["ratios"]] == [list(ratio.values) for ratio in RATIOS]
    assert document["machine"]["Machine"] == "A Processor, 2 cores, 7.8 GiB"
    assert document["machine"]["Libraries"] == "torch 2.13.0, numpy 2.0.0"
    assert document["absent"] == [["test_gpu", "needs a GPU"]]

    with (folder / "ratios.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], float(row["median"]), row["held"], int(row["repetitions"])) for row in rows] == [
        ("ours / theirs", 1.1, "True", 5),
        ("theirs / ours", 50.0, "False", 2),
        ("memory", 0.7, "True", 1),
        ("seconds", 2345.0, "", 3),
    ]

    drawing = (folder / "ratios.svg").read_text("utf-8")
    ElementTree.fromstring(drawing)
    said = "Of 3 benchmarks with a limit 2 are within it; beyond it: theirs / ours."
    assert said in drawing and (folder / "ratios.txt").read_text() == said + "\n"
    drawn = re.findall(r"<!-- (.*?) -->", drawing)
    assert {"ours / theirs", "theirs / ours", "memory", "within its limit", "beyond its limit"} <= set(drawn)
    assert "seconds" not in drawn  # it has no limit to be a share of

    text = page.read_text("utf-8")
    assert "2 of 3 are within their limits; 1 have none." in text and f'alt="{said}"' in text
    assert "an iteration &lt;on&gt; MNIST" in text and "test_gpu: needs a GPU" in text and "0123abcd" in text
    assert "≥ 100\N{NO-BREAK SPACE}x" in text and "2,345\N{NO-BREAK SPACE}s" in text and "1,234 to 3,456" in text
    assert "<script" not in text


def test_names_are_unique_and_nothing_is_no_report(tmp_path):
    for ratios in ([], [RATIOS[0], RATIOS[0]]):
        with pytest.raises(ValueError, match="benchmarks: must be at least one, each with a name of its own"):
            write_benchmarks(tmp_path / "benchmarks", ratios, SURROUNDINGS)
    assert not (tmp_path / "benchmarks").exists()


def test_the_board_leads_there_and_takes_it_for_no_study(tmp_path):
    for name in ("params", "notebooks"):
        (tmp_path / name).mkdir()
    project = Project(tmp_path)
    without = write_board(project.reports, []).read_text()
    write_benchmarks(project.reports / "benchmarks", RATIOS, SURROUNDINGS)
    page = write_board(project.reports, []).read_text()
    assert 'href="benchmarks/index.html"' in page and "benchmarks" not in without
    assert json.loads((project.reports / "index.json").read_text())["studies"] == []
    assert check_project(project) == []


BENCHMARK = """
def test_kept(record_ratio, interleaved):
    ratios = interleaved(lambda: sum(range(1000)), lambda: sum(range(100_000)), 3, times=5)
    assert record_ratio("short / long", ratios, limit=0.5, what="sums") < 0.5

def test_beyond(record_ratio):
    record_ratio("two", [2.0, 2.0], limit=1)

def test_skipped():
    import pytest
    pytest.skip("no browser here")
"""


def test_what_benchmarks_record_is_written_whether_it_held_or_not(tmp_path):
    (tmp_path / "test_made.py").write_text(BENCHMARK)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "benchmarks" / "conftest.py").read_text())
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "REDRAW_BENCHMARKS": str(tmp_path / "out"), "PYTHONPATH": str(ROOT / "lib")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1 and "1 failed, 1 passed, 1 skipped" in ran.stdout, ran.stdout + ran.stderr
    assert "two: 2\N{NO-BREAK SPACE}x (2 to 2, at most 1\N{NO-BREAK SPACE}x: NOT held)" in ran.stdout
    document = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert [(entry["name"], entry["held"]) for entry in document["ratios"]] == [("short / long", True), ("two", False)]
    assert [name for name, _ in document["absent"]] == ["test_skipped"]
    assert len(document["ratios"][0]["values"]) == 3
