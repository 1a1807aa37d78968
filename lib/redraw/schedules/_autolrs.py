"""AutoLRS in small: the learning rate of every stage is searched for while training goes on."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from torch import nn
from torch.optim import Optimizer

from redraw.schedules._checks import ScheduleError, count, number

_GRID = 100  # learning rates that the search chooses from
_LENGTH = 0.2  # of the process's kernel, as a share of the searched range of log learning rate
_NOISE = 0.1  # variance of a forecast's error, that of the forecasts seen being 1
_BOLDNESS = 1.0  # standard deviations below the mean at which a candidate is judged


@dataclass(frozen=True)
class Stage:
    """One stage: `steps` steps taken with `lr`, after `searched` steps that tried the rates `tried`, whose forecasts of
    the loss at the stage's end are `forecasts` (infinite for a rate that diverged)."""

    steps: int
    searched: int
    lr: float
    tried: tuple[float, ...]
    forecasts: tuple[float, ...]


@dataclass(frozen=True)
class AutoLRS:
    """What `auto_lrs` did, stage by stage; `losses` are those of the steps that trained, in order."""

    stages: tuple[Stage, ...]
    losses: tuple[float, ...]

    @property
    def trained(self) -> int:
        """Steps that the trained weights have seen."""
        return sum(stage.steps for stage in self.stages)

    @property
    def searched(self) -> int:
        """Steps that were taken to try rates and then undone."""
        return sum(stage.searched for stage in self.stages)

    @property
    def lrs(self) -> np.ndarray:
        """The learning rate of each training step, (trained,)."""
        return np.repeat([stage.lr for stage in self.stages], [stage.steps for stage in self.stages])


def auto_lrs(
    model: nn.Module,
    optimizer: Optimizer,
    step: Callable[[], float],
    *,
    steps: int,
    low: float,
    high: float,
    stage: int = 1000,
    longest: int = 8000,
    candidates: int = 10,
    pay: bool = True,
) -> AutoLRS:
    """Train for `steps` steps, choosing the learning rate of each stage by trying candidates.

    Before a stage of tau steps each of the `candidates` rates is tried for tau / 10 steps from the same weights and
    optimizer state; an exponential fitted to its losses forecasts the loss tau steps on (`forecast`), and the rate with
    the lowest forecast is trained with. The candidates lie in [low, high]: the first at the ends' geometric mean, each
    further one where a Gaussian process in log learning rate (scikit-learn; Matern 5/2, fixed length) has its lowest
    mean less one standard deviation. Stages begin with `stage` steps and double up to `longest`.

    step() must take one optimizer step at the optimizer's learning rate and return the loss before it. The data are
    not wound back: every step sees new ones, those of the search too. All parameter groups get the same rate.

    pay: count the steps of the search among `steps`, so that about half of them train; else they come on top. Where a
    stage is shorter than 10 steps, so that a tenth of it is none, fewer rates are tried, for one step each.

    The shortest stage in which the search is what it is meant to be has 50 steps, so that a candidate gives the five
    losses that an exponential is fitted to; with `pay` that takes 100 `steps`, for a first stage and its search. Below
    it the forecast is the mean of fewer losses; below 20 a candidate is tried for one step, whose loss, taken before
    it, does not depend on the rate: which candidate is taken then is chance. Short requests are not refused, since a
    run must end somewhere and its last stage takes what is left.

    Source: Jin, Zhou, Zhao, Zhu, Guo, Canini and Krishnamurthy 2021 (AutoLRS, arXiv 2105.10762), known from its
    abstract and notes on its code: stages of 1000 to 8000 steps, 10 candidates of tau / 10 steps, an exponential that
    forecasts the validation loss. Ours: what is forecast is the loss that step() returns, the training loss as a rule;
    the kernel's length and noise; forecasts capped at as far above their median as the best lies below it; outliers
    found by a running median where theirs uses a spline; no warm-up.

    Raises ScheduleError: steps, stage, longest or candidates below 1; longest below stage; low not positive or not
    below high.
    """
    steps, stage, longest = count("steps", steps), count("stage", stage), count("longest", longest)
    candidates = count("candidates", candidates)
    low = number("low", low, 0, ends="(]")
    high = number("high", high, low, ends="(]")
    if longest < stage:
        raise ScheduleError(f"longest: must be at least the first stage of {stage} steps, not {longest}")
    rates = np.geomspace(low, high, _GRID)
    stages, losses = [], []
    for tau, trials, each in _plan(steps, stage, longest, candidates, pay):
        tried, forecasts = [], []
        start = deepcopy((model.state_dict(), optimizer.state_dict()))
        for _ in range(trials):
            rate = propose(rates, tried, forecasts)
            forecasts.append(forecast(_run(optimizer, step, rate, each), tau))
            tried.append(rate)
            model.load_state_dict(start[0])
            optimizer.load_state_dict(deepcopy(start[1]))  # which keeps the tensors it is given
        best = tried[int(np.argmin(forecasts))] if tried else propose(rates, [], [])
        losses += _run(optimizer, step, best, tau)
        stages.append(Stage(tau, trials * each, best, tuple(tried), tuple(forecasts)))
    return AutoLRS(tuple(stages), tuple(losses))


