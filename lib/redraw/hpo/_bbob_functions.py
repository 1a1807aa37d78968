"""The 24 noiseless BBOB functions, each as (optimum, function) made for a dimension and a random stream.

The function takes x (n, D) and returns its height above the optimal value, (n,). z, R, Q, Lambda and the numbers are
those of the definitions: Hansen et al. 2009 (INRIA RR-6829), section 1 to 5; its "s_i", "w" and "mu" too.
"""

from collections.abc import Callable

import numpy as np

from redraw.hpo._bbob_parts import Array, oscillate, penalty, rotation, scales, skew, steps

Made = tuple[Array, Callable[[Array], Array]]
TAU = 2 * np.pi


def _optimum(d: int, rng: np.random.Generator, reach: float = 4) -> Array:
    return rng.uniform(-reach, reach, d)


def _signs(d: int, rng: np.random.Generator) -> Array:
    return rng.choice([-1.0, 1.0], d)


def _rastrigin(z: Array) -> Array:
    """10 (D - sum cos 2 pi z_i) + |z|^2."""
    return 10 * (z.shape[1] - np.cos(TAU * z).sum(axis=1)) + (z**2).sum(axis=1)


def _rosenbrock(z: Array) -> Array:
    """The terms 100 (z_i^2 - z_{i+1})^2 + (z_i - 1)^2, (n, D - 1)."""
    return 100 * (z[:, :-1] ** 2 - z[:, 1:]) ** 2 + (z[:, :-1] - 1) ** 2


def _ellipsoid(z: Array) -> Array:
    """sum 10^(6 (i - 1) / (D - 1)) z_i^2."""
    return (10 ** (6 * steps(z.shape[1])) * z**2).sum(axis=1)


# f1 to f5: separable ----------------------------------------------------------------------------------------------


def sphere(d: int, rng: np.random.Generator) -> Made:
    o = _optimum(d, rng)
    return o, lambda x: ((x - o) ** 2).sum(axis=1)


def ellipsoid(d: int, rng: np.random.Generator) -> Made:
    o = _optimum(d, rng)
    return o, lambda x: _ellipsoid(oscillate(x - o))


def rastrigin(d: int, rng: np.random.Generator) -> Made:
    o = _optimum(d, rng)
    return o, lambda x: _rastrigin(scales(10, d) * skew(oscillate(x - o), 0.2))


def bueche_rastrigin(d: int, rng: np.random.Generator) -> Made:
    """Every other coordinate, from the first, is ten times as steep above the optimum, which is positive there."""
    o = _optimum(d, rng)
    odd = np.arange(d) % 2 == 0  # i = 1, 3, ... counted from one
    o = np.where(odd, np.abs(o), o)

    def f(x: Array) -> Array:
        z = oscillate(x - o)
        return _rastrigin(scales(10, d) * np.where(odd & (z > 0), 10, 1) * z) + 100 * penalty(x)

    return o, f


def linear_slope(d: int, rng: np.random.Generator) -> Made:
    """sum 5 |s_i| - s_i z_i: the optimum is a corner of the box, and all beyond it."""
    signs = _signs(d, rng)
    s = signs * 10 ** steps(d)
    return 5 * signs, lambda x: (5 * np.abs(s) - s * np.where(5 * signs * x < 25, x, 5 * signs)).sum(axis=1)


# f6 to f9: low or moderate conditioning ---------------------------------------------------------------------------


def attractive_sector(d: int, rng: np.random.Generator) -> Made:
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)

    def f(x: Array) -> Array:
        z = (x - o) @ r.T * scales(10, d) @ q.T
        return oscillate(((np.where(z * o > 0, 100, 1) * z) ** 2).sum(axis=1)) ** 0.9

    return o, f


