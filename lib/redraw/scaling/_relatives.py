"""Relatives of the loss surface: repeated data, pruning while training, the bowl of learning rate and batch."""

import warnings
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from redraw.scaling import _engine as engine
from redraw.scaling._errors import ScalingError, ScalingWarning, column, scalar
from redraw.scaling._surface import LossSurface, sandwich

R_STAR = np.geomspace(0.05, 2000, 48)  # grid of the half-life of repetition


def effective_amount(used, unique, r_star: float) -> np.ndarray:
    """Worth of `used` tokens (or parameters) when only `unique` of them are new, in unique-token equivalents.

        D' = U + U r* (1 - exp(-R / r*)),  U = min(D, unique),  R = D / U - 1

    used, unique: positive, broadcast. r_star: repetitions after which the value of one more falls by e; at
    most r* + 1 times the unique data can be gained. Raises ScalingError unless positive.
    Source: Muennighoff et al. 2023 (arXiv 2305.16264).
    """
    used, unique = np.broadcast_arrays(np.asarray(used, np.float64), np.asarray(unique, np.float64))
    if not (np.all(used > 0) and np.all(unique > 0)):
        raise ScalingError("used, unique: must be positive")
    r_star = scalar("r_star", r_star)
    U = np.minimum(used, unique)
    return U * (1 - r_star * np.expm1(-(used / U - 1) / r_star))


@dataclass(frozen=True)
class DataConstrainedFit:
    """L = E + A/N'^alpha + B/D'^beta with a given surface and fitted r*. errors: standard errors by the
    sandwich; objective: Huber sum; residuals: observed minus predicted log loss; identified: False where a
    warning was given."""

    surface: LossSurface
    r_star_D: float
    r_star_N: float
    errors: dict[str, float]
    objective: float
    identified: bool
    residuals: np.ndarray = field(repr=False)

    def predict(self, N, D, unique) -> np.ndarray:
        """Loss of N parameters trained on D tokens of which `unique` are distinct (broadcast)."""
        return _constrained_loss(self.surface, N, D, unique, self.r_star_D, self.r_star_N)


def _base_parameters(surface: LossSurface, unique) -> np.ndarray:
    """The N for which `unique` tokens are compute-optimal: alpha A / N^alpha = beta B / D^beta."""
    s = surface
    return (s.alpha * s.A / (s.beta * s.B) * np.asarray(unique, np.float64) ** s.beta) ** (1 / s.alpha)


def _constrained_loss(surface, N, D, unique, r_star_D, r_star_N):
    tokens = effective_amount(D, unique, r_star_D)
    base = _base_parameters(surface, np.minimum(D, unique))
    return surface(effective_amount(N, base, r_star_N), tokens)


def fit_data_constrained(N, D, unique, loss, surface: LossSurface, *, delta: float = 1e-3) -> DataConstrainedFit:
    """Fit how fast repeated tokens and excess parameters lose their value, given the unrepeated surface.

        L = E + A/N'^alpha + B/D'^beta,  D' = `effective_amount`(D, unique, r*_D),
        N' = `effective_amount`(N, N_opt(U_D), r*_N)

    with N_opt the compute-optimal size for the unique tokens. The two r* come from a grid in their
    logarithms, polished by Nelder-Mead; the surface stays fixed, as in the paper (fit it with
    `fit_loss_surface` on single-epoch runs).

    N, D, unique, loss: columns; unique in tokens. Warns (ScalingWarning) when an r* is not identified: no run
    has excess parameters, or the optimum lies at the edge of the grid. Raises ScalingError on fewer than 3
    runs, on runs that all have D <= unique, and on malformed columns. Source: Muennighoff et al. 2023
    (arXiv 2305.16264) and its public code, datablations.
    """
    loss = column("loss", loss)
    N, D = column("N", N, size=len(loss)), column("D", D, size=len(loss))
    unique = column("unique", unique, size=len(loss))
    delta = scalar("delta", delta)
    if len(loss) < 3:
        raise ScalingError(f"loss: must have at least 3 runs for 2 parameters, not {len(loss)}")
    if not (D > unique).any():
        raise ScalingError("D: must exceed unique in at least one run; nothing here is repeated")
    log_loss, s = np.log(loss), surface
    base = _base_parameters(s, np.minimum(D, unique))
    tokens = np.stack([s.B * effective_amount(D, unique, r) ** -s.beta for r in R_STAR])
    sizes = np.stack([s.A * effective_amount(N, base, r) ** -s.alpha for r in R_STAR])

    def rest(log_r: np.ndarray) -> np.ndarray:
        return np.log(_constrained_loss(s, N, D, unique, *np.exp(log_r))) - log_loss

    grid = engine.huber(np.log(s.E + sizes[None] + tokens[:, None]) - log_loss, delta).sum(axis=2)
    i, j = np.unravel_index(np.argmin(grid), grid.shape)
    result = minimize(
        lambda t: engine.huber(rest(np.clip(t, -6, 12)), delta).sum() / delta**2,
        np.log([R_STAR[i], R_STAR[j]]),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000},
    )
    log_r = np.clip(result.x, -6, 12)
    r = rest(log_r)
    step = 1e-5
    J = np.stack([(rest(log_r + e) - rest(log_r - e)) / (2 * step) for e in np.eye(2) * step], axis=1)
    doubts = []
    if not (N > base).any():
        doubts.append("r_star_N: no run has more parameters than its unique tokens can use")
    inner = np.log(R_STAR[[1, -2]])
    doubts += [
        f"{name} lies at the edge of what was searched ({np.exp(v):.3g})"
        for name, v, used in zip(("r_star_D", "r_star_N"), log_r, (True, (N > base).any()), strict=True)
        if used and not inner[0] < v < inner[1]
    ]
    if doubts:
        warnings.warn(f"a parameter is not identified: {'; '.join(doubts)}", ScalingWarning, stacklevel=2)
    spread = np.sqrt(np.diag(sandwich(J, r, delta)[0]))
    errors = {"r_star_D": float(np.exp(log_r[0]) * spread[0]), "r_star_N": float(np.exp(log_r[1]) * spread[1])}
    return DataConstrainedFit(
        s,
        float(np.exp(log_r[0])),
        float(np.exp(log_r[1])),
        errors,
        float(engine.huber(r, delta).sum()),
        not doubts,
        -r,
    )


