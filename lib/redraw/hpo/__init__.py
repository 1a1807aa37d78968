"""Hyperparameter search: spaces, searchers, early stopping, population based training; on workers or in simulated time.

    from redraw.hpo import Choice, Float, Space, asha, read_journal

    def objective(config, fidelity, seed, state):          # trains until epoch `fidelity`, from where `state` was
        run = state or {"epoch": 0, "weights": new_weights(config, seed)}
        weights, loss = train(run["weights"], config, epochs=fidelity - run["epoch"])
        return loss, {"epoch": fidelity, "weights": weights}   # the loss alone: then a promoted trial starts again

    space = Space(lr=Float(1e-4, 1, log=True), optimizer=Choice(["sgd", "adam"]),
                  momentum=Float(0, 0.99, when={"optimizer": "sgd"}))
    search = asha(objective, space, trials=50, low=1, high=27, seed=0, journal="search.jsonl")
    search.best.config, search.frame()      # stop it at any time; the same call goes on; read_journal() looks meanwhile

**The objective** is `objective(config, fidelity, seed, state) -> value or (value, state)`: train until `fidelity`
(counted from the start of training) and return what is searched for and where to go on from. A state is None, plain
data, or what `torch.load(weights_only=True)` reads (tensors, numbers, text; lists, tuples and dicts of them). A value
that is not finite, or an exception, is recorded as failed and the search goes on.

**The same seed gives the same search whatever the number of workers.** A search has a clock of its own, on which an
evaluation lasts its `cost` (by default the fidelity that it adds) and `slots` of them are under way at once. Results
are told to the method in the order of that clock, ties in the order of asking; one that comes early waits for its turn.
So `slots` and `cost` belong to the method, `workers` only to the machine. On a recorded `Table` nothing is trained, and
the clock runs through hours of asynchronous search in milliseconds. `redraw.hpo.Options` has what every search takes.

**A search that stops goes on** by being called again with its journal: it asks what it asked before, and what the
journal holds is not evaluated again. States are kept beside the journal, so that a promoted trial goes on as well.
"""

from redraw.hpo._bbob import BBOB, Problem, bbob
from redraw.hpo._checklist import Compared, Comparison, ComparisonError, compare
from redraw.hpo._checks import SearchError
from redraw.hpo._discrepancy import representative, star_discrepancy
from redraw.hpo._journal import read_journal
from redraw.hpo._objective import over_seeds
from redraw.hpo._population import Population, population_based_training, replay
from redraw.hpo._result import Evaluation, Search
from redraw.hpo._run import Job, Method, Options
from redraw.hpo._samplers import SAMPLERS, Sampler, sampler
from redraw.hpo._search import asha, grid, hyperband, model_search, random_search, successive_halving
from redraw.hpo._space import Choice, Config, Float, Int, Space
from redraw.hpo._table import Recorded, Table
from redraw.hpo._toy import TOY_GRID, TOY_SPACE, toy_quadratic

__all__ = [
    "BBOB",
    "SAMPLERS",
    "TOY_GRID",
    "TOY_SPACE",
    "Choice",
    "Compared",
    "Comparison",
    "ComparisonError",
    "Config",
    "Evaluation",
    "Float",
    "Int",
    "Job",
    "Method",
    "Options",
    "Population",
    "Problem",
    "Recorded",
    "Sampler",
    "Search",
    "SearchError",
    "Space",
    "Table",
    "asha",
    "bbob",
    "compare",
    "grid",
    "hyperband",
    "model_search",
    "over_seeds",
    "population_based_training",
    "random_search",
    "read_journal",
    "replay",
    "representative",
    "sampler",
    "star_discrepancy",
    "successive_halving",
    "toy_quadratic",
]
