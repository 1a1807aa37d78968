"""Pruning at initialization and what it is compared with: SNIP, GraSP, SynFlow, their sanity checks, Concrete Ticket
Search, tickets with rewinding, and masks that evolve while the network trains."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from redraw.studies._interval import mean_interval
from redraw.studies._pruning_trials import NETWORKS
from redraw.studies._requests import at_most_the_examples, each_once, fits
from redraw.workbook import Samples, Trial

TRIALS = "redraw.studies._pruning_trials"
RATE = 0.2  # share of the weights that a round of iterative pruning removes
SALIENCY = ("snip", "grasp", "synflow")
OBJECTIVES = {"cts": "cross_entropy", "cts_kl": "reverse_kl", "cts_forward": "forward_kl"}
REWOUND = ("magnitude", *OBJECTIVES, "ltr")  # found on trained or partly trained weights, trained from the rewound step
CHECKED = (*SALIENCY, "magnitude", "cts_kl")
ROUNDS = 100  # in which SynFlow goes down to one weight per layer


# What the study runs --------------------------------------------------------------------------------------------


def remaining(level: int) -> float:
    """The fraction of the weights that `level` rounds of 20 % leave."""
    return (1 - RATE) ** level


def plan(
    *,
    dataset: str,
    network: str,
    other_network: str,
    levels: Sequence[int],
    methods: Sequence[str],
    check_levels: Sequence[int],
    checks: Sequence[str],
    dynamic: Sequence[str],
    steps: Sequence[int],
    rewind: int,
    batch_size: int,
    learning_rate: float,
    seeds: int,
    device: str,
) -> list[Trial]:
    """The trials of the study: networks pruned to each level by each method; sanity checks at one level, on the other
    network too; masks that evolve, at the same level; how far each network can be pruned before a layer collapses.

    check_levels, steps: of the network and of the other one. Masks evolve every 100 steps, or sixteen times as often as
    training is long; Concrete Ticket Search takes half as many steps as training.
    Networks under masks that were found come last: where they train side by side, all of them are ready by then.
    Raises ValueError for other than two of these, levels or names given twice or no level, networks that cannot take
    the dataset's inputs or that are one, a batch of more than its examples, or steps that are too few.
    """
    named = (("levels", levels, 1), ("methods", methods, 0), ("checks", checks, 0), ("dynamic", dynamic, 0))
    for field, chosen, least in named:
        each_once(field, chosen, least)
    for name, values in (("check_levels", check_levels), ("steps", steps)):
        if len(values) != 2:
            raise ValueError(f"{name}: must be two numbers, of network and of other_network, got {len(values)}")
    if rewind >= min(steps) or min(steps) < 16:
        raise ValueError(f"steps: must be at least 16 and above the {rewind} that are rewound to, got {min(steps)}")
    if other_network == network:
        raise ValueError(f"other_network: must be another than network, got {network} twice")
    fits("network", network, NETWORKS, dataset)
    if other_network != "none":
        fits("other_network", other_network, NETWORKS, dataset)
    at_most_the_examples("batch_size", batch_size, dataset)
    recipe = {
        "dataset": dataset,
        "rewind": rewind,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "device": device,
    }
    common = recipe | {"network": network, "steps": steps[0]}
    other = [recipe | {"network": other_network, "steps": steps[1]}] if other_network != "none" else []
    check, every, trials = check_levels[0], min(100, steps[0] // 16), []
    for one in (common, *other):
        one = one | {"steps": common["steps"], "rounds": ROUNDS}
        for method in ("random", "magnitude", *SALIENCY):
            trials += [Trial(f"{TRIALS}:critical", one | {"method": method}, seed) for seed in range(seeds)]
    for seed in range(seeds):
        trials.append(_dense(common, seed))
        for level in levels:
            for method in methods:
                trials += _pruned(common, method, level, seed)
        trials += [trial for method in checks for trial in _checks(common, method, check, seed)]
        for name in dynamic:
            more = {"method": name, "remaining": remaining(check), "every": every}
            trials.append(Trial(f"{TRIALS}:evolved", common | more, seed))
        for one in other:
            trials += [_dense(one, seed), *_pruned(one, "random", check_levels[1], seed)]
            trials += [trial for method in checks for trial in _checks(one, method, check_levels[1], seed)]
    once = {trial.key: trial for trial in trials}.values()
    return sorted(once, key=lambda trial: trial.function == f"{TRIALS}:trained")


def _dense(common: dict, seed: int) -> Trial:
    return _ticket(common, 0, seed)


def _ticket(common: dict, round: int, seed: int) -> Trial:
    needs = {"previous": _ticket(common, round - 1, seed)} if round else {}
    return Trial(f"{TRIALS}:ticket", common | {"round": round, "rate": RATE}, seed, needs)


def _masks(common: dict, method: str, level: int, seed: int) -> Trial:
    """The trial that finds a method's masks."""
    more = common | {"remaining": remaining(level)}
    if method == "ltr":
        return _ticket(common, level, seed)
    if method == "magnitude":
        return Trial(f"{TRIALS}:one_shot", more, seed, {"dense": _dense(common, seed)})
    if method in OBJECTIVES:
        objective = {"objective": OBJECTIVES[method], "search_steps": common["steps"] // 2}
        return Trial(f"{TRIALS}:searched", more | objective, seed)
    return Trial(f"{TRIALS}:at_init", more | {"method": method}, seed)


def _pruned(common: dict, method: str, level: int, seed: int, checks: Sequence[str] = ("none",)) -> list[Trial]:
    """What finds the masks, and what trains under them; a ticket with rewinding is both in one."""
    found = _masks(common, method, level, seed)
    if method == "ltr":
        checks = [check for check in checks if check != "none"]
    more = common | {"rewound": method in REWOUND, "masks_of": method, "level": level}
    return [found, *(Trial(f"{TRIALS}:trained", more | {"check": c}, seed, {"found": found}) for c in checks)]


def _checks(common: dict, method: str, level: int, seed: int) -> list[Trial]:
    return _pruned(common, method, level, seed, ("none", "shuffle", "reinit"))


# What it measures -----------------------------------------------------------------------------------------------

DYNAMIC = ("static", "set", "rigl", "rigl_random", "gmp", "granet")
CONVOLUTIONAL = "strided_conv"


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    Accuracies on the test set at the end of training, in per cent, one number per seed. Claims about "the sparsest"
    networks are about the highest of the run's levels. A claim that speaks of networks this run did not train is not
    tested.
    """
    mlp, other = knobs["network"], knobs["other_network"]
    level, (check, last) = max(knobs["levels"], default=-1), knobs["check_levels"]
    found: dict[str, Samples] = {}
    for suffix, network in (("", mlp), ("c", CONVOLUTIONAL)):
        shares = {name: share(table, network, name) for name in ("snip", "grasp", "magnitude", "synflow")}
        maximal = pd.Series(1.0, index=shares["snip"].index)
        synflow = shares.pop("synflow")
        found |= {
            f"K1{suffix}": _many(**shares, maximal=maximal),
            f"K2{suffix}": _many(synflow=synflow, maximal=maximal),
        }
    for suffix, network, at in (("", other, last), ("m", mlp, check)):
        for i, method in enumerate(CHECKED, 1):
            checks = {"found": "none", "shuffled": "shuffle", "reinitialized": "reinit"}
            arms = {name: accuracy(table, network, method, at, which) for name, which in checks.items()}
            found[f"S{i}{suffix}"] = _many(**arms)
    search, tickets = accuracy(table, mlp, "cts_kl", level), accuracy(table, mlp, "ltr", level)
    dynamic = {name: accuracy(table, mlp, name, check) for name in DYNAMIC}
    kept = accuracy(table, mlp, "random", check)
    return found | {
        "C1": _many(search=search, tickets=tickets),
        "C2": _many(a=finding(table, mlp, "cts_kl", level), b=finding(table, mlp, "ltr", level)),
        "C3": _many(
            **{f"{name}_{at}": accuracy(table, mlp, name, at) for at in THREE_LEVELS for name in ("cts_kl", *SALIENCY)}
        ),
        "C4": _many(reverse_kl=search, cross_entropy=accuracy(table, mlp, "cts", level)),
        "D1": _many(rigl=dynamic["rigl"], static=dynamic["static"]),
        "D2": _many(gradient=dynamic["rigl"], random=dynamic["rigl_random"]),
        "D3": _many(set=dynamic["set"], fixed=kept),
        "D4": _many(granet=dynamic["granet"], gradual=dynamic["gmp"]),
    }


THREE_LEVELS = (12, 18, 24)  # of claim C3


def rows(table: pd.DataFrame, function: str, **equal) -> pd.DataFrame:
    """The rows of one trial function whose columns are as asked, by seed."""
    if table.empty:
        return table
    found = table[table["function"] == function]
    for name, value in equal.items():
        found = found[found[name] == value] if name in found else found.iloc[:0]
    return found.sort_values("seed")


def trained(table: pd.DataFrame, network: str, method: str, level: int, check: str = "none") -> pd.DataFrame:
    """The rows of the networks of one condition, by seed. level: rounds of 20 %; 0 is the dense network."""
    if method == "ltr" and check == "none":
        return rows(table, "ticket", network=network, round=level)
    if method in DYNAMIC:
        found = rows(table, "evolved", network=network, method=method)
        return found[np.isclose(found["remaining_parameter"], remaining(level))] if len(found) else found
    return rows(table, "trained", network=network, masks_of=method, level=level, check=check)


def accuracy(table: pd.DataFrame, network: str, method: str, level: int, check: str = "none") -> pd.Series:
    """Test accuracies (%) of one condition, by seed; empty where there are none."""
    found = trained(table, network, method, level, check)
    return 100 * found.set_index("seed")["test_accuracy"] if len(found) else pd.Series(dtype=float)


def finding(table: pd.DataFrame, network: str, method: str, level: int, what: str = "finding_flops") -> pd.Series:
    """What finding a method's masks took, by seed: operations, or (`finding_seconds`) seconds."""
    if method == "ltr":
        found = rows(table, "ticket", network=network, round=level)
    else:
        function = {"magnitude": "one_shot"}.get(method, "searched" if method in OBJECTIVES else "at_init")
        named = {"objective": OBJECTIVES[method]} if method in OBJECTIVES else {"method": method}
        found = rows(table, function, network=network, **({} if method == "magnitude" else named))
        found = found[np.isclose(found["remaining_parameter"], remaining(level))] if len(found) else found
    return found.set_index("seed")[what] if len(found) else pd.Series(dtype=float)


def share(table: pd.DataFrame, network: str, method: str) -> pd.Series:
    """Log of the critical compression over log of the maximal one, by seed."""
    found = rows(table, "critical", network=network, method=method)
    return found.set_index("seed")["share"] if len(found) else pd.Series(dtype=float)


def _many(**arms: pd.Series) -> Samples:
    if lacking := [name for name, arm in arms.items() if arm.empty]:
        return Samples.not_tested(f"this run has no networks for: {', '.join(lacking)}")
    return Samples.many(arms)


# What its figures show ------------------------------------------------------------------------------------------

LABELS = {
    "random": "random (ERK)",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "magnitude": "magnitude, trained",
    "cts_kl": "CTS, reverse KL",
    "ltr": "tickets, rewound",
    "cts": "CTS, cross-entropy",
    "cts_forward": "CTS, forward KL",
    "static": "static, trained longer",
    "set": "SET",
    "rigl": "RigL",
    "rigl_random": "RigL, random growth",
    "gmp": "gradual",
    "granet": "GraNet",
}
CHECKS = {"shuffle": "shuffled within layers", "reinit": "reinitialized"}
UNTRAINED = {
    "random": "random",
    "magnitude": "magnitude, untrained",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
}
SLOTS = {LABELS[method]: i for i, method in enumerate(LABELS)}  # every figure draws a method in the same way
SLOTS |= {UNTRAINED[method]: SLOTS[LABELS[method]] for method in UNTRAINED}
NAMES = {
    "lenet_300_100": "LeNet-300-100",
    "strided_conv": "strided conv net",
    "conv_6": "Conv-6",
    "resnet_18": "ResNet-18",
    "digits": "digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
}


def accuracies(table: pd.DataFrame, network: str, methods: Sequence[str], levels: Sequence[int]) -> pd.DataFrame:
    """Tidy rows for the main figure: method, remaining (%), seed, accuracy (%)."""
    parts = [
        pd.DataFrame({"accuracy": values, "remaining": round(100 * remaining(level), 2), "method": LABELS[method]})
        for method in methods
        for level in sorted(levels)
        if len(values := accuracy(table, network, method, level))
    ]
    columns = ["method", "remaining", "seed", "accuracy"]
    return pd.concat(parts).reset_index(names="seed")[columns] if parts else pd.DataFrame(columns=columns)


def accuracies_dense(table: pd.DataFrame, network: str) -> pd.Series:
    """Test accuracies (%) of the dense network, by seed."""
    return accuracy(table, network, "ltr", 0)


def costs(table: pd.DataFrame, network: str, methods: Sequence[str], level: int) -> pd.DataFrame:
    """What finding masks costs and what they are worth at one level, a row per method: method, operations (of one dense
    training), seconds, accuracy (%), low, high."""
    dense = rows(table, "ticket", network=network, round=0)
    parts = []
    for method in methods:
        values, spent = accuracy(table, network, method, level), finding(table, network, method, level)
        if len(values) > 1 and len(spent):
            seconds = finding(table, network, method, level, "finding_seconds").mean()
            whole = spent.mean() / dense["training_flops"].mean()
            parts.append((LABELS[method], whole, seconds, *mean_interval(values)))
    return pd.DataFrame(parts, columns=["method", "operations", "seconds", "accuracy", "low", "high"])


def slopes(table: pd.DataFrame, networks: Sequence[tuple[str, int]], methods: Sequence[str]) -> pd.DataFrame:
    """What each sanity check changes, and what random masks would: label, estimate, low, high (pp, 95 % interval over
    seeds), check."""
    parts = []
    for network, level in networks:
        for method in methods:
            whole = accuracy(table, network, method, level)
            changed = {words: accuracy(table, network, method, level, check) for check, words in CHECKS.items()}
            if any(len(values) for values in changed.values()):
                changed["random (ERK) masks instead"] = accuracy(table, network, "random", level)
            for words, values in changed.items():
                if len(values) > 1 and len(whole):
                    label = f"{LABELS[method]}, {NAMES[network]}"
                    parts.append((label, *mean_interval((values - whole).dropna()), words))
    return pd.DataFrame(parts, columns=["label", "estimate", "low", "high", "check"])


def gains(table: pd.DataFrame, network: str, methods: Sequence[str], level: int) -> pd.DataFrame:
    """Accuracy of evolving masks less that of static ones trained longer: label, estimate, low, high (pp), operations
    (of the static ones'), masks."""
    static, parts = trained(table, network, "static", level), []
    if len(static):
        base = 100 * static.set_index("seed")["test_accuracy"]
        for method in methods:
            found = trained(table, network, method, level)
            if method != "static" and len(found) > 1:
                change = 100 * found.set_index("seed")["test_accuracy"] - base
                cost = found["training_flops"].mean() / static["training_flops"].mean()
                start = "from dense" if method in ("gmp", "granet") else "sparse throughout"
                parts.append((LABELS[method], *mean_interval(change), cost, start))
    return pd.DataFrame(parts, columns=["label", "estimate", "low", "high", "operations", "masks"])


def profiles(table: pd.DataFrame, network: str) -> pd.DataFrame:
    """How many layers have no weight left, as a network is pruned at initialization: method, remaining (%), seed,
    collapsed."""
    parts = [
        {
            "method": name,
            "remaining": 100 * point["remaining"],
            "seed": row.seed,
            "collapsed": sum(not density for density in point["layers"]),
        }
        for method, name in UNTRAINED.items()
        for row in rows(table, "critical", network=network, method=method).itertuples()
        for point in row.profile
    ]
    return pd.DataFrame(parts, columns=["method", "remaining", "seed", "collapsed"])


def ends_in_words(table: pd.DataFrame, network: str) -> str:
    """A figure of `profiles` as a sentence: how far each method comes without losing a layer."""
    parts = []
    for method, name in UNTRAINED.items():
        found = rows(table, "critical", network=network, method=method)
        if len(found):
            parts.append(f"{name} loses none down to {100 / found['critical'].median():.2g} % of the weights (median)")
    return "; ".join(parts) + "."


def survivors(table: pd.DataFrame, network: str, methods: Sequence[str], level: int) -> pd.DataFrame:
    """The share of its weights that each layer keeps, a row per method and layer: method, layer (from 1), kept (%), by
    seed."""
    parts = []
    for method in methods:
        found = trained(table, network, method, level)
        dense = rows(table, "ticket", network=network, round=0)
        for row in found.itertuples() if len(dense) else ():
            whole = dense.iloc[0]["survivors"]
            for place, (name, count) in enumerate(row.survivors.items(), 1):
                kept = 100 * count / whole[name]
                parts.append({"method": LABELS[method], "layer": place, "kept": kept, "seed": row.seed})
    return pd.DataFrame(parts, columns=["method", "layer", "kept", "seed"])


def in_words(frame: pd.DataFrame) -> str:
    """A figure of `accuracies` as a sentence: each method's mean at its ends."""
    parts = []
    for method, lines in frame.groupby("method", sort=False):
        means = lines.groupby("remaining")["accuracy"].mean()
        ends = [f"{means[p]:.1f} % with {p:g} % of the weights" for p in (means.index.max(), means.index.min())]
        parts.append(f"{method} from {ends[0]} to {ends[1]}")
    return "; ".join(parts) + "."
