"""Forgetting events, counted while a network trains."""

import torch
from torch import Tensor

from redraw.selection._examples import SelectionError


class Presentations:
    """What became of each example whenever it was in a mini-batch: `update` it in any training loop.

    seen = Presentations(len(x))
    seen.update(ids, logits.argmax(1) == y)      # before each step, ids (B,) the examples of the batch

    times (N,) presentations, learned (N,) whether ever classified correctly, events (N,) how often an example that was
    classified correctly at one presentation was not at the next.
    """

    def __init__(self, examples: int):
        self.times = torch.zeros(examples, dtype=torch.int64)
        self.events = torch.zeros(examples, dtype=torch.int64)
        self.learned = torch.zeros(examples, dtype=torch.bool)
        self._last = torch.zeros(examples, dtype=torch.bool)

    def update(self, ids: Tensor, correct: Tensor) -> None:
        """Record a mini-batch: ids (B,) int64, each at most once, correct (B,) bool. Raises SelectionError."""
        ids, correct = ids.cpu(), correct.cpu()
        if ids.shape != correct.shape or ids.ndim != 1 or correct.dtype != torch.bool:
            raise SelectionError("correct: must be one true or false per id")
        self.events[ids] += (self._last[ids] & ~correct).long()
        self._last[ids] = correct
        self.learned[ids] |= correct
        self.times[ids] += 1

    @property
    def never_forgotten(self) -> Tensor:
        """Whether an example was learned at some point and not forgotten since, (N,) bool: the unforgettable ones."""
        return self.learned & (self.events == 0)


def forgetting(seen: Presentations | Tensor) -> Tensor:
    """Forgetting events of each example over one training, (N,) float32; the most presentations that any example had
    for one that was never learned.

    seen: `Presentations`, or whether each example was classified correctly at its t-th presentation, (T, N) bool. An
    event is correct at t and not at t + 1; unlike examples that were always right, those that never were have no
    events and are the hardest, hence their place above all others. Average over trainings by taking means.
    Source: Toneva et al. 2019, arXiv 1812.05159, section 3. Raises SelectionError for another kind of record.
    """
    if isinstance(seen, Tensor):
        if seen.ndim != 2 or seen.dtype != torch.bool or not len(seen):
            raise SelectionError("seen: must be (presentations, examples) true or false")
        matrix, seen = seen, Presentations(seen.shape[1])
        for correct in matrix:
            seen.update(torch.arange(len(correct)), correct)
    return torch.where(seen.learned, seen.events, seen.times.max()).float()
