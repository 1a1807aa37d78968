"""Loss surfaces L = E + A/N^alpha + B/D^beta and their one-variable form: fits, uncertainty, allocation,
tests."""

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import erf

from redraw.scaling import _engine as engine
from redraw.scaling._errors import ScalingError, ScalingWarning, column, scalar
from redraw.scaling._resample import Bootstrap, resample_counts

EXPONENTS = np.geomspace(0.02, 3.0, 24)  # the grid of variable projection; polishing may leave it
BLOCKS = 4  # the grid's best point of each of BLOCKS (per predictor) blocks starts a polish
CONDITION_LIMIT = 1e8
LOG_ERROR_LIMIT = 2.0  # a coefficient known no better than to a factor e^2 is not identified


@dataclass(frozen=True)
class LossSurface:
    """L(N, D) = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022, 3.3): N parameters, D tokens, L in nats."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __call__(self, N, D):
        """Loss at N parameters and D tokens (broadcast, float64)."""
        n, d = np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64)
        return self.E + self.A * n**-self.alpha + self.B * d**-self.beta

    @property
    def a(self) -> float:
        """Exponent of the optimal size in compute: N_opt proportional to C^a, a = beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def values(self) -> np.ndarray:
        return np.array([self.E, self.A, self.B, self.alpha, self.beta])


@dataclass(frozen=True)
class Allocation:
    """Compute-optimal split of a budget. flops, N, D, tokens_per_parameter, loss: arrays or scalars alike."""

    flops: np.ndarray
    N: np.ndarray
    D: np.ndarray
    tokens_per_parameter: np.ndarray
    loss: np.ndarray


def compute_optimal(surface: LossSurface, flops) -> Allocation:
    """The N and D that minimise L under 6 N D = C, in closed form (Hoffmann et al. 2022, eq. 4).

        N = G (C/6)^a,  D = (C/6)^b / G,  G = (alpha A / (beta B))^(1/(alpha+beta)),  a = beta/(alpha+beta),
        b = 1 - a

    flops: C in FLOP, a scalar or a column. Raises ScalingError unless positive.
    """
    budget = scalar("flops", flops) if np.ndim(flops) == 0 else column("flops", flops)
    s = surface
    G = (s.alpha * s.A / (s.beta * s.B)) ** (1 / (s.alpha + s.beta))
    N = G * (np.asarray(budget) / 6) ** s.a
    D = np.asarray(budget) / 6 / N
    return Allocation(np.asarray(budget), N, D, D / N, s(N, D))


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted sum of power laws with what is needed to distrust it.

    names, estimate: the parameters in natural units, ("E", "A", "B", "alpha", "beta") or ("E", "A", "alpha").
    errors: standard errors, from the M-estimator's asymptotic covariance; covariance: the same, of (log E,
    log coefficients, exponents). objective: the minimised sum of Huber losses. condition: condition number of
    J'J with centred predictors and unit columns. starts, agree: polished starts and how many reached this
    optimum. residuals: observed minus predicted log loss, (n,). identified: False where a warning was given.
    """

    names: tuple[str, ...]
    estimate: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray
    objective: float
    condition: float
    starts: int
    agree: int
    delta: float
    residuals: np.ndarray
    identified: bool
    problem: engine.Problem = field(repr=False)
    theta: np.ndarray = field(repr=False)
    inflation: np.ndarray = field(repr=False)

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise ScalingError(f"name: must be one of {', '.join(self.names)}, not {name!r}")
        return float(self.estimate[self.names.index(name)])

    @property
    def surface(self) -> LossSurface:
        """The fit as a function of N and D. Raises ScalingError for a one-variable fit."""
        if len(self.names) != 5:
            raise ScalingError("surface: must be asked of a fit in N and D; this one has one variable")
        return LossSurface(*map(float, self.estimate))

    @property
    def standard_errors(self) -> dict[str, float]:
        return dict(zip(self.names, map(float, self.errors), strict=True))

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % profile likelihood interval of every parameter (`profile_likelihood`), computed once on demand."""
        return {name: profile_likelihood(self, name).interval for name in self.names}

    def predict(self, *predictors):
        """Loss at new predictors (N, D) or (x,), broadcast."""
        K = len(predictors)
        if K != self.problem.terms:
            raise ScalingError(f"predictors: must be {self.problem.terms} columns, not {K}")
        E, coefficients, powers = self.estimate[0], self.estimate[1 : K + 1], self.estimate[K + 1 :]
        return E + sum(
            c * np.asarray(x, dtype=np.float64) ** -p for c, p, x in zip(coefficients, powers, predictors, strict=True)
        )


