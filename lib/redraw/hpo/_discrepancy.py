"""How evenly tasks lie among all tasks, and a small subset that lies like the whole."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redraw.hpo._checks import SearchError, count, stream


def star_discrepancy(points: ArrayLike, reference: ArrayLike | None = None) -> float:
    """The exact star discrepancy of `points` (n, d) in the unit cube: how far their shares in boxes can be wrong.

        D* = sup over q in [0, 1]^d of |share of points in [0, q] - volume of [0, q]|

    With `reference` (m, d) the volume gives way to the share of the reference's points: how far a subset is from the
    whole. The supremum is taken over every box whose corner has coordinates of the points, open and closed, which takes
    time in (n + m)^d: for small d. Source: Niederreiter 1972 (Ann. Mat. Pura Appl. 93, recalled).
    Raises SearchError: not (n, d), empty, or outside the unit cube.
    """
    points = _cube("points", points)
    reference = None if reference is None else _cube("reference", reference)
    if reference is not None and reference.shape[1] != points.shape[1]:
        raise SearchError(f"reference: must have {points.shape[1]} columns as points has, not {reference.shape[1]}")
    both = points if reference is None else np.vstack([points, reference])
    axes = [np.unique(np.r_[column, 1.0]) for column in both.T]
    if reference is not None:
        return float(np.abs(_shares(points, axes, "right") - _shares(reference, axes, "right")).max())
    volume = np.ones(())
    for axis in axes:
        volume = np.multiply.outer(volume, axis)
    return float(max((volume - _shares(points, axes, "left")).max(), (_shares(points, axes, "right") - volume).max()))


def _cube(name: str, values: ArrayLike) -> NDArray[np.float64]:
    out = np.asarray(values, dtype=float)
    if out.ndim != 2 or 0 in out.shape:
        raise SearchError(f"{name}: must be of shape (n, d) with at least one point, not {out.shape}")
    if not ((out >= 0) & (out <= 1)).all():
        raise SearchError(f"{name}: must lie in the unit cube")
    return out


def _shares(points: NDArray, axes: list[NDArray], side: str) -> NDArray:
    """The share of points in the box below each grid corner: closed boxes for "right", open ones for "left"."""
    counts = np.zeros([len(axis) + 1 for axis in axes])
    # The first corner that holds a coordinate v: the first axis value >= v if the box is closed, > v if it is open.
    first = tuple(
        np.searchsorted(a, c, "left" if side == "right" else "right") for a, c in zip(axes, points.T, strict=True)
    )
    np.add.at(counts, first, 1)
    for dimension in range(counts.ndim):
        counts = counts.cumsum(axis=dimension)
    return counts[tuple(slice(len(axis)) for axis in axes)] / len(points)


def representative(points: ArrayLike, size: int, seed: int = 0, *, uniform: bool = False) -> list[int]:
    """`size` of the `points` (n, d) in the unit cube whose star discrepancy to all of them is small; their places.

    A task is a point: what a few methods reached on it, scaled to [0, 1]. The subset is built one by one, each time
    with the point that leaves the lowest discrepancy (ties by lot), then points are swapped for others as long as
    that lowers it: a local optimum, not the best of all subsets. uniform: against the even measure on the cube instead
    of all points.

    Sources: CARP-S (Benjamins et al. 2025, arXiv 2506.06143) chooses its 10 to 30 tasks of a kind by the star
    discrepancy of the subset; the swaps are those of Clement, Doerr and Paquete 2024 (arXiv 2306.15276).

    Raises SearchError: as `star_discrepancy`; a size of none or more than there are points.
    """
    points, size = _cube("points", points), count("size", size)
    if size > len(points):
        raise SearchError(f"size: must be at most the {len(points)} points, not {size}")
    reference = None if uniform else points
    lots = stream(count("seed", seed, 0), "representative").permutation(len(points))

    def apart(chosen: list[int]) -> float:
        return star_discrepancy(points[chosen], reference)

    chosen: list[int] = []
    while len(chosen) < size:
        chosen.append(int(min((i for i in lots if i not in chosen), key=lambda i: apart([*chosen, i]))))
    best, better = apart(chosen), True
    while better:
        better = False
        for place in range(size):
            for i in lots:
                swapped = [*chosen[:place], int(i), *chosen[place + 1 :]]
                if i not in chosen and (found := apart(swapped)) < best - 1e-12:
                    chosen, best, better = swapped, found, True
    return sorted(chosen)
