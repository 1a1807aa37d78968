"""The searches as functions."""

import math
from collections.abc import Mapping
from typing import Any, Unpack

from redraw.hpo._checks import SearchError, as_fidelity, count
from redraw.hpo._methods import Asha, Full, InBatches, brackets, halving, rungs
from redraw.hpo._objective import Objective
from redraw.hpo._result import Search
from redraw.hpo._run import Method, Options, run
from redraw.hpo._samplers import Listed, Sampler, sampler
from redraw.hpo._space import Space


def random_search(
    objective: Objective, space: Space, *, trials: int, fidelity: float = 1, **options: Unpack[Options]
) -> Search:
    """`trials` random configurations, each trained until `fidelity`; the n-th is the same whatever `trials` is.

    objective(config, fidelity, seed, state) -> value or (value, state): see `redraw.hpo`. options: see `Options`.
    Source: Bergstra and Bengio 2012 (JMLR 13). Raises SearchError for an option out of its range.
    """
    trials, fidelity = count("trials", trials), as_fidelity("fidelity", fidelity)
    proposer = sampler("random", space, options.get("seed", 0))
    header = {"method": "random_search", "fidelity": fidelity}
    return _run(Full(proposer, trials, fidelity), objective, space, header, options)


def grid(
    objective: Objective,
    space: Space,
    *,
    points: int | Mapping[str, int],
    fidelity: float = 1,
    **options: Unpack[Options],
) -> Search:
    """Every combination of `points` values of each number (or by name) and all choices; see `Space.grid`.

    Each is trained until `fidelity`. options: see `Options`. Raises SearchError for an option out of its range.
    """
    fidelity = as_fidelity("fidelity", fidelity)
    method = Full(Listed(iter(list(space.grid(points)))), math.inf, fidelity)
    return _run(method, objective, space, {"method": "grid", "fidelity": fidelity, "points": points}, options)


def model_search(
    objective: Objective,
    space: Space,
    *,
    trials: int,
    sampler: str = "tpe",
    settings: Mapping[str, Any] | None = None,
    fidelity: float = 1,
    **options: Unpack[Options],
) -> Search:
    """`trials` configurations, each trained until `fidelity` and proposed in the light of those before.

    sampler, settings: "tpe", "gp" or "cma_es" of Optuna with its settings, see `redraw.hpo.sampler`; all but TPE draw
    hyperparameters that are not always there at random, and CMA-ES choices too. options: see `Options`.
    Sources: Bergstra et al. 2011 (TPE, NeurIPS); Hansen and Ostermeier 2001 (CMA-ES, Evol. Comput. 9(2)); Akiba et
    al. 2019 (Optuna, arXiv 1907.10902). Raises SearchError for an option out of its range.
    """
    trials, fidelity = count("trials", trials), as_fidelity("fidelity", fidelity)
    proposer, header = _sampler(sampler, settings, space, options)
    options = {"slots": 1, **options}
    method = Full(proposer, trials, fidelity)
    return _run(method, objective, space, {"method": "model_search", **header, "fidelity": fidelity}, options)


def successive_halving(
    objective: Objective,
    space: Space,
    *,
    trials: int,
    low: float,
    high: float,
    eta: float = 3,
    sampler: str = "random",
    settings: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Search:
    """`trials` configurations, of which the best 1 / eta at each rung go on to eta times the fidelity, until `high`.

    The rungs are high / eta^k down to the last that is at least `low`. A promoted trial goes on from its state.
    options: see `Options`. Source: Jamieson and Talwalkar 2016 (arXiv 1502.07943). Raises SearchError: fewer trials
    than leave one for the last rung; low not positive or above high; eta not above 1; an option out of its range.
    """
    trials, levels = count("trials", trials), rungs(low, high, eta)
    if trials < eta ** (len(levels) - 1) - 1e-9:
        least = math.ceil(eta ** (len(levels) - 1))
        raise SearchError(f"trials: must be at least {least}, for one to reach the last rung, not {trials}")
    proposer, header = _sampler(sampler, settings, space, options)
    header = {"method": "successive_halving", **header, "rungs": levels, "eta": eta}
    return _run(InBatches(halving(proposer, trials, levels, eta)), objective, space, header, options)


def hyperband(
    objective: Objective,
    space: Space,
    *,
    low: float,
    high: float,
    eta: float = 3,
    sampler: str = "random",
    settings: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Search:
    """Successive halving in brackets, from many configurations cut early to few that are all trained until `high`.

    With s_max + 1 rungs from about `low` to `high`, bracket s = s_max, ..., 0 begins with
    n = ceil((s_max + 1) / (s + 1) eta^s) configurations at high / eta^s. One pass, the brackets one after another.
    With sampler="tpe" it is in the manner of BOHB. options: see `Options`.

    Sources: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018 (arXiv 1603.06560, algorithm 1); Falkner, Klein and
    Hutter 2018 (BOHB, arXiv 1807.01774), whose model is a multivariate TPE of their own where ours is Optuna's.
    Raises SearchError: low not positive or above high; eta not above 1; an option out of its range.
    """
    levels = rungs(low, high, eta)
    proposer, header = _sampler(sampler, settings, space, options)
    header = {"method": "hyperband", **header, "rungs": levels, "eta": eta}
    return _run(InBatches(brackets(proposer, levels, eta)), objective, space, header, options)


def asha(
    objective: Objective,
    space: Space,
    *,
    trials: int,
    low: float,
    high: float,
    eta: float = 3,
    sampler: str = "random",
    settings: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Search:
    """Successive halving without waiting: a free slot promotes one of the best 1 / eta of a rung, or begins anew.

    Rungs as for `successive_halving`; at most `trials` configurations are begun. 8 slots by default. Which promotions
    come early hangs on what ends first on the search's clock, so that `slots` and `cost` are part of the method and
    workers are not. options: see `Options`. Source: Li et al. 2018 (arXiv 1810.05934, algorithm 2).
    Raises SearchError: low not positive or above high; eta not above 1; an option out of its range.
    """
    levels = rungs(low, high, eta)
    proposer, header = _sampler(sampler, settings, space, options)
    header = {"method": "asha", **header, "rungs": levels, "eta": eta}
    options = {"slots": 8, **options}
    return _run(Asha(proposer, trials, levels, eta), objective, space, header, options)


def _sampler(name: str, settings: Mapping[str, Any] | None, space: Space, options: Options) -> tuple[Sampler, dict]:
    """The sampler and what the journal's header says of it."""
    header = {"sampler": name, "settings": dict(settings or {})}
    return sampler(name, space, options.get("seed", 0), settings), header


def _run(method: Method, objective: Objective, space: Space, header: Mapping, options: Options) -> Search:
    return Search(tuple(run(method, objective, space, header, **options)), space, bool(options.get("maximize", False)))
