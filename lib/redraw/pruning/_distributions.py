"""How many weights each layer keeps, decided before any weight is looked at: fractions by layer."""

from math import prod

from redraw.pruning._masks import Masks


def uniform(masks: Masks, remaining: float) -> dict[str, float]:
    """The same fraction of every layer."""
    _check(remaining)
    return dict.fromkeys(masks, remaining)


def erk(masks: Masks, remaining: float, *, kernel: bool = True) -> dict[str, float]:
    """Erdos-Renyi-Kernel: layer l keeps the fraction eps * (n_in + n_out + k_h + k_w) / (n_in * n_out * k_h * k_w).

    eps makes the whole network keep `remaining`. Layers for which that is above 1 stay dense and the others share what
    is left. kernel=False leaves the kernel's sides out of the sum (Erdos-Renyi).
    Source: Evci et al. 2020 (arXiv 1911.11134), section 3; Erdos-Renyi: Mocanu et al. 2018 (arXiv 1707.04780).
    """
    ratios = {}
    for name, mask in masks.items():
        sides = list(mask.shape) if kernel else list(mask.shape[:2])
        ratios[name] = sum(sides) / prod(sides)
    return _scaled(masks, remaining, ratios)


def smart_ratio(masks: Masks, remaining: float, *, last: float | None = 0.3) -> dict[str, float]:
    """Smart ratios: hidden layer l of L keeps a fraction proportional to k^2 + k with k = L - l + 1 (1 for the last).

    last: the fraction of the output layer (the last one) when the rest can make up for it; None treats it as the
    others. Layers that would keep more than all stay dense and the others share what is left.
    Source: Su et al. 2020 (arXiv 2009.11094), section 4.2; the output layer's 0.3 is that of the authors' code.
    """
    names = list(masks)
    ratios = {name: (len(names) - i) ** 2 + (len(names) - i) for i, name in enumerate(names)}
    output = masks[names[-1]].numel()
    if last is None or len(names) == 1 or last * output > remaining * masks.total:
        return _scaled(masks, remaining, ratios)
    return _scaled(masks, remaining, ratios, {names[-1]: last})


def _scaled(
    masks: Masks, remaining: float, ratios: dict[str, float], given: dict[str, float] | None = None
) -> dict[str, float]:
    """eps * ratios with the eps that keeps `remaining` of all weights, layers above 1 made dense one by one."""
    _check(remaining)
    sizes = {name: mask.numel() for name, mask in masks.items()}
    found = dict(given or {})
    while True:
        free = [name for name in masks if name not in found]
        left = remaining * masks.total - sum(found[name] * sizes[name] for name in found)
        if not free:
            return {name: found[name] for name in masks}
        eps = left / sum(ratios[name] * sizes[name] for name in free)
        fullest = max(free, key=lambda name: ratios[name])
        if eps * ratios[fullest] <= 1:
            found |= {name: eps * ratios[name] for name in free}
            return {name: found[name] for name in masks}
        found[fullest] = 1.0


def _check(remaining: float) -> None:
    if not 0 <= remaining <= 1:
        raise ValueError(f"remaining: must be from 0 to 1, got {remaining}")
