"""From scores to masks: which of the weights are compared with which, and how many of them stay."""

from collections.abc import Mapping

import torch
from torch import Tensor

from redraw.pruning._masks import Masks

SCOPES = ("global", "layer", "row")


def keep(
    scores: Mapping[str, Tensor], masks: Masks, remaining: float | Mapping[str, float], *, scope: str = "global"
) -> Masks:
    """The masks of the highest scores among what `masks` keep; `remaining` counts from all weights, pruned ones too.

    scores: per weight, by parameter name, as the functions `*_scores` make them.
    scope "global": all weights are ranked together and round(remaining * total) stay.
    scope "layer": each layer keeps round(remaining * its weights); `remaining` may be one number per layer, as the
      functions `uniform`, `erk` and `smart_ratio` make them.
    scope "row": so does each output of a layer: each row of a matrix, each filter of a convolution.
    The counts are exact: ties go to the first by position. No more stay than were kept before.
    Raises ValueError for scores that are missing, of another shape or not finite, a fraction outside [0, 1], another
    scope.
    """
    fractions = dict(remaining) if isinstance(remaining, Mapping) else dict.fromkeys(masks, remaining)
    if lacking := [name for name in masks if name not in fractions]:
        raise ValueError(f"remaining: must name every layer, lacks {lacking[0]!r}")
    if not all(0 <= fraction <= 1 for fraction in fractions.values()):
        raise ValueError(f"remaining: must be from 0 to 1, got {remaining}")
    checked = _checked(scores, masks)
    if scope == "global":
        if isinstance(remaining, Mapping):
            raise ValueError("remaining: must be one number when scope is global")
        flat = torch.cat([score.flatten() for score in checked.values()])
        kept = torch.cat([masks[name].flatten().to(flat.device) for name in checked])
        pieces = _top(flat, kept, round(remaining * masks.total)).split([masks[name].numel() for name in checked])
        return Masks({n: piece.view_as(masks[n]) for n, piece in zip(checked, pieces, strict=True)})
    if scope not in SCOPES:
        raise ValueError(f"scope: must be one of {', '.join(SCOPES)}, got {scope!r}")
    found = {}
    for name, score in checked.items():
        mask = masks[name].to(score.device)
        if scope == "layer":
            count = round(fractions[name] * mask.numel())
            found[name] = _top(score.flatten(), mask.flatten(), count).view_as(mask)
        else:
            count = round(fractions[name] * mask[0].numel())
            found[name] = _top_of_rows(score.flatten(1), mask.flatten(1), count).view_as(mask)
    return Masks(found)


def keep_n_of_m(scores: Mapping[str, Tensor], masks: Masks, n: int, m: int) -> Masks:
    """The n highest scores of every m consecutive inputs of an output, the pattern that some hardware multiplies fast.

    Inputs of a convolution are counted in the order in which it stores them. Layers whose inputs do not divide by m
    are refused. Source: Zhou et al. 2021 (arXiv 2102.04010), section 3.
    Raises ValueError for them, and unless 0 <= n <= m and m >= 1.
    """
    if not 0 <= n <= m or m < 1:
        raise ValueError(f"n: must be from 0 to m, got {n} of {m}")
    found = {}
    for name, score in _checked(scores, masks).items():
        if score[0].numel() % m:
            raise ValueError(f"layer {name!r}: its {score[0].numel()} inputs must divide by m = {m}")
        mask = masks[name].to(score.device)
        found[name] = _top_of_rows(score.reshape(-1, m), mask.reshape(-1, m), n).view_as(mask)
    return Masks(found)


def keep_layers(scores: Mapping[str, Tensor], masks: Masks, count: int, *, always: tuple[str, ...] = ()) -> Masks:
    """The `count` layers of the highest mean score stay as they are, the others lose every weight.

    The mean is over what `masks` keep of a layer, s_l = sum_{i kept} s_li / n_l, so that large layers have no
    advantage; one that has lost everything comes last. Layers in `always` stay and count. What is left computes
    something only where a path leads around the layers that went, as in residual networks: see `connected`.
    Source: Elkerdawy et al. 2020 (arXiv 2007.05667), who rank layers by the scores of what is in them.
    Raises ValueError for scores as `keep` does, unknown layers, or a count that is not from len(always) to all layers.
    """
    checked = _checked(scores, masks)
    if unknown := [name for name in always if name not in checked]:
        raise ValueError(f"always: must name layers among {', '.join(checked)}, got {unknown[0]!r}")
    if not len(set(always)) <= count <= len(checked):
        raise ValueError(f"count: must be from {len(set(always))} to {len(checked)}, got {count}")
    means = {name: score[masks[name].to(score.device)].double() for name, score in checked.items()}
    means = {name: kept.mean().item() if len(kept) else -torch.inf for name, kept in means.items()}
    best = sorted(checked, key=lambda name: (name not in always, -means[name]))[:count]
    return Masks({n: masks[n].clone() if n in best else torch.zeros_like(masks[n]) for n in checked})


def _checked(scores: Mapping[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    for name, mask in masks.items():
        if name not in scores or scores[name].shape != mask.shape:
            raise ValueError(f"scores: must have one of shape {tuple(mask.shape)} for {name!r}")
        if not scores[name].isfinite().all():
            raise ValueError(f"scores: must be finite numbers, those of {name!r} are not")
    return {name: scores[name].detach() for name in masks}


def _top(scores: Tensor, kept: Tensor, count: int) -> Tensor:
    """Where the `count` highest of the kept scores stand, all of them if fewer are kept; both flat."""
    if count >= int(kept.sum()):
        return kept.clone()
    if count == 0:
        return torch.zeros_like(kept)
    if not kept.all():  # a copy, which is as large as all weights
        scores = scores.masked_fill(~kept, -torch.inf)
    threshold = scores.kthvalue(len(scores) - count + 1).values  # selects in linear time, where a sort would not
    top = scores > threshold
    ties = (scores == threshold).nonzero().squeeze(1)
    top[ties[: count - int(top.sum())]] = True
    return top


def _top_of_rows(scores: Tensor, kept: Tensor, count: int) -> Tensor:
    order = scores.masked_fill(~kept, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(kept).scatter_(1, order[:, :count], True) & kept