def _plan(steps: int, stage: int, longest: int, candidates: int, pay: bool) -> Iterator[tuple[int, int, int]]:
    """Per stage: its steps, the rates to try before it and the steps of each; all within `steps` if they are paid."""
    left = steps
    while left:
        tau = min(stage, (left + 1) // 2 if pay else left)
        each = max(tau // 10, 1)
        trials = min(candidates, tau // each)
        if pay:
            trials = min(trials, (left - tau) // each)
            last = left - tau - trials * each < tau
            tau = left - trials * each if last else tau
        left -= tau + (trials * each if pay else 0)
        yield tau, trials, each
        stage = min(2 * stage, longest)


def _run(optimizer: Optimizer, step: Callable[[], float], rate: float, steps: int) -> list[float]:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return [float(step()) for _ in range(steps)]


def propose(rates: np.ndarray, tried: Sequence[float], forecasts: Sequence[float]) -> float:
    """The rate of `rates` (n,), increasing, to try next, after the rates `tried` gave these `forecasts`."""
    if not tried:
        return float(rates[len(rates) // 2])
    from sklearn.gaussian_process import GaussianProcessRegressor  # here: it loads slowly, and nothing else needs it
    from sklearn.gaussian_process.kernels import Matern

    y = np.array(forecasts)
    seen = y[np.isfinite(y)] if np.isfinite(y).any() else np.zeros(1)
    # A rate that diverges is bad, however far it went: its forecast must not make all others look alike.
    y = np.minimum(y, max(2 * np.median(seen) - seen.min(), seen.min() + 1e-9 * (1 + abs(seen.min()))))
    y = (y - y.mean()) / (y.std() or 1.0)
    reach = np.log(rates[-1] / rates[0])
    at = np.log(rates / rates[0])[:, None] / reach
    process = GaussianProcessRegressor(Matern(_LENGTH, nu=2.5), alpha=_NOISE, optimizer=None)
    process.fit(np.log(np.array(tried) / rates[0])[:, None] / reach, y)
    mean, deviation = process.predict(at, return_std=True)
    return float(rates[int(np.argmin(mean - _BOLDNESS * deviation))])


def forecast(losses: Sequence[float], horizon: int) -> float:
    """The loss at step `horizon`, counted from the first of `losses`, by an exponential fitted to them.

        loss(k) = a exp(b k) + c,  b < 0,  least squares over steps k = 0, 1, ...

    -b is searched on a grid from 1 / n for n losses, since a slower decay cannot be told from a line, to 1; a and c
    follow in closed form; points further than three deviations (1.4826 MAD) from a running median of five are left out.
    c is not let below zero, as a loss is not. Fewer than five losses: their mean. A loss that is not finite, anywhere:
    infinity.
    """
    y = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(y).all():
        return float("inf")
    if len(y) < 5:
        return float(y.mean())
    off = np.abs(y - median_filter(y, size=5, mode="nearest"))
    keep = off <= 3 * 1.4826 * np.median(off) + 1e-12
    k, y = np.flatnonzero(keep), y[keep]
    b = -np.geomspace(1 / len(losses), 1.0, 60)
    e = np.exp(b[:, None] * k)  # (60, points kept)
    spread = e - e.mean(axis=1, keepdims=True)
    a = spread @ (y - y.mean()) / (spread**2).sum(axis=1)
    c = y.mean() - a * e.mean(axis=1)
    a, c = np.where(c < 0, e @ y / (e**2).sum(axis=1), a), np.maximum(c, 0)
    best = np.argmin(((y - a[:, None] * e - c[:, None]) ** 2).sum(axis=1))
    return float(a[best] * np.exp(b[best] * horizon) + c[best])
