"""A recorded table of learning curves as an objective, for searches in simulated time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from redraw.hpo._checks import SearchError, number
from redraw.hpo._space import Choice, Config, Space


class Table:
    """Recorded learning curves: what every configuration gave at every fidelity, for every seed of training.

        search = asha(table.on([0, 1, 2]), table.space, ..., cost=table.cost, slots=8)

    space: what is searched. configs: n configurations of it, all different. fidelities: f of them, increasing.
    values: (n, s, f), NaN where training failed; or (n, f) for a single seed. seeds: the s seeds' names, by default
    0, 1, ... costs: (n, f), what training from the beginning until each fidelity takes, in any unit of time; by default
    the fidelity itself.

    A configuration that the table does not hold is answered by the nearest one in the unit cube: coordinates of
    numbers by their difference on their own scale, choices that differ, and hyperparameters that only one of the two
    has, by 1; the first of equals.

    Raises SearchError: a configuration outside the space or repeated; shapes that do not fit; fidelities that do not
    increase; costs that fall or are not finite.
    """

    def __init__(
        self,
        space: Space,
        configs: Sequence[Mapping[str, Any]],
        fidelities: Sequence[float],
        values: ArrayLike,
        *,
        seeds: Sequence[int] | None = None,
        costs: ArrayLike | None = None,
    ):
        self.space = space
        self.configs: list[Config] = [space.check(config) for config in configs]
        self.fidelities = tuple(number("fidelities", f, 0, ends="(]") for f in fidelities)
        self.values = np.asarray(values, dtype=float)
        if self.values.ndim == 2:
            self.values = self.values[:, None, :]
        self.seeds = tuple(range(self.values.shape[1]) if seeds is None else seeds)
        shape = (len(self.configs), len(self.seeds), len(self.fidelities))
        if self.values.shape != shape or 0 in shape:
            raise SearchError(
                f"values: must be of shape {shape} (configurations, seeds, fidelities), not {np.shape(values)}"
            )
        if any(a >= b for a, b in zip(self.fidelities, self.fidelities[1:], strict=False)):
            raise SearchError("fidelities: must increase")
        self.costs = np.tile(self.fidelities, (shape[0], 1)) if costs is None else np.asarray(costs, dtype=float)
        if self.costs.shape != (shape[0], shape[2]):
            raise SearchError(f"costs: must be of shape {(shape[0], shape[2])}, not {self.costs.shape}")
        if not (np.isfinite(self.costs).all() and (self.costs[:, 0] >= 0).all() and (np.diff(self.costs) >= 0).all()):
            raise SearchError("costs: must be finite and never fall from one fidelity to the next")
        self._column = {fidelity: i for i, fidelity in enumerate(self.fidelities)}
        self._rows = {tuple(config.items()): i for i, config in enumerate(self.configs)}
        if len(self._rows) < len(self.configs):
            raise SearchError("configs: must differ")
        self._choices = np.array([isinstance(p, Choice) for p in space.parameters.values()])
        self._points = self._coordinates(self.configs)

    def _coordinates(self, configs: Sequence[Config]) -> np.ndarray:
        """Unit-cube points (n, d), 2 and more apart from any coordinate where a hyperparameter is not there."""
        return np.nan_to_num(np.stack([self.space.to_unit(config) for config in configs]), nan=-2.0)

    def row(self, config: Mapping[str, Any]) -> int:
        """The row that answers for `config`: its own, or the nearest one's."""
        found = self._rows.get(tuple(config.items()))
        if found is None:
            apart = np.abs(self._points - self._coordinates([config])[0])
            apart = np.where(self._choices, apart > 1e-12, np.minimum(apart, 1.0))
            found = int(np.argmin((apart**2).sum(axis=1)))
        return found

    def column(self, fidelity: float) -> int:
        """The place of `fidelity` among the recorded ones. Raises SearchError where it is none of them."""
        if fidelity not in self._column:
            recorded = ", ".join(f"{f:g}" for f in self.fidelities)
            raise SearchError(f"fidelity: must be one that the table recorded ({recorded}), not {fidelity:g}")
        return self._column[fidelity]

    def on(self, seeds: Sequence[int]) -> "Recorded":
        """The objective that gives the mean over these seeds of training. Raises SearchError for one not recorded."""
        for seed in seeds:
            if seed not in self.seeds:
                raise SearchError(
                    f"seeds: must be among those recorded ({', '.join(map(str, self.seeds))}), not {seed!r}"
                )
        if not len(seeds):
            raise SearchError("seeds: must be at least one")
        return Recorded(self, tuple(self.seeds.index(seed) for seed in seeds))

    def cost(self, config: Mapping[str, Any], start: float, stop: float) -> float:
        """What training from fidelity `start` (0: the beginning) to `stop` took, for the search's clock."""
        costs = self.costs[self.row(config)]
        return float(costs[self.column(stop)] - (costs[self.column(start)] if start else 0.0))


@dataclass(frozen=True)
class Recorded:
    """A Table on some of its seeds, as an objective that goes on from where it was."""

    table: Table
    columns: tuple[int, ...]

    def __call__(self, config: Config, fidelity: float, seed: int, state: Any) -> tuple[float, float]:
        values = self.table.values[self.table.row(config), :, self.table.column(fidelity)]
        return math.fsum(values[i] for i in self.columns) / len(self.columns), fidelity
