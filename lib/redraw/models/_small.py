"""Networks small enough to train in a second: a perceptron with any hidden layers, and a convolutional net."""

from collections.abc import Sequence
from math import prod

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures


def perceptron(shape: tuple[int, ...], hidden: Sequence[int] = (), classes: int = 10) -> nn.Sequential:
    """Inputs (N, *shape) -> the layers `hidden`, ReLU after each -> logits (N, classes).

    Without hidden layers it is multinomial logistic regression, whose cross-entropy is convex in the parameters.
    Parameters are left unset: initialize them with `redraw.models.initialize`.
    """
    modules: list[nn.Module] = [nn.Flatten()]
    inputs = prod(shape)
    for width in hidden:
        modules += [skip_init(nn.Linear, inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*modules, skip_init(nn.Linear, inputs, classes))


def small_conv(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Inputs (N, C, H, W) -> 8 and 16 maps of 3x3 convolutions with stride 2 and padding 1, ReLU after each -> logits
    (N, classes).

    Parameters are left unset: initialize them with `redraw.models.initialize`. Raises ValueError for inputs that are
    no pictures.
    """
    channels, height, width = pictures(shape)
    for _ in range(2):
        height, width = (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(
        skip_init(nn.Conv2d, channels, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        skip_init(nn.Conv2d, 8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        skip_init(nn.Linear, 16 * height * width, classes),
    )
