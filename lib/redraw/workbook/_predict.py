"""What a trial will take, in seconds or in operations, from what recorded trials of the same function took.

Three guesses were compared by leaving out one published version of a study at a time, with every trial it shares with
others (tests/benchmarks/test_estimate_error.py does it again): the mean over the function, the nearest recorded
parameters, and a least-squares line through the logarithms. The line, corrected by what it misses at the nearest
recorded parameters, was off by the smallest factor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST = 1e-3
"""Amounts below it count as it: a trial of a millisecond is none to speak of."""
RIDGE = 10.0
"""How strongly slopes are held, by leave-one-version-out over the committed reports (1, 3 and 10 were tried)."""
STEPS = "iterations", "steps", "steps max", "horizon", "horizons max"
"""Numbers that the time of a training is proportional to until records say otherwise: their slopes are held at 1."""
_LITTLE = "batch_size", "examples", "evaluate_every", "k", "rewind", "validation"
"""Counts that a training of so many steps takes far less than proportionally to, or not at all longer."""
DECISIVE = "device", "model", "network"
"""Parameters of which another value makes another trial of it; of another dataset or method a guess is made."""
_APART = 3.0
"""How far a word that differs sets two trials apart, in powers of e of a number."""


@dataclass(frozen=True)
class Recorded:
    """What a trial with these parameters took.

    trust: 1 where the speed of the machine is known, 2 where what else ran there is left out besides; else 0.
    """

    parameters: Mapping[str, Any]
    amount: float
    trust: int = 0


def predictor(records: Sequence[Recorded]) -> Callable[[Mapping[str, Any]], float]:
    """A function from parameters to the amount that they will take.

    With y the logarithm of an amount, x the logarithms of the numbers among the parameters (of a list: its length and
    greatest number) and an indicator for each word: y = b + w x, by least squares with a ridge that holds w at 1 for
    `STEPS` and at 0 elsewhere, over the medians of the records that have all parameters in common; to that the mean of
    what it misses at the nearest of them is added, so that recorded parameters get their own median. A count that no
    record varies is taken as proportional, unless time depends little on it.
    Of records with the same parameters those of the most `trust` count alone. Raises ValueError without records.
    """
    if not records:
        raise ValueError("records: must be at least one")
    points, amounts = _medians(records)
    names = sorted({name for numbers, _ in points for name in numbers})
    words = sorted({item for _, words in points for item in words.items()})
    X = np.array([_row(point, names, words) for point in points]).reshape(len(points), len(names) + len(words))
    seen = np.isfinite(X)
    centre = np.array([X[seen[:, j], j].mean() for j in range(X.shape[1])])
    steady = [name for j, name in enumerate(names) if seen[:, j].any() and np.ptp(X[seen[:, j], j]) == 0]
    steady = [name for name in steady if name not in (*STEPS, *_LITTLE)]
    Z, y = np.where(seen, X - centre, 0.0), np.log(amounts)
    held = np.array([float(name in STEPS) for name in names] + [0.0] * len(words))
    w = held + np.linalg.solve(Z.T @ Z + RIDGE * np.eye(Z.shape[1]), Z.T @ (y - y.mean() - Z @ held))
    missed = y - y.mean() - Z @ w

    def predict(parameters: Mapping[str, Any]) -> float:
        numbers, _ = point = features(parameters)
        x = _row(point, names, words)
        z = np.where(np.isfinite(x), x - centre, 0.0)
        split = len(names)
        gap = np.abs(X[:, :split] - x[:split])
        one_only = seen[:, :split] != np.isfinite(x[:split])
        away = np.nansum(np.minimum(gap, 5), axis=1) + one_only.sum(axis=1) - _APART * (X[:, split:] @ x[split:])
        nearest = away <= away.min() + 1e-9
        counts = [name for name in steady if name in numbers and _is_count(parameters, name)]
        more = sum(numbers[name] - centre[names.index(name)] for name in counts)
        return max(float(np.exp(min(y.mean() + z @ w + missed[nearest].mean() + more, 700))), LEAST)

    return _remembered(predict)


def computed_by(records: Sequence[Recorded]) -> dict[str, set[str]]:
    """The networks and devices of the records, by parameter: what they took says nothing of others."""
    found: dict[str, set[str]] = {}
    for record in records:
        for name in DECISIVE:
            if name in record.parameters:
                found.setdefault(name, set()).add(record.parameters[name])
    return found


def features(parameters: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """The parameters as (logarithms of numbers above 0 by name, all others as words by name)."""
    numbers, words = {}, {}
    for name, value in parameters.items():
        if isinstance(value, list | tuple):
            greatest = max((item for item in value if _is_number(item)), default=0)
            numbers[f"{name} #"] = float(np.log1p(len(value)))
            if greatest > 0:
                numbers[f"{name} max"] = float(np.log(greatest))
        elif _is_number(value) and value > 0:
            numbers[name] = float(np.log(value))
        else:
            words[name] = json.dumps(value, sort_keys=True)
    return numbers, words


def _medians(records: Sequence[Recorded]) -> tuple[list, list[float]]:
    """The distinct features of the records, and the median amount of each."""
    groups: dict[str, tuple[Any, list[Recorded]]] = {}
    for record in records:
        point = features(record.parameters)
        groups.setdefault(json.dumps(point, sort_keys=True), (point, []))[1].append(record)
    amounts = []
    for _, same in groups.values():
        most = max(record.trust for record in same)
        amounts.append(float(np.median([max(record.amount, LEAST) for record in same if record.trust == most])))
    return [point for point, _ in groups.values()], amounts


def _row(point, names: Sequence[str], words: Sequence[tuple[str, str]]) -> np.ndarray:
    """Features as numbers: NaN for a number that is not there, 1 or 0 for each word."""
    numbers, said = point
    return np.array([numbers.get(name, np.nan) for name in names] + [float(said.get(n) == v) for n, v in words], float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(parameters: Mapping[str, Any], feature: str) -> bool:
    return feature.endswith(" #") or isinstance(parameters.get(feature), int)


def _remembered(predict: Callable[[Mapping[str, Any]], float]) -> Callable[[Mapping[str, Any]], float]:
    """Many trials differ in their seed alone."""
    known: dict[str, float] = {}

    def remembering(parameters: Mapping[str, Any]) -> float:
        key = json.dumps(parameters, sort_keys=True)
        if key not in known:
            known[key] = predict(parameters)
        return known[key]

    return remembering
