"""How training moves a network: lines between trained networks, barriers on them, distances.

from redraw.dynamics import barrier, line_errors
barrier(line_errors(model, first, second, x, y))   # two trained networks; above 0.02: not linearly connected
"""

from redraw.dynamics._batch_norm import reestimate_batch_norm
from redraw.dynamics._line import barrier, distance, interpolate, line_errors

__all__ = ["barrier", "distance", "interpolate", "line_errors", "reestimate_batch_norm"]
