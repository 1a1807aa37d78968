"""From scores to examples: which to keep."""

from collections.abc import Callable

import torch
from torch import Tensor

from redraw.seeds import generator
from redraw.selection._artefact import Scores
from redraw.selection._examples import SelectionError

POLICIES = ("hardest", "easiest", "stratified", "random")


def select(
    scores: Tensor | Scores,
    keep: float | int,
    policy: str = "hardest",
    *,
    skip: float | int = 0,
    classes: Tensor | None = None,
    strata: int = 50,
    seed: int = 0,
) -> Tensor:
    """The examples to keep, int64 (K,) ascending: positions in `scores` (N,), or ids where `Scores` are given.

    keep, skip: numbers of examples (int) or fractions of all (float); `skip` leaves out so many of the hardest first.
      hardest     the highest scores; with `skip` a sliding window below the top        (Paul et al. 2021, section 4)
      easiest     the lowest scores (of those not skipped)
      stratified  as even as can be over `strata` ranges of score of equal width, at random within each:
                  coverage-centric selection                                  (Zheng et al. 2023, arXiv 2210.15809)
      random      at random (of those not skipped)
    classes: labels (N,); if given, every class keeps, and skips, the same share of its own examples.
    Equal scores are put in random order by `seed`: files are often sorted by class. Raises SelectionError.
    """
    if isinstance(scores, Scores):
        chosen = select(scores.values, keep, policy, skip=skip, classes=classes, strata=strata, seed=seed)
        return scores.ids[chosen].sort().values
    if scores.ndim != 1 or not len(scores) or not scores.isfinite().all():
        raise SelectionError("scores: must be one finite number per example, (N,)")
    if policy not in POLICIES:
        raise SelectionError(f"policy: must be one of {', '.join(POLICIES)}, got {policy!r}")
    if isinstance(strata, bool) or not isinstance(strata, int) or strata < 1:
        raise SelectionError(f"strata: must be an integer from 1, got {strata!r}")
    n = len(scores)
    kept, skipped = _count("keep", keep, n, 1), _count("skip", skip, n, 0)
    if kept + skipped > n:
        raise SelectionError(
            f"keep: must be at most the {n - skipped} of {n} examples that are not skipped, got {kept}"
        )
    chance = generator(seed, "select", policy)
    order = torch.randperm(n, generator=chance)  # of equal scores, and of those drawn at random
    order = order[scores[order].argsort(descending=True, stable=True)]
    choose = _chooser(policy, scores, strata, chance)
    if classes is None:
        return choose(order[skipped:], kept).sort().values
    if classes.shape != scores.shape:
        raise SelectionError(f"classes: must be one label per score ({n}), got {tuple(classes.shape)}")
    members = [order[classes[order] == label] for label in classes.unique()]
    sizes = [len(m) for m in members]
    plan = zip(members, _shares(kept, sizes), _shares(skipped, sizes), strict=True)
    return torch.cat([choose(m[min(out, len(m) - k) :], k) for m, k, out in plan]).sort().values


def _chooser(policy: str, scores: Tensor, strata: int, chance: torch.Generator) -> Callable[[Tensor, int], Tensor]:
    """The function that takes candidates, hardest first, and a number, and returns so many of them."""
    if policy == "hardest":
        return lambda order, kept: order[:kept]
    if policy == "easiest":
        return lambda order, kept: order[len(order) - kept :]
    if policy == "random":
        return lambda order, kept: order[torch.randperm(len(order), generator=chance)[:kept]]
    return lambda order, kept: _stratified(order, scores[order], kept, strata, chance)


def _stratified(order: Tensor, scores: Tensor, kept: int, strata: int, chance: torch.Generator) -> Tensor:
    """Spread `kept` over ranges of score, the emptiest first: what it cannot give the others share."""
    if not kept:
        return order[:0]
    width = (scores[0] - scores[-1]).clamp_min(1e-30) / strata
    which = ((scores - scores[-1]) / width).long().clamp_max(strata - 1)
    groups = sorted((order[which == s] for s in which.unique()), key=len)
    chosen = []
    for i, group in enumerate(groups):
        share = min(len(group), kept // (len(groups) - i))
        chosen.append(group[torch.randperm(len(group), generator=chance)[:share]])
        kept -= share
    return torch.cat(chosen)


def _count(name: str, value: float | int, n: int, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= n:
        return value
    if isinstance(value, float) and 0 <= value <= 1 and round(value * n) >= least:
        return round(value * n)
    raise SelectionError(
        f"{name}: must be a fraction up to 1.0 or a number of examples from {least} to {n}, got {value!r}"
    )


def _shares(total: int, sizes: list[int]) -> list[int]:
    """`total` divided in proportion to `sizes`, whole numbers by the largest remainders."""
    exact = [total * size / sum(sizes) for size in sizes]
    shares = [int(share) for share in exact]
    for i in sorted(range(len(sizes)), key=lambda i: shares[i] - exact[i])[: total - sum(shares)]:
        shares[i] += 1
    return shares
