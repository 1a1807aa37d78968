"""Another criterion, the same trials: the verdict follows, the card and the version stay."""

import types

import numpy as np
import pandas as pd
import pytest

from redraw.workbook import ParameterError, Samples, explain, what_if

VALUES = np.array([0.8, 1.2, 1.1, 0.9, 1.0])


@pytest.fixture
def project(tmp_path, make_card, make_version):
    folder = make_version(samples={"L2a": Samples.of(VALUES), "L5": Samples.exact(2261184)})
    pd.DataFrame({"function": "ticket", "seed": range(5), "key": list("abcde"), "lead": VALUES}).to_csv(
        folder / "trials.csv", index=False
    )

    def measure(table, **parameters):
        return {"L2a": Samples.of(table["lead"].to_numpy()), "L5": Samples.exact(2261184)}

    made = types.SimpleNamespace(reports=tmp_path / "reports")
    made.card = lambda study: make_card()
    made.module = lambda study: types.SimpleNamespace(measure=measure)
    return made


def test_the_verdict_follows_the_bound(project):
    study = "lottery_ticket"
    before = {path: path.read_bytes() for path in project.reports.rglob("*") if path.is_file()}
    outcomes = {bound: what_if(project, study, "L2a", "1", bound=bound) for bound in (0.3, 1.0, 1.5)}
    assert [found.ruling.outcome for found in outcomes.values()] == ["reproduced", "inconclusive", "contradicted"]
    assert "above 1.5 pp" in repr(outcomes[1.5]).replace("\N{NO-BREAK SPACE}", " ")
    assert "the claim holds above 1.5" in outcomes[1.5]._repr_html_()
    same = explain(project, study, "L2a", "1")
    assert same.ruling.sentence == outcomes[0.3].ruling.sentence, "at the card's own bound it is the report's"
    assert {path: path.read_bytes() for path in project.reports.rglob("*") if path.is_file()} == before


def test_a_verdict_is_shown_as_in_the_report(project):
    found = explain(project, "lottery_ticket", "L5", "1")
    assert repr(found) == "L5 paper error: The paper prints 1,700,000; by its own definitions it is 2,261,184."
    page = found._repr_html_()
    assert 'class="ruling"' in page and "paper error" in page and "Frankle &amp; Carbin 2019, Figure 2" in page


@pytest.mark.parametrize(
    ("arguments", "criterion", "said"),
    [
        (("L2a", "1"), {"margin": -1.0}, "criterion of L2a: "),
        (("L2a", "1"), {"bound": "x"}, "criterion of L2a: "),
        (("L2a", "1"), {"bond": 1.0}, "criterion of L2a: "),
        (("X1", "1"), {"bound": 1.0}, "claim 'X1': must be one of L0"),
        (("L2a", "7"), {"bound": 1.0}, "version '7': must be one of 0001-laptop-ab12cd34ef"),
    ],
)
def test_a_wrong_question_is_one_clear_line(project, arguments, criterion, said):
    with pytest.raises(ParameterError, match=said) as caught:
        what_if(project, "lottery_ticket", *arguments, **criterion)
    assert "\n" not in str(caught.value)


def test_a_claim_that_is_not_there(project):
    with pytest.raises(ParameterError, match="claim 'X1': 0001-laptop-ab12cd34ef rules on L0"):
        explain(project, "lottery_ticket", "X1", "1")


def test_a_version_without_trials_is_ruled_on_again(project):
    folder = project.reports / "lottery_ticket" / "0001-laptop-ab12cd34ef"
    (folder / "trials.csv").write_text("\n")
    seen = []

    def measure(table, **parameters):
        seen.append(len(table))
        return {"L5": Samples.exact(2261184)}

    project.module = lambda study: types.SimpleNamespace(measure=measure)
    assert what_if(project, "lottery_ticket", "L5", "1").ruling.outcome == "paper_error" and seen == [0]


@pytest.mark.parametrize("text", [None, b"a,b\n1,2\n3,4,5\n", b"\xff\xfe\n"])
def test_trials_that_cannot_be_read_are_one_clear_line(project, text):
    path = project.reports / "lottery_ticket" / "0001-laptop-ab12cd34ef" / "trials.csv"
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ParameterError, match="0001-laptop-ab12cd34ef/trials.csv: cannot be read") as caught:
        what_if(project, "lottery_ticket", "L2a", "1", bound=1.0)
    assert "\n" not in str(caught.value)