def fit_loss_surface(N, D, loss, *, delta: float = 1e-3) -> SurfaceFit:
    """Fit L = E + A/N^alpha + B/D^beta: minimise the sum over runs of Huber_delta(log L - log L(N, D)).

    The optimum is global by construction. Given the exponents the model is linear in (E, A, B), so a grid of
    exponents is solved in closed form (variable projection, Golub & Pereyra 1973, on relative residuals), the
    best point of each of 16 blocks of the grid is polished by exact Newton steps on the log-sum-exp form, and
    the lowest optimum wins; `agree` counts the starts that reached it.

    N: parameters, D: tokens, loss: nats per token; equally long columns of any numeric type. delta: where the
    Huber loss turns from square to absolute, in log loss; 1e-3 is the papers' (nearly least absolute
    deviations).

    Warns (ScalingWarning) when a parameter is not identified. Raises ScalingError on fewer than 6 runs, fewer
    than 2 distinct N or D, NaN, non-positive or unequal columns. Source: Hoffmann et al. 2022, 3.3; Besiroglu
    et al. 2024.
    """
    loss = column("loss", loss)
    predictors = {"N": column("N", N, size=len(loss)), "D": column("D", D, size=len(loss))}
    return _fit(predictors, loss, delta, ("E", "A", "B", "alpha", "beta"))


def fit_saturating_power_law(x, loss, *, delta: float = 1e-3) -> SurfaceFit:
    """Fit L = E + A/x^alpha in one variable, by the same kernel as `fit_loss_surface`: names ("E", "A",
    "alpha").

    x: any positive scale (parameters, tokens, FLOP). Raises ScalingError on fewer than 4 points or one
    distinct x.
    """
    loss = column("loss", loss)
    return _fit({"x": column("x", x, size=len(loss))}, loss, delta, ("E", "A", "alpha"))


def _fit(predictors: dict[str, np.ndarray], loss: np.ndarray, delta: float, names: tuple[str, ...]) -> SurfaceFit:
    delta = scalar("delta", delta)
    if len(loss) <= len(names):
        raise ScalingError(f"loss: must have more than {len(names)} runs for {len(names)} parameters, not {len(loss)}")
    doubts = []
    for name, values in predictors.items():
        distinct = len(np.unique(values))
        if distinct < 2:
            raise ScalingError(f"{name}: must take at least 2 distinct values, all are {values[0]:g}")
        if distinct < 3:
            doubts.append(f"{name} takes only {distinct} distinct values")
    problem = engine.make_problem(list(predictors.values()), loss)
    starts = projected_starts(problem, delta)
    ones = np.ones(len(loss))
    theta, cost, _ = engine.polish(problem, starts, ones, delta, steps=20)
    best = int(np.argmin(cost))
    agree = int((cost <= cost[best] * (1 + 1e-6) + 1e-14).sum())
    theta, cost, _ = engine.polish(problem, theta[best : best + 1], ones, delta, tol=1e-14)
    fit = _summarise(problem, theta[0], float(cost[0]), delta, names, len(starts), agree)
    logs = np.sqrt(np.diag(fit.covariance))
    K = problem.terms
    with np.errstate(over="ignore"):  # a factor beyond all numbers is one too
        doubts += [
            f"{n} is known only to a factor {np.exp(s):.1e}"
            for n, s in zip(names, logs[: K + 1], strict=False)
            if not s < LOG_ERROR_LIMIT
        ]
    if not fit.condition < CONDITION_LIMIT:
        doubts.append(f"the condition number is {fit.condition:.1e}")
    if doubts:
        warnings.warn(f"a parameter is not identified: {'; '.join(doubts)}", ScalingWarning, stacklevel=3)
        return replace(fit, identified=False)
    return fit


