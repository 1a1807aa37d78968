"""How networks of the study `late_rewinding` train: from a checkpoint, with its weights, optimizer state and place in
the learning-rate schedule, in an order of the data of their own; and which units a structured pruning removes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor, nn

from redraw import data
from redraw.models import initialize, lenet_300_100, narrow_conv_2, resnet_20, small_resnet
from redraw.pruning import Masks
from redraw.seeds import generator
from redraw.studies.data_diet import cropped_and_flipped
from redraw.training import batches, evaluate, steps

NETWORKS = {"lenet": lenet_300_100, "conv_2": narrow_conv_2, "small_resnet": small_resnet, "resnet_20": resnet_20}
DROPS = (32 / 63, 48 / 63)  # of the training, as He et al. 2016 divide by ten at 32k and 48k of 63k steps
DECAY = 0.1


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained. `schedule` is constant, or step: the learning rate divided by 10 after 32/63
    and 48/63 of the iterations."""

    dataset: str
    network: str
    optimizer: str
    learning_rate: float
    schedule: str
    weight_decay: float
    batch_size: int
    iterations: int
    augment: bool
    device: str


@dataclass
class Checkpoint:
    """A moment of a training: the network's state by name (weights, batch-norm statistics) and the optimizer's by
    parameter number and name (momentum, for Adam both moments and the step)."""

    iteration: int
    state: dict[str, Tensor]
    optimizer: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """As stored with a trial, under names that `checkpoint_at` reads."""
        place = f"at_{self.iteration}"
        return {f"{place}.state.{name}": value for name, value in self.state.items()} | {
            f"{place}.optimizer.{name}": value for name, value in self.optimizer.items()
        }


def checkpoint_at(tensors: Mapping[str, Tensor], iteration: int) -> Checkpoint:
    """The checkpoint of an iteration among a trial's tensors."""
    found = []
    for kind in ("state", "optimizer"):
        prefix = f"at_{iteration}.{kind}."
        found.append({n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)})
    return Checkpoint(iteration, *found)


@lru_cache(1)
def dataset_of(name: str, seed: int, device: str) -> data.Dataset:
    """The dataset with the split of this seed, where the networks are."""
    loaded = data.load(name, seed=seed)
    parts = {f"{part}_{axis}" for part in ("train", "validation", "test") for axis in "xy"}
    return data.Dataset(
        name=name, classes=loaded.classes, **{part: getattr(loaded, part).to(device) for part in sorted(parts)}
    )


def make(recipe: Recipe, seed: int, *stream) -> tuple[data.Dataset, nn.Module]:
    """The data and a freshly initialized network, its convolutions laid out channels last, which is faster on a CPU."""
    dataset = dataset_of(recipe.dataset, seed, recipe.device)
    model = NETWORKS[recipe.network](tuple(dataset.train_x.shape[1:]), dataset.classes)
    initialize(model, "glorot_normal" if recipe.network == "lenet" else "kaiming_normal", generator(seed, *stream))
    return dataset, model.to(recipe.device, memory_format=torch.channels_last)


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """The learning rate of the step after `iteration` steps."""
    drops = 0 if recipe.schedule == "constant" else sum(iteration >= round(d * recipe.iterations) for d in DROPS)
    return recipe.learning_rate * DECAY**drops


