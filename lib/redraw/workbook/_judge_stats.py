"""Estimates with one-sided tests and limits: the t interval, the censored mean, the sign test, the bootstrap.

Every estimate answers the same four questions, so that one rule can read them all:

- `above(bound)`, `below(bound)`: the p-value of "the quantity is not above (below) the bound";
- `limits(alpha)`: a lower and an upper limit, each one-sided at level `alpha`, which agree with the tests:
  `above(bound) <= alpha` exactly when the lower limit lies above the bound;
- `power(bound, alpha, n, above)`: the chance that n seeds would show it to be above (below) the bound, if the
  truth were the estimate seen, with the spread seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import bdtr, bdtrc, log_ndtr, nctdtr, ndtr, ndtri, stdtr, stdtrit


@dataclass(frozen=True)
class TMean:
    """A mean, or a difference of means, with Student's t limits: estimate -+ t(df) * se.

    `sd` / sqrt(`n`) is the part of the standard error that more seeds make smaller, `fixed` the variance
    that they do not (the paper's own sampling error). df follows Welch and Satterthwaite where variances
    are pooled.
    """

    estimate: float
    n: int
    sd: float
    df: float
    fixed: float = 0.0

    @property
    def se(self) -> float:
        return math.sqrt(self.sd**2 / self.n + self.fixed)

    def above(self, bound: float) -> float:
        return float(stdtr(self.df, (bound - self.estimate) / self.se))

    def below(self, bound: float) -> float:
        return float(stdtr(self.df, (self.estimate - bound) / self.se))

    def limits(self, alpha: float) -> tuple[float, float]:
        half = -float(stdtrit(self.df, alpha)) * self.se
        return self.estimate - half, self.estimate + half

    def power(self, bound: float, alpha: float, n: int, above: bool) -> float:
        df = self.df * (n - 1) / (self.n - 1)
        return _t_power(self.estimate - bound, math.sqrt(self.sd**2 / n + self.fixed), df, alpha, above)


@dataclass(frozen=True)
class CensoredMean:
    """The mean of a normal sample of which some values are known by a bound only (Tobin 1958, Econometrica
    26).

    Likelihood in mu and sigma: a value x adds the density, one known to exceed L adds 1 - Phi((L -
    mu)/sigma), one known to stay under H adds Phi((H - mu)/sigma); the bound itself is never taken for the
    value. The likelihood ratio W(beta) of mu = beta is turned into t = sqrt(df (exp(W/n) - 1)), which
    without censoring is Student's t exactly; df counts the uncensored values only (their number - 1), which
    simulation shows to keep the level.
    """

    lows: np.ndarray
    highs: np.ndarray
    estimate: float
    sigma: float
    best: float

    @classmethod
    def fit(cls, lows: np.ndarray, highs: np.ndarray) -> CensoredMean:
        known = lows[lows == highs]
        centre, scale = float(known.mean()), float(known.std())

        # convex in theta = mu / sigma and h = 1 / sigma (Olsen 1978, Econometrica 46): a single minimum
        def loss(point):
            h = math.exp(point[1])
            return _nll(lows, highs, centre + scale * point[0] / h, scale / h)

        exact = {"xatol": 1e-7, "fatol": 1e-11, "maxiter": 2000}
        theta, log_h = minimize(loss, (0.0, 0.0), method="Nelder-Mead", options=exact).x
        sigma = scale / math.exp(log_h)
        mu = centre + sigma * theta
        return cls(lows, highs, mu, sigma, _nll(lows, highs, mu, sigma))

    @property
    def n(self) -> int:
        return len(self.lows)

    @property
    def known(self) -> int:
        return int((self.lows == self.highs).sum())

    def _t(self, beta: float) -> float:
        reach = math.log(max(self.sigma, abs(beta - self.estimate))) + 5.0
        profile = minimize_scalar(
            lambda log_sigma: _nll(self.lows, self.highs, beta, math.exp(log_sigma)),
            bounds=(math.log(self.sigma) - 5.0, reach),
            method="bounded",
            options={"xatol": 1e-8},
        )
        ratio = min(max(2.0 * (profile.fun - self.best) / self.n, 0.0), 700.0)
        return math.copysign(math.sqrt((self.known - 1) * math.expm1(ratio)), self.estimate - beta)

    def above(self, bound: float) -> float:
        return float(stdtr(self.known - 1, -self._t(bound)))

    def below(self, bound: float) -> float:
        return float(stdtr(self.known - 1, self._t(bound)))

    def limits(self, alpha: float) -> tuple[float, float]:
        wanted = -float(stdtrit(self.known - 1, alpha))
        return self._limit(wanted, -1.0), self._limit(-wanted, 1.0)

    def _limit(self, wanted: float, side: float) -> float:
        near, step = self.estimate, self.sigma / math.sqrt(self.n)
        for _ in range(200):
            far = self.estimate + side * step
            if side * (self._t(far) - wanted) <= 0:
                return brentq(lambda beta: self._t(beta) - wanted, near, far, xtol=1e-10 * max(1.0, abs(far)))
            near, step = far, step * 2.0
        return side * math.inf

    def power(self, bound: float, alpha: float, n: int, above: bool) -> float:
        known = n * self.known / self.n  # only the uncensored seeds are counted on
        if known < 2:
            return 0.0
        return _t_power(self.estimate - bound, self.sigma / math.sqrt(known), known - 1, alpha, above)


@dataclass(frozen=True)
class SignMedian:
    """The median of values most of which are known by a bound only: the sign test, free of any distribution.

    A seed counts for "above" when even its lower end is above; p = P(Bin(n, 1/2) >= count) (Conover,
    Practical Nonparametric Statistics, 3rd ed., 3.4), the limits are order statistics of the ends.
    """

    lows: np.ndarray
    highs: np.ndarray

    @property
    def n(self) -> int:
        return len(self.lows)

    @property
    def estimate(self) -> float:
        ends = np.where(np.isfinite(self.lows), self.lows, self.highs)
        return float(np.median(ends[np.isfinite(ends)]))

    def above(self, bound: float) -> float:
        return _sign_p(int((self.lows > bound).sum()), self.n)

    def below(self, bound: float) -> float:
        return _sign_p(int((self.highs < bound).sum()), self.n)

    def limits(self, alpha: float) -> tuple[float, float]:
        need = _sign_count(self.n, alpha)
        if need is None:
            return -math.inf, math.inf
        return float(np.sort(self.lows)[self.n - need]), float(np.sort(self.highs)[need - 1])

    def power(self, bound: float, alpha: float, n: int, above: bool) -> float:
        share = float((self.lows > bound).mean() if above else (self.highs < bound).mean())
        need = _sign_count(n, alpha)
        return 0.0 if need is None else float(bdtrc(need - 1, n, share))


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap estimate with expanded percentile limits (Hesterberg 2015, The American Statistician 69):
    the percentile at Phi(-sqrt(n/(n-1)) t(alpha, n-1)), which makes up for the narrowness of few units n.

    No draw reaches beyond the most extreme unit, which by chance lies on the wrong side with 2^-n: no
    p-value is smaller, and no limit closes at a smaller alpha.
    """

    estimate: float
    draws: np.ndarray  # sorted
    n: int

    def above(self, bound: float) -> float:
        return self._p(1 + int(np.searchsorted(self.draws, bound, side="right")))

    def below(self, bound: float) -> float:
        return self._p(1 + len(self.draws) - int(np.searchsorted(self.draws, bound, side="left")))

    def _p(self, rank: int) -> float:
        share = min(rank / (len(self.draws) + 1), 1.0)
        p = float(stdtr(self.n - 1, math.sqrt((self.n - 1) / self.n) * ndtri(share)))
        return max(p, 0.5**self.n)

    def limits(self, alpha: float) -> tuple[float, float]:
        rank = self._rank(alpha, self.n)
        return (float(self.draws[rank - 1]), float(self.draws[-rank])) if rank else (-math.inf, math.inf)

    def _rank(self, alpha: float, n: int) -> int:
        """Which draw from either end is the limit with n units; 0 where so few close no limit at this level."""
        if alpha < 0.5**n:
            return 0
        share = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, alpha)))
        return math.floor(share * (len(self.draws) + 1) + 1e-9)

    def power(self, bound: float, alpha: float, n: int, above: bool) -> float:
        if not self._rank(alpha, n):
            return 0.0
        effect = self.estimate - bound if above else bound - self.estimate
        se = float(self.draws.std()) * math.sqrt(self.n / n)
        if se <= 1e-12 * max(1.0, abs(self.estimate)):  # all draws alike: they lie beyond the bound, or they do not
            return float(effect > 0)
        return _t_power(effect, se, n - 1, alpha, True)


