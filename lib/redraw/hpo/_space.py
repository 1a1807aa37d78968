"""A search space: named floats, whole numbers and choices, some of them there only under a condition."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from redraw.hpo._checks import SearchError, count, number

Config = dict[str, Any]
"""A configuration: hyperparameter names to plain values; those whose condition does not hold are absent."""

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Float:
    """A real hyperparameter in [low, high], uniform in itself or, with `log`, in its logarithm (then low > 0).

    when: {name: value or list of values} of `Choice`s; the hyperparameter is there only where all of them hold.
    """

    low: float
    high: float
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def check(self, name: str) -> None:
        low = number(f"{name}: low", self.low, 0 if self.log else -math.inf, ends="(]")
        number(f"{name}: high", self.high)
        if not low < self.high:
            raise SearchError(f"{name}: low must be below high, not {self.low:g} and {self.high:g}")

    def from_unit(self, u: float) -> float:
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        return float(min(max(value, self.low), self.high))

    def to_unit(self, value: float) -> float:
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def grid(self, points: int) -> list[float]:
        return [self.from_unit(u) for u in (np.linspace(0, 1, points) if points > 1 else [0.5])]

    def holds(self, value) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def perturb(self, value: float, factor: float) -> float:
        return float(min(max(value * factor, self.low), self.high))


@dataclass(frozen=True)
class Int:
    """A whole-number hyperparameter from low to high, both included; with `log`, in its logarithm (then low > 0)."""

    low: int
    high: int
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def check(self, name: str) -> None:
        for end, value in (("low", self.low), ("high", self.high)):
            count(f"{name}: {end}", value, -(2**53))
        if self.log:
            count(f"{name}: low", self.low)
        if not self.low < self.high:
            raise SearchError(f"{name}: low must be below high, not {self.low} and {self.high}")

    def _edges(self) -> Float:
        return Float(self.low - 0.5, self.high + 0.5, self.log)

    def from_unit(self, u: float) -> int:
        return min(max(round(self._edges().from_unit(u)), self.low), self.high)

    def to_unit(self, value: int) -> float:
        return self._edges().to_unit(value)

    def grid(self, points: int) -> list[int]:
        return sorted({round(v) for v in Float(self.low, self.high, self.log).grid(points)})

    def holds(self, value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def perturb(self, value: int, factor: float) -> int:
        moved = round(value * factor)
        if moved == value:
            moved += 1 if factor > 1 else -1
        return min(max(moved, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """A hyperparameter that is one of `values` (text, numbers, booleans or None), equally likely.

    Its order counts only where a value is perturbed: to a neighbour.
    """

    values: Sequence[Any]
    when: Mapping[str, Any] = field(default_factory=dict)

    def check(self, name: str) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            raise SearchError(f"{name}: must have a list of at least one choice, not {self.values!r}")
        for value in self.values:
            if not isinstance(value, _PLAIN) or (isinstance(value, float) and not math.isfinite(value)):
                raise SearchError(f"{name}: choices must be text, finite numbers, booleans or None, not {value!r}")
        if len(set(self.values)) < len(self.values):
            raise SearchError(f"{name}: choices must differ, not {list(self.values)!r}")

    def from_unit(self, u: float) -> Any:
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def to_unit(self, value) -> float:
        return (self.values.index(value) + 0.5) / len(self.values)

    def grid(self, points: int) -> list:
        return list(self.values)

    def holds(self, value) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in self.values)

    def perturb(self, value, factor: float) -> Any:
        index = self.values.index(value) + (1 if factor > 1 else -1)
        return self.values[min(max(index, 0), len(self.values) - 1)]


Parameter = Float | Int | Choice


class Space:
    """A search space, declared by name: `Space(lr=Float(1e-4, 1, log=True), depth=Int(1, 4))`.

    A hyperparameter with `when={"optimizer": "sgd"}` is there only where that `Choice` has that value (or one of a list
    of values) and is itself there; several conditions must all hold. The order of declaration is kept, save that a
    condition's subject goes first.

    Raises SearchError, in one line: no hyperparameter; low not below high, or not positive on a log scale; no choices,
    or repeated ones; a condition on a name that is not declared, is not a Choice or lacks the value; conditions that
    run in a circle, or can never all hold.
    """

    def __init__(self, **parameters: Parameter):
        if not parameters:
            raise SearchError("space: must declare at least one hyperparameter")
        for name, parameter in parameters.items():
            if not isinstance(parameter, (Float, Int, Choice)):
                raise SearchError(f"{name}: must be a Float, an Int or a Choice, not {parameter!r}")
            parameter.check(name)
        self._conditions = {name: _conditions(name, parameters) for name in parameters}
        order: list[str] = []
        for name in parameters:
            self._place(name, order, ())
        self.parameters: dict[str, Parameter] = {name: parameters[name] for name in order}
        for name in order:
            self._possible(name)

    def _place(self, name: str, order: list[str], above: tuple[str, ...]) -> None:
        if name in above:
            raise SearchError(f"{name}: its conditions run in a circle, {' -> '.join((*above, name))}")
        for subject in self._conditions[name]:
            self._place(subject, order, (*above, name))
        if name not in order:
            order.append(name)

    def _possible(self, name: str) -> None:
        """All conditions up the tree are joined by "and": they can hold unless some subject's values do not meet."""
        left: dict[str, list] = {}
        todo = [name]
        while todo:
            for subject, values in self._conditions[todo.pop()].items():
                left[subject] = [v for v in left.get(subject, values) if v in values]
                if not left[subject]:
                    raise SearchError(f"{name}: can never be there, its conditions want {subject} to be two things")
                todo.append(subject)

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters, a condition's subject before what depends on it."""
        return tuple(self.parameters)

    def active(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether `name` is there, given the values in `config` of what it depends on."""
        return all(subject in config and config[subject] in v for subject, v in self._conditions[name].items())

    def from_unit(self, point: Sequence[float]) -> Config:
        """The configuration at `point` of the unit cube, (d,), a coordinate for each of `names`."""
        config: Config = {}
        for (name, parameter), u in zip(self.parameters.items(), point, strict=True):
            if self.active(name, config):
                config[name] = parameter.from_unit(float(u))
        return config

    def to_unit(self, config: Mapping[str, Any]) -> np.ndarray:
        """The point of `config` in the unit cube, (d,): NaN for what is not there, a choice at its cell's middle."""
        return np.array([p.to_unit(config[n]) if n in config else math.nan for n, p in self.parameters.items()])

    def sample(self, rng: np.random.Generator) -> Config:
        """A configuration drawn at random."""
        return self.from_unit(rng.random(len(self.parameters)))

    def grid(self, points: int | Mapping[str, int]) -> Iterator[Config]:
        """Every combination of `points` values a numeric hyperparameter, ends included (or a number each, by name).

        Numbers stand evenly on their own scale; a single one in its middle. Choices give all their values.
        """
        per = points if isinstance(points, Mapping) else dict.fromkeys(self.names, points)
        for name in per.keys() - set(self.names):
            raise SearchError(f"points: must name hyperparameters of the space ({', '.join(self.names)}), not {name!r}")
        numeric = [name for name, parameter in self.parameters.items() if not isinstance(parameter, Choice)]
        for name in numeric:
            count(f"points: {name}", per.get(name))
        axes = [parameter.grid(per.get(name, 0)) for name, parameter in self.parameters.items()]
        seen = set()
        for values in product(*axes):
            config: Config = {}
            for name, value in zip(self.parameters, values, strict=True):
                if self.active(name, config):
                    config[name] = value
            key = tuple(config.items())
            if key not in seen:
                seen.add(key)
                yield config

    def check(self, config: Mapping[str, Any]) -> Config:
        """`config` as a dict in the order of `names`. Raises SearchError: a name unknown, missing, or out of range."""
        for name in config:
            if name not in self.parameters:
                raise SearchError(f"{name}: must be a hyperparameter of the space ({', '.join(self.names)})")
        out: Config = {}
        for name, parameter in self.parameters.items():
            if not self.active(name, out):
                if name in config:
                    raise SearchError(f"{name}: must be absent, its condition {dict(parameter.when)!r} does not hold")
                continue
            if name not in config:
                raise SearchError(f"{name}: is missing from the configuration")
            if not parameter.holds(config[name]):
                raise SearchError(f"{name}: must be within {parameter}, not {config[name]!r}")
            out[name] = config[name]
        return out

    def describe(self) -> dict[str, str]:
        """The declaration as text, name by name."""
        return {name: repr(parameter) for name, parameter in self.parameters.items()}

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={parameter!r}' for name, parameter in self.parameters.items())})"


def _conditions(name: str, parameters: Mapping[str, Parameter]) -> dict[str, list]:
    """The conditions of `name`, each subject with the list of its values that are allowed."""
    out = {}
    for subject, wanted in parameters[name].when.items():
        if subject not in parameters:
            raise SearchError(f"{name}: depends on {subject}, which the space does not declare")
        if not isinstance(parameters[subject], Choice):
            raise SearchError(f"{name}: depends on {subject}, which must be a Choice")
        out[subject] = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
        for value in out[subject]:
            if value not in parameters[subject].values:
                raise SearchError(
                    f"{name}: depends on {subject} = {value!r}, which is not among {list(parameters[subject].values)!r}"
                )
    return out
