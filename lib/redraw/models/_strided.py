"""A narrow convolutional network of the kind the pruning papers use, small enough for a laptop."""

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures


def strided_conv(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10, width: int = 8) -> nn.Sequential:
    """Inputs (N, C, H, W) -> 3x3 convolutions with `width`, 2, 2 and 4 times as many maps, batch norm and ReLU after
    each, strides 2, 1, 2, 2 -> mean over positions -> logits (N, classes).

    Like VGG and ResNet on CIFAR-10 it keeps nearly all weights in convolutions. 8,456 weights for one channel.
    Parameters of convolutions and of the last layer are left unset: initialize them with `redraw.models.initialize`.
    Raises ValueError for inputs that are no pictures.
    """
    modules: list[nn.Module] = []
    channels, _, _ = pictures(shape)
    for maps, stride in ((width, 2), (2 * width, 1), (2 * width, 2), (4 * width, 2)):
        convolution = skip_init(nn.Conv2d, channels, maps, 3, stride=stride, padding=1, bias=False)
        modules += [convolution, nn.BatchNorm2d(maps), nn.ReLU()]
        channels = maps
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), skip_init(nn.Linear, channels, classes))
