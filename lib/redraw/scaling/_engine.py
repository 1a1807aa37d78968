"""Batched fitting of sums of power laws in log space: the one numerical kernel of this package.

The model is L = E + sum_k A_k x_k^-p_k with K predictors, fitted to log L under the Huber loss. Internally
theta = (e, a_1..a_K, p_1..p_K) with e = log E and a_k = log A_k - p_k * mean(log x_k): centring the
predictors takes most of the correlation between coefficient and exponent out of the Hessian. Everything runs
on many problems at once: m parameter vectors against m weightings of the same n points.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 64  # problems per block: the (block, n) work arrays then stay in the second-level cache
FLOOR = 1e-4  # smallest share of the typical loss a term may start with when least squares wants it negative


@dataclass(frozen=True)
class Problem:
    """Log-space data. x: (K, n) centred log predictors; shift: (K,) their means; y: (n,) log losses."""

    x: np.ndarray
    shift: np.ndarray
    y: np.ndarray

    @property
    def terms(self) -> int:
        return len(self.x)

    @property
    def size(self) -> int:
        return 2 * len(self.x) + 1

    def to_internal(self, theta: np.ndarray) -> np.ndarray:
        """(.., P) vectors (log E, log A_k, p_k) to the centred parameters."""
        out, K = np.array(theta, dtype=float), self.terms
        out[..., 1 : K + 1] -= out[..., K + 1 :] * self.shift
        return out

    def from_internal(self, theta: np.ndarray) -> np.ndarray:
        out, K = np.array(theta, dtype=float), self.terms
        out[..., 1 : K + 1] += out[..., K + 1 :] * self.shift
        return out


def make_problem(predictors: list[np.ndarray], loss: np.ndarray) -> Problem:
    x = np.log(np.stack(predictors))
    shift = x.mean(axis=1)
    return Problem(x - shift[:, None], shift, np.log(loss))


def huber(r: np.ndarray, delta: float) -> np.ndarray:
    """r^2/2 inside delta, delta(|r| - delta/2) outside (Huber 1964)."""
    c = np.clip(r, -delta, delta)
    return c * (r - 0.5 * c)


def residuals(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Predicted minus observed log loss, (m, n), for theta (m, P) in the centred parameters."""
    return _parts(problem, theta)[0]


