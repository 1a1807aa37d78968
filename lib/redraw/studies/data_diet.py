"""Deep Learning on a Data Diet (Paul et al. 2021, arXiv 2107.07075): which training examples can go, by which score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from redraw import data
from redraw.models import initialize, lenet_5, lenet_300_100, resnet_18, small_conv
from redraw.seeds import generator
from redraw.selection import (
    Presentations,
    checkpoint_hash,
    el2n,
    forgetting,
    grand,
    input_norm,
    select,
    train,
)
from redraw.studies._requests import at_most_the_examples, each_once, fits
from redraw.training import evaluate
from redraw.workbook import Result, Samples, Trial

NETWORKS = {"mlp": lenet_300_100, "lenet_5": lenet_5, "small_conv": small_conv, "resnet_18": resnet_18}

HALF = 0.5
LABELS_PERMUTED = 10  # at least, so that some are wrong then
OTHERS = 4  # scoring networks of the other architecture
GROUP = 5  # networks over which the forgetting paper calls an example unforgettable


@dataclass(frozen=True)
class Recipe:
    """How a network of this study is trained: SGD with Nesterov momentum 0.9 and weight decay 5e-4, the learning rate
    divided by 5 after 30, 60 and 80 % of the steps, as the paper divides it at epochs 60, 120 and 160 of 200."""

    dataset: str
    network: str
    examples: int
    steps: int
    batch_size: int
    learning_rate: float
    augment: bool
    noise: float
    device: str


@dataclass(frozen=True)
class Pool:
    """The training examples of a recipe: inputs x (N, ...), labels y (N,) with their noise, `changed` (N,) where the
    noise made a label wrong, `ids` (N,) positions in the dataset's file; and the test set, which is never noisy."""

    x: Tensor
    y: Tensor
    changed: Tensor
    ids: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


def scored(*, seed: int, score_epoch: int, **recipe) -> dict:
    """One scoring network: the scores of all examples at initialization and after `score_epoch` epochs, forgetting
    events over the whole training. The hashes prove which weights the scores are of. Raises ValueError for a training
    that diverges, whose scores would be of nothing."""
    recipe = Recipe(**recipe)
    pool, per_epoch = make_pool(recipe), recipe.examples // recipe.batch_size
    model = _network(recipe, pool, generator(seed, "scoring", "theta"))
    examples, seen, tensors, hashes = (pool.x, pool.y), Presentations(len(pool.x)), {}, {}
    for step in _train(recipe, model, examples, recipe.steps, (seed, "scoring"), seen):
        for epoch, suffix in ((0, "_start"), (score_epoch, "")):
            if step == epoch * per_epoch:
                model.eval()
                tensors[f"el2n{suffix}"] = el2n(model, examples)
                tensors[f"grand{suffix}"] = grand(model, examples)
                hashes[f"weights{suffix}"] = checkpoint_hash(model)
                model.train()
                _refuse_divergence(recipe, step, tensors[f"el2n{suffix}"], tensors[f"grand{suffix}"])
    _refuse_divergence(recipe, recipe.steps, *model.parameters())
    tensors |= {"forgetting": forgetting(seen), "never": seen.never_forgotten}
    never = 100 * seen.never_forgotten.float().mean().item()
    return hashes | _tested(model, pool) | {"never_forgotten": never, "tensors": tensors}


def _refuse_divergence(recipe: Recipe, step: int, *values: Tensor) -> None:
    if not all(value.isfinite().all() for value in values):
        raise ValueError(
            f"learning_rate: must be one at which scoring networks stay finite, got {recipe.learning_rate:g}, "
            f"at which one has diverged within {step} steps"
        )


def averaged(*, seed: int, groups: int, **more) -> dict:
    """The scores averaged over scoring networks (net_0, net_1, ...), and what figures show of them.

    groups: how often networks are divided at random into groups whose averages are compared.
    """
    networks = [more.pop(name).tensors for name in sorted(more) if name.startswith("net_")]
    pool = make_pool(Recipe(**more))
    means = {name: torch.stack([net[name].float() for net in networks]).mean(0) for name in networks[0]}
    means["input_norm"] = input_norm((pool.x, pool.y))
    return {
        "agree": {name: _stability(networks, name, groups, seed) for name in ("el2n", "grand")},
        "histogram": _histogram(means["el2n"], pool.changed),
        "wall": _wall(means["el2n"], pool),
        "averaged_networks": len(networks),
        "tensors": means,
    }


