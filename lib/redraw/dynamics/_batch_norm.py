"""Statistics of batch normalization for weights that no training has produced."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, x: Tensor, chunk: int = 500) -> nn.Module:
    """Compute the running means and variances of the network's batch normalization anew on x (N, ...), in place.

    They become the average over chunks of `chunk` inputs, all of equal weight (an incomplete last chunk is left out),
    each layer seeing what the layers before it make of the same chunk in training mode. Weights, and the modes of the
    modules, stay as they are; dropout is off. Returns the model.
    Source: Izmailov et al. 2018 (arXiv 1803.05407), section 3.2, for averaged weights.
    Raises ValueError for no inputs.
    """
    if not len(x):
        raise ValueError("x: must be at least one input")
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    modes = [(module, module.training) for module in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a plain average
        layer.train()
    for piece in x[: max(len(x) // chunk, 1) * chunk].split(chunk):
        model(piece)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in modes:
        module.training = mode
    return model
