"""The schedules themselves. t is progress, the share of steps taken: a number or an array in [0, 1]."""

from collections.abc import Callable, Sequence

import numpy as np

from redraw.schedules._checks import ScheduleError, either, elementwise, number, within_unit

_of_progress = elementwise("t", 1.0)


@_of_progress
def constant(t):
    """The base learning rate throughout: s(t) = 1."""
    return np.ones_like(t)


@_of_progress
def linear(t):
    """Linear decay to zero: s(t) = 1 - t.

    Source: the schedule of budgeted training (Li, Yumer and Ramanan 2020, arXiv 1905.04753) and the
    worst-case optimum of Defazio et al. 2023 (arXiv 2310.07831), whose abstract states the step size as
    proportional to 1 - t/T. The paper counts steps 1..T, so that its last step has rate zero; here step k of
    0..T-1 has t = k/T: the first step has the full rate, the last one 1/T of it. The closed form is the
    definition.
    """
    return 1 - t


@_of_progress
def polynomial(t, p: float = 0.9):
    """Polynomial decay to zero: s(t) = (1 - t)^p; p = 1 is linear.

    Source: the "poly" policy of DeepLab (Chen et al. 2017, arXiv 1606.00915), p = 0.9; recalled. Equal to
    torch's PolynomialLR. Raises ScheduleError unless p > 0.
    """
    return (1 - t) ** number("p", p, 0, ends="(]")


@_of_progress
def cosine(t):
    """Half a cosine from 1 to 0: s(t) = (1 + cos(pi t)) / 2.

    Source: Loshchilov and Hutter 2017 (SGDR, arXiv 1608.03983, eq. 5), without restarts and with minimum zero
    (`floored` gives another). Equal to torch's CosineAnnealingLR.
    """
    return (1 + np.cos(np.pi * t)) / 2


@_of_progress
def cosine_power(t, p: float = 10.0):
    """Cosine power annealing: s(t) = (p^c - 1) / (p - 1), c = (1 + cos(pi t)) / 2; and its limit at p = 1.

    p = 1 is the cosine; larger p bends it towards exponential decay in c. From 1 to 0 for every p.

    Source: sharpDARTS (Hundt, Jain and Hager 2019, arXiv 1903.09900). Read in its published implementation:
    p^(c + 1), shifted and divided to run from 1 to 0, which is the formula above, and the cosine itself at
    p = 1. It scales between the first and last of the epochs 1..E, so that its first epoch is the maximum;
    here t = 0 is. Raises ScheduleError unless p >= 1, as there.
    """
    p = number("p", p, 1)
    c = (1 + np.cos(np.pi * t)) / 2
    if p == 1:
        return c
    return np.expm1(c * np.log(p)) / np.expm1(np.log(p))  # exact near p = 1, where p^c - 1 cancels


@_of_progress
def step(t, milestones: Sequence[float] = (0.5, 0.75), gamma: float = 0.1):
    """Steps down: s(t) = gamma^m, m the number of milestones at or before t.

    milestones: increasing, each in (0, 1). Source: He et al. 2016 (arXiv 1512.03385, section 4.2), which
    divides by 10 after 32 k and 48 k of 64 k steps; recalled. Equal to torch's MultiStepLR. Raises
    ScheduleError on other milestones and unless gamma is in [0, 1].
    """
    at = np.array([number("milestones", m, 0, 1, ends="()") for m in milestones])
    if (np.diff(at) <= 0).any():
        raise ScheduleError(f"milestones: must increase, not {', '.join(f'{m:g}' for m in at)}")
    return number("gamma", gamma, 0, 1) ** np.searchsorted(at, t, side="right")


@_of_progress
def exponential(t, final: float = 0.01):
    """Exponential decay: s(t) = final^t, from 1 to `final`.

    Equal to torch's ExponentialLR with gamma = final^(1/T). The default is ours: papers differ.
    Raises ScheduleError unless final is in (0, 1].
    """
    return number("final", final, 0, 1, ends="(]") ** t


@_of_progress
def one_cycle(t, peak: float = 0.3, start: float = 1 / 25, final: float = 1 / 250_000):
    """Up from `start` to 1 at t = peak, then down to `final` at t = 1, each half a cosine.

    s(t) = start + (1 - start) (1 - cos(pi t / peak)) / 2 before the peak, and
    s(t) = final + (1 - final) (1 + cos(pi (t - peak) / (1 - peak))) / 2 after it.

    The base learning rate is the maximum. Source: Smith and Topin 2017 (arXiv 1708.07120), which goes up and
    down in straight lines; the cosines and the defaults are those of torch's OneCycleLR, which puts its
    corners one step earlier (it reaches `final` on the last step, not after it). Momentum is left alone.
    Raises ScheduleError unless peak is in (0, 1), start and final in [0, 1].
    """
    peak = number("peak", peak, 0, 1, ends="()")
    start, final = number("start", start, 0, 1), number("final", final, 0, 1)
    return either(
        t < peak,
        lambda: start + (1 - start) * (1 - cosine(within_unit(t / peak))),
        lambda: final + (1 - final) * cosine(within_unit((t - peak) / (1 - peak))),
    )


