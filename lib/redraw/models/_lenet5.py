"""LeNet-5 (LeCun et al. 1998, Figure 2), as it is built today."""

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures


def lenet_5(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Inputs (N, C, H, W) -> 6 and 16 maps of 5x5 convolutions, each pooled by two -> 120 -> 84 -> logits (N, classes).

    The first convolution is padded by 2, as the 32x32 pictures of the original were; 61,470 weights on MNIST. Unlike
    the original: ReLU, max-pooling, every map connected to every map, a linear output.

    Parameters are left unset: initialize them with `redraw.models.initialize`. Raises ValueError for inputs that are
    no pictures of at least 12x12.
    """
    channels, height, width = pictures(shape, least=12)
    height, width = (height // 2 - 4) // 2, (width // 2 - 4) // 2
    return nn.Sequential(
        skip_init(nn.Conv2d, channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        skip_init(nn.Conv2d, 6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        skip_init(nn.Linear, 16 * height * width, 120),
        nn.ReLU(),
        skip_init(nn.Linear, 120, 84),
        nn.ReLU(),
        skip_init(nn.Linear, 84, classes),
    )
