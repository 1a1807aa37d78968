"""Power laws y = c x_1^p_1 x_2^p_2 ...: least squares or robust in the logarithms, with honest intervals."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.tools.sm_exceptions import SingularMatrixWarning

from redraw.scaling._errors import ScalingError, ScalingWarning, column, scalar
from redraw.scaling._resample import Bootstrap, resample_counts

CONDITION_LIMIT = 1e8
ERROR_LIMIT = 1.0  # an exponent known no better than to +-1 is not identified


@dataclass(frozen=True)
class PowerLaw:
    """y = c * prod_k x_k^p_k. names: ("c", *predictors); log_estimate: log c and the exponents; covariance:
    theirs; dof: of the t quantiles (clusters - 1 when clustered); condition: condition number of X'X, columns
    centred and scaled; identified: False where a warning was given; residuals: observed minus predicted log
    y."""

    names: tuple[str, ...]
    log_estimate: np.ndarray
    covariance: np.ndarray
    dof: int
    r_squared: float
    condition: float
    identified: bool
    residuals: np.ndarray = field(repr=False)

    @property
    def estimate(self) -> np.ndarray:
        """c and the exponents."""
        with np.errstate(over="ignore"):
            return np.concatenate([np.exp(self.log_estimate[:1]), self.log_estimate[1:]])

    @property
    def standard_errors(self) -> dict[str, float]:
        """Of c (delta method) and of the exponents."""
        spread = np.sqrt(np.diag(self.covariance))
        with np.errstate(over="ignore"):
            spread[0] *= np.exp(self.log_estimate[0])
        return dict(zip(self.names, map(float, spread), strict=True))

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise ScalingError(f"name: must be one of {', '.join(self.names)}, not {name!r}")
        return float(self.estimate[self.names.index(name)])

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """t interval of c (in its logarithm) or of an exponent."""
        self[name]
        i = self.names.index(name)
        half = stats.t.ppf((1 + scalar("level", level, 0, 1)) / 2, self.dof) * np.sqrt(self.covariance[i, i])
        low, high = self.log_estimate[i] - half, self.log_estimate[i] + half
        with np.errstate(over="ignore"):
            return (float(np.exp(low)), float(np.exp(high))) if i == 0 else (float(low), float(high))

    def predict(self, predictors: Mapping[str, object]) -> np.ndarray:
        """y at new predictors, scalars or columns under the names of the fit."""
        return np.exp(self._design(predictors) @ self.log_estimate)

    def predict_interval(self, predictors: Mapping[str, object], level: float = 0.95):
        """(low, high): t interval of the law itself at new predictors, not of a further run."""
        X = self._design(predictors)
        centre = X @ self.log_estimate
        se = np.sqrt(np.einsum("...i,ij,...j->...", X, self.covariance, X))
        half = stats.t.ppf((1 + scalar("level", level, 0, 1)) / 2, self.dof) * se
        return np.exp(centre - half), np.exp(centre + half)

    def _design(self, predictors: Mapping[str, object]) -> np.ndarray:
        missing = [n for n in self.names[1:] if n not in predictors]
        if missing:
            raise ScalingError(f"predictors: must hold {', '.join(self.names[1:])}; {', '.join(missing)} is missing")
        logs = [np.log(np.asarray(predictors[n], dtype=np.float64)) for n in self.names[1:]]
        return np.stack(np.broadcast_arrays(np.ones(()), *logs), axis=-1)


def fit_power_law(predictors: Mapping[str, object], y, *, robust: bool = False, cluster=None) -> PowerLaw:
    """Fit log y = log c + sum_k p_k log x_k by least squares, or by Huber's M-estimator (robust=True).

    predictors: columns by name, for example {"N": N, "D": D}; y: a positive column; any numeric types.
    cluster: one label a run; standard errors then allow any dependence within a cluster (statsmodels' cluster
    covariance with its small-sample factor, t with clusters - 1 degrees of freedom) instead of assuming
    independent runs. With no more clusters than parameters they are infinite, since clusters show no spread then.

    Warns (ScalingWarning) when predictors are collinear or an exponent's standard error exceeds 1. Raises
    ScalingError on no predictors, fewer than two more points than exponents, a predictor with one distinct
    value, NaN, non-positive or unequal columns, robust and cluster together. Source: the fit of Li et al.
    2025 (Step Law, section 4) is the plain case.
    """
    X, log_y, names = _columns(predictors, y)
    n, P = X.shape
    scaled = (X[:, 1:] - X[:, 1:].mean(axis=0)) / X[:, 1:].std(axis=0)
    condition = float(np.linalg.cond(scaled) ** 2)
    doubts = (
        [] if condition < CONDITION_LIMIT else [f"{', '.join(names[1:])} are collinear (condition {condition:.1e})"]
    )
    if robust:
        if cluster is not None:
            raise ScalingError(
                "cluster: must be absent when robust is set; bootstrap the robust fit by cluster instead"
            )
        result = sm.RLM(log_y, X, M=sm.robust.norms.HuberT()).fit()
        dof = n - P
    elif cluster is None:
        result, dof = _least_squares(log_y, X), n - P
    else:
        labels = np.unique(np.asarray(cluster), return_inverse=True)[1]
        if labels.shape != (n,) or labels.max() < 1:
            raise ScalingError(f"cluster: must hold one label for each of the {n} runs and name at least 2 clusters")
        result = _least_squares(log_y, X, cov_type="cluster", cov_kwds={"groups": labels})
        dof = int(labels.max())
    beta, covariance = np.asarray(result.params), np.asarray(result.cov_params())
    if cluster is not None and dof < P:  # each cluster is fitted exactly, and its errors come out as nothing
        covariance = np.diag(np.full(P, np.inf))
    residuals = log_y - X @ beta
    spread = np.sqrt(np.diag(covariance))
    doubts += [
        f"the exponent of {n} is {p:.3g} +- {e:.2g}"
        for n, p, e in zip(names[1:], beta[1:], spread[1:], strict=True)
        if not e < ERROR_LIMIT
    ]
    if doubts:
        warnings.warn(f"a parameter is not identified: {'; '.join(doubts)}", ScalingWarning, stacklevel=2)
    total = float(((log_y - log_y.mean()) ** 2).sum())
    r_squared = 1 - float((residuals**2).sum()) / total if total > 0 else 1.0
    return PowerLaw(names, beta, covariance, dof, r_squared, condition, not doubts, residuals)


def _least_squares(log_y: np.ndarray, X: np.ndarray, **options):
    with warnings.catch_warnings():  # collinearity is reported once, in this package's words
        warnings.simplefilter("ignore", category=SingularMatrixWarning)
        return sm.OLS(log_y, X).fit(**options)


def bootstrap_power_law(
    predictors: Mapping[str, object], y, *, replicates: int = 4000, cluster=None, seed: int = 0
) -> Bootstrap:
    """Least-squares power laws of thousands of resamplings at once, through their weighted normal equations.

    Arguments as `fit_power_law`; cluster draws whole clusters. Names ("c", *predictors). A replicate in which
    a predictor takes one value only is marked unusable. Raises ScalingError as `fit_power_law` and
    `resample_counts` do.
    """
    X, log_y, names = _columns(predictors, y)
    counts = resample_counts(len(log_y), replicates, seed, cluster)
    centre = X.mean(axis=0)
    centre[0] = 0.0
    Z = X - centre
    P = Z.shape[1]
    gram = (counts @ (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)).reshape(-1, P, P)
    moment = counts @ (Z * log_y[:, None])
    eigenvalues = np.linalg.eigvalsh(gram)
    usable = eigenvalues[:, 0] > 1e-12 * eigenvalues[:, -1]
    gram[~usable] = np.eye(P)
    beta = np.linalg.solve(gram, moment[..., None])[..., 0]
    beta[:, 0] -= beta[:, 1:] @ centre[1:]
    whole = np.linalg.lstsq(X, log_y, rcond=None)[0]
    with np.errstate(over="ignore"):
        beta[:, 0], whole[0] = np.exp(beta[:, 0]), np.exp(whole[0])
    return Bootstrap(names, beta, usable, whole)


def _columns(predictors: Mapping[str, object], y):
    if not isinstance(predictors, Mapping) or not predictors:
        raise ScalingError("predictors: must be a mapping from at least one name to its column")
    if "c" in predictors:
        raise ScalingError("predictors: must not be named c, the name of the coefficient")
    log_y = np.log(column("y", y))
    logs = [np.log(column(name, values, size=len(log_y))) for name, values in predictors.items()]
    if len(log_y) < len(logs) + 2:
        raise ScalingError(f"y: must have at least {len(logs) + 2} points for {len(logs)} exponents, not {len(log_y)}")
    for name, values in zip(predictors, logs, strict=True):
        if np.ptp(values) == 0:
            raise ScalingError(f"{name}: must take at least 2 distinct values, all are {np.exp(values[0]):g}")
    return np.column_stack([np.ones(len(log_y)), *logs]), log_y, ("c", *predictors)