def ranked(*, seed: int, own: Result, mean: Result, **recipe) -> dict:
    """How the scoring network of this seed ranks the examples, by Spearman's correlations: against the average of all
    the other networks, by its forgetting events, by the input norm. With noise, how well EL2N finds wrong labels."""
    pool, others = make_pool(Recipe(**recipe)), mean["averaged_networks"] - 1
    mine, means = own.tensors, mean.tensors
    found = {
        f"one_{name}": _spearman(mine[name], ((others + 1) * means[name] - mine[name]) / others)
        for name in ("el2n", "grand")
    }
    found |= {
        "forgetting_el2n": _spearman(mine["forgetting"], mine["el2n"]),
        "norm_grand": _spearman(means["input_norm"], mine["grand_start"]),
    }
    return found | (noise_found(mine["el2n"], pool.changed) if pool.changed.any() else {})


def unforgotten(*, seed: int, **networks: Result) -> dict:
    """The share of examples (%) that each network of a group learned and never forgot."""
    never = torch.stack([networks[name].tensors["never"] for name in sorted(networks) if name.startswith("net_")])
    return {"unforgotten": 100 * never.all(0).float().mean().item()}


def compared(*, seed: int, own: Result, mean: Result, **recipe) -> dict:
    """Rank correlations of a scoring network with another architecture's averaged scores."""
    mine, theirs = own.tensors, mean.tensors
    return {f"between_{name}": _spearman(mine[name], theirs[name]) for name in ("el2n", "grand", "forgetting")}


def trained(
    *,
    seed: int,
    score: str,
    keep: float,
    skip: float,
    matched: str,
    source: str,
    scores: Result | None = None,
    **recipe,
) -> dict:
    """A network trained on the examples that a score keeps, tested on the whole test set.

    score: what is hard by; `random` draws anew for each seed. matched: as many `iterations` as on all the examples,
    or as many `epochs`. source: whose scores, in a word: `all` networks, `one` of them, another architecture's
    (`transfer`). Networks of one seed start from the same weights.
    """
    recipe = Recipe(**recipe)
    pool = make_pool(recipe)
    if score == "random":
        chosen = select(torch.zeros(len(pool.x)), keep, "random", seed=seed)
    else:
        chosen = select(scores.tensors[score], keep, skip=skip, seed=seed)
    steps = recipe.steps if matched == "iterations" else round(recipe.steps * keep)
    model = _network(recipe, pool, generator(seed, "theta"))
    for _ in _train(recipe, model, (pool.x[chosen], pool.y[chosen]), steps, (seed,)):
        pass
    kept, found = torch.bincount(pool.y[chosen], minlength=pool.classes), _tested(model, pool)
    by_class = {f"accuracy_{label}": value for label, value in enumerate(found.pop("class_accuracy"))}
    return found | by_class | {"kept_of_class": kept.tolist(), "trained_steps": steps}


def make_pool(recipe: Recipe) -> Pool:
    """The examples that the recipe trains on: the same for every seed, as a dataset would be.

    Raises ValueError for more examples than there are.
    """
    arrays = _arrays(recipe.dataset)
    if recipe.examples > len(arrays.train_x):
        raise ValueError(f"examples: must be at most the {len(arrays.train_x)} of {recipe.dataset}")
    ids = torch.randperm(len(arrays.train_x), generator=generator(0, "pool"))[: recipe.examples].sort().values
    clean = arrays.train_y[ids]
    y = permuted_labels(clean, recipe.noise, generator(0, "noise"))
    classes = int(arrays.train_y.max()) + 1
    return Pool(arrays.train_x[ids], y, y != clean, ids, arrays.test_x, arrays.test_y, classes)


@lru_cache(1)
def _arrays(dataset: str) -> data.Arrays:
    return data.reader(dataset)(data.locate(dataset))


