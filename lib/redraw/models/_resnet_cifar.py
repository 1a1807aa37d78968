"""ResNets of three stages: ResNet-20 for CIFAR-10 (He et al. 2016, arXiv 1512.03385, section 4.2), and a small one."""

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures
from redraw.models._resnet import Block


def resnet_20(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10, width: int = 16) -> nn.Sequential:
    """Inputs (N, C, H, W) -> a 3x3 convolution -> three stages of three blocks with 1, 2 and 4 times `width` channels,
    each but the first halving the picture -> mean over it -> logits (N, classes).

    272,474 parameters on CIFAR-10: where channels change the shortcut is a 1x1 convolution, as in open_lth, and not
    padded as in the paper. Convolutions and the last layer are left unset: initialize them with
    `redraw.models.initialize`; batch normalization starts at scale 1 and shift 0.
    Raises ValueError for inputs that are no pictures.
    """
    channels, _, _ = pictures(shape)
    return nn.Sequential(_conv(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(), *_stages(width, 3, classes))


def small_resnet(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10, width: int = 16) -> nn.Sequential:
    """As `resnet_20` with one block a stage, after a convolution of stride 2 and 2x2 max-pooling: pictures of 28x28
    reach the blocks at 7x7, which keeps a step on a CPU near that of a perceptron. 77,754 parameters."""
    channels, _, _ = pictures(shape)
    stem = [_conv(channels, width, 2), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stem, *_stages(width, 1, classes))


def _stages(width: int, blocks: int, classes: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    inputs = width
    for stage in range(3):
        for block in range(blocks):
            channels = width * 2**stage
            modules.append(Block(inputs, channels, 2 if stage and not block else 1))
            inputs = channels
    return [*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), skip_init(nn.Linear, inputs, classes)]


def _conv(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return skip_init(nn.Conv2d, inputs, outputs, 3, stride=stride, padding=1, bias=False)
