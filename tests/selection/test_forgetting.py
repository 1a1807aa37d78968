"""Forgetting events against brute force over each example's history."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redraw.selection import Presentations, SelectionError, forgetting


def brute_force(history, presentations):
    events = sum(now and not after for now, after in zip(history, history[1:], strict=False))
    return events if any(history) else presentations


histories = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=8)
)


@given(histories)
def test_events_are_counted_as_by_hand(rows):
    columns = list(zip(*rows, strict=True))
    expected = [float(brute_force(column, len(rows))) for column in columns]
    assert forgetting(torch.tensor(rows)).tolist() == expected


def test_presentations_in_any_batches_count_the_same():
    rows = torch.rand(6, 10, generator=torch.Generator().manual_seed(0)) < 0.6
    seen = Presentations(10)
    for row in rows:
        for ids in torch.randperm(10, generator=torch.Generator().manual_seed(int(row.sum()))).split(4):
            seen.update(ids, row[ids])
    assert torch.equal(forgetting(seen), forgetting(rows))
    assert seen.times.tolist() == [6] * 10


def test_never_forgotten_is_learned_and_kept():
    #                     always right, learned late, forgotten once, never learned
    rows = torch.tensor([[True, False, True, False], [True, True, False, False], [True, True, True, False]])
    seen = Presentations(4)
    for row in rows:
        seen.update(torch.arange(4), row)
    assert seen.never_forgotten.tolist() == [True, True, False, False]
    assert forgetting(seen).tolist() == [0, 0, 1, 3]


def test_an_example_that_was_not_presented_has_no_event():
    seen = Presentations(3)
    seen.update(torch.tensor([0, 1]), torch.tensor([True, True]))
    seen.update(torch.tensor([0]), torch.tensor([False]))
    assert seen.events.tolist() == [1, 0, 0] and seen.times.tolist() == [2, 1, 0]


def test_wrong_records_are_refused():
    with pytest.raises(SelectionError, match="correct: "):
        Presentations(3).update(torch.tensor([0, 1]), torch.tensor([True]))
    with pytest.raises(SelectionError, match="correct: "):
        Presentations(3).update(torch.tensor([0]), torch.tensor([1.0]))
    for record in (torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool)):
        with pytest.raises(SelectionError, match="seen: "):
            forgetting(record)
