"""What `redraw score` and `redraw select` do. Numerical libraries load only when the request has been found right."""

import csv
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

METHODS = ("el2n", "grand", "loss", "margin", "forgetting", "input_norm", "random")
UNTRAINED = ("input_norm", "random")
NETWORKS = ("mlp", "lenet_5", "small_conv", "resnet_18")
POLICIES = ("hardest", "easiest", "stratified", "random")


class SelectionRequestError(ValueError):
    """A request to score or select that cannot be met; the message names the field and what is allowed."""


@dataclass(frozen=True)
class Selected:
    """The ids that a policy keeps, of how many, by which file of scores."""

    file: str
    method: str
    policy: str
    examples: int
    ids: list[int]
    lowest: float
    highest: float

    def to_dict(self) -> dict:
        """For `--json`."""
        return {**vars(self), "kept": len(self.ids)}


def score(dataset: str, method: str, network: str, epoch: int, networks: int, seed: int, checkpoints: Path | None):
    """Scores of a dataset's training examples (`redraw.selection.Scores`), ids being positions in its file.

    Each network is initialized and trained by a seed of its own (seed, seed + 1, ...): SGD with Nesterov momentum 0.9,
    learning rate 0.05, weight decay 5e-4, batches of 128. Its weights are loaded from the checkpoint of that epoch,
    which is written to `checkpoints` (or a temporary folder) first where it is not there yet.
    Raises SelectionRequestError with one line on anything wrong, DataUnavailable.
    """
    _check("method", method, METHODS)
    _check("network", network, NETWORKS)
    if method == "forgetting" and epoch < 2:
        raise SelectionRequestError(f"epoch: must be at least 2 for forgetting, got {epoch}")
    from redraw import data, selection
    from redraw.seeds import generator

    entry = data.describe(dataset)
    if entry.kind != "examples":
        raise SelectionRequestError(f"dataset: must hold examples with labels, {dataset} holds {entry.kind}")
    arrays = data.reader(dataset)(data.locate(dataset))
    examples = arrays.train_x, arrays.train_y
    weights: list[str] = []
    if method == "input_norm":
        values = selection.input_norm(examples)
    elif method == "random":
        values = selection.random_scores(len(arrays.train_x), generator(seed, "score", "random"))
    else:
        with tempfile.TemporaryDirectory(prefix="redraw-") as temporary:
            parts = []
            for one in range(seed, seed + networks):
                folder = Path(checkpoints or temporary) / f"{dataset}-{network}-seed-{one}"
                model, seen = _network(examples, network, epoch, one, folder, counted=method == "forgetting")
                weights.append(selection.checkpoint_hash(model))
                model.eval()
                parts.append(
                    selection.forgetting(seen)
                    if method == "forgetting"
                    else getattr(selection, method)(model, examples)
                )
        values = sum(parts) / len(parts)
    import torch

    return selection.Scores(
        values=values,
        ids=torch.arange(len(values)),
        method=method,
        model="" if method in UNTRAINED else network,
        epoch=None if method in UNTRAINED else epoch,
        weights=tuple(weights),
        data=selection.data_hash(*examples),
        dataset=dataset,
    )


