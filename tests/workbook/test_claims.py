"""Claims are typed: what fits a kind is accepted, what does not is refused with the field named."""

import copy
import json

import numpy as np
import pytest
from pydantic import ValidationError

from redraw.workbook._claims import Claim, FieldError, Samples, SamplesError, claims_hash

BASE = {"id": "A", "statement": "It holds.", "paper": "p", "metric": "accuracy", "scope": {"laptop": "reduced"}}
FITTING = {
    "exact": {"reference": {"value": [51.3, 21.1], "decimals": 1}},
    "value": {"reference": {"value": 98.0}, "criterion": {"margin": 0.3}},
    "difference": {"criterion": {"op": ">", "bound": 0.3}},
    "threshold": {"criterion": {"op": "<", "bound": 3}},
    "ratio": {"reference": {"value": 0.62}, "criterion": {"margin": 1.2}},
    "ordering": {"criterion": {"all": [{"a": "x", "op": ">", "b": "y"}]}},
    "exponent": {"reference": {"value": -0.5}, "criterion": {"margin": 0.05}},
    "curve": {"reference": {"value": [1.0, 2.0], "x": [0.0, 1.0]}, "criterion": {"margin": 0.1}},
    "absence": {"criterion": {"margin": 0.2}},
}
REFUSED = [
    ("exact", {"reference": {"value": 1.0}}, ("reference", "decimals")),
    ("exact", {"reference": {"decimals": 1}}, ("reference", "value")),
    ("exact", {"reference": {"value": [], "decimals": 1}}, ("reference", "value")),
    ("exact", {"criterion": {"margin": 0.1}}, ("criterion",)),
    ("exact", {"expect": "paper_error"}, ("counted",)),
    ("exact", {"expect": "paper_error", "counted": 3.0}, ("counted",)),
    ("value", {"expect": "paper_error", "counted": 3.0}, ("expect",)),
    ("value", {"counted": 3.0}, ("counted",)),
    ("value", {"reference": {}}, ("reference", "value")),
    ("value", {"reference": {"value": [1.0]}}, ("reference", "value")),
    ("value", {"criterion": {"op": ">", "bound": 1}}, ("criterion",)),
    ("difference", {"criterion": {"bound": 0.3}}, ("criterion",)),
    ("difference", {"criterion": {"op": ">", "bound": 0.3, "margin": 0.1}}, ("criterion",)),
    ("difference", {"criterion": {}}, ("criterion",)),
    ("threshold", {"criterion": {"margin": 1.0}}, ("criterion",)),
    ("ratio", {"criterion": {"margin": 0.9}}, ("criterion", "margin")),
    ("ratio", {"criterion": {"op": "<", "bound": -1}}, ("criterion", "bound")),
    ("ratio", {"reference": {"value": -0.62}}, ("reference", "value")),
    ("curve", {"reference": {"value": [1.0, 2.0], "x": [0.0]}}, ("reference", "x")),
    ("curve", {"reference": {"value": [1.0, 2.0], "x": [1.0, 0.0]}}, ("reference", "x")),
    ("curve", {"reference": {"value": 1.0}}, ("reference", "value")),
]


def fitting(kind, /, **changes):
    fields = {**BASE, "kind": kind, **FITTING[kind], **changes}
    return Claim.model_validate(copy.deepcopy(fields))


@pytest.mark.parametrize("kind", FITTING)
def test_every_kind_is_expressible(kind):
    claim = fitting(kind)
    assert claim.kind == kind and claim.meaning()["kind"] == kind


@pytest.mark.parametrize("kind, changes, path", REFUSED)
def test_what_does_not_fit_the_kind_is_refused_at_its_field(kind, changes, path):
    with pytest.raises(ValidationError) as caught:
        fitting(kind, **changes)
    errors = [error["ctx"]["error"] for error in caught.value.errors() if "error" in error.get("ctx", {})]
    assert [error.path for error in errors if isinstance(error, FieldError)] == [path]


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": {}},
        {"scope": {"huge": "same"}},
        {"scope": {"laptop": "plain"}},
        {"main": "yes"},
        {"kind": "guess"},
        {"id": "no spaces"},
        {"verdict": "reproduced"},
        {"criterion": {"margin": float("nan")}},
        {"criterion": {"margin": 0.0}},
        {"criterion": {"margin": True}},
        {"reference": {"value": float("inf")}},
        {"reference": {"value": 1.0, "spread": -0.1}},
        {"reference": {"value": 1.0, "source": "hearsay"}},
    ],
)
def test_strictness(changes):
    with pytest.raises(ValidationError):
        fitting("value", **changes)