def train(
    recipe: Recipe,
    model: nn.Module,
    masks: Masks,
    dataset: data.Dataset,
    start: Checkpoint,
    stream: Sequence,
    *,
    keep: Sequence[int] = (),
    rates: Sequence[float] | None = None,
    saved=None,
) -> list[Checkpoint]:
    """Train `model` from `start` to the end of the recipe under the masks, the data in the order of `stream`.

    From `start` come the weights, the optimizer's state and the place in the schedule; `rates` replaces the learning
    rate of each step. Returns checkpoints of the iterations `keep`; the model keeps its final weights.

    saved: what a trial that is given a `checkpoint` keeps its middle in. Training saves there when it is due, and goes
    on from what it finds there as if nothing had interrupted it: from the weights, the optimizer's state, the
    iterations `keep` that were past and the state of the generator that changes the pictures. The order of the data is
    drawn again up to that place.
    """
    order, pictures = generator(*stream, "order"), generator(*stream, "pictures")
    now, kept = start, None
    if saved and (found := saved.load()):
        values, tensors = found
        now = checkpoint_at(tensors, values["now"])
        kept = [checkpoint_at(tensors, iteration) for iteration in values["kept"]]
        pictures.set_state(tensors["pictures"])
    model.load_state_dict({name: value.to(recipe.device) for name, value in now.state.items()})
    optimizer = _optimizer(recipe, model)
    _restore(optimizer, now.optimizer)
    if masks.kept < masks.total:
        masks.hold(model, optimizer)
    if kept is None:
        kept = [_snapshot(model, optimizer, start.iteration)] if start.iteration in keep else []
    done = now.iteration - start.iteration
    feed = _batches(dataset, recipe.batch_size, order, done)
    if recipe.augment:
        feed = ((cropped_and_flipped(x, pictures), y) for x, y in feed)
    if rates is None:
        rates = [learning_rate(recipe, i) for i in range(start.iteration, recipe.iterations)]
    if rates:
        optimizer.param_groups[0]["lr"] = rates[done]
    for _ in steps(model, feed, optimizer, len(rates) - done):
        done += 1
        iteration = start.iteration + done
        if iteration in keep:
            kept.append(_snapshot(model, optimizer, iteration))
        if done < len(rates):
            optimizer.param_groups[0]["lr"] = rates[done]
            if saved and saved.due:
                _save(saved, [*kept, _snapshot(model, optimizer, iteration)], pictures)
    return kept


def _batches(dataset: data.Dataset, batch_size: int, order: torch.Generator, done: int) -> Iterator:
    """The batches after the first `done`: of the epochs before, only the permutations are drawn."""
    epochs, within = divmod(done, len(dataset.train_x) // batch_size)
    for _ in range(epochs):
        torch.randperm(len(dataset.train_x), generator=order)
    return islice(batches(dataset.train_x, dataset.train_y, batch_size, order), within, None)


def _save(saved, moments: Sequence[Checkpoint], pictures: torch.Generator) -> None:
    """The checkpoints kept so far, and last the present one."""
    tensors = {name: value for one in moments for name, value in one.tensors().items()}
    *kept, now = (one.iteration for one in moments)
    saved.save({"now": now, "kept": kept}, tensors | {"pictures": pictures.get_state()})


def fresh(model: nn.Module) -> Checkpoint:
    """Iteration 0 of the network as it stands, the optimizer not yet begun."""
    return Checkpoint(0, state_of(model), {})


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's state on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def tested(model: nn.Module, dataset: data.Dataset) -> dict[str, float]:
    """Accuracies (%) on the test set, which decides nothing here, and on the validation set."""
    test, validation = (
        100 * evaluate(model, x, y)[1]
        for x, y in ((dataset.test_x, dataset.test_y), (dataset.validation_x, dataset.validation_y))
    )
    return {"test_accuracy": test, "validation_accuracy": validation}


def structured_masks(weights: Mapping[str, Tensor], masks: Masks, keep: float) -> Masks:
    """Masks that remove whole units from a chain of layers: of each but the last the fraction `keep` with the largest
    L1 norm of incoming weights stays, and what leaves a removed unit goes too, so that the masked network computes
    what the smaller dense one would (the bias of a removed unit reaches nothing).

    weights: of fully connected (out, in) or convolutional layers (out, in, h, w), each fed by the one before.
    Source: Li et al. 2017 (arXiv 1608.08710), section 3.1.
    """
    found, alive = {}, None
    for name, mask in masks.items():
        weight = weights[name].to(mask.device)
        columns = torch.ones_like(mask)
        if alive is not None:  # a map that was flattened feeds several columns
            spread = alive.repeat_interleave(weight.shape[1] // len(alive))
            columns = spread.view(1, -1, *[1] * (weight.ndim - 2)).expand_as(mask)
        if name == list(masks)[-1]:
            found[name] = mask & columns
            break
        norms = weight.abs().flatten(1).sum(1)
        alive = torch.zeros(len(norms), dtype=torch.bool, device=mask.device)
        alive[norms.topk(max(round(keep * len(norms)), 1)).indices] = True
        found[name] = mask & columns & alive.view(-1, *[1] * (weight.ndim - 1))
    return Masks(found)


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, fused=True
    )


def _snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int) -> Checkpoint:
    kept = {
        f"{number}.{name}": value.detach().cpu().clone()
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if torch.is_tensor(value)
    }
    return Checkpoint(iteration, state_of(model), kept)


def _restore(optimizer: torch.optim.Optimizer, kept: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in kept.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value.clone()
    if state:
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
