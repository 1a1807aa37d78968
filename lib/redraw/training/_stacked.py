"""Networks of one architecture stacked along a first dimension of members, and their logits in one program."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

Tensors = Mapping[str, Tensor]


def stacked(models: Sequence[nn.Module], device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters, which require gradients, and buffers of M networks by name, each (M, ...), on `device`.

    Raises ValueError when the networks' parameters or buffers differ in name or shape.
    """
    shapes = [[(name, value.shape) for name, value in _named(model).items()] for model in models]
    if other := [m for m, one in enumerate(shapes) if one != shapes[0]]:
        raise ValueError(f"models: must be of one architecture, and number {other[0]} differs from number 0")
    parameters, buffers = stack_module_state(list(models))
    parameters = {name: value.detach().to(device).requires_grad_() for name, value in parameters.items()}
    return parameters, {name: value.to(device) for name, value in buffers.items()}


@torch.no_grad()
def unstack(models: Sequence[nn.Module], *state: Tensors) -> None:
    """Write the m-th of the stacked tensors back into the m-th network."""
    device = next(iter(_named(models[0]).values())).device
    values = {name: value.to(device) for part in state for name, value in part.items()}
    for m, model in enumerate(models):
        for name, own in _named(model).items():
            own.copy_(values[name][m])


def forward(model: nn.Module) -> Callable[[Tensors, Tensors, Tensor], Tensor]:
    """The function (parameters, buffers, x (M, B, ...)) -> logits (M, classes, B) of stacked networks like `model`.

    Perceptrons take a batched product a layer; other networks `vmap`. A member's logits depend on its own parameters
    alone. The mode, train or eval, is that of `model`, whose own parameters are not used.
    """
    if _is_perceptron(model):
        layers = list(model._modules.items())[1:]

        def logits(parameters, buffers, x):
            h = x.flatten(2).mT  # (M, features, B): gradients of weights then come laid out as the weights are
            for name, layer in layers:
                if isinstance(layer, nn.Linear):
                    h = torch.baddbmm(parameters[f"{name}.bias"].unsqueeze(2), parameters[f"{name}.weight"], h)
                else:
                    h = layer(h)
            return h

        return logits
    one = vmap(lambda parameters, buffers, x: functional_call(model, (parameters, buffers), (x,)))
    return lambda parameters, buffers, x: one(parameters, buffers, x).mT


def _is_perceptron(model: nn.Module) -> bool:
    """Whether it is a sequence that flattens and then has linear layers with biases and ReLUs only."""
    if type(model) is not nn.Sequential or not len(model):
        return False
    first, *rest = model
    flattens = type(first) is nn.Flatten and (first.start_dim, first.end_dim) == (1, -1)
    return flattens and all(
        type(layer) is nn.ReLU or (type(layer) is nn.Linear and layer.bias is not None) for layer in rest
    )


def _named(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())
