"""Hyperparameter search: spaces, searchers, early stopping, population based training; on workers or in simulated time.

    from redraw.hpo import Choice, Float, Space, asha, read_journal

    def objective(config, fidelity, seed, state):          # train up to `fidelity` epochs, from where `state` left off
        model, epoch = state or (new_model(config, seed), 0)
        loss = train(model, config, epochs=fidelity - epoch)
        return loss, (model.state_dict(), fidelity)        # or the loss alone: then a promoted trial starts again

    space = Space(lr=Float(1e-4, 1, log=True), optimizer=Choice(["sgd", "adam"]),
                  momentum=Float(0, 0.99, when={"optimizer": "sgd"}))
    search = asha(objective, space, trials=50, low=1, high=27, seed=0, workers=2, journal="search.jsonl")
    search.best.config, search.frame()                     # interrupt it, call it again: it goes on from the journal

The same seed gives the same search whatever the number of workers. A search has `slots`, how many evaluations are under
way at once, and a clock of its own, on which an evaluation lasts its `cost` (by default the fidelity it adds); results are
told to the method in the order of that clock, ties by the order in which they were asked for. So `slots` belongs to the
method and `workers` only to the machine: a result that comes early waits for its turn. With a recorded `Table` nothing is
trained and the clock runs through hours of asynchronous search in milliseconds.

The functions, each `f(objective, space, *, <its own>, **options) -> Search`:

    random_search(trials, fidelity=1)                     grid(points, fidelity=1)
    model_search(trials, sampler="tpe" | "gp" | "cma_es", settings={}, fidelity=1)            Optuna's
    successive_halving(trials, low, high, eta=3, sampler="random", settings={})
    hyperband(low, high, eta=3, ...)                      with sampler="tpe" in the manner of BOHB
    asha(trials, low, high, eta=3, ...)
    population_based_training(population, interval, total, exploit="truncation" | "binary_tournament" | None,
        explore="perturb" | "resample" | None, fraction=0.2, resample_probability=0.0, initial=None) -> Population

    options: seed=0, maximize=False, slots=None, workers=1 (or an Executor), journal=None, checkpoints=None, cost=None,
        until=None (start nothing from this time of the search's clock on)

    Search:      .evaluations, .best (config, value, ...), .frame(), .incumbents() (best so far against clock and spending)
    Population:  a Search with .lineage() and .schedule(member=None)
    sampler(name, space, seed=0, **settings)              ask-and-tell: number, config = s.ask(); s.tell(number, value)
    Table(space, configs, fidelities, values, costs)      a recorded objective: table.on(seeds) and table.cost
    over_seeds(objective, seeds)                          the mean over several training seeds, as one objective
    replay(...)                                           a found schedule trained again from scratch
    bbob(name, dimension, seed)                           a noiseless test function: f(x), f.optimum, f.value, f.space
    Comparison, compare                                   refuses what compares unfairly; forced, carries the reasons
    star_discrepancy, representative                      how evenly tasks lie; a small subset that lies alike
"""
