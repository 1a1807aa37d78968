"""How much remains, round by round or as training goes on: plain functions."""

from math import cos, pi


def exponential(remaining: float, rounds: int) -> list[float]:
    """Fractions remaining^(k / rounds) for k = 1 to `rounds`: each round removes the same share of what is left.

    Source: Tanaka et al. 2020 (arXiv 2006.05467), algorithm 1.
    Raises ValueError unless 0 < remaining <= 1 and rounds >= 1.
    """
    if not 0 < remaining <= 1:
        raise ValueError(f"remaining: must be above 0 and at most 1, got {remaining}")
    if rounds < 1:
        raise ValueError(f"rounds: must be at least 1, got {rounds}")
    return [remaining ** (k / rounds) for k in range(1, rounds)] + [remaining]


def cubic(progress: float, remaining: float, initial: float = 1.0) -> float:
    """remaining + (initial - remaining) (1 - progress)^3: fast while there is much to remove, slow at the end.

    progress: 0 where pruning begins to 1 where it ends; beyond these it stays at either end.
    Source: Zhu & Gupta 2017 (arXiv 1710.01878), equation 1, in fractions that remain.
    """
    return remaining + (initial - remaining) * (1 - min(max(progress, 0.0), 1.0)) ** 3


def cosine_decay(progress: float, start: float, end: float = 0.0) -> float:
    """end + (start - end) (1 + cos(pi * progress)) / 2, for progress from 0 to 1.

    Source: Evci et al. 2020 (arXiv 1911.11134), section 3, for the share of connections that are moved.
    """
    return end + (start - end) * (1 + cos(pi * min(max(progress, 0.0), 1.0))) / 2
