"""Masks that hold, scores and schedules that make them. Works on any `nn.Module`, without a card or a notebook."""

from redraw.pruning._iterative import Round, compound, iterative_magnitude_pruning
from redraw.pruning._magnitude import magnitude
from redraw.pruning._masks import Masks

__all__ = ["Masks", "Round", "compound", "iterative_magnitude_pruning", "magnitude"]
