import pytest

from redraw.hpo import Comparison, ComparisonError, SearchError, compare

FAIR = {"tuning_seeds": (0, 1, 2), "test_seeds": (3, 4, 5), "budgets": {"random": 100, "tpe": 100}}
RESULTS = {"random": {3: 0.30, 4: 0.50, 5: 0.40}, "tpe": {3: 0.20, 4: 0.35, 5: 0.44}}


def test_a_fair_comparison_is_made():
    outcome = compare(Comparison(**FAIR), RESULTS)
    assert outcome.reasons == () and "FORCED" not in str(outcome)
    assert outcome.scores["competitor"].tolist() == ["tpe", "random"]
    assert outcome.scores["score"].tolist() == pytest.approx([0.33, 0.40])
    assert outcome.scores[["low", "high"]].to_numpy().tolist() == [[0.20, 0.44], [0.30, 0.50]]
    assert compare(Comparison(**FAIR, report="median"), RESULTS).scores["score"].tolist() == [0.35, 0.40]
    assert compare(Comparison(**FAIR), RESULTS, maximize=True).scores["competitor"][0] == "random"


UNFAIR = {
    "it tests on seeds that it tuned on: 3, 4": {"tuning_seeds": (3, 4, 7)},
    "its competitors have unequal budgets: random 100, tpe 200": {"budgets": {"random": 100, "tpe": 200}},
    "it chooses configurations by their test scores": {"selected_on": "test"},
    "it reports the best of the test seeds": {"report": "best"},
}


@pytest.mark.parametrize("reason", UNFAIR)
def test_an_unfair_one_is_refused_with_the_reason_or_carries_it(reason):
    comparison = Comparison(**FAIR | UNFAIR[reason])
    assert comparison.reasons() == [reason]
    with pytest.raises(ComparisonError, match=f"^comparison: refused, {reason}$"):
        compare(comparison, RESULTS)
    forced = compare(comparison, RESULTS, force=True)
    assert forced.reasons == (reason,) and f"FORCED: {reason}\n" in str(forced)
    assert set(forced.scores["forced"]) == {reason}


def test_every_reason_is_given():
    comparison = Comparison((1, 2), (2, 3), {"a": 1, "b": 2}, selected_on="test", report="best")
    results = {"a": {2: 1, 3: 2}, "b": {2: 0, 3: 5}}
    with pytest.raises(ComparisonError, match="tuned on: 2; .*unequal.*; .*by their test scores; .*the best"):
        compare(comparison, results)
    assert len(compare(comparison, results, force=True).reasons) == 4
    assert compare(comparison, results, force=True).scores["score"].tolist() == [0, 1]
    assert compare(comparison, results, force=True, maximize=True).scores["score"].tolist() == [5, 2]


REFUSED = {
    "tuning_seeds: must be different": {"tuning_seeds": ()},
    "test_seeds: must be different": {"test_seeds": (3, 3)},
    "test_seeds: must be a whole number": {"test_seeds": (0.5,)},
    "budgets: must have at least two competitors": {"budgets": {"a": 1}},
    "budgets: tpe: must be above 0": {"budgets": {"random": 1, "tpe": 0}},
    "selected_on: must be one of 'tuning', 'test'": {"selected_on": "both"},
    "report: must be one of 'mean', 'median', 'best'": {"report": "max"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_declaration_is_refused(message):
    with pytest.raises(SearchError, match=f"^{message}"):
        Comparison(**FAIR | REFUSED[message])


def test_results_must_be_those_declared():
    comparison = Comparison(**FAIR)
    with pytest.raises(SearchError, match="^results: must be of random, tpe, not of random"):
        compare(comparison, {"random": RESULTS["random"]})
    with pytest.raises(SearchError, match=r"^results: tpe must have a score for each test seed \(3, 4, 5\), not for"):
        compare(comparison, RESULTS | {"tpe": {3: 1, 4: 1}})
    with pytest.raises(SearchError, match="^results: tpe, seed 5: must be finite"):
        compare(comparison, RESULTS | {"tpe": {3: 1, 4: 1, 5: float("nan")}}, force=True)
