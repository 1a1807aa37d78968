"""LeNet-300-100, the fully connected network of LeCun et al. (1998) as the lottery-ticket paper uses it."""

from math import prod

from torch import nn
from torch.nn.utils import skip_init


def lenet_300_100(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Inputs (N, *shape) -> 300 -> 100 -> logits (N, classes), ReLU between; 266,200 weights on MNIST.

    Parameters are left unset: initialize them with `redraw.models.initialize`.
    """
    return nn.Sequential(
        nn.Flatten(),
        skip_init(nn.Linear, prod(shape), 300),
        nn.ReLU(),
        skip_init(nn.Linear, 300, 100),
        nn.ReLU(),
        skip_init(nn.Linear, 100, classes),
    )
