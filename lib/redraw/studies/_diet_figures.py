"""What the figures of the study `data_diet` show, as frames that its notebook draws."""

import numpy as np
import pandas as pd

from redraw.studies._interval import mean_interval
from redraw.studies.data_diet import _arrays, class_losses, rows

LABELS = {
    "el2n": "EL2N",
    "grand": "GraNd",
    "forgetting": "forgetting",
    "random": "random",
    "input_norm": "input norm",
    "grand_start": "GraNd at initialization",
    "el2n_start": "EL2N at initialization",
}
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
CLASSES = {"fashion_mnist": FASHION, "cifar10": CIFAR10, "cifar10_jpeg": CIFAR10}


def accuracies(table: pd.DataFrame, dataset: str, matched: str = "iterations") -> pd.DataFrame:
    """Tidy rows for the main figure: score, kept (%), seed, accuracy (%). All examples end every score's curve.

    Scores appear in one order at every fraction, those tried at one fraction only last: what is left of the rows when
    small fractions are left out has the same colours."""
    found = rows(table, "trained", dataset)
    if found.empty:
        return pd.DataFrame(columns=["score", "kept", "seed", "accuracy"])
    found = found[(found["source"] == "all") & (found["skip"] == 0)]
    whole, found = found[found["keep"] == 1], found[(found["keep"] < 1) & (found["matched"] == matched)]
    # a score that was tried at one fraction only is a point
    lines = [score for score, rows in found.groupby("score", sort=False) if rows["keep"].nunique() > 1]
    lines = lines or list(dict.fromkeys(found["score"]))
    tidy = pd.concat([found, *(whole.assign(score=score) for score in lines)], ignore_index=True)
    order = {score: place for place, score in enumerate(dict.fromkeys([*lines, *tidy["score"]]))}
    tidy = tidy.sort_values("score", key=lambda scores: scores.map(order), kind="stable")
    named = {
        "score": tidy["score"].map(LABELS),
        "kept": 100 * tidy["keep"],
        "seed": tidy["seed"],
        "accuracy": 100 * tidy["test_accuracy"],
    }
    return pd.DataFrame(named).sort_values("kept", kind="stable", ignore_index=True)


def enlarged(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `accuracies` where half or more is kept, of scores that are curves there: a single point far below
    would stretch the axis on which points of accuracy are told apart."""
    half = frame[frame["kept"] >= 50]
    return half[half.groupby("score")["kept"].transform("nunique") > 1]


def stability(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Rank correlations of averages over m networks with averages over m others: score, networks, draw, correlation."""
    found = rows(table, "averaged", dataset)
    parts = [
        {"score": LABELS[name], "networks": m, "draw": draw, "correlation": value}
        for agree in (found["agree"] if len(found) else [])
        for name, groups in agree.items()
        for m, values in enumerate(groups, 1)
        for draw, value in enumerate(values)
    ]
    return pd.DataFrame(parts, columns=["score", "networks", "draw", "correlation"])


def histogram(table: pd.DataFrame, dataset: str, noise: float) -> pd.DataFrame:
    """How EL2N is distributed: labels (right or wrong), el2n (lower end of a bin), width, count; empty without noise,
    where no label is wrong."""
    found, parts = rows(table, "averaged", dataset, noise=noise), []
    for counts in found["histogram"] if noise and len(found) else []:
        edges = np.array(counts["edges"])
        for name in ("right", "wrong"):
            part = pd.DataFrame({"el2n": edges[:-1], "width": np.diff(edges), "count": counts[name]})
            parts += [part.assign(labels=f"{name} label")] if part["count"].any() else []
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["labels", "el2n", "width", "count"])


def uneven(table: pd.DataFrame, dataset: str, keep: float) -> pd.DataFrame:
    """What each class loses when a fraction is kept by EL2N, and when it is kept at random, in the order of what EL2N
    costs, most first: kept (by what), label, estimate, low, high (pp, 95 % interval over seeds)."""
    losses = {score: class_losses(table, dataset, keep, score) for score in ("el2n", "random")}
    order = losses["el2n"].mean().sort_values(ascending=False).index
    parts = [
        (LABELS[score], class_name(dataset, label), *mean_interval(each[label]))
        for score, each in losses.items()
        for label in order
    ]
    return pd.DataFrame(parts, columns=["kept", "label", "estimate", "low", "high"])


def class_name(dataset: str, label: int) -> str:
    """A class in a word."""
    return CLASSES[dataset][label] if dataset in CLASSES else str(label)


def wall(table: pd.DataFrame, dataset: str) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The easiest and the hardest pictures of each class by EL2N, (classes, 5, H, W) or (classes, 5, 3, H, W) each, and
    their positions in the dataset's file as a table: class, what, place, id."""
    found = rows(table, "averaged", dataset)
    if found.empty:
        return {}, pd.DataFrame()
    chosen, arrays, parts = found["wall"].iloc[0], _arrays(dataset), []
    pictures = {what: np.stack([arrays.train_x[ids].numpy() for ids in chosen[what]]) for what in chosen}
    for what, classes in chosen.items():
        parts += [
            {"class": class_name(dataset, label), "what": what, "place": place, "id": id_}
            for label, ids in enumerate(classes)
            for place, id_ in enumerate(ids, 1)
        ]
    return {what: _as_pictures(values) for what, values in pictures.items()}, pd.DataFrame(parts)


def _as_pictures(values: np.ndarray) -> np.ndarray:
    """Flat inputs as squares, one grey channel as none."""
    if values.ndim == 3:
        side = round(values.shape[2] ** 0.5)
        return values.reshape(*values.shape[:2], side, side)
    return values[:, :, 0] if values.shape[2] == 1 else values


def in_words(frame: pd.DataFrame) -> str:
    """A figure of `accuracies` as a sentence: each score's mean at its ends."""
    parts = []
    for score, lines in frame.groupby("score", sort=False):
        means = lines.groupby("kept")["accuracy"].mean()
        parts.append(
            f"{score} "
            + " to ".join(f"{means[k]:.2f} % of {k:g} % kept" for k in sorted({means.index.min(), means.index.max()}))
        )
    return "; ".join(parts) + "."
