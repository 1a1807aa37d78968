"""A narrow Conv-2: the smallest convolutional network of the lottery-ticket paper, at a width fit for a CPU."""

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures


def narrow_conv_2(
    shape: tuple[int, ...] = (1, 28, 28), classes: int = 10, channels: int = 6, hidden: int = 64
) -> nn.Sequential:
    """Inputs (N, C, H, W) -> two 3x3 convolutions of `channels` maps -> 2x2 max-pooling -> fully connected `hidden`,
    `hidden` and logits (N, classes), ReLU between; 80,528 parameters for pictures of 28x28.

    Conv-2 (arXiv 1803.03635, Figure 2) has 64 channels and 256 hidden units; no batch normalization, as there.
    Parameters are left unset: initialize them with `redraw.models.initialize`. Raises ValueError for inputs that are
    no pictures of at least 2x2.
    """
    inputs, height, width = pictures(shape, least=2)
    return nn.Sequential(
        skip_init(nn.Conv2d, inputs, channels, 3, padding=1),
        nn.ReLU(),
        skip_init(nn.Conv2d, channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        skip_init(nn.Linear, channels * (height // 2) * (width // 2), hidden),
        nn.ReLU(),
        skip_init(nn.Linear, hidden, hidden),
        nn.ReLU(),
        skip_init(nn.Linear, hidden, classes),
    )
