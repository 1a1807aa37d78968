"""One training loop, evaluation and early stopping. Data lives in memory as tensors; randomness is passed in."""

from redraw.training._batched import fit_many
from redraw.training._early_stopping import History, fit
from redraw.training._loop import batches, evaluate, steps
from redraw.training._many import orders, train_many

__all__ = ["History", "batches", "evaluate", "fit", "fit_many", "orders", "steps", "train_many"]
