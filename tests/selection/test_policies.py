"""Policies against sorting by hand, and their invariants."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redraw.seeds import generator
from redraw.selection import POLICIES, Scores, SelectionError, select

SCORES = torch.tensor([0.5, 0.1, 0.9, 0.3, 0.7, 0.2])


def test_hardest_easiest_and_the_window():
    assert select(SCORES, 0.5).tolist() == [0, 2, 4]
    assert select(SCORES, 2, "easiest").tolist() == [1, 5]
    assert select(SCORES, 2, skip=1).tolist() == [0, 4]
    assert select(SCORES, 0.5, skip=0.5).tolist() == [1, 3, 5]
    assert select(SCORES, 5, "easiest", skip=1).tolist() == [0, 1, 3, 4, 5]
    assert select(SCORES, 1.0).tolist() == list(range(6))


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.lists(st.integers(0, 5), min_size=n, max_size=n), st.integers(1, n), st.integers(0, n))
    ),
    st.sampled_from(POLICIES),
    st.booleans(),
)
def test_as_many_as_asked_in_order_none_of_the_skipped(made, policy, balanced):
    values, keep, skip = made
    scores = torch.tensor(values, dtype=torch.float32)
    skip = min(skip, len(values) - keep)
    classes = torch.arange(len(values)) % 3 if balanced else None
    chosen = select(scores, keep, policy, skip=skip, classes=classes, strata=4)
    assert len(chosen) == keep and chosen.tolist() == sorted(set(chosen.tolist()))
    if not balanced:
        hardest_left = scores.sort(descending=True).values[skip]
        assert (scores[chosen] <= hardest_left).all()
        if policy == "hardest":
            assert torch.equal(
                scores[chosen].sort(descending=True).values, scores.sort(descending=True).values[skip:][:keep]
            )
        if policy == "easiest":
            assert torch.equal(scores[chosen].sort().values, scores.sort().values[:keep])


def check_no_balance():
    """A class that holds all hard examples is all that is kept: nothing balances classes unasked."""
    scores, classes = torch.cat([torch.rand(50), 1 + torch.rand(50)]), torch.arange(100) // 50
    assert classes[select(scores, 0.5)].tolist() == [1] * 50


def test_classes_are_balanced_only_when_asked():
    check_no_balance()
    scores = torch.cat([torch.rand(60, generator=generator(0)), 1 + torch.rand(40, generator=generator(1))])
    classes = (torch.arange(100) >= 60).long()
    for policy in POLICIES:
        kept = classes[select(scores, 0.5, policy, classes=classes)]
        assert (kept == 0).sum() == 30 and (kept == 1).sum() == 20
    hard = select(scores, 0.5, classes=classes)
    expected = [
        *scores[:60].argsort(descending=True)[:30].tolist(),
        *(60 + scores[60:].argsort(descending=True)[:20]).tolist(),
    ]
    assert hard.tolist() == sorted(expected)
    window = select(scores, 0.5, classes=classes, skip=0.1)
    assert not set(window.tolist()) & set(scores[:60].argsort(descending=True)[:6].tolist())


def test_shares_add_up_where_they_cannot_be_even():
    classes = torch.tensor([0] * 5 + [1] * 3 + [2] * 3)
    for keep in range(1, 12):
        assert len(select(torch.rand(11), keep, classes=classes)) == keep


def test_stratified_takes_evenly_from_ranges_of_score():
    scores = torch.cat([torch.full((4,), 0.05), torch.full((100,), 0.5), torch.full((100,), 0.95)])
    scores[0], scores[-1] = 0.0, 1.0
    chosen = select(scores, 44, "stratified", strata=3)
    counts = [int((chosen < 4).sum()), int(((chosen >= 4) & (chosen < 104)).sum()), int((chosen >= 104).sum())]
    assert counts == [4, 20, 20]
    assert len(select(torch.zeros(10), 4, "stratified")) == 4


def test_ties_are_broken_at_random_by_the_seed():
    flat = torch.zeros(1000)
    one, again, other = select(flat, 0.5), select(flat, 0.5), select(flat, 0.5, seed=1)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert 400 < one.double().mean() < 600
    assert not torch.equal(select(flat, 0.5, "random"), select(flat, 0.5, "random", seed=1))


def test_a_random_choice_ignores_the_scores_but_for_the_skipped():
    scores = torch.arange(100.0)
    chosen = torch.stack([select(scores, 50, "random", seed=s).double().mean() for s in range(50)])
    assert 45 < chosen.mean() < 54
    assert select(scores, 20, "random", skip=80).tolist() == list(range(20))


def test_scores_of_ids_give_ids():
    scores = Scores(values=SCORES, ids=torch.tensor([50, 10, 90, 30, 70, 20]), method="el2n")
    assert select(scores, 3).tolist() == [50, 70, 90]


@pytest.mark.parametrize(
    "request_, words",
    [
        (dict(keep=0.0), "keep: "),
        (dict(keep=1.5), "keep: "),
        (dict(keep=7), "keep: "),
        (dict(keep=True), "keep: "),
        (dict(keep=4, skip=3), "at most the 3 of 6"),
        (dict(keep=1, skip=-1), "skip: "),
        (dict(keep=1, policy="worst"), "policy: must be one of hardest, easiest"),
        (dict(keep=1, strata=0), "strata: "),
        (dict(keep=1, classes=torch.zeros(3)), "classes: "),
    ],
)
def test_impossible_requests_are_one_line(request_, words):
    with pytest.raises(SelectionError, match=words) as error:
        select(SCORES, **request_)
    assert "\n" not in str(error.value)


def test_scores_must_be_finite_numbers():
    for scores in (
        torch.tensor([1.0, float("nan")]),
        torch.tensor([1.0, float("inf")]),
        torch.zeros(0),
        torch.zeros(2, 2),
    ):
        with pytest.raises(SelectionError, match="scores: "):
            select(scores, 1)