def step_ellipsoid(d: int, rng: np.random.Generator) -> Made:
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)

    def f(x: Array) -> Array:
        hat = (x - o) @ r.T * scales(10, d)
        flat = np.where(np.abs(hat) > 0.5, np.floor(0.5 + hat), np.floor(0.5 + 10 * hat) / 10)
        height = (10 ** (2 * steps(d)) * (flat @ q.T) ** 2).sum(axis=1)
        return 0.1 * np.maximum(np.abs(hat[:, 0]) / 1e4, height) + penalty(x)

    return o, f


def rosenbrock(d: int, rng: np.random.Generator) -> Made:
    o = _optimum(d, rng, 3)
    return o, lambda x: _rosenbrock(max(1, d**0.5 / 8) * (x - o) + 1).sum(axis=1)


def rosenbrock_rotated(d: int, rng: np.random.Generator) -> Made:
    r, c = rotation(d, rng), max(1, d**0.5 / 8)
    return r.T @ np.full(d, 0.5) / c, lambda x: _rosenbrock(c * x @ r.T + 0.5).sum(axis=1)


# f10 to f14: high conditioning, one peak --------------------------------------------------------------------------


def ellipsoid_rotated(d: int, rng: np.random.Generator) -> Made:
    o, r = _optimum(d, rng), rotation(d, rng)
    return o, lambda x: _ellipsoid(oscillate((x - o) @ r.T))


def discus(d: int, rng: np.random.Generator) -> Made:
    o, r = _optimum(d, rng), rotation(d, rng)
    weights = np.r_[1e6, np.ones(d - 1)]
    return o, lambda x: (weights * oscillate((x - o) @ r.T) ** 2).sum(axis=1)


def bent_cigar(d: int, rng: np.random.Generator) -> Made:
    o, r = _optimum(d, rng), rotation(d, rng)
    weights = np.r_[1, np.full(d - 1, 1e6)]
    return o, lambda x: (weights * (skew((x - o) @ r.T, 0.5) @ r.T) ** 2).sum(axis=1)


def sharp_ridge(d: int, rng: np.random.Generator) -> Made:
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)

    def f(x: Array) -> Array:
        z = (x - o) @ r.T * scales(10, d) @ q.T
        return z[:, 0] ** 2 + 100 * np.sqrt((z[:, 1:] ** 2).sum(axis=1))

    return o, f


def different_powers(d: int, rng: np.random.Generator) -> Made:
    o, r = _optimum(d, rng), rotation(d, rng)
    return o, lambda x: np.sqrt((np.abs((x - o) @ r.T) ** (2 + 4 * steps(d))).sum(axis=1))


# f15 to f19: many peaks, with a global structure ------------------------------------------------------------------


def rastrigin_rotated(d: int, rng: np.random.Generator) -> Made:
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)
    return o, lambda x: _rastrigin(skew(oscillate((x - o) @ r.T), 0.2) @ q.T * scales(10, d) @ r.T)


def weierstrass(d: int, rng: np.random.Generator) -> Made:
    """Continuous, and differentiable nowhere as the sum over k goes on."""
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)
    k = np.arange(12)
    floor = (0.5**k * np.cos(np.pi * 3.0**k)).sum()

    def f(x: Array) -> Array:
        z = oscillate((x - o) @ r.T) @ q.T * scales(0.01, d) @ r.T
        waves = (0.5**k * np.cos(TAU * 3.0**k * (z[:, :, None] + 0.5))).sum(axis=2)
        return 10 * (waves.mean(axis=1) - floor) ** 3 + 10 / d * penalty(x)

    return o, f


def _schaffers(d: int, rng: np.random.Generator, conditioning: float) -> Made:
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)

    def f(x: Array) -> Array:
        z = skew((x - o) @ r.T, 0.5) @ q.T * scales(conditioning, d)
        s = np.hypot(z[:, :-1], z[:, 1:])
        return (np.sqrt(s) * (1 + np.sin(50 * s**0.2) ** 2)).mean(axis=1) ** 2 + 10 * penalty(x)

    return o, f


def schaffers_f7(d: int, rng: np.random.Generator) -> Made:
    return _schaffers(d, rng, 10)


