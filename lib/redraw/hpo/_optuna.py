"""Optuna's samplers behind our ask and tell."""

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import CmaEsSampler, GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from redraw.hpo._checks import one_of
from redraw.hpo._space import Choice, Config, Float, Parameter, Space

_KINDS = {"tpe": TPESampler, "gp": GPSampler, "cma_es": CmaEsSampler}


class OptunaSampler:
    """A sampler of Optuna over a Space, conditions and all, in a study that is held in memory.

    The study holds the results of one fidelity, the highest with more of them than there are hyperparameters; when a
    higher one gets there, the study is made anew from its results.
    """

    def __init__(self, name: str, space: Space, seed: int, settings: Mapping[str, Any]):
        kind = _KINDS[name]
        allowed = [k for k in inspect.signature(kind.__init__).parameters if k not in ("self", "seed")]
        for setting in settings:
            one_of(f"settings of {name}", setting, allowed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            quiet = {} if name == "tpe" else {"warn_independent_sampling": False}
            self._sampler = kind(seed=seed % 2**32, **quiet | dict(settings))
        self._space = space
        self._distributions = {name: _distribution(parameter) for name, parameter in space.parameters.items()}
        self._configs: list[Config] = []
        self._values: dict[float, dict[int, float]] = {}
        self._open(None)

    def ask(self) -> tuple[int, Config]:
        trial = self._study.ask()
        config: Config = {}
        for name, parameter in self._space.parameters.items():
            if self._space.active(name, config):
                config[name] = _suggest(trial, name, parameter)
        self._configs.append(config)
        number = len(self._configs) - 1
        self._running[number] = trial
        return number, config

    def tell(self, number: int, value: float, fidelity: float = 1) -> None:
        self._values.setdefault(fidelity, {})[number] = value
        enough = [f for f, values in self._values.items() if len(values) > len(self._distributions)]
        level = max(enough) if enough else min(self._values)
        trial = self._running.pop(number, None)
        if level != self._level:
            self._open(level)
            for told in self._values[level]:
                self._add(told)
        elif trial is None or fidelity != level:
            if fidelity == level:
                self._add(number)
            elif trial is not None:
                self._study.tell(trial, state=TrialState.FAIL)  # told below the level: it says nothing here
        else:
            value = self._value(number)
            self._study.tell(trial, value, TrialState.FAIL if value is None else None)

    def _open(self, level: float | None) -> None:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it greets every new study
        try:
            self._study = optuna.create_study(sampler=self._sampler)
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._level = level
        self._running: dict[int, optuna.Trial] = {}

    def _value(self, number: int) -> float | None:
        """The value of a configuration at the level, the worst there for one that failed; None where all did."""
        values = self._values[self._level]
        if math.isfinite(values[number]):
            return values[number]
        return max((v for v in values.values() if math.isfinite(v)), default=None)

    def _add(self, number: int) -> None:
        value = self._value(number)
        if value is not None:
            config = self._configs[number]
            distributions = {name: self._distributions[name] for name in config}
            self._study.add_trial(create_trial(params=config, distributions=distributions, value=value))


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return IntDistribution(parameter.low, parameter.high, log=parameter.log)


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return trial.suggest_categorical(name, list(parameter.values))
    suggest = trial.suggest_float if isinstance(parameter, Float) else trial.suggest_int
    return suggest(name, parameter.low, parameter.high, log=parameter.log)
