"""Resampling: bootstrap weights, how often each run or cluster of runs is drawn, and the jackknife over clusters."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from redraw.scaling._errors import ScalingError


def resample_counts(n: int, replicates: int, seed: int, cluster=None) -> np.ndarray:
    """How often each of n runs enters each bootstrap replicate: (replicates, n) float64.

    Drawing with replacement is a multinomial, so a replicate is a weighting of the same table and thousands
    are fitted at once. With `cluster` (n labels: the cell, the model size) whole clusters are drawn, as many
    as there are: runs of a cell share its optimum, so drawing them singly makes intervals too narrow
    (Cameron, Gelbach & Miller 2008).

    Raises ScalingError: fewer than 1 replicate, labels of the wrong length, fewer than 2 clusters.
    """
    if not (isinstance(replicates, int | np.integer) and replicates >= 1):
        raise ScalingError(f"replicates: must be a whole number of at least 1, not {replicates!r}")
    rng = np.random.default_rng(seed)
    if cluster is None:
        return rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)
    labels = np.asarray(cluster)
    if labels.shape != (n,):
        raise ScalingError(f"cluster: must hold one label for each of the {n} runs, not shape {labels.shape}")
    names, index = np.unique(labels, return_inverse=True)
    g = len(names)
    if g < 2:
        raise ScalingError("cluster: must name at least 2 clusters")
    return rng.multinomial(g, np.full(g, 1 / g), size=replicates).astype(np.float64)[:, index]


def jackknife(statistic: Callable[[pd.DataFrame], np.ndarray], table: pd.DataFrame, cluster: str) -> np.ndarray:
    """Pseudo-values (g, K) of a statistic (K,) over the g clusters of a table, the values of its column `cluster`.

    g theta - (g - 1) theta_(-k), with theta_(-k) the statistic without cluster k. To first order they are independent
    and their mean estimates theta, so that Student's t interval of that mean, with g - 1 degrees of freedom, holds for
    few clusters, where the percentiles of a bootstrap are too narrow. Of a mean with clusters of equal size they are
    the clusters' means.

    Raises ScalingError on fewer than 2 clusters. Source: Tukey 1958; Efron & Tibshirani 1993, chapter 11.
    """
    names = table[cluster].unique()
    if len(names) < 2:
        raise ScalingError(f"cluster: must name at least 2 clusters, {cluster} has {len(names)}")
    whole = np.asarray(statistic(table))
    without = np.array([statistic(table[table[cluster] != name]) for name in names])
    return len(names) * whole - (len(names) - 1) * without


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap draws of named parameters. draws: (replicates, P); usable: (replicates,) bool, fits that
    converged."""

    names: tuple[str, ...]
    draws: np.ndarray
    usable: np.ndarray
    estimate: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """The usable draws of one parameter. Raises ScalingError on an unknown name."""
        if name not in self.names:
            raise ScalingError(f"name: must be one of {', '.join(self.names)}, not {name!r}")
        return self.draws[self.usable, self.names.index(name)]

    @property
    def standard_errors(self) -> dict[str, float]:
        return {name: float(np.std(self.column(name), ddof=1)) for name in self.names}

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of one parameter at the level."""
        low, high = np.quantile(self.column(name), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
