"""Trials of the study `late_rewinding` that take hours: as its own of the same name, but they keep a checkpoint."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import nn

from redraw import data
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.studies import _rewound
from redraw.studies._rewound import Checkpoint, Recipe
from redraw.studies.data_diet import cropped_and_flipped
from redraw.studies.late_rewinding import _distance, _end, _final, _masks, _packed
from redraw.training import batches, steps
from redraw.workbook import Result


def dense(*, seed: int, keep: Sequence[int], checkpoint, **recipe) -> dict:
    """As `late_rewinding.dense`, to the bit. checkpoint: where it keeps its middle."""
    recipe = Recipe(**recipe)
    dataset, model = _rewound.make(recipe, seed, "theta_0")
    start, masks = _rewound.fresh(model), Masks.dense(model)
    kept = train(recipe, model, masks, dataset, start, (seed, "dense"), checkpoint, keep=keep)
    tensors = {name: value for one in kept for name, value in one.tensors().items()}
    return _rewound.tested(model, dataset) | {"remaining": 1.0, "tensors": tensors | _final(recipe, model)}


def ticket(
    *, seed: int, k: int, round: int, rate: float, dense: Result, previous: Result | None = None, checkpoint, **recipe
) -> dict:
    """As `late_rewinding.ticket`, to the bit. checkpoint: where it keeps its middle."""
    recipe = Recipe(**recipe)
    dataset, model = _rewound.make(recipe, seed, "theta_0")
    before = previous or dense
    masks = magnitude(_end(before, recipe), _masks(before, model), rate, scope="global")
    start = _rewound.checkpoint(dense.tensors, k)
    train(recipe, model, masks, dataset, start, (seed, "ticket", k, round), checkpoint)
    return _rewound.tested(model, dataset) | {
        "remaining": masks.remaining,
        "distance": _distance(_end(dense, recipe), _rewound.state_of(model), masks),
        "tensors": _final(recipe, model) | _packed(masks),
    }


def train(
    recipe: Recipe,
    model: nn.Module,
    masks: Masks,
    dataset: data.Dataset,
    start: Checkpoint,
    stream: Sequence,
    saved,
    *,
    keep: Sequence[int] = (),
) -> list[Checkpoint]:
    """As `_rewound.train`, to the bit, but that it goes on from the middle that `saved` has, and saves there when due.

    What is saved: weights and the optimizer's state, those of the iterations `keep` that are past, and the state of
    the generator that changes the pictures. The order of the data is drawn again up to where it was.
    """
    order, pictures = generator(*stream, "order"), generator(*stream, "pictures")
    now, kept = start, None
    if found := saved.load():
        values, tensors = found
        now = _rewound.checkpoint(tensors, values["now"])
        kept = [_rewound.checkpoint(tensors, iteration) for iteration in values["kept"]]
        pictures.set_state(tensors["pictures"])
    model.load_state_dict({name: value.to(recipe.device) for name, value in now.state.items()})
    optimizer = _rewound._optimizer(recipe, model)
    _rewound._restore(optimizer, now.optimizer)
    if masks.kept < masks.total:
        masks.hold(model, optimizer)
    if kept is None:
        kept = [_rewound._snapshot(model, optimizer, start.iteration)] if start.iteration in keep else []
    feed = _from(now.iteration - start.iteration, dataset, recipe.batch_size, order)
    if recipe.augment:
        feed = ((cropped_and_flipped(x, pictures), y) for x, y in feed)
    optimizer.param_groups[0]["lr"] = _rewound.learning_rate(recipe, now.iteration)
    for step, _ in steps(model, feed, optimizer, recipe.iterations - now.iteration):
        iteration = now.iteration + step
        if iteration in keep:
            kept.append(_rewound._snapshot(model, optimizer, iteration))
        if iteration == recipe.iterations:
            break
        optimizer.param_groups[0]["lr"] = _rewound.learning_rate(recipe, iteration)
        if saved.due:
            moment = _rewound._snapshot(model, optimizer, iteration)
            tensors = {name: value for one in (*kept, moment) for name, value in one.tensors().items()}
            values = {"now": iteration, "kept": [one.iteration for one in kept]}
            saved.save(values, tensors | {"pictures": pictures.get_state()})
    return kept


def _from(step: int, dataset: data.Dataset, batch_size: int, order: torch.Generator):
    """The batches after the first `step`, as `training.batches` gives them: whole epochs are drawn, not gathered."""
    examples = len(dataset.train_x)
    epochs, within = divmod(step, examples // batch_size)
    for _ in range(epochs):
        torch.randperm(examples, generator=order)
    return islice(batches(dataset.train_x, dataset.train_y, batch_size, order), within, None)
