"""What goes wrong in a fit, and the checks every public function makes on its columns."""

import numpy as np


class ScalingError(ValueError):
    """A request that cannot be answered; the message is one line that names the field and what is allowed."""


class ScalingWarning(UserWarning):
    """An answer that stands on weak ground: a parameter that is not identified, a law outside its range."""


def column(name: str, values, *, positive: bool = True, size: int | None = None) -> np.ndarray:
    """One column as a new float64 vector, refused unless finite, positive and of the right length.

    Going to float64 before anything is multiplied matters: 6 * N * D overflows int64 from about 1e9
    parameters and 2e9 tokens on, silently, and the logarithm of the wrapped product is a number like any
    other.

    Raises ScalingError: not a vector, not numeric, not finite, not positive, or not `size` long.
    """
    try:
        out = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScalingError(f"{name}: must be numbers") from None
    if out.ndim != 1:
        raise ScalingError(f"{name}: must be a one-dimensional column, not of shape {out.shape}")
    if size is not None and len(out) != size:
        raise ScalingError(f"{name}: has {len(out)} values, must have {size} like the other columns")
    if not np.isfinite(out).all():
        raise ScalingError(f"{name}: must be finite, but {int((~np.isfinite(out)).sum())} values are NaN or infinite")
    if positive and not (out > 0).all():
        raise ScalingError(f"{name}: must be positive, but {int((out <= 0).sum())} values are zero or negative")
    return out


def scalar(name: str, value, low: float = 0.0, high: float = np.inf) -> float:
    """One number strictly between low and high. Raises ScalingError otherwise."""
    try:
        out = float(value)
    except (TypeError, ValueError):
        raise ScalingError(f"{name}: must be a number") from None
    if not low < out < high:
        bounds = f"greater than {low:g}" if high == np.inf else f"between {low:g} and {high:g}"
        raise ScalingError(f"{name}: must be {bounds}, not {out:g}")
    return out


def training_flops(N, D, *, per_token: float = 6.0):
    """Training compute C = 6 N D in FLOP, in float64 whatever the columns (Kaplan et al. 2020, 2.1).

    N: parameters; D: tokens (scalars or vectors of the same length). Raises ScalingError on non-positive
    input.
    """
    if np.ndim(N) == 0 and np.ndim(D) == 0:
        return per_token * scalar("N", N) * scalar("D", D)
    n = column("N", np.broadcast_to(N, np.broadcast(N, D).shape))
    return per_token * n * column("D", np.broadcast_to(D, n.shape))
