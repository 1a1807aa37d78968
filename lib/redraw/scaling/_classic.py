"""The classical fit of the loss surface, thousands of L-BFGS runs, kept as the plain reference and to show
its trap."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import minimize

from redraw.scaling import _engine as engine
from redraw.scaling._errors import ScalingError, column, scalar
from redraw.scaling._surface import LossSurface


def hoffmann_starts() -> np.ndarray:
    """The 4,500 starts of Hoffmann et al. 2022 (appendix D.3): rows (log E, log A, log B, alpha, beta)."""
    half = np.arange(0.0, 2.5, 0.5)
    steps = np.arange(0.0, 30.0, 5.0)
    return np.array(list(product(np.arange(-1.0, 1.5, 0.5), steps, steps, half, half)))


@dataclass(frozen=True)
class ClassicFit:
    """surface: of the best run by the objective it minimised; objective: the sum of Huber losses there,
    whatever was minimised; objectives: the same for every start; iterations: of every start."""

    surface: LossSurface
    objective: float
    objectives: np.ndarray
    iterations: np.ndarray


def lbfgs_grid(
    N,
    D,
    loss,
    *,
    starts=None,
    delta: float = 1e-3,
    reduction: str = "sum",
    gradient: bool = True,
    ftol: float = 2.2e-9,
    gtol: float = 1e-5,
) -> ClassicFit:
    """L = E + A/N^alpha + B/D^beta by SciPy's L-BFGS-B from every start, as the papers did; the best counts.

    reduction: "sum" or "mean" of the Huber losses over runs. The minimiser is the same, the stopping is not:
    L-BFGS-B stops when one step gains less than ftol * max(|f|, 1) or the gradient falls below gtol, both in
    the units of f. With a mean of about 4e-6 nearly every step looks negligible, so runs end where they
    happen to be (Besiroglu et al. 2024 name this as the error behind the original estimates). SciPy's default
    tolerances, the ones here, are loose even for the sum; ftol=1e-15, gtol=1e-9 let it converge. gradient:
    analytic, else finite differences (the papers' way).

    starts: (m, 5) as `hoffmann_starts`, the default. Raises ScalingError on an unknown reduction or malformed
    columns.
    """
    if reduction not in ("sum", "mean"):
        raise ScalingError(f"reduction: must be sum or mean, not {reduction!r}")
    loss = column("loss", loss)
    delta = scalar("delta", delta)
    log_N, log_D = np.log(column("N", N, size=len(loss))), np.log(column("D", D, size=len(loss)))
    y = np.log(loss)
    scale = 1.0 if reduction == "sum" else 1.0 / len(y)

    def value(t):
        pred = np.logaddexp(np.logaddexp(t[1] - t[3] * log_N, t[2] - t[4] * log_D), t[0])
        return scale * engine.huber(pred - y, delta).sum()

    def value_and_gradient(t):
        terms = np.stack([np.full_like(y, t[0]), t[1] - t[3] * log_N, t[2] - t[4] * log_D])
        top = terms.max(axis=0)
        shares = np.exp(terms - top)
        total = shares.sum(axis=0)
        shares /= total
        r = top + np.log(total) - y
        psi = scale * np.clip(r, -delta, delta)
        slope = np.concatenate([shares @ psi, [-(shares[1] * log_N) @ psi, -(shares[2] * log_D) @ psi]])
        return scale * engine.huber(r, delta).sum(), slope

    options = {"ftol": ftol, "gtol": gtol, "maxiter": 5000, "maxfun": 200_000}
    grid = hoffmann_starts() if starts is None else np.atleast_2d(np.asarray(starts, dtype=np.float64))
    runs = [
        minimize(value_and_gradient if gradient else value, t, jac=gradient, method="L-BFGS-B", options=options)
        for t in grid
    ]
    reached = np.array([run.fun for run in runs]) / scale
    best = int(np.nanargmin(reached))
    x = runs[best].x
    return ClassicFit(
        LossSurface(*map(float, np.exp(x[:3])), float(x[3]), float(x[4])),
        float(reached[best]),
        reached,
        np.array([run.nit for run in runs]),
    )
