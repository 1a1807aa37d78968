"""Random initializations that draw from an explicit generator."""

from math import sqrt

import torch
from torch import nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def initialize(model: nn.Module, scheme: str, generator: torch.Generator) -> nn.Module:
    """Set the weights and biases of every linear and convolutional layer in place; returns the model.

    fan_in, fan_out: inputs and outputs of a unit times the kernel's size.
      glorot_normal   w ~ N(0, 2 / (fan_in + fan_out)), b = 0              (Glorot & Bengio 2010, eq. 12)
      kaiming_normal  w ~ N(0, 2 / fan_in), b ~ U(-1, 1) / sqrt(fan_in)    (He et al. 2015, eq. 10; PyTorch's bias)

    Raises ValueError for another scheme.
    """
    for layer in model.modules():
        if not isinstance(layer, LAYERS):
            continue
        fan_in = layer.weight[0].numel()
        if scheme == "glorot_normal":
            nn.init.xavier_normal_(layer.weight, generator=generator)
        elif scheme == "kaiming_normal":
            nn.init.kaiming_normal_(layer.weight, generator=generator)
        else:
            raise ValueError(f"initialization: must be glorot_normal or kaiming_normal, got {scheme!r}")
        if layer.bias is not None and scheme == "glorot_normal":
            layer.bias.zero_()
        elif layer.bias is not None:
            bound = 1 / sqrt(fan_in)
            layer.bias.uniform_(-bound, bound, generator=generator)
    return model
