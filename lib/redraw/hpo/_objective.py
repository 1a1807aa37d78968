"""The objective: one training run that can stop at a fidelity and go on from there; how it is called.

    objective(config, fidelity, seed, state) -> value   or   (value, state)

trains `config` until `fidelity` (epochs, steps, examples: its own unit, counted from the start of training, not from
where it goes on) and returns the value that is searched for. With state None it starts; else it goes on from the state
that it returned at a lower fidelity, perhaps with another `config` where population based training changed it. Going on
must give what training in one go gives. A state is None, plain data, or what `torch.load(weights_only=True)` reads:
tensors, numbers, text, and lists, tuples and dicts of them (a model's and an optimizer's `state_dict()`). An
objective that returns no state starts again whenever it is continued, and pays for it.
"""

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from redraw.hpo._checks import SearchError, count
from redraw.hpo._space import Config

Objective = Callable[[Config, float, int, Any], Any]


class Reply(NamedTuple):
    """What one evaluation gave: value (NaN if it failed), packed state, what went wrong, seconds on the wall clock."""

    value: float
    state: bytes | None
    error: str | None
    seconds: float


def evaluate(
    objective: Objective, steps: Sequence[tuple[Config, float]], seed: int, state: bytes | None, keep: bool
) -> Reply:
    """Call the objective for each (configuration, fidelity) of `steps` in turn, from `state` on; the last one's Reply.

    There is more than one step where a state was lost with the process that held it. A value that is not a finite
    number and an exception are a failure, told in the Reply; KeyboardInterrupt and its like pass through.
    """
    started = time.perf_counter()
    try:
        for i, (config, fidelity) in enumerate(steps, 1):
            out = objective(dict(config), fidelity, seed, unpack(state))
            value, state = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
            value, state = float(value), pack(state) if keep or i < len(steps) else None
        if not math.isfinite(value):
            return Reply(math.nan, None, f"value is {value}", time.perf_counter() - started)
    except _StateError as error:
        raise SearchError(str(error)) from None
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        text = f"{type(error).__name__}: {first}" if first else type(error).__name__
        return Reply(math.nan, None, text, time.perf_counter() - started)
    return Reply(value, state, None, time.perf_counter() - started)


class _StateError(Exception):
    pass


def pack(state: Any) -> bytes | None:
    """A state as bytes, so that what the objective does to its own objects afterwards changes nothing; None is None.

    Raises SearchError (through `evaluate`) for a state that would not come back.
    """
    if state is None:
        return None
    try:
        text = json.dumps(state, allow_nan=False)
        if _same(json.loads(text), state):
            return b"J" + text.encode()
    except (TypeError, ValueError, RecursionError):
        pass
    import torch

    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise _StateError(
            "state: must be tensors, numbers, text, and lists, tuples and dicts of them, "
            f"not {type(state).__name__} ({first})"
        ) from None
    return b"T" + buffer.getvalue()


def unpack(packed: bytes | None) -> Any:
    """The state that `pack` made into bytes."""
    if packed is None:
        return None
    if packed[:1] == b"J":
        return json.loads(packed[1:])
    import torch

    return torch.load(io.BytesIO(packed[1:]), weights_only=True)


def _same(one: Any, other: Any) -> bool:
    """Equal in value and in type, all the way down: JSON makes lists of tuples and text of integer keys."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one == other


def over_seeds(objective: Objective, seeds: Sequence[int]) -> Objective:
    """The objective averaged over `seeds` (its own, in place of the search's): value the mean, state one for each.

    What a search that should not tune to one seed optimizes (Eimer, Lindauer and Raileanu 2023, arXiv 2306.01324).
    Raises SearchError for no seeds or repeated ones.
    """
    seeds = tuple(count("seeds", seed, 0) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise SearchError(f"seeds: must be different and at least one, not {list(seeds)}")
    return partial(_mean_over, objective, seeds)


def _mean_over(objective: Objective, seeds: tuple[int, ...], config: Config, fidelity: float, seed: int, states: Any):
    outs = [objective(dict(config), fidelity, s, states and states[i]) for i, s in enumerate(seeds)]
    pairs = [out if isinstance(out, tuple) and len(out) == 2 else (out, None) for out in outs]
    states = [state for _, state in pairs]
    return sum(float(value) for value, _ in pairs) / len(seeds), states if any(s is not None for s in states) else None


def name_of(objective: Objective) -> str:
    """What the journal calls an objective: its function's name, through `partial`."""
    while isinstance(objective, partial):
        objective = objective.args[0] if objective.func is _mean_over else objective.func
    return getattr(objective, "__qualname__", type(objective).__qualname__)