def permuted_labels(y: Tensor, fraction: float, chance: torch.Generator) -> Tensor:
    """Labels y (N,) of which a fraction, drawn at random, is permuted among its examples, as in the authors' code: with
    ten classes about one in ten of these keeps its label by chance. Examples stay in their places."""
    drawn = torch.randperm(len(y), generator=chance)[: round(fraction * len(y))]
    noisy = y.clone()
    noisy[drawn] = y[drawn[torch.randperm(len(drawn), generator=chance)]]
    return noisy


def _network(recipe: Recipe, pool: Pool, chance: torch.Generator) -> nn.Module:
    model = NETWORKS[recipe.network](tuple(pool.x.shape[1:]), pool.classes)
    return initialize(model, "kaiming_normal", chance).to(recipe.device)


def _train(recipe: Recipe, model: nn.Module, examples, steps: int, stream: tuple, seen=None) -> Iterator[int]:
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    decays = [round(steps * progress) for progress in (0.3, 0.6, 0.8)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, decays, gamma=0.2)
    order, pictures = generator(*stream, "order"), generator(*stream, "pictures")
    for step in train(
        model,
        examples,
        optimizer,
        iterations=steps,
        batch_size=recipe.batch_size,
        generator=order,
        seen=seen,
        augment=(lambda x: cropped_and_flipped(x, pictures)) if recipe.augment else None,
    ):
        if step:
            schedule.step()
        yield step


