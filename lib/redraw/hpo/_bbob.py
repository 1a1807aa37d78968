"""The classical noiseless test functions of black-box optimization (BBOB), shifted and rotated by seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from redraw.hpo import _bbob_functions as functions
from redraw.hpo._checks import SearchError, count, one_of, stream
from redraw.hpo._space import Config, Float, Space

BBOB = (
    *("sphere", "ellipsoid", "rastrigin", "bueche_rastrigin", "linear_slope"),
    *("attractive_sector", "step_ellipsoid", "rosenbrock", "rosenbrock_rotated"),
    *("ellipsoid_rotated", "discus", "bent_cigar", "sharp_ridge", "different_powers"),
    *("rastrigin_rotated", "weierstrass", "schaffers_f7", "schaffers_f7_ill", "griewank_rosenbrock"),
    *("schwefel", "gallagher_101", "gallagher_21", "katsuura", "lunacek"),
)
"""The names of f1 to f24, in the order of their definitions."""


@dataclass(frozen=True)
class Problem:
    """A test function to be minimized over [-5, 5]^D: `f(x)`, or as an objective `f.objective` over `f.space`.

    optimum: (D,), where it has its lowest value `value`.
    """

    name: str
    dimension: int
    seed: int
    optimum: np.ndarray
    value: float
    above: Callable[[np.ndarray], np.ndarray]

    def __reduce__(self):
        return bbob, (self.name, self.dimension, self.seed)  # its parts are made again, not sent

    def __call__(self, x: ArrayLike) -> np.ndarray | float:
        """f at x: a float for a point (D,), (n,) for n of them. Raises SearchError for another shape."""
        x = np.asarray(x, dtype=float)
        if x.ndim not in (1, 2) or x.shape[-1] != self.dimension:
            raise SearchError(f"x: must be of shape ({self.dimension},) or (n, {self.dimension}), not {x.shape}")
        out = self.value + self.above(np.atleast_2d(x))
        return out if x.ndim == 2 else float(out[0])

    @property
    def space(self) -> Space:
        """x0, x1, ..., each a Float from -5 to 5."""
        return Space(**{f"x{i}": Float(-5, 5) for i in range(self.dimension)})

    def objective(self, config: Config, fidelity: float, seed: int, state: Any) -> float:
        """f as an objective; fidelity, seed and state mean nothing to it."""
        return self([config[f"x{i}"] for i in range(self.dimension)])


def bbob(name: str, dimension: int, seed: int = 0) -> Problem:
    """The BBOB function `name` (one of `BBOB`) in `dimension` dimensions, shifted and rotated by `seed`.

    Written from Hansen, Finck, Ros and Auger 2009 (INRIA RR-6829). The optimum, rotations and the optimal value
    (Cauchy, scaled by 100, in [-1000, 1000] and rounded to hundredths) come from our own streams, so that instances are
    none of the official numbers'. Raises SearchError: another name; fewer than 2 dimensions.
    """
    one_of("name", name, BBOB)
    dimension = count("dimension", dimension, 2)
    rng = stream(count("seed", seed, 0), "bbob", name, dimension)
    value = round(float(np.clip(100 * rng.standard_cauchy(), -1000, 1000)), 2)
    optimum, above = getattr(functions, name)(dimension, rng)
    return Problem(name, dimension, seed, optimum, value, above)