Estimate = TMean | CensoredMean | SignMedian | Bootstrap


def mean(values: np.ndarray, floor: float, fixed: float = 0.0, fixed_df: float = math.inf) -> TMean:
    """The mean of (n >= 2,) values. `floor` stands in for their spread where they are all the same; `fixed`
    is the variance of a figure they are compared with, on `fixed_df` degrees of freedom."""
    n, spread = len(values), _spread(values, floor)
    df = _welch_df((spread**2 / n, n - 1), (fixed, fixed_df))
    return TMean(float(values.mean()), n, spread, df, fixed)


def difference(a: np.ndarray, b: np.ndarray, floor: float, fixed: float = 0.0, fixed_df: float = math.inf) -> TMean:
    """The difference of two unpaired means, (n,) and (m,) values (Welch 1947, Biometrika 34)."""
    va, vb = (_spread(x, floor) ** 2 / len(x) for x in (a, b))
    n = min(len(a), len(b))
    df = _welch_df((va, len(a) - 1), (vb, len(b) - 1), (fixed, fixed_df))
    return TMean(float(a.mean() - b.mean()), n, math.sqrt((va + vb) * n), df, fixed)


def _welch_df(*terms: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946, Biometrics Bulletin
    2)."""
    return sum(v for v, _ in terms) ** 2 / sum(v**2 / df for v, df in terms)


def censored(lows: np.ndarray, highs: np.ndarray, floor: float) -> CensoredMean | SignMedian | TMean | None:
    """The middle of values known to lie in [low, high] (equal where observed, infinite where open).

    Two different observed values or more carry the censored normal likelihood, in which a value of which
    nothing is known says nothing; otherwise the sign test, in which it counts for neither side. None where
    no value says anything, or one alone.
    """
    useful = np.isfinite(lows) | np.isfinite(highs)
    observed = lows == highs
    if useful.sum() < 2:
        return None
    if observed.sum() < 2 or (np.ptp(lows[observed]) == 0 and not observed[useful].all()):
        return SignMedian(lows, highs)
    lows, highs = lows[useful], highs[useful]
    return mean(lows, floor) if observed[useful].all() else CensoredMean.fit(lows, highs)


def _spread(values: np.ndarray, floor: float) -> float:
    spread = float(values.std(ddof=1))
    return spread if spread > 1e-12 * max(1.0, float(np.abs(values).max())) else floor


def _nll(lows: np.ndarray, highs: np.ndarray, mu: float, sigma: float) -> float:
    observed = lows == highs
    z = (lows[observed] - mu) / sigma
    open_above = ~observed & np.isinf(highs)
    open_below = ~observed & ~np.isinf(highs)
    tails = log_ndtr((mu - lows[open_above]) / sigma).sum() + log_ndtr((highs[open_below] - mu) / sigma).sum()
    return float(0.5 * (z @ z) + len(z) * math.log(sigma) - tails)


def _sign_p(count: int, n: int) -> float:
    return 1.0 if count == 0 else float(bdtrc(count - 1, n, 0.5))


def _sign_count(n: int, alpha: float) -> int | None:
    """The fewest seeds of n that must agree for p <= alpha; None where even all do not suffice."""
    counts = np.arange(1, n + 1)
    enough = counts[1.0 - bdtr(counts - 1, n, 0.5) <= alpha * (1 + 1e-12)]
    return int(enough[0]) if enough.size else None


def _t_power(effect: float, se: float, df: float, alpha: float, above: bool) -> float:
    """Power of a one-sided t test: a noncentral t beyond the critical value."""
    delta = (effect if above else -effect) / se
    critical = -float(stdtrit(df, alpha))
    power = 1.0 - float(nctdtr(df, delta, critical))
    return power if math.isfinite(power) else float(ndtr(delta - critical))