def cropped_and_flipped(x: Tensor, chance: torch.Generator) -> Tensor:
    """Each picture (B, C, H, W) padded by 4 reflected pixels, cropped at random, mirrored every other time."""
    n, _, height, width = x.shape
    top, left = (torch.randint(9, (n, 1), generator=chance) for _ in range(2))
    columns = left + torch.arange(width)
    columns = torch.where(torch.rand(n, 1, generator=chance) < 0.5, columns, columns.flip(1)).to(x.device)
    rows = (top + torch.arange(height)).to(x.device)
    padded = F.pad(x, (4, 4, 4, 4), mode="reflect")
    picked = padded[torch.arange(n, device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def _tested(model: nn.Module, pool: Pool) -> dict:
    """Accuracy on the test set (fraction), and that of each class."""
    device = next(model.parameters()).device
    x, y = pool.test_x.to(device), pool.test_y.to(device)
    by_class = [evaluate(model, x[y == label], y[y == label])[1] for label in range(pool.classes)]
    sizes = torch.bincount(pool.test_y, minlength=pool.classes).tolist()
    accuracy = sum(a * size for a, size in zip(by_class, sizes, strict=True)) / sum(sizes)
    return {"test_accuracy": accuracy, "class_accuracy": by_class}


# What the networks say about each other -------------------------------------------------------------------------


def _spearman(a: Tensor, b: Tensor) -> float:
    return float(stats.spearmanr(a.numpy(), b.numpy()).statistic)


def _stability(networks: Sequence[Mapping[str, Tensor]], name: str, groups: int, seed: int) -> list[list[float]]:
    """For m = 1, 2, ... half of the networks: rank correlations between means over m networks and over m others."""
    values, chance = torch.stack([net[name] for net in networks]), generator(seed, "groups", name)
    found = []
    for m in range(1, len(values) // 2 + 1):
        orders = [torch.randperm(len(values), generator=chance) for _ in range(groups)]
        found.append([_spearman(values[o[:m]].mean(0), values[o[m : 2 * m]].mean(0)) for o in orders])
    return found


def noise_found(scores: Tensor, changed: Tensor) -> dict[str, float]:
    """Of as many top scores as there are wrong labels, the share that is wrong; the area under the ROC curve."""
    top = scores.topk(int(changed.sum())).indices
    area = float(roc_auc_score(changed.numpy(), scores.numpy()))
    return {"precision": changed[top].float().mean().item(), "auc": area}


def _histogram(scores: Tensor, changed: Tensor) -> dict[str, list]:
    edges = np.linspace(0, 2**0.5, 41)
    counts = [np.histogram(scores[where].numpy(), edges)[0].tolist() for where in (~changed, changed)]
    return {"edges": edges.tolist(), "right": counts[0], "wrong": counts[1]}


def _wall(scores: Tensor, pool: Pool, shown: int = 5) -> dict[str, list[list[int]]]:
    """Per class, the positions in the dataset's file of its easiest and its hardest examples."""
    found: dict[str, list[list[int]]] = {"easiest": [], "hardest": []}
    for label in range(pool.classes):
        members = (pool.y == label).nonzero().squeeze(1)
        order = members[scores[members].argsort(stable=True)]
        found["easiest"].append(pool.ids[order[:shown]].tolist())
        found["hardest"].append(pool.ids[order[-shown:].flip(0)].tolist())
    return found


# What the study runs --------------------------------------------------------------------------------------------


def plan(
    *,
    datasets: Sequence[str],
    network: str,
    other_network: str,
    examples: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    score_epoch: int,
    networks: int,
    scores: Sequence[str],
    fractions: Sequence[float],
    seeds: int,
    noise: float,
    device: str,
) -> list[Trial]:
    """The trials of the study, per dataset: scoring networks and their averages, networks trained on what each score
    keeps; on the first dataset also those with noisy labels and those of another architecture.

    Raises ValueError for names or fractions given twice or none, more examples than there are, a network that cannot
    take them, a batch larger than what is kept, a scoring epoch beyond the training, noise of too few labels or more
    than half, or two architectures that are one.
    """
    for field, values, least in (("datasets", datasets, 1), ("scores", scores, 0), ("fractions", fractions, 1)):
        each_once(field, values, least)
    for dataset in datasets:
        at_most_the_examples("examples", examples, dataset)
        fits("network", network, NETWORKS, dataset)
    if other_network == network:
        raise ValueError(f"other_network: must be another than network, got {network} twice")
    if other_network != "none":
        fits("other_network", other_network, NETWORKS, datasets[0])
    if batch_size > (half := round(HALF * examples)):
        raise ValueError(f"batch_size: must be at most {half}, half of the examples, got {batch_size}")
    if small := [f for f in fractions if not batch_size <= round(f * examples) < examples]:
        raise ValueError(f"fractions: must keep from a batch of {batch_size} to all but one example, got {small[0]:g}")
    if score_epoch * (examples // batch_size) > steps:
        epochs = f"{steps / (examples // batch_size):.3g} epochs of training"
        raise ValueError(f"score_epoch: must be at most the {epochs}, got {score_epoch}")
    if noise and not LABELS_PERMUTED <= noise * examples <= HALF * examples:
        least = LABELS_PERMUTED / examples
        raise ValueError(f"noise: must be 0, or from {least:.2g} ({LABELS_PERMUTED} labels) to {HALF}, got {noise:g}")
    trials: list[Trial] = []
    for place, dataset in enumerate(datasets):
        common = {
            "dataset": dataset,
            "network": network,
            "examples": examples,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "augment": dataset.startswith("cifar"),  # as the paper does
            "noise": 0.0,
            "device": device,
        }
        trials += _main(common, score_epoch, networks, scores, fractions, seeds)
        if noise and place == 0:
            trials += _noisy(common | {"noise": noise}, score_epoch, min(networks, GROUP), seeds)
        if other_network != "none" and place == 0:
            trials += _transferred(common, other_network, score_epoch, networks, seeds)
    return trials


def _main(common: dict, score_epoch: int, networks: int, scores, fractions, seeds: int) -> list[Trial]:
    scoring, mean = _scoring(common, score_epoch, networks)
    trials = [*scoring, mean, *_ranks(common, scoring, mean)]
    for group in range(networks // GROUP):
        needs = {f"net_{i:03d}": net for i, net in enumerate(scoring[group * GROUP : (group + 1) * GROUP])}
        trials.append(Trial(f"{__name__}:unforgotten", common, group, needs))
    trials += _arm(common, "random", 1.0, seeds)
    for keep in fractions:
        for matched in ("iterations", "epochs"):
            trials += _arm(common, "random", keep, seeds, matched=matched)
            trials += _arm(common, "el2n", keep, seeds, scores=mean, matched=matched)
        for score in scores:
            if score != "el2n":
                trials += _arm(common, score, keep, seeds, scores=mean)
    trials += _arm(common, "grand_start", HALF, seeds, scores=mean)
    for seed in range(seeds):
        trials += _arm(common, "el2n", HALF, 1, first=seed, scores=scoring[seed % networks], source="one")
    return trials


def _noisy(common: dict, score_epoch: int, networks: int, seeds: int) -> list[Trial]:
    scoring, mean = _scoring(common, score_epoch, networks)
    return [
        *scoring,
        mean,
        *_ranks(common, scoring, mean),
        *_arm(common, "random", HALF, seeds),
        *_arm(common, "el2n", HALF, seeds, scores=mean),
        *_arm(common, "el2n", HALF, seeds, scores=mean, skip=common["noise"]),
    ]


def _transferred(common: dict, other: str, score_epoch: int, networks: int, seeds: int) -> list[Trial]:
    """Another architecture, trained on what the first one's scores keep, and its own scores for comparison."""
    _, mean = _scoring(common, score_epoch, networks)
    common = common | {"network": other}
    scoring, _ = _scoring(common, score_epoch, OTHERS)
    return [
        *scoring,
        *_ranks(common, scoring, mean, "compared"),
        *_arm(common, "random", HALF, seeds),
        *_arm(common, "el2n", HALF, seeds, scores=mean, source="transfer"),
    ]


def _scoring(common: dict, score_epoch: int, networks: int) -> tuple[list[Trial], Trial]:
    more = {"score_epoch": score_epoch}
    scoring = [Trial(f"{__name__}:scored", common | more, seed) for seed in range(networks)]
    needs = {f"net_{i:03d}": trial for i, trial in enumerate(scoring)}
    return scoring, Trial(f"{__name__}:averaged", common | {"groups": 10}, 0, needs)


def _ranks(common: dict, scoring: Sequence[Trial], mean: Trial, function: str = "ranked") -> list[Trial]:
    return [Trial(f"{__name__}:{function}", common, net.seed, {"own": net, "mean": mean}) for net in scoring]


def _arm(
    common: dict,
    score: str,
    keep: float,
    seeds: int,
    *,
    scores: Trial | None = None,
    skip: float = 0.0,
    matched: str = "iterations",
    source: str = "all",
    first: int = 0,
) -> list[Trial]:
    more = {"score": score, "keep": keep, "skip": skip, "matched": matched, "source": source}
    needs = {"scores": scores} if scores else {}
    return [Trial(f"{__name__}:trained", common | more, first + seed, needs) for seed in range(seeds)]


# What it measures -----------------------------------------------------------------------------------------------

TEN = 10  # networks
FEW = 0.2  # where classes are compared: the more is left out, the more there is to see


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials (`redraw.workbook.trial_table`).

    Accuracies on the test set at the end of training, in per cent, one number per seed; correlations one per scoring
    network. Claims without a dataset in their words are about the first of the run's datasets. A claim that speaks of
    networks this run did not train is not tested.
    """
    first = knobs["datasets"][0]
    found: dict[str, Samples] = {}
    for suffix, dataset in (("", first), ("m", "mnist")):
        full, half = accuracy(table, dataset, "random", 1.0), accuracy(table, dataset, "el2n", HALF)
        epochs = accuracy(table, dataset, "el2n", HALF, matched="epochs")
        random = accuracy(table, dataset, "random", HALF)
        found |= {
            f"D1{suffix}": _pair(half, full),
            f"D2{suffix}": _pair(epochs, full),
            f"D3{suffix}": _many(el2n=half, random=random),
            f"D4{suffix}": _many(el2n=epochs, random=accuracy(table, dataset, "random", HALF, matched="epochs")),
        }
    half, random = accuracy(table, first, "el2n", HALF), accuracy(table, first, "random", HALF)
    start = accuracy(table, first, "grand_start", HALF)
    noisy = {"noise": knobs["noise"]} if knobs["noise"] else {"noise": -1.0}
    hardest, lucky = accuracy(table, first, "el2n", HALF, **noisy), accuracy(table, first, "random", HALF, **noisy)
    skipping = accuracy(table, first, "el2n", HALF, skip=knobs["noise"], **noisy) if knobs["noise"] else hardest
    other = {"network": knobs["other_network"]}
    return found | {
        "S1": _each(table, "ranked", first, "one_grand", least=TEN),
        "S2": _each(table, "ranked", first, "one_el2n", least=TEN),
        "S3": _many(averaged=half, one=accuracy(table, first, "el2n", HALF, source="one")),
        "N1": _each(table, "ranked", first, "precision", **noisy),
        "N2": _each(table, "ranked", first, "auc", **noisy),
        "N3": _many(random=lucky, hardest=hardest),
        "N4": _many(skipping=skipping, hardest=hardest),
        "F1": _each(table, "ranked", first, "forgetting_el2n"),
        "F2": _each(table, "unforgotten", "mnist", "unforgotten"),
        "T1": _each(table, "compared", first, "between_el2n", **other),
        "T2": _many(
            transferred=accuracy(table, first, "el2n", HALF, source="transfer", **other),
            random=accuracy(table, first, "random", HALF, **other),
        ),
        "G1": _many(grand=start, random=random),
        "G2": _many(grand=start, random=random),
        "G3": _each(table, "ranked", first, "norm_grand"),
        "C1": _uneven(class_losses(table, first, FEW)),
    }


def rows(table: pd.DataFrame, function: str, dataset: str, *, noise: float = 0.0, network: str | None = None):
    """The rows of one trial function on one dataset; `network` is the run's own unless another is named."""
    if table.empty:
        return table
    network = network or table.loc[table["function"] == "scored", "network"].iloc[0]
    same = (table["function"] == function) & (table["dataset"] == dataset) & (table["network"] == network)
    return table[same & (table["noise"] == noise)]


def accuracy(
    table: pd.DataFrame, dataset: str, score: str, keep: float, *, skip=0.0, matched="iterations", source="all", **more
) -> pd.Series:
    """Test accuracies (%) of the networks of one condition, by seed; empty where there are none. more: see `rows`."""
    found = rows(table, "trained", dataset, **more)
    if found.empty:
        return pd.Series(dtype=float)
    found = found[(found["score"] == score) & (found["keep"] == keep) & (found["skip"] == skip)]
    found = found[(found["matched"] == matched) & (found["source"] == source)]
    return 100 * found.set_index("seed")["test_accuracy"].sort_index()


def class_losses(table: pd.DataFrame, dataset: str, keep: float, score: str = "el2n") -> pd.DataFrame:
    """What keeping a fraction by a score costs each class: test accuracy (%) on all examples less that on those kept, a
    row per seed, a column per class; empty where there are no such networks."""
    found = rows(table, "trained", dataset)
    if found.empty:
        return pd.DataFrame()
    found = found[(found["matched"] == "iterations") & (found["source"] == "all") & (found["skip"] == 0)]
    classes = sorted((name for name in found if name.startswith("accuracy_")), key=lambda name: int(name[9:]))
    whole, kept = (
        found[(found["score"] == score) & (found["keep"] == share)].set_index("seed")[classes].sort_index()
        for score, share in (("random", 1.0), (score, keep))
    )
    losses = 100 * (whole - kept).dropna(axis="columns", how="all")
    return losses.set_axis([int(name[9:]) for name in losses], axis="columns")


def _uneven(losses: pd.DataFrame) -> Samples:
    """Per seed: the loss of the class that the other seeds lose most in, less the mean loss of the classes."""
    if len(losses) < 2:
        return Samples.not_tested(f"this run kept no {FEW:.0%} of the examples")
    found = []
    for seed in losses.index:
        worst = losses.drop(index=seed).mean().idxmax()  # of the other seeds, or chance would choose it
        found.append(losses.loc[seed, worst] - losses.loc[seed].mean())
    return Samples.of(found)


def _each(table: pd.DataFrame, function: str, dataset: str, name: str, least: int = 2, **more) -> Samples:
    """A number per scoring network, or per group of them."""
    found = rows(table, function, dataset, **more)
    if len(found) < least:
        return Samples.not_tested(f"this run has {len(found)} such networks, and the claim needs {least}")
    return Samples.of(found.sort_values("seed")[name])


def _many(**arms: pd.Series) -> Samples:
    if lacking := [name for name, arm in arms.items() if arm.empty]:
        return Samples.not_tested(f"this run trained no network for: {', '.join(lacking)}")
    return Samples.many(arms)


def _pair(a: pd.Series, b: pd.Series) -> Samples:
    return _many(a=a, b=b)
