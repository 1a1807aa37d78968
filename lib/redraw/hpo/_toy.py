"""The quadratic on which population based training is explained."""

from redraw.hpo._space import Config, Float, Space

TOY_SPACE = Space(h0=Float(0, 1), h1=Float(0, 1))
TOY_GRID = ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})
_START, _RATE = 0.9, 0.01


def toy_quadratic(config: Config, fidelity: float, seed: int, state: list[float] | None) -> tuple[float, list[float]]:
    """Q(theta) = 1.2 - (theta_0^2 + theta_1^2), to be maximized, of which training sees only a surrogate.

    Each of `fidelity` steps ascends 1.2 - (h0 theta_0^2 + h1 theta_1^2), whose hyperparameters h0, h1 in [0, 1] are the
    configuration; theta begins at (0.9, 0.9), the rate is 0.01. With h = (1, 0), as with (0, 1), one coordinate never
    moves and Q stays below 1.2 - 0.9^2 = 0.39; only weights that see both come to 1.2.

    Source: Jaderberg et al. 2017 (arXiv 1711.09846), section 4.1 and figure 2; start and rate are recalled.
    """
    *theta, step = state or [_START, _START, 0]
    shrink = [(1 - 2 * _RATE * config[name]) ** (fidelity - step) for name in ("h0", "h1")]
    theta = [t * s for t, s in zip(theta, shrink, strict=True)]
    return 1.2 - sum(t * t for t in theta), [*theta, fidelity]