def average_parameter_count(tokens, parameters) -> float:
    """Mean number of parameters over training, per token: (1/D) * integral of N(d) dd, by the trapezoid rule.

    The size that replaces N in the loss surface when a model is pruned while it is trained: fit
    `fit_loss_surface` on (average parameter count, D). tokens: tokens seen, rising from 0 or any start;
    parameters: parameters alive at those points, equally long. A sudden cut is two points at the same token
    count.

    Raises ScalingError on fewer than 2 points, falling tokens, or malformed columns.
    Source: Jin et al., The Journey Matters, ICLR 2025.
    """
    parameters = column("parameters", parameters)
    tokens = column("tokens", tokens, positive=False, size=len(parameters))
    if len(tokens) < 2 or (np.diff(tokens) < 0).any() or tokens[-1] <= tokens[0]:
        raise ScalingError("tokens: must be at least 2 points that never fall and end above where they start")
    return float(np.trapezoid(parameters, tokens) / (tokens[-1] - tokens[0]))


@dataclass(frozen=True)
class ResponseSurface:
    """Quadratic bowl over u = (log lr, log batch): log L = c + g'(u - m) + (u - m)' H (u - m) / 2.

    lr, batch: the optimum -H^-1 g + m, exponentiated; loss: the loss there; hessian: H; errors: standard
    errors of (log lr, log batch) at the optimum; points: runs used; bowl: H is positive definite; inside: the
    optimum lies within the runs used.
    """

    lr: float
    batch: float
    loss: float
    hessian: np.ndarray
    errors: np.ndarray
    points: int
    bowl: bool
    inside: bool
    r_squared: float

    def plateau(self, excess: float = 0.0025) -> tuple[float, float]:
        """Half-widths, as factors: how far lr, or batch, alone may leave the optimum for `excess` relative loss.

        exp(sqrt(2 log(1 + excess) / H_jj)); infinite where the curvature is not positive.
        """
        rise = 2 * np.log1p(scalar("excess", excess))
        curvature = np.diag(self.hessian)
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.where(curvature > 0, np.exp(np.sqrt(rise / curvature)), np.inf)
        return float(width[0]), float(width[1])


def fit_response_surface(lr, batch, loss, *, window: float = 0.02) -> ResponseSurface:
    """Least-squares quadratic of log loss in (log lr, log batch) through the runs within `window` of the best.

    A bowl is quadratic only near its bottom; runs further than `window` (relative) above the best one are
    left out. lr, batch (any unit, usually tokens), loss: columns.

    Warns (ScalingWarning) when the fit is not a bowl or its optimum lies outside the runs used. Raises
    ScalingError on fewer than 7 runs in the window, fewer than 3 distinct lr or batch sizes there, or
    malformed columns.
    """
    loss = column("loss", loss)
    lr, batch = column("lr", lr, size=len(loss)), column("batch", batch, size=len(loss))
    window = scalar("window", window)
    near = loss <= loss.min() * (1 + window)
    if near.sum() < 7:
        raise ScalingError(f"window: must keep at least 7 runs for 6 coefficients, {window:g} keeps {int(near.sum())}")
    for name, values in (("lr", lr), ("batch", batch)):
        if len(np.unique(values[near])) < 3:
            raise ScalingError(f"{name}: must take at least 3 distinct values within the window")
    u = np.log(np.stack([lr[near], batch[near]], axis=1))
    y, m = np.log(loss[near]), u.mean(axis=0)
    v = u - m
    X = np.column_stack([np.ones(len(v)), v, v[:, 0] ** 2 / 2, v[:, 0] * v[:, 1], v[:, 1] ** 2 / 2])
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    r = y - X @ beta
    g, H = beta[1:3], np.array([[beta[3], beta[4]], [beta[4], beta[5]]])
    bowl = bool(np.linalg.eigvalsh(H).min() > 0)
    star = -np.linalg.solve(H, g)
    # d(star) = -H^-1 (dg + dH star)
    dH = np.array([[0, 1, 0, star[0], star[1], 0], [0, 0, 1, 0, star[0], star[1]]])
    T = -np.linalg.solve(H, dH)
    covariance = np.linalg.pinv(X.T @ X) * float(r @ r) / max(len(y) - 6, 1)
    errors = np.sqrt(np.diag(T @ covariance @ T.T))
    inside = bool(np.all((star >= v.min(axis=0)) & (star <= v.max(axis=0))))
    if not bowl:
        warnings.warn("response surface: not a bowl, its stationary point is no minimum", ScalingWarning, stacklevel=2)
    elif not inside:
        warnings.warn("response surface: the optimum lies outside the runs used", ScalingWarning, stacklevel=2)
    total = float(((y - y.mean()) ** 2).sum())
    return ResponseSurface(
        *map(float, np.exp(star + m)),
        float(np.exp(beta[0] + g @ star / 2)),
        H,
        errors,
        int(near.sum()),
        bowl,
        inside,
        1 - float(r @ r) / total if total > 0 else 1.0,
    )