def _network(examples, network: str, epoch: int, seed: int, folder: Path, *, counted: bool):
    """A network with the weights of that epoch, read back from its checkpoint, and the forgetting events if counted."""
    import torch

    from redraw import models, selection
    from redraw.seeds import generator

    x, y = examples
    makers = {"mlp": models.lenet_300_100} | {name: getattr(models, name) for name in NETWORKS[1:]}
    try:
        model = makers[network](tuple(x.shape[1:]), int(y.max()) + 1)
    except ValueError:
        raise SelectionRequestError(
            f"network: must be mlp for inputs of shape {tuple(x.shape[1:])}, got {network}"
        ) from None
    models.initialize(model, "kaiming_normal", generator(seed, "score", "theta"))
    start, seen = selection.checkpoint_hash(model), selection.Presentations(len(x))
    try:
        there = folder / f"epoch-{epoch:05d}.safetensors"
        if counted or not there.exists():
            optimizer = torch.optim.SGD(
                model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
            )
            size = min(128, len(x))
            per_epoch = len(x) // size
            for step in selection.train(
                model,
                examples,
                optimizer,
                iterations=epoch * per_epoch,
                batch_size=size,
                generator=generator(seed, "score", "order"),
                seen=seen if counted else None,
            ):
                if step % per_epoch == 0:
                    selection.save_checkpoint(folder, step // per_epoch, model)
        _, found = selection.load_checkpoint(folder, model, epoch)
        if epoch == 0 and found != start:
            raise SelectionRequestError(f"{there}: is not the initialization of seed {seed}")
    except (selection.SelectionError, RuntimeError) as error:  # a checkpoint of another network
        raise SelectionRequestError(f"{folder}: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise SelectionRequestError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return model, seen


def check_place(path: Path, suffix: str) -> None:
    """Raises SelectionRequestError for a file that could not be written, or with another ending."""
    if path.suffix != suffix:
        raise SelectionRequestError(f"{path}: must end in {suffix}")
    folder = path.absolute().parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        why = "it is a folder" if path.is_dir() else "no permission" if folder.is_dir() else "no such folder"
        raise SelectionRequestError(f"save: must be a file that can be written, got {path} ({why})")


def save_scores(scores, path: Path) -> None:
    """Write scores to a .safetensors file. Raises SelectionRequestError on another ending or a place that cannot be."""
    from redraw import selection

    check_place(path, ".safetensors")
    try:
        selection.save_scores(scores, path)
    except selection.SelectionError as error:
        raise SelectionRequestError(str(error)) from None


def about(scores) -> dict:
    """What a file of scores says of itself, for `--json` and the table."""
    values = scores.values
    return {
        "method": scores.method,
        "dataset": scores.dataset,
        "examples": len(values),
        "model": scores.model,
        "epoch": scores.epoch,
        "networks": len(scores.weights),
        "weights": list(scores.weights),
        "data": scores.data,
        "lowest": values.min().item(),
        "median": values.median().item(),
        "highest": values.max().item(),
    }


def select_file(path: Path, keep: str, policy: str, skip: str, *, balanced: bool, seed: int) -> Selected:
    """The ids that a policy keeps of a file of scores. keep, skip: a fraction (`0.5`) or a number of examples (`500`).

    balanced: every class keeps the same share of its own examples; the dataset that the file names is read for its
    labels and must be the one that was scored. Raises SelectionRequestError with one line on anything wrong.
    """
    _check("policy", policy, POLICIES)
    kept, skipped = _number("keep", keep), _number("skip", skip)
    from redraw import data, selection

    try:
        scores = selection.load_scores(path)
        classes = None
        if balanced:
            arrays = data.reader(scores.dataset)(data.locate(scores.dataset))
            scores.check(arrays.train_x, arrays.train_y)
            classes = arrays.train_y[scores.ids]
        ids = selection.select(scores, kept, policy, skip=skipped, classes=classes, seed=seed)
    except selection.SelectionError as error:
        raise SelectionRequestError(str(error)) from None
    values = scores.of(ids)
    return Selected(
        path.name, scores.method, policy, len(scores.ids), ids.tolist(), values.min().item(), values.max().item()
    )


def save_ids(found: Selected, path: Path) -> None:
    """Write the ids to a .csv file, a row each, ascending."""
    check_place(path, ".csv")
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["id"])
            writer.writerows([i] for i in found.ids)
    except OSError as error:
        raise SelectionRequestError(f"{path}: cannot be written ({error.strerror or error})") from None


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SelectionRequestError(f"{name}: must be one of {', '.join(allowed)}, got {value!r}")


def _number(name: str, text: str) -> float | int:
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise SelectionRequestError(f"{name}: must be a fraction or a number of examples, got {text!r}") from None
