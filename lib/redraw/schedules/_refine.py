"""From the gradient norms of a run to the schedule they call for."""

import numpy as np
from scipy.ndimage import median_filter

from redraw.schedules._checks import ScheduleError, column, number

_POWERS = {"sgd": 2, "adam": 1}


def refine(norms, *, optimizer: str = "sgd", width: float = 0.1) -> np.ndarray:
    """The schedule refined for a run with these gradient norms: its multiplier at each step, maximum 1.

        G = median filter of the norms, over width T steps
        w_k = G_k^-2 (optimizer="sgd") or 1 / G_k ("adam")
        multiplier_k  proportional to  w_k sum_{j >= k} w_j

    norms: (T,), positive: of the step's gradient the l2 norm for SGD, the l1 norm for Adam; record them with
    torch.nn.utils.get_total_norm([p.grad for p in parameters], 2 or 1). width: length of the filter as a
    share of the run, rounded to an odd number of steps; the norms are continued past both ends by reflection
    (c b a | a b c | c b a). 0 filters nothing. Returns (T,) float64 for steps 0..T-1; `tabulated` makes a
    function of progress of it, for the same or another horizon.

    Equal norms give linear decay, 1 - k/T; norms that grow late make the decay come earlier; large norms
    early make a warm-up. Step k is evaluated where it begins, t = k/T, as in all schedules here, so the sum
    includes w_k; the paper counts t = k+1 = 1..T and sums over the later steps, which evaluates the same step
    at its end and makes the last rate zero.

    Source: Defazio, Cutkosky, Mehta and Mishchenko 2023 (arXiv 2310.07831), schedule refinement for SGD and
    Adam. The abstract was read; weights, sum, filter and its width are from notes on the method and were not
    checked against the paper's text. That w = G^-2 is right for the paper's kind of bound is checked in the
    tests: it minimises (D^2 + sum_k w_k^2 G_k^2) / (2 sum_k w_k) up to scale. Nothing here comes from the
    paper's code.

    Raises ScheduleError: no norms, one that is not finite or not positive, another optimizer, width not in
    [0, 1].
    """
    g = column("norms", norms)
    if not (g > 0).all():
        k = int(np.argmin(g > 0))
        raise ScheduleError(f"norms: must be positive, but the value of step {k} is {g[k]:g}")
    if optimizer not in _POWERS:
        raise ScheduleError(f"optimizer: must be one of {', '.join(_POWERS)}, not {optimizer!r}")
    half = int(number("width", width, 0, 1) * len(g) / 2)
    if half:
        # Padded here: scipy's fast one-dimensional filter has crashed on windows longer than its input.
        g = median_filter(np.pad(g, half, mode="symmetric"), size=2 * half + 1)[half:-half]
    w = (g.min() / g) ** _POWERS[optimizer]  # in [0, 1], and 1 somewhere, whatever the norms' scale
    multipliers = w * np.cumsum(w[::-1])[::-1]
    return multipliers / multipliers.max()
