"""The README's picture and table are those that `make readme` would write now."""

from pathlib import Path

import pytest

from redraw.workbook import Project
from redraw.workbook._board import _row, board_drawing
from redraw.workbook._readme import made_anew

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Project(ROOT)
TEXT = "a\n<!-- picture -->\nold\n<!-- /picture -->\nb\n<!-- studies -->\n<!-- /studies -->\nc\n"


def test_the_readme_is_up_to_date():
    text = (ROOT / "README.md").read_text("utf-8")
    cards = [PROJECT.card(study) for study in PROJECT.studies()]
    assert made_anew(text, cards) == text, "stale: run `make readme`"


def test_the_picture_is_up_to_date():
    rows = [_row(PROJECT.reports, PROJECT.card(study)) for study in PROJECT.studies()]
    drawn = (PROJECT.reports / "board.svg").read_text("utf-8")
    assert drawn == board_drawing(rows), "stale: run `make readme` or `redraw board`"


def test_a_study_more_makes_it_stale(make_card):
    card = make_card()
    once = made_anew(TEXT, [card])
    assert "| [`lottery_ticket`](notebooks/lottery_ticket.ipynb) | Do small subnetworks" in once
    assert "| Frankle & Carbin 2019 |" in once and "old" not in once and once.endswith("c\n")
    assert made_anew(once, [card]) == once
    assert made_anew(once, [card, make_card(study="other")]) != once


def test_a_question_cannot_break_the_table(make_card):
    row = made_anew(TEXT, [make_card(question="a | b\nc")]).splitlines()[8]
    assert row == r"| [`lottery_ticket`](notebooks/lottery_ticket.ipynb) | a \| b c | Frankle & Carbin 2019 |"


def test_lost_markers_are_told():
    with pytest.raises(ValueError, match="README.md: must have <!-- studies -->"):
        made_anew(TEXT.replace("<!-- /studies -->", ""), [])
