"""Training to a fixed budget with the early stop read off afterwards, as the lottery-ticket paper does."""

from dataclasses import dataclass, field

import torch
from torch import nn

from redraw.data._tensors import Dataset
from redraw.training._loop import batches, evaluate, steps


@dataclass
class History:
    """One training run. Losses in nats, accuracies as fractions, iterations counted from 1.

    `stop_iteration` is the evaluated iteration of minimum validation loss (the first, on ties). When it is
    the last one evaluated, the minimum may lie beyond the budget: the stop is right-censored (`censored`).

    A run none of whose evaluated validation losses was finite has no minimum (`diverged`). It counts as stopped by the
    budget: `stop_iteration` is the last one evaluated, censored; the test accuracy at the stop is that of the
    final weights; `stop_validation_loss` stays infinite.
    """

    iterations: list[int] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    stop_iteration: int = 0
    stop_validation_loss: float = float("inf")
    stop_test_accuracy: float = 0.0
    final_test_accuracy: float = 0.0
    censored: bool = False
    diverged: bool = False


def fit(
    model: nn.Module,
    dataset: Dataset,
    optimizer: torch.optim.Optimizer,
    *,
    iterations: int,
    batch_size: int,
    evaluate_every: int,
    generator: torch.Generator,
) -> History:
    """Train `model` for `iterations` steps and evaluate validation loss every `evaluate_every` of them.

    The test set is read twice only: with the weights of the early stop and with the final ones; it decides
    nothing. The model keeps its final weights. Raises ValueError unless 1 <= evaluate_every <= iterations.
    """
    if not 1 <= evaluate_every <= iterations:
        raise ValueError(f"evaluate_every: must be from 1 to {iterations} iterations, got {evaluate_every}")
    history, best = History(), {}
    data = batches(dataset.train_x, dataset.train_y, batch_size, generator)
    for iteration, _ in steps(model, data, optimizer, iterations):
        if iteration % evaluate_every:
            continue
        loss, accuracy = evaluate(model, dataset.validation_x, dataset.validation_y)
        history.iterations.append(iteration)
        history.validation_loss.append(loss)
        history.validation_accuracy.append(accuracy)
        if loss < history.stop_validation_loss:
            history.stop_iteration, history.stop_validation_loss = iteration, loss
            best = {name: value.clone() for name, value in model.state_dict().items()}
    history.final_test_accuracy = evaluate(model, dataset.test_x, dataset.test_y)[1]
    history.diverged = not best
    if history.diverged:
        history.stop_iteration = history.iterations[-1]
        history.stop_test_accuracy = history.final_test_accuracy
    else:
        final = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(best)
        history.stop_test_accuracy = evaluate(model, dataset.test_x, dataset.test_y)[1]
        model.load_state_dict(final)
    history.censored = history.stop_iteration == history.iterations[-1]
    return history
