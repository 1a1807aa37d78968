"""Where configurations come from: at random, from a grid, or from Optuna's samplers; all by ask and tell."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from redraw.hpo._checks import count, one_of, stream
from redraw.hpo._space import Config, Space


class Sampler(Protocol):
    """Proposes configurations, numbered from 0, and may learn from how they did."""

    def ask(self) -> tuple[int, Config] | None:
        """The next number and configuration; None when there are no more."""

    def tell(self, number: int, value: float, fidelity: float = 1) -> None:
        """What configuration `number` gave, lower is better; infinity or NaN where it failed."""


class Listed:
    """A sampler that proposes a sequence, whatever it is told."""

    def __init__(self, configs: Iterator[Config]):
        self._configs = enumerate(configs)

    def ask(self) -> tuple[int, Config] | None:
        return next(self._configs, None)

    def tell(self, number: int, value: float, fidelity: float = 1) -> None:
        pass


def random_configs(space: Space, seed: int) -> Iterator[Config]:
    """Endless random configurations; the n-th hangs on the seed and n alone."""
    number = 0
    while True:
        yield space.sample(stream(seed, "config", number))
        number += 1


SAMPLERS = ("random", "tpe", "gp", "cma_es")


def sampler(name: str, space: Space, seed: int = 0, settings: Mapping[str, Any] | None = None) -> Sampler:
    """A sampler to ask and tell: "random", or Optuna's "tpe", "gp" and "cma_es" with their `settings`.

        number, config = s.ask(); s.tell(number, value)      lower is better

    settings: the keyword arguments of Optuna's TPESampler, GPSampler or CmaEsSampler, but its seed. Told results at
    several fidelities, it learns from those at the highest at which there are more than it has hyperparameters (as
    BOHB: Falkner, Klein and Hutter 2018, arXiv 1807.01774), a failure counting as the worst value seen.

    Raises SearchError: another name; a setting that the sampler does not have.
    """
    one_of("sampler", name, SAMPLERS)
    seed, settings = count("seed", seed, 0), dict(settings or {})
    if name == "random":
        for setting in settings:
            one_of("settings", setting, ())
        return Listed(random_configs(space, seed))
    from redraw.hpo._optuna import OptunaSampler  # here: it loads Optuna

    return OptunaSampler(name, space, seed, settings)
