"""How often the intervals cover the truth.

A 95 % interval should cover in 95 % of the studies. One that covers more is cautious; it is held only to not covering
clearly less (three standard errors of the simulation)."""

import math

import numpy as np
import pytest

from redraw.workbook import _judge_stats as judge_stats

LEVEL, SEEDS = 0.95, (3, 5, 10)
FLOOR = 1e-9


def paired(rng, n):
    shared = 3 * rng.normal(size=n)
    return judge_stats.mean(shared + rng.normal(size=n) - (shared + rng.normal(size=n)), FLOOR), 0.0


def against_paper(rng, n):
    spread = math.sqrt(rng.chisquare(4) / 4)  # five runs of the paper, as noisy as ours
    reference = rng.normal() / math.sqrt(5)
    return judge_stats.mean(rng.normal(size=n), FLOOR, spread**2 / 5, 4), reference


def unpaired(rng, n):
    return judge_stats.difference(2 * rng.normal(size=n), rng.normal(size=n), FLOOR), 0.0


def censored(reach):
    def build(rng, n):
        values = rng.normal(size=n)
        ended = values > reach
        return judge_stats.censored(np.minimum(values, reach), np.where(ended, np.inf, values), FLOOR), 0.0

    return build


def signs(rng, n):
    values = rng.normal(size=n)
    return judge_stats.SignMedian(values, values), 0.0


def bootstrap(rng, n):
    units = rng.normal(size=n)
    draws = np.sort(units[rng.integers(0, n, (999, n))].mean(axis=1))
    return judge_stats.Bootstrap(float(units.mean()), draws, n), 0.0


INTERVALS = {
    "t, paired by seed": paired,
    "t, against the paper's mean": against_paper,
    "Welch": unpaired,
    "censored at +1 sd": censored(1.0),
    "censored at the middle": censored(0.0),
    "sign test": signs,
    "bootstrap, expanded": bootstrap,
}


def coverage(build, n, studies):
    """The share of studies whose interval holds the truth.

    Against a paper, ours - theirs covers zero exactly when our interval covers their figure, which is itself
    a draw."""
    rng = np.random.default_rng([n, studies])
    covered = 0
    for _ in range(studies):
        estimate, truth = build(rng, n)
        low, high = estimate.limits((1 - LEVEL) / 2) if estimate is not None else (-math.inf, math.inf)
        covered += low <= truth <= high
    return covered / studies


@pytest.mark.parametrize("name", INTERVALS)
def test_interval_coverage(name, record_ratio):
    studies = 200 if name.startswith("censored") else 1000
    least = LEVEL - 3 * math.sqrt(LEVEL * (1 - LEVEL) / studies)
    for n in SEEDS:
        share = 100 * coverage(INTERVALS[name], n, studies)
        what = f"share of {studies:,} simulated studies whose {LEVEL:.0%} interval holds the truth"
        record_ratio(f"coverage, {name}, {n} seeds", share, limit=100 * least, better="higher", unit="%", what=what)