@pytest.mark.parametrize("op", ["<=", ">=", "="])
def test_not_worse_and_equal_need_a_margin(op):
    comparison = {"a": "x", "op": op, "b": "y"}
    with pytest.raises(ValidationError):
        fitting("ordering", criterion={"all": [comparison]})
    assert fitting("ordering", criterion={"all": [{**comparison, "margin": 0.1}]})
    with pytest.raises(ValidationError):
        fitting("ordering", criterion={"all": [{**comparison, "b": "x", "margin": 0.1}]})


def test_the_hash_follows_the_meaning_and_not_the_words():
    claims = [fitting("value"), fitting("difference", id="B")]
    base = claims_hash(claims)
    assert base == claims_hash(claims[::-1])
    words = {"statement": "Otherwise put.", "place": "Table 1", "notes": "see there"}
    basis = {"margin": 0.30, "basis": "three spreads"}
    assert base == claims_hash([fitting("value", criterion=basis, **words), claims[1]])
    moved = [
        {"criterion": {"margin": 0.31}},
        {"reference": {"value": 98.1}},
        {"scope": {"laptop": "same"}},
        {"scope": {"laptop": "reduced", "paper": "same"}},
        {"kind": "absence"},
        {"main": True},
        {"paired": False},
        {"metric": "loss"},
    ]
    hashes = {claims_hash([fitting("value", **change), claims[1]]) for change in moved}
    assert len(hashes | {base}) == len(moved) + 1
    assert len(base) == 64 and json.dumps(claims[0].meaning(), allow_nan=False)


def test_rounding_is_half_of_the_last_printed_digit():
    claim = fitting("exact", reference={"value": 1.7e6, "decimals": -5})
    assert claim.reference.rounding == 50_000
    assert fitting("exact").reference.rounding == pytest.approx(0.05)
    assert fitting("value").reference.rounding == 0


def test_samples_hold_what_they_are_given():
    pair = Samples.pair([1, 2], (3.0, 4.0), a_censored=[False, True])
    assert list(pair.arms) == ["a", "b"]
    np.testing.assert_array_equal(pair.arms["a"].values, [1.0, 2.0])
    np.testing.assert_array_equal(pair.arms["a"].censored, [False, True])
    assert not pair.arms["b"].censored.any()
    assert Samples.exact(3).number == 3.0 and Samples.exact([1, 2]).number == (1.0, 2.0)
    assert Samples.curve([0, 1], [[1, 2], [3, 4], [5, 6]]).curves.shape == (3, 2)
    assert Samples.blocked("no data").missing == "blocked"
    draws = Samples.bootstrap(0.5, np.linspace(1, 0, 300), seeds=5)
    assert draws.draws[0] == 0 and draws.seeds == 5


@pytest.mark.parametrize(
    "build",
    [
        lambda: Samples.of([1.0, float("nan")]),
        lambda: Samples.of([1.0, float("inf")]),
        lambda: Samples.of(["one"]),
        lambda: Samples.of([[1.0]]),
        lambda: Samples.of([1.0], [0]),
        lambda: Samples.of([1.0], [False, True]),
        lambda: Samples.many({"a": [1.0]}, {"b": [True]}),
        lambda: Samples.curve([0, 1], [1.0, 2.0]),
        lambda: Samples.curve([0, 1], [[1.0, 2.0, 3.0]]),
        lambda: Samples.bootstrap(0.5, [0.5] * 10, seeds=5),
        lambda: Samples.exact(10**400),
    ],
)
def test_samples_that_make_no_sense_are_refused_in_one_line(build):
    with pytest.raises(SamplesError) as caught:
        build()
    assert "\n" not in str(caught.value)