def projected_starts(problem: engine.Problem, delta: float) -> np.ndarray:
    """Starts (m, P), centred: the best point of each block of the exponent grid, coefficients in closed form."""
    y, K = problem.y, problem.terms
    inverse = np.exp(-y)
    basis = [np.exp(-EXPONENTS[:, None] * x) for x in problem.x]  # (g, n) per predictor
    if K == 1:
        columns = [np.ones((len(EXPONENTS), len(y))), basis[0]]
        exponents = EXPONENTS[:, None]
    else:
        g = len(EXPONENTS)
        i, j = np.divmod(np.arange(g * g), g)
        columns = [np.ones((1, len(y))), basis[0], basis[1]]
        exponents = np.stack([EXPONENTS[i], EXPONENTS[j]], axis=1)
    # relative residuals 1 - (E + sum_k A_k u_k)/L: equal to log residuals to first order, and linear
    scaled = [c * inverse for c in columns]
    size = len(exponents)
    gram, moment = np.empty((size, K + 1, K + 1)), np.empty((size, K + 1))
    sums = [s.sum(axis=1) for s in scaled]
    squares = [np.einsum("gn,gn->g", s, s) for s in scaled]
    if K == 1:
        gram[:, 0, 0], gram[:, 1, 1] = squares[0], squares[1]
        gram[:, 0, 1] = gram[:, 1, 0] = np.einsum("gn,gn->g", scaled[0], scaled[1])
        moment[:] = np.stack(sums, axis=1)
    else:
        gram[:, 0, 0], gram[:, 1, 1], gram[:, 2, 2] = squares[0][0], squares[1][i], squares[2][j]
        gram[:, 0, 1] = gram[:, 1, 0] = (scaled[1] @ scaled[0][0])[i]
        gram[:, 0, 2] = gram[:, 2, 0] = (scaled[2] @ scaled[0][0])[j]
        gram[:, 1, 2] = gram[:, 2, 1] = (scaled[1] @ scaled[2].T)[i, j]
        moment[:, 0], moment[:, 1], moment[:, 2] = sums[0][0], sums[1][i], sums[2][j]
    diagonal = np.arange(K + 1)
    gram[:, diagonal, diagonal] *= 1 + 1e-10
    coefficients = np.linalg.solve(gram, moment[..., None])[..., 0]
    coefficients = np.maximum(coefficients, engine.FLOOR * np.exp(np.median(y)))
    theta = np.concatenate([np.log(coefficients), exponents], axis=1)
    if K == 1:
        fitted = coefficients[:, :1] + coefficients[:, 1:] * basis[0]
    else:
        fitted = coefficients[:, :1] + coefficients[:, 1:2] * basis[0][i] + coefficients[:, 2:] * basis[1][j]
    cost = engine.huber(np.log(fitted) - y, delta).sum(axis=1)
    block = len(EXPONENTS) // BLOCKS if K == 2 else len(EXPONENTS) // (2 * BLOCKS)
    if K == 1:
        label = np.arange(size) // block
    else:
        label = (i // block) * BLOCKS + j // block
    order = np.lexsort((cost, label))
    first = np.unique(label[order], return_index=True)[1]
    return theta[order[first]]


def _summarise(problem, theta, cost, delta, names, starts, agree) -> SurfaceFit:
    r = engine.residuals(problem, theta[None])[0]
    J = engine.jacobian(problem, theta)
    unit = J / np.maximum(np.linalg.norm(J, axis=0), 1e-300)
    condition = float(np.linalg.cond(unit) ** 2)
    inner, bread = sandwich(J, r, delta)
    # from the centred coefficients back to log A_k = a_k + p_k * shift_k
    K = problem.terms
    T = np.eye(len(names))
    T[np.arange(1, K + 1), np.arange(K + 1, 2 * K + 1)] = problem.shift
    with np.errstate(invalid="ignore"):
        covariance = T @ inner @ T.T
        inflation = np.diag(covariance) / np.diag(T @ bread @ T.T)
        natural = problem.from_internal(theta)
        estimate = np.concatenate([np.exp(natural[: K + 1]), natural[K + 1 :]])
        spread = np.sqrt(np.diag(covariance))
        errors = np.concatenate([estimate[: K + 1] * spread[: K + 1], spread[K + 1 :]])
    return SurfaceFit(
        names,
        estimate,
        errors,
        covariance,
        cost,
        condition,
        starts,
        agree,
        delta,
        -r,
        True,
        problem,
        theta,
        inflation,
    )


def sandwich(J: np.ndarray, r: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of a Huber M-estimator with noise that may differ between runs, H^-1 (sum psi^2 J J') H^-1,
    and H^-1.

    H = J' diag(P(|r_i| <= delta)) J. With delta far below the noise only a handful of residuals are within
    it, so the share is read off a wider window around zero (Powell 1991), of Silverman's width. J: (n, P), r:
    (n,). Infinite where H is singular.
    """
    n, P = J.shape
    quartiles = np.quantile(r, [0.25, 0.75])
    spread = min(np.std(r), (quartiles[1] - quartiles[0]) / 1.349) or np.std(r)
    window = max(delta, 1.06 * spread * n**-0.2)
    H = (J * ((np.abs(r) <= window) * (delta / window))[:, None]).T @ J
    meat = (J * np.clip(r, -delta, delta)[:, None] ** 2).T @ J * (n / max(n - P, 1))
    try:
        bread = np.linalg.inv(H)
    except np.linalg.LinAlgError:
        return np.full((P, P), np.inf), np.full((P, P), np.inf)
    return bread @ meat @ bread, bread


@dataclass(frozen=True)
class Profile:
    """Profile of one parameter. values: where it was held; ratio: likelihood-ratio statistic there, after
    re-optimising all others; interval: where the statistic stays below the chi-square quantile (inf: no
    crossing)."""

    name: str
    values: np.ndarray
    ratio: np.ndarray
    interval: tuple[float, float]
    level: float


def profile_likelihood(fit: SurfaceFit, name: str, *, level: float = 0.95, points: int = 33) -> Profile:
    """Profile likelihood of one parameter of a fit: hold it, re-optimise the rest, compare the objective.

    ratio(v) = 2 (Q(v) - Q_min) / c with Q the Huber sum and c the sandwich variance of the parameter over its
    inverse Hessian entry, which makes the ratio asymptotically chi-square with 1 degree of freedom though the
    noise is not Huber's and differs between runs (Royall 1986; Heritier & Ronchetti 1994); the quantile used
    is that of F(1, n - P). Coefficients are profiled in their logarithm. The search widens until both sides
    cross or reach 32 standard errors, after which a bound is infinite (or 0 for a coefficient).

    Raises ScalingError on an unknown name or a level outside (0, 1).
    """
    level = scalar("level", level, 0, 1)
    fit[name]
    P, K = len(fit.names), fit.problem.terms
    index = fit.names.index(name)
    n = len(fit.residuals)
    quantile = stats.f.ppf(level, 1, n - P)
    c = fit.inflation[index]
    # in the natural parameters log A_k the profile needs the shift of one predictor undone: centre it at log
    # x = 0
    problem, theta = fit.problem, fit.theta
    if 1 <= index <= K:
        k = index - 1
        shift = problem.shift.copy()
        x = problem.x.copy()
        x[k], shift[k] = x[k] + shift[k], 0.0
        natural = problem.from_internal(theta)
        problem = engine.Problem(x, shift, problem.y)
        theta = problem.to_internal(natural)
    J = engine.jacobian(problem, theta)
    G = J.T @ J
    others = [p for p in range(P) if p != index]
    slope = -np.linalg.lstsq(G[np.ix_(others, others)], G[others, index], rcond=None)[0]
    se = np.sqrt(fit.covariance[index, index])
    se = float(se) if np.isfinite(se) and se > 0 else 1.0
    span = 4.0
    while True:
        offsets = np.linspace(-span, span, points) * se
        starts = np.repeat(theta[None], points, axis=0)
        starts[:, index] += offsets
        # the line the others follow to first order, no further than a step that stays finite
        starts[:, others] += np.clip(offsets[:, None] * slope, -5, 5)
        straight = np.repeat(theta[None], points, axis=0)
        straight[:, index] += offsets
        both = np.concatenate([starts, straight])
        _, cost, _ = engine.polish(problem, both, np.ones(n), fit.delta, fixed=index)
        cost = np.minimum(cost[:points], cost[points:])
        ratio = 2 * np.maximum(cost - fit.objective, 0) / c
        if (ratio[0] > quantile and ratio[-1] > quantile) or span >= 32:
            break
        span *= 2
    values = theta[index] + offsets
    low, high = _crossings(values, ratio, quantile)
    if index <= K:
        values, low, high = np.exp(values), np.exp(low), np.exp(high)
    return Profile(name, values, ratio, (float(low), float(high)), level)


def _crossings(values: np.ndarray, ratio: np.ndarray, quantile: float) -> tuple[float, float]:
    """First crossing of the quantile on each side of the centre, linear in the signed root of the ratio."""
    root, target, mid = np.sqrt(ratio), np.sqrt(quantile), len(values) // 2
    bounds = []
    for step, far in ((-1, -np.inf), (1, np.inf)):
        bound, i = far, mid
        while 0 <= i + step < len(values):
            j = i + step
            if root[j] > target:
                share = (target - root[i]) / (root[j] - root[i])
                bound = values[i] + share * (values[j] - values[i])
                break
            i = j
        bounds.append(bound)
    return bounds[0], bounds[1]


def bootstrap_surface(fit: SurfaceFit, *, replicates: int = 4000, cluster=None, seed: int = 0) -> Bootstrap:
    """Refit under thousands of resamplings at once, each from the fit's own optimum (warm-started Newton).

    cluster: labels, one a run, to draw whole clusters (model sizes, cells). Names: the fit's, and "a" for a
    surface. Raises ScalingError as `resample_counts` does. Source of the procedure: Besiroglu et al. 2024,
    section 3.
    """
    counts = resample_counts(len(fit.residuals), replicates, seed, cluster)
    draws = np.empty((replicates, len(fit.names)))
    usable = np.empty(replicates, dtype=bool)
    K = fit.problem.terms
    for start in range(0, replicates, engine.CHUNK):
        block = counts[start : start + engine.CHUNK]
        theta = np.repeat(fit.theta[None], len(block), axis=0)
        theta, _, usable[start : start + len(block)] = engine.polish(fit.problem, theta, block, fit.delta)
        draws[start : start + len(block)] = fit.problem.from_internal(theta)
    with np.errstate(over="ignore"):
        draws[:, : K + 1] = np.exp(draws[:, : K + 1])
    usable &= np.isfinite(draws).all(axis=1)
    names, estimate = fit.names, fit.estimate
    if len(names) == 5:
        draws = np.column_stack([draws, draws[:, 4] / (draws[:, 3] + draws[:, 4])])
        names, estimate = (*names, "a"), np.append(estimate, fit.surface.a)
    return Bootstrap(names, draws, usable, estimate)


def bootstrap_allocation(bootstrap: Bootstrap, flops: float) -> Allocation:
    """`compute_optimal` of every usable draw of `bootstrap_surface`: arrays (draws,), for intervals of N, D or D/N.

    flops: one budget. Raises ScalingError on a bootstrap of anything but a surface, or flops not positive.
    """
    flops = scalar("flops", flops)
    if bootstrap.names[:5] != ("E", "A", "B", "alpha", "beta"):
        raise ScalingError("bootstrap: must be of a loss surface in N and D")
    parts = [compute_optimal(LossSurface(*draw[:5]), flops) for draw in bootstrap.draws[bootstrap.usable]]
    fields = ("flops", "N", "D", "tokens_per_parameter", "loss")
    return Allocation(*(np.array([getattr(p, f) for p in parts], dtype=np.float64) for f in fields))


@dataclass(frozen=True)
class Test:
    """A test of a hypothesis: statistic, degrees of freedom, p-value, and the two log-likelihoods where
    defined."""

    statistic: float
    dof: int
    p_value: float
    log_likelihood: float = float("nan")
    null_log_likelihood: float = float("nan")

    __test__ = False  # not a test case, whatever its name says to a collector


def huber_log_likelihood(residuals, *, delta: float = 1e-3) -> float:
    """Log-likelihood of log residuals under Huber's density exp(-huber_delta(r)/s) / Z(s), maximised over s.

    The density whose maximum likelihood is the Huber fit (Besiroglu et al. 2024, section 2); Laplace in
    effect when delta is far below the noise. residuals: (n,) in log loss. Raises ScalingError on NaN.
    """
    r = column("residuals", residuals, positive=False)
    delta = scalar("delta", delta)
    total, n = float(engine.huber(r, delta).sum()), len(r)

    def negative(log_s: float) -> float:
        s = np.exp(log_s)
        Z = np.sqrt(2 * np.pi * s) * erf(delta / np.sqrt(2 * s)) + 2 * s / delta * np.exp(-(delta**2) / (2 * s))
        return total / s + n * np.log(Z)

    centre = np.log(max(total / n, 1e-300))
    return -float(minimize_scalar(negative, bounds=(centre - 6, centre + 6), method="bounded").fun)


def likelihood_ratio_test(fit: SurfaceFit, null: LossSurface, N, D, loss) -> Test:
    """Test that the surface is `null`, all five parameters given, against the fit: 2 (l - l_0) on 5 degrees
    of freedom.

    l: `huber_log_likelihood` of each side's residuals, each with its own scale. N, D, loss: the runs of the
    fit. Raises ScalingError on malformed columns. Source: Besiroglu et al. 2024, section 3.
    """
    loss = column("loss", loss, size=len(fit.residuals))
    r0 = np.log(loss) - np.log(null(column("N", N, size=len(loss)), column("D", D, size=len(loss))))
    l1 = huber_log_likelihood(fit.residuals, delta=fit.delta)
    l0 = huber_log_likelihood(r0, delta=fit.delta)
    statistic = max(2 * (l1 - l0), 0.0)
    return Test(statistic, 5, float(stats.chi2.sf(statistic, 5)), l1, l0)


def wald_test(fit: SurfaceFit, null: LossSurface, bootstrap: Bootstrap | None = None) -> Test:
    """Test that the surface is `null` by its distance from the fit: d' V^-1 d on 5 degrees of freedom.

    d: difference of (log E, log A, log B, alpha, beta); V: their covariance, from the bootstrap where given,
    else the fit's own. The chi-square of 238 in Besiroglu et al. 2024 (section 3) is of this kind.
    """
    hat, zero = fit.surface.values, null.values
    d = np.concatenate([np.log(hat[:3]) - np.log(zero[:3]), hat[3:] - zero[3:]])
    V = fit.covariance
    if bootstrap is not None:
        draws = bootstrap.draws[bootstrap.usable, :5].copy()
        draws[:, :3] = np.log(draws[:, :3])
        V = np.cov(draws.T)
    statistic = float(d @ np.linalg.solve(V, d))
    return Test(statistic, 5, float(stats.chi2.sf(statistic, 5)))


def runs_needed(standard_error: float, runs: int, width: float, level: float = 0.95) -> float:
    """Runs that a two-sided interval of the given width would need, as its width shrinks with the root of the
    runs.

        n' = n (2 z se / width)^2

    How Besiroglu et al. 2024 find that an interval as narrow as (0.454, 0.455) on a needs 600,000 runs.
    Raises ScalingError unless all are positive.
    """
    z = stats.norm.ppf((1 + scalar("level", level, 0, 1)) / 2)
    ratio = 2 * z * scalar("standard_error", standard_error) / scalar("width", width)
    return scalar("runs", runs) * ratio**2
