"""Numbers as people read them, and how many digits they get."""

import math
import random
import re

import pytest

from redraw.workbook import _numbers as numbers
from redraw.workbook._judge import Part, Strength, Verdict
from redraw.workbook._picture import describe, ends_in_words
from redraw.workbook._rulings import verdict_table


def test_numbers_read_well():
    shown = [numbers.number(x) for x in (0.62, -0.5, 2261184, 1234.5, 1e-5, 7.0, -0.0, -math.inf, None, math.nan)]
    assert shown == ["0.62", "−0.5", "2,261,184", "1,234", "1e−05", "7", "0", "−∞", "–", "–"]
    assert numbers.number([4_300_000, 2_400_000]) == "4,300,000; 2,400,000"
    assert numbers.number([1.0, 2.5]) == "1, 2.5" and numbers.number(list(range(30))).endswith("… (30 numbers)")
    assert numbers.number(-0.04, 1) == "0.0" and numbers.number(-0.06, 1) == "−0.1"
    assert numbers.number(-1.83e-8, 9) == "−1.8e−08" and numbers.number(-7e-15, 9) == "0"
    assert numbers.number(0.000013192, 9) == "1.3192e−05"


@pytest.mark.parametrize(
    ("low", "high", "edges", "decimals"),
    [
        (0.617, 0.644, (), 3),  # two digits of the half width
        (100, 300, (), 0),
        (1, 1, (), None),  # no width
        (2143.4096, 2143.4248, (1956.13, 2214.73), 1),  # five digits of what is measured are enough
        (-2.5e-9, 2.5e-9, (-0.01, 0.01), 0),  # nothing, beside what decides
        (-2.5e-9, 2.5e-9, (), 10),  # nothing to hold it against
        (-5.5615, -0.0206, (None, 0.0), 2),  # one digit more, or the upper end would come to lie on the edge
        (0.36710, 0.36724, (0.3637, 0.3672), 5),  # the end lies beyond the edge, and is seen to
        (-0.0107, 0.0101, (-math.inf, math.inf), 3),
    ],
)
def test_digits_follow_the_interval_and_what_it_is_held_against(low, high, edges, decimals):
    assert numbers.decimals_for(low, high, edges) == decimals


def test_a_written_interval_lies_as_the_interval_does():
    draw = random.Random(0)
    for _ in range(2000):
        middle, width = draw.gauss(0, 10 ** draw.uniform(-4, 4)), 10 ** draw.uniform(-6, 2)
        edge = middle + draw.choice((-1, 1)) * width * draw.uniform(0.9, 1.1)
        low, high = middle - width, middle + width
        decimals = numbers.decimals_for(low, high, [edge])
        for end in (low, high):
            if abs(end - edge) < 1e-9 * max(abs(low), abs(high)):
                continue  # as good as on it
            written = float(numbers.number(end, decimals).replace(",", "").replace("−", "-"))
            assert (written > edge) == (end > edge)


def test_what_is_exact_has_a_digit_more_than_the_paper_prints():
    assert numbers.decimals_of(-23.116308, -23.12, 2) == 3
    assert numbers.decimals_of(0.4516129, 0.46, 2) == 3
    assert numbers.decimals_of(138.14389541, 0.000013192, 9) == 3  # not ten: the paper prints five digits
    assert numbers.decimals_of(0.0, 0.46, 2) == 3


def test_edges_are_written_as_declared():
    assert [numbers.edge(x) for x in (1.000001, 2085.43 - 129.3, 0.307 - 0.2, 0.094 / 1.5, -0.5, 2.0, 0.0)] == [
        "1.000001", "1,956.13", "0.107", "0.06267", "−0.5", "2", "0",
    ]  # fmt: skip
    assert ends_in_words((None, 1.000001)) == "below 1.000001"


def test_cells_of_a_table_keep_five_digits():
    read = ["56.571374906085644", "0.20000000000000001", "-1e-20", "-0.0", "123456.789", "-1.5e-07", "98.0"]
    assert [numbers.cell(text) for text in read] == ["56.571", "0.2", "−1e−20", "0", "123,457", "−1.5e−07", "98.0"]
    for text in ("2019", "", "nan", "conv_2, 0 %", "[1.23456789]", "12345678"):
        assert numbers.cell(text) == text


def test_a_picture_says_what_it_draws_in_as_many_digits():
    said = describe(-7.1e-15, [-2.5e-9, 2.5e-9], [-0.01, 0.01], None, "pp")
    assert said == "Measured 0\N{NO-BREAK SPACE}pp; interval from 0 to 0; the claim holds from −0.01 to 0.01."


def test_the_table_of_verdicts_has_the_digits_of_its_intervals():
    def verdict(id, measured, interval, *parts):
        return Verdict(id, "inconclusive", "reduced", Strength(3, interval, 0.95), measured, None, "", (), parts)

    part = Part("a - b", -2.8, (-5.56, -0.02), (-math.inf, 0.0))
    said = verdict_table(
        [
            verdict("A", -7.11e-15, (-1.75, 1.75)),
            verdict("B", -2.79106, (-5.56154, -0.02058), part),
            verdict("C", 0.000013, (-math.inf, math.inf)),
            verdict("D", (0.5, 507840.0), None),
        ]
    )
    rows = [re.split(" {2,}", line)[-2:] for line in said.splitlines()[1:3]]
    assert rows == [["0.0", "-1.8 to 1.8"], ["-2.79", "-5.56 to -0.02"]]
    assert "1.3e-05" in said and "-inf to inf" in said and said.endswith("0.5, 507,840")
