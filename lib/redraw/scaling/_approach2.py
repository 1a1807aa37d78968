"""Approach 2, parabolas through iso-FLOP profiles, and its bias on data without any noise."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from redraw.scaling._errors import ScalingError, column, scalar
from redraw.scaling._powerlaw import fit_power_law
from redraw.scaling._surface import LossSurface, compute_optimal


@dataclass(frozen=True)
class Approach2:
    """What approach 2 finds. flops, N, D: budgets and the parabolas' optima; a, b and N_coefficient,
    D_coefficient: N = N_coefficient C^a, D = D_coefficient C^b; curvature: of each parabola."""

    flops: np.ndarray
    N: np.ndarray
    D: np.ndarray
    a: float
    b: float
    N_coefficient: float
    D_coefficient: float
    curvature: np.ndarray

    def allocate(self, flops: float) -> tuple[float, float]:
        """(N, D) extrapolated to a budget, each by its own power law, as the approach has it."""
        flops = scalar("flops", flops)
        return self.N_coefficient * flops**self.a, self.D_coefficient * flops**self.b


def approach2(flops, N, loss) -> Approach2:
    """Parabolas of loss in log N at each budget, and power laws of their vertices in compute.

    flops: (k,) budgets C; N: (k, m) sizes trained at each, D = C / (6 N); loss: (k, m). Noise-free or
    measured alike.

    Raises ScalingError on fewer than 3 budgets (one line through them is then no fit), fewer than 3 sizes,
    unequal shapes, or a parabola that opens downwards. Source: Hoffmann et al. 2022, 3.2.
    """
    flops = column("flops", flops)
    N, loss = np.asarray(N, np.float64), np.asarray(loss, np.float64)
    if N.ndim != 2 or N.shape != loss.shape or len(N) != len(flops) or N.shape[1] < 3 or len(N) < 3:
        raise ScalingError("N, loss: must be equally shaped tables of at least 3 budgets by at least 3 sizes")
    x = np.log(N)
    centre = x.mean(axis=1, keepdims=True)
    vertex, curvature = np.empty(len(flops)), np.empty(len(flops))
    for i, row in enumerate(x - centre):
        second, first, _ = np.polyfit(row, loss[i], 2)
        if not second > 0:
            raise ScalingError(f"loss: must curve upwards in log N at every budget, does not at {flops[i]:g} FLOP")
        vertex[i], curvature[i] = -first / (2 * second), 2 * second
    N_star = np.exp(vertex + centre[:, 0])
    D_star = flops / (6 * N_star)
    sizes, tokens = fit_power_law({"C": flops}, N_star), fit_power_law({"C": flops}, D_star)
    return Approach2(flops, N_star, D_star, sizes["C"], tokens["C"], sizes["c"], tokens["c"], curvature)


def isoflop_profiles(surface: LossSurface, flops, *, width: float = 16.0, points: int = 15, offset=1.0):
    """Noise-free iso-FLOP data of a surface: (N, loss), each (budgets, points).

    At each budget the sizes are spread evenly in log N over [N_c / width, N_c * width] around N_c = offset *
    N_opt. offset: the centre's error, one factor or one per budget (a drift is what a wrong prior about a
    gives). Raises ScalingError unless width > 1, points >= 3 and offset > 0.
    """
    flops = column("flops", flops)
    width = scalar("width", width, 1.0)
    if points < 3:
        raise ScalingError(f"points: must be at least 3, not {points}")
    shift = column("offset", np.broadcast_to(np.asarray(offset, np.float64), flops.shape))
    centre = compute_optimal(surface, flops).N * shift
    N = centre[:, None] * np.geomspace(1 / width, width, points)
    return N, surface(N, flops[:, None] / (6 * N))


@dataclass(frozen=True)
class Misallocation:
    """Cost of a split against the optimum. N_ratio, D_ratio: chosen over optimal; loss_excess: in nats;
    wasted: share of the budget that buys nothing, since the optimal split reaches the same loss with (1 -
    wasted) of it."""

    N_ratio: float
    D_ratio: float
    loss_excess: float
    wasted: float


def misallocation(surface: LossSurface, flops: float, D: float) -> Misallocation:
    """What training N = C/(6 D) parameters on D tokens loses against the optimum of the budget.

    flops: C; D: tokens. Raises ScalingError unless positive.
    """
    flops, D = scalar("flops", flops), scalar("D", D)
    best = compute_optimal(surface, flops)
    N = flops / (6 * D)
    reached = float(surface(N, D))
    excess = max(reached - float(best.loss), 0.0)

    def gap(log_share: float) -> float:
        return float(compute_optimal(surface, flops * np.exp(log_share)).loss) - reached

    low = -1.0
    while gap(low) < 0:
        low *= 2
    share = np.exp(brentq(gap, low, 0.0, xtol=1e-14)) if gap(0.0) < 0 else 1.0
    return Misallocation(N / float(best.N), D / float(best.D), excess, 1.0 - share)
