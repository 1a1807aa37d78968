"""Masks that hold, scores and schedules that make them. Works on any `nn.Module`, without a card or a notebook.

A method is a score (what matters) x a scope (what is compared) x a distribution or a schedule (how much) x a regrowth.
"""

from redraw.pruning._artefact import load_masks, overlap, profile, save_masks
from redraw.pruning._at_init import grasp, random_pruning, shuffle, snip, synflow
from redraw.pruning._concrete import Search, concrete_ticket_search
from redraw.pruning._count import collapsed, connected, flops, positions, training_flops
from redraw.pruning._distributions import erk, smart_ratio, uniform
from redraw.pruning._dynamic import (
    Evolution,
    Update,
    evolve,
    gradual_magnitude_pruning,
    granet,
    rigl,
    sparse_evolutionary_training,
)
from redraw.pruning._iterative import Round, compound, iterative_magnitude_pruning
from redraw.pruning._keep import keep, keep_layers, keep_n_of_m
from redraw.pruning._magnitude import magnitude
from redraw.pruning._masks import Masks
from redraw.pruning._schedules import cosine_decay, cubic, exponential
from redraw.pruning._scores import (
    grasp_scores,
    magnitude_scores,
    random_scores,
    snip_scores,
    synflow_scores,
    wanda_scores,
)
from redraw.pruning._structured import keep_outputs, shrink

__all__ = [
    "Evolution",
    "Masks",
    "Round",
    "Search",
    "Update",
    "collapsed",
    "compound",
    "concrete_ticket_search",
    "connected",
    "cosine_decay",
    "cubic",
    "erk",
    "evolve",
    "exponential",
    "flops",
    "gradual_magnitude_pruning",
    "granet",
    "grasp",
    "grasp_scores",
    "iterative_magnitude_pruning",
    "keep",
    "keep_layers",
    "keep_n_of_m",
    "keep_outputs",
    "load_masks",
    "magnitude",
    "magnitude_scores",
    "overlap",
    "positions",
    "profile",
    "random_pruning",
    "random_scores",
    "rigl",
    "save_masks",
    "shrink",
    "shuffle",
    "smart_ratio",
    "snip",
    "snip_scores",
    "sparse_evolutionary_training",
    "synflow",
    "synflow_scores",
    "training_flops",
    "uniform",
    "wanda_scores",
]