def jacobian(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """d(predicted log loss)/d(theta) for one theta (P,): (n, P)."""
    _, S0, S = _parts(problem, theta[None])
    return np.concatenate([S0, S[:, 0], -S[:, 0] * problem.x]).T


def _parts(problem: Problem, theta: np.ndarray):
    """Residuals (m, n) and softmax shares: S0 (m, n) of E, S (K, m, n) of the power terms."""
    K = problem.terms
    with np.errstate(over="ignore", invalid="ignore"):
        c = [np.exp(theta[:, 1 + k, None] - theta[:, K + 1 + k, None] * problem.x[k]) for k in range(K)]
        c0 = np.exp(theta[:, :1])
        total = c0 + sum(c)
        r = np.log(total) - problem.y
        inverse = 1.0 / total
        return r, c0 * inverse, np.stack([ck * inverse for ck in c])


def objective(problem: Problem, theta: np.ndarray, weights: np.ndarray, delta: float) -> np.ndarray:
    """Weighted sum of Huber losses, (m,). A sum and not a mean: see `lbfgs_grid` for what the mean does."""
    cost = np.einsum(
        "mn,mn->m", np.broadcast_to(weights, (len(theta), len(problem.y))), huber(residuals(problem, theta), delta)
    )
    return np.where(np.isfinite(cost), cost, np.inf)


def derivatives(problem: Problem, parts, weights: np.ndarray, delta: float, blend: np.ndarray):
    """Gradient (m, P) and a curvature matrix (m, P, P) between Newton (blend 0) and IRLS (blend 1).

    With S the softmax shares and z_j = d(log term j)/d(theta), the Hessian of the predicted log loss is sum_j
    S_j z_j z_j' - g g', so the exact Hessian of the objective costs no more than Gauss-Newton. The IRLS
    matrix J' diag(w min(1, delta/|r|)) J majorises the Huber part: slow but always downhill.
    """
    r, S0, S = parts
    K, m = problem.terms, len(r)
    psi = np.clip(r, -delta, delta)
    quadratic = psi == r
    wpsi = weights * psi
    J = np.empty((m, 2 * K + 1, r.shape[1]))
    J[:, 0] = S0
    for k in range(K):
        J[:, 1 + k] = S[k]
        np.multiply(S[k], -problem.x[k], out=J[:, K + 1 + k])
    gradient = np.einsum("mpn,mn->mp", J, wpsi)
    t = blend[:, None]
    irls = np.where(quadratic, 1.0, delta / np.maximum(np.abs(r), delta))
    v = weights * (quadratic + t * (irls - quadratic)) - (1 - t) * wpsi
    curvature = np.matmul(J * v[:, None], J.transpose(0, 2, 1))
    newton = 1 - blend
    curvature[:, 0, 0] += newton * gradient[:, 0]
    for k in range(K):
        i, j = 1 + k, K + 1 + k
        cross = newton * gradient[:, j]
        curvature[:, i, i] += newton * gradient[:, i]
        curvature[:, i, j] += cross
        curvature[:, j, i] += cross
        curvature[:, j, j] += newton * np.einsum("mn,mn,n->m", wpsi, S[k], problem.x[k] ** 2)
    return gradient, curvature


def polish(
    problem: Problem,
    theta: np.ndarray,
    weights: np.ndarray,
    delta: float,
    *,
    fixed: int | None = None,
    steps: int = 200,
    tol: float = 1e-10,
):
    """Minimise m objectives from m starts by damped Newton steps that fall back to IRLS.

    theta: (m, P) starts, centred. weights: (n,) or (m, n). fixed: index of a parameter held where it is (for
    profiles). Returns (theta (m, P), cost (m,), converged (m,) bool).
    """
    theta = np.array(theta, dtype=float)
    weights = np.broadcast_to(weights, (len(theta), len(problem.y)))
    cost, done = np.empty(len(theta)), np.empty(len(theta), dtype=bool)
    for start in range(0, len(theta), CHUNK):
        block = slice(start, start + CHUNK)
        theta[block], cost[block], done[block] = _polish_block(
            problem, theta[block], np.ascontiguousarray(weights[block]), delta, fixed, steps, tol
        )
    return theta, cost, done


def _polish_block(problem, theta, weights, delta, fixed, steps, tol):
    m, P = theta.shape
    free = np.array([p for p in range(P) if p != fixed])
    diagonal = np.arange(len(free))
    final, final_cost, converged = theta.copy(), np.empty(m), np.zeros(m, dtype=bool)
    alive = np.arange(m)
    parts = _parts(problem, theta)
    cost = np.einsum("mn,mn->m", weights, huber(parts[0], delta))
    cost[~np.isfinite(cost)] = np.inf
    final_cost[:] = cost
    damping, blend = np.full(m, 1e-3), np.ones(m)
    for _ in range(steps):
        gradient, curvature = derivatives(problem, parts, weights, delta, blend)
        g, H = gradient[:, free], curvature[:, free[:, None], free]
        scale = np.abs(H[:, diagonal, diagonal]) + 1e-300
        H[:, diagonal, diagonal] += damping[:, None] * scale + 1e-14 * scale.max(axis=1, keepdims=True)
        bad = ~np.isfinite(H).all(axis=(1, 2))
        H[bad] = np.eye(len(free))
        try:
            step = np.linalg.solve(H, -g[..., None])[..., 0]
        except np.linalg.LinAlgError:
            H[:, diagonal, diagonal] += scale
            step = np.linalg.solve(H, -g[..., None])[..., 0]
        # no single step moves an exponent or a log coefficient by more than 3: far steps leave the finite
        # numbers
        length = np.abs(step).max(axis=1)
        step *= np.minimum(1.0, 3.0 / np.maximum(length, 1e-300))[:, None]
        promise = -np.einsum("mp,mp->m", g, step)  # Newton decrement, twice the predicted decrease
        trial = theta.copy()
        trial[:, free] += np.where(np.isfinite(step), step, 0.0)
        trial_parts = _parts(problem, trial)
        trial_cost = np.einsum("mn,mn->m", weights, huber(trial_parts[0], delta))
        better = (trial_cost < cost) & (promise > 0)
        small = (promise >= 0) & (promise <= tol * cost) | (np.abs(step).max(axis=1) < 1e-13)
        if better.all():
            theta, parts = trial, trial_parts
        else:
            theta[better] = trial[better]
            for held, new in zip(parts, trial_parts, strict=True):
                held[..., better, :] = new[..., better, :]
        cost = np.where(better, trial_cost, cost)
        damping = np.where(better, damping * 0.1, np.minimum(np.maximum(damping, 1e-6) * 8, 1e6))
        blend = np.where(better, blend * 0.5, np.minimum(np.maximum(blend, 0.01) * 8, 1.0))
        finished = small & (better | (promise <= 1e-3 * tol * cost) | (blend >= 1.0))
        final[alive], final_cost[alive] = theta, cost
        converged[alive[finished]] = True
        if finished.any():
            go = ~finished
            if not go.any():
                break
            alive, theta, cost, weights = alive[go], theta[go], cost[go], weights[go]
            damping, blend = damping[go], blend[go]
            parts = (parts[0][go], parts[1][go], parts[2][:, go])
    return final, final_cost, converged