def schaffers_f7_ill(d: int, rng: np.random.Generator) -> Made:
    """The same, conditioned 1000 for 10."""
    return _schaffers(d, rng, 1000)


def griewank_rosenbrock(d: int, rng: np.random.Generator) -> Made:
    r, c = rotation(d, rng), max(1, d**0.5 / 8)

    def f(x: Array) -> Array:
        s = _rosenbrock(c * x @ r.T + 0.5)
        return 10 * (s / 4000 - np.cos(s)).mean(axis=1) + 10

    return r.T @ np.full(d, 0.5) / c, f


# f20 to f24: many peaks, with a weak global structure -------------------------------------------------------------


def schwefel(d: int, rng: np.random.Generator) -> Made:
    signs, twice = _signs(d, rng), 4.2096874633  # 2 |x_opt|

    def f(x: Array) -> Array:
        hat = 2 * signs * x
        hat[:, 1:] = hat[:, 1:] + 0.25 * (hat[:, :-1] - twice)
        z = 100 * (scales(10, d) * (hat - twice) + twice)
        return 4.189828872724339 - (z * np.sin(np.sqrt(np.abs(z)))).sum(axis=1) / (100 * d) + 100 * penalty(z / 100)

    return twice / 2 * signs, f


def _gallagher(d: int, rng: np.random.Generator, peaks: int, first: float, reach: float) -> Made:
    """`peaks` Gaussian humps of random place and width, the highest alone 10 high."""
    r = rotation(d, rng)
    y = np.vstack([rng.uniform(-0.8 * reach, 0.8 * reach, d), rng.uniform(-reach, reach, (peaks - 1, d))])
    alpha = np.r_[first, rng.permutation(1000 ** (2 * steps(peaks - 1)))]
    w = np.r_[10, 1.1 + 8 * steps(peaks - 1)]
    c = np.stack([rng.permutation(scales(a, d)) / a**0.25 for a in alpha])
    turned = y @ r.T

    def f(x: Array) -> Array:
        apart = ((x @ r.T)[:, None, :] - turned) ** 2
        return oscillate(10 - (w * np.exp(-(c * apart).sum(axis=2) / (2 * d))).max(axis=1)) ** 2 + penalty(x)

    return y[0], f


def gallagher_101(d: int, rng: np.random.Generator) -> Made:
    return _gallagher(d, rng, 101, 1000, 5)


def gallagher_21(d: int, rng: np.random.Generator) -> Made:
    return _gallagher(d, rng, 21, 1000**2, 4.9)


def katsuura(d: int, rng: np.random.Generator) -> Made:
    """Continuous, rough at every scale: more than 10^D peaks."""
    o, r, q = _optimum(d, rng), rotation(d, rng), rotation(d, rng)
    powers = 2.0 ** np.arange(1, 33)

    def f(x: Array) -> Array:
        z = ((x - o) @ r.T * scales(100, d) @ q.T)[:, :, None] * powers
        rough = (np.abs(z - np.round(z)) / powers).sum(axis=2)
        product = ((1 + np.arange(1, d + 1) * rough) ** (10 / d**1.2)).prod(axis=1)
        return 10 / d**2 * (product - 1) + penalty(x)

    return o, f


def lunacek(d: int, rng: np.random.Generator) -> Made:
    """Two funnels, the wider of which leads away from the optimum."""
    signs, r, q = _signs(d, rng), rotation(d, rng), rotation(d, rng)
    mu0, s = 2.5, 1 - 1 / (2 * np.sqrt(d + 20) - 8.2)
    mu1 = -np.sqrt((mu0**2 - 1) / s)

    def f(x: Array) -> Array:
        hat = 2 * signs * x
        z = (hat - mu0) @ r.T * scales(100, d) @ q.T
        funnels = np.minimum(((hat - mu0) ** 2).sum(axis=1), d + s * ((hat - mu1) ** 2).sum(axis=1))
        return funnels + 10 * (d - np.cos(TAU * z).sum(axis=1)) + 1e4 * penalty(x)

    return mu0 / 2 * signs, f
