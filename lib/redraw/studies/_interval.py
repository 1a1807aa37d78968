"""The interval that the studies' tables have beside a mean."""

import numpy as np
from scipy import stats


def mean_interval(values) -> tuple:
    """The mean of independent values (n, ...) along the first axis, and the ends of Student's 95 % interval for it:
    mean -+ t(0.975, n - 1) s / sqrt(n). The ends are NaN for fewer than two values."""
    values = np.asarray(values, float)
    mean = values.mean(axis=0)
    if len(values) < 2:
        return mean, mean * np.nan, mean * np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values, axis=0)
    return mean, mean - half, mean + half