@_of_progress
def rex(t):
    """Reflected exponential, the curve of the paper: s(t) = z / (1/2 + z/2), z = 1 - t.

    It stays above linear decay: s(1/2) = 2/3. Sampled at every step. Source: Chen, Wolfe and Kyrillidis 2022
    (REX, arXiv 2107.04197). The abstract and its figures' captions were read; the formula is confirmed by a
    second source, the notes of the init2winit library, which tell the paper's curve from that of the code
    (see `rex_repository`).
    """
    z = 1 - t
    return 2 * z / (1 + z)


@_of_progress
def rex_repository(t):
    """The other curve that circulates as REX: s(t) = z / (0.1 + 0.9 z), z = 1 - t. Not the paper's, `rex`.

    Both are z / (1 - beta + beta z): the paper has beta = 1/2, this one 0.9. It stays near the base rate for
    most of the run and then falls steeply:

        t      0.25    0.5     0.75    0.9     0.99
        rex    0.857   0.667   0.400   0.182   0.0198
        this   0.968   0.909   0.769   0.526   0.0917

    The gap is largest, 0.382, at t = 0.82: results obtained with one say little about the other.
    Source: read in the repository IvanVassi/REX_LR and in ports of it, which all name the paper.
    """
    z = 1 - t
    return z / (0.1 + 0.9 * z)


@_of_progress
def wsd(t, decay: float = 0.1, cooldown: Callable = linear):
    """Warm-up, stable, decay, without its warm-up: constant until the last share `decay` of the run.

    s(t) = 1 for t < 1 - decay, then cooldown((t - 1 + decay) / decay).

    The stable trunk does not depend on the horizon: one trunk serves several, each with its own decay.
    cooldown is any schedule; `warmup(wsd, f)` adds the warm-up and then makes `decay` a share of what follows
    it.

    Source: Hu et al. 2024 (MiniCPM, arXiv 2404.06395), about 10 % of the steps and an exponential decay;
    linear decay over 10 to 20 %: Haegele et al. 2024 (arXiv 2405.18392). Shares recalled, the three phases
    read in secondary sources. Raises ScheduleError unless decay is in [0, 1].
    """
    decay = number("decay", decay, 0, 1)
    if decay == 0:
        return np.ones_like(t)
    return either(t < 1 - decay, lambda: 1.0, lambda: cooldown(within_unit((t - (1 - decay)) / decay)))


@_of_progress
def inverse_sqrt(t, timescale: float = 0.1):
    """Inverse square root: s(t) = 1 / sqrt(1 + t / timescale). It never reaches zero.

    After a warm-up over the share f, timescale = f / (1 - f) gives exactly the transformer's
    min(k^-1/2, k K^-3/2) at step k with K = f T warm-up steps, scaled to a maximum of 1 (Vaswani et al. 2017,
    arXiv 1706.03762, eq. 3; recalled). The default is ours: f = 1/11.
    Raises ScheduleError unless timescale > 0.
    """
    return 1 / np.sqrt(1 + t / number("timescale", timescale, 0, ends="(]"))


@elementwise("tokens")
def power(
    tokens,
    *,
    batch_size: float,
    a: float = 4.6,
    b: float = -0.51,
    peak: float = 0.02,
    warmup: float = 0,
    total: float | None = None,
    decay: float = 0.1,
    cooldown: Callable = exponential,
):
    """The Power scheduler, a function of tokens n seen so far: s(n) = min(1, batch_size a n^b / peak).

    Multiply by the learning rate `peak`: min(peak, batch_size a n^b) is the rate itself. Up to `warmup`
    tokens the value grows linearly to s(warmup). Given the `total` tokens, the last share `decay` of them
    multiplies s((1 - decay) total) by cooldown, a schedule of progress within the decay; without it there is
    no horizon.

    tokens, warmup, total: tokens; batch_size: sequences a step, as the size of a tells (counted in tokens, a
    batch of a million would make the uncapped rate 3.5 after 10^12 tokens); a, peak: learning rate; b: no
    unit.

    Source: Shen et al. 2024 (Power Scheduler, arXiv 2408.13359). The abstract was read, and the law eta =
    beta a T^b in a summary; the form min(peak, a n^b) with its linear warm-up agrees with the published
    scheduler of the open-lm-engine project. The defaults a, b, peak and the exponential decay over the last
    tenth are recalled.

    Raises ScheduleError unless tokens and warmup are at least 0, batch_size, a and peak positive, b negative,
    decay in (0, 1], total beyond the warm-up and no fewer than the tokens.
    """
    factor = number("batch_size", batch_size, 0, ends="(]") * number("a", a, 0, ends="(]")
    factor /= number("peak", peak, 0, ends="(]")
    b, warmup = number("b", b, -np.inf, 0, ends="()"), number("warmup", warmup, 0)

    def law(n):
        with np.errstate(divide="ignore"):  # n = 0: the cap holds
            return np.minimum(1.0, factor * np.power(n, b))

    value = law(np.maximum(tokens, warmup))
    if total is not None:
        total, decay = number("total", total, warmup, ends="(]"), number("decay", decay, 0, 1, ends="(]")
        if (last := np.max(tokens, initial=0)) > total:  # none is past it where there are none
            raise ScheduleError(f"tokens: must be at most the total of {total:g}, not {last:g}")
        start, trunk = max(warmup, (1 - decay) * total), value
        value = either(
            tokens < start,
            lambda: trunk,
            lambda: law(start) * cooldown(within_unit((tokens - start) / (total - start))),
        )
    return value * np.minimum(1.0, tokens / warmup) if warmup else value
