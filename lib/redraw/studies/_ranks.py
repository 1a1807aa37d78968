"""Comparing methods over problems: ranks with their intervals, the critical difference, performance profiles.

Everywhere `scores` is a frame with a row per problem and a column per method; lower is better, ties share their rank.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """The rank of each method on each problem, 1 the best; equal scores share the mean of their places.

    Raises ValueError where a score is missing: a rank among fewer methods would be another thing.
    """
    if scores.isna().to_numpy().any():
        problem, method = scores.stack(future_stack=True).pipe(lambda s: s.index[s.isna()][0])[-2:]
        raise ValueError(f"scores: must be given for every method, {method} has none on {problem}")
    return scores.rank(axis=1)


def friedman(scores: pd.DataFrame) -> float:
    """The p-value of "all methods rank alike" (Friedman 1937, with ties; `scipy.stats.friedmanchisquare`).

    Needs three methods and two problems, else it is NaN.
    """
    if scores.shape[1] < 3 or len(scores) < 2:
        return float("nan")
    return float(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)


def critical_difference(methods: int, problems: int, level: float = 0.95) -> float:
    """How far two average ranks must lie apart to differ, all pairs at once (Nemenyi 1963; Demsar 2006, section 3.2.2).

        CD = q sqrt(k (k + 1) / (6 n)),  q = studentized range quantile for k groups and infinite df, over sqrt(2)

    for k methods on n problems. Raises ValueError for fewer than two methods or no problem.
    """
    if methods < 2 or problems < 1:
        raise ValueError(f"methods, problems: must be at least 2 and 1, got {methods} and {problems}")
    q = stats.studentized_range.ppf(level, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * problems)))


def cliques(average: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """The largest groups of average ranks of which no two differ by more than `difference`: (lowest, highest) each.

    Groups of one, and groups within another, are left out.
    """
    ordered, found = sorted(average), []
    for low in ordered:
        high = max(rank for rank in ordered if rank - low <= difference)
        if high > low and (not found or high > found[-1][1]):
            found.append((low, high))
    return found


def bootstrap_ranks(
    scores: pd.DataFrame, *, cluster: str, within: str, replicates: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Average ranks with 95 % bootstrap intervals, a row per method, best first: method, rank, low, high.

    scores: index with levels `cluster` (task), `within` (seed) and any others (budget). A replicate draws clusters with
    replacement, then seeds within each drawn cluster; scores are averaged over the drawn seeds, then ranked, then
    ranks are averaged. Percentile intervals: the draws take the spread between tasks and seeds in, and few of either
    make them too narrow rather than too wide.
    """
    rng = np.random.default_rng(seed)
    levels = [name for name in scores.index.names if name != within]
    clusters = [part.unstack(within) for _, part in scores.groupby(level=cluster)]
    blocks = [_cube(part, scores.columns) for part in clusters]
    centre = ranks(scores.groupby(level=levels).mean()).groupby(level=cluster).mean().mean()
    draws = np.empty((replicates, scores.shape[1]))
    for i in range(replicates):
        drawn = [blocks[k] for k in rng.integers(len(blocks), size=len(blocks))]
        means = [block[:, :, rng.integers(block.shape[2], size=block.shape[2])].mean(axis=2) for block in drawn]
        draws[i] = np.mean([stats.rankdata(mean, axis=1).mean(axis=0) for mean in means], axis=0)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    frame = pd.DataFrame({"method": scores.columns, "rank": centre.to_numpy(), "low": low, "high": high})
    return frame.sort_values("rank", ignore_index=True)


def _cube(part: pd.DataFrame, methods: pd.Index) -> np.ndarray:
    """(problems, methods, seeds) from a frame with columns (method, seed)."""
    return np.stack([part[method].to_numpy() for method in methods], axis=1)


def performance_profile(scores: pd.DataFrame, taus: Sequence[float]) -> pd.DataFrame:
    """Per method the share of problems on which its score is within a factor tau of the best: method, tau, share.

    Source: Dolan and More 2002 (Math. Program. 91), with scores in the place of times. Scores must be positive.
    """
    ratios = _ratios(scores)
    parts = [pd.DataFrame({"method": m, "tau": taus, "share": [(ratios[m] <= t).mean() for t in taus]}) for m in ratios]
    return pd.concat(parts, ignore_index=True)


def profile_score(scores: pd.DataFrame, largest: float) -> pd.Series:
    """The area under each profile from 1 to `largest`, over largest - 1: 1 for a method that is always the best."""
    ratios = _ratios(scores).clip(upper=largest)
    return (largest - ratios).mean() / (largest - 1)


def leave_one_out(scores: pd.DataFrame, largest: float) -> pd.DataFrame:
    """`profile_score` of each method (rows) when a competitor (columns; first nobody, "") does not compete.

    Profiles are relative to the best of those that compete, so that the order of two can hang on a third (Dahl et al.
    2023, AlgoPerf, arXiv 2306.07179).
    """
    found = {"": profile_score(scores, largest)}
    found |= {name: profile_score(scores.drop(columns=name), largest) for name in scores}
    return pd.DataFrame(found).reindex(scores.columns)


def _ratios(scores: pd.DataFrame) -> pd.DataFrame:
    if (scores <= 0).to_numpy().any():
        raise ValueError(f"scores: must be above 0 for a profile, got {scores.min().min():g}")
    return scores.div(scores.min(axis=1), axis=0)
