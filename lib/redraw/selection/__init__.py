"""Which training examples to keep: scores of how hard each is, policies that select by them, scores kept as files.

    from redraw.selection import el2n, select
    scores = el2n(networks, (x, y))      # networks trained for a few epochs from different initializations
    ids = select(scores, 0.5)            # the harder half; train on x[ids], y[ids]

Every score is higher the harder an example is. Works on any classifier and any tensors or DataLoader.
"""

from redraw.selection._artefact import (
    Scores,
    checkpoint_hash,
    data_hash,
    load_checkpoint,
    load_scores,
    save_checkpoint,
    save_scores,
)
from redraw.selection._examples import SelectionError
from redraw.selection._forgetting import Presentations, forgetting
from redraw.selection._grand import grand
from redraw.selection._policies import POLICIES, select
from redraw.selection._scores import el2n, input_norm, loss, margin, random_scores
from redraw.selection._train import train

__all__ = [
    "POLICIES",
    "Presentations",
    "Scores",
    "SelectionError",
    "checkpoint_hash",
    "data_hash",
    "el2n",
    "forgetting",
    "grand",
    "input_norm",
    "load_checkpoint",
    "load_scores",
    "loss",
    "margin",
    "random_scores",
    "save_checkpoint",
    "save_scores",
    "select",
    "train",
]
