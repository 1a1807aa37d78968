"""What the BBOB functions are built from: oscillation, asymmetry, scaling, penalty, rotation. x is (n, D), rows points.

Source: Hansen, Finck, Ros and Auger 2009, Real-Parameter Black-Box Optimization Benchmarking 2009: Noiseless Functions
Definitions (INRIA RR-6829), section 0.2.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def oscillate(x: Array) -> Array:
    """T_osz: sign(x) exp(v + 0.049 (sin(c1 v) + sin(c2 v))), v = log|x|; c = 10, 7.9 above zero and 5.5, 3.1 below."""
    v = np.log(np.abs(x), out=np.zeros_like(x), where=x != 0)
    c1, c2 = np.where(x > 0, 10, 5.5), np.where(x > 0, 7.9, 3.1)
    return np.sign(x) * np.exp(v + 0.049 * (np.sin(c1 * v) + np.sin(c2 * v)))


def skew(x: Array, beta: float) -> Array:
    """T_asy: x_i^(1 + beta (i - 1) / (D - 1) sqrt(x_i)) where x_i > 0, else x_i."""
    positive = np.maximum(x, 0)
    return np.where(x > 0, positive ** (1 + beta * steps(x.shape[1]) * np.sqrt(positive)), x)


def steps(dimension: int) -> Array:
    """(i - 1) / (D - 1) for i = 1 ... D, (D,)."""
    return np.linspace(0, 1, dimension)


def scales(alpha: float, dimension: int) -> Array:
    """The diagonal of Lambda^alpha: alpha^(1/2 (i - 1) / (D - 1)), (D,)."""
    return alpha ** (0.5 * steps(dimension))


def penalty(x: Array) -> Array:
    """f_pen: the squared distances by which coordinates leave [-5, 5], summed, (n,)."""
    return (np.maximum(np.abs(x) - 5, 0) ** 2).sum(axis=1)


def rotation(dimension: int, rng: np.random.Generator) -> Array:
    """A random orthogonal matrix (D, D), even over all of them: Gram-Schmidt on normal columns."""
    q, r = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    return q * np.sign(np.diag(r))
