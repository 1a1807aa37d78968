"""ResNet-18 for pictures of 32x32 pixels (He et al. 2016, arXiv 1512.03385, as commonly adapted to CIFAR)."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures


class Block(nn.Module):
    """y = ReLU(BN(conv(ReLU(BN(conv(x))))) + shortcut(x)): (N, C, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.first = _conv(inputs, channels, 3, stride)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = _conv(channels, channels, 3, 1)
        self.second_norm = nn.BatchNorm2d(channels)
        same = stride == 1 and inputs == channels
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(_conv(inputs, channels, 1, stride), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(out)) + self.shortcut(x))


def resnet_18(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10, width: int = 64) -> nn.Sequential:
    """Inputs (N, C, H, W) -> a 3x3 convolution without stride or pooling -> four stages of two blocks with 1, 2, 4 and
    8 times `width` channels, each but the first halving the picture -> mean over it -> logits (N, classes).

    11,173,962 parameters on CIFAR-10. Convolutions and the last layer are left unset: initialize them with
    `redraw.models.initialize`; batch normalization starts at scale 1 and shift 0.
    Raises ValueError for inputs that are no pictures.
    """
    channels, _, _ = pictures(shape)
    modules: list[nn.Module] = [_conv(channels, width, 3, 1), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for stage in range(4):
        channels = width * 2**stage
        modules += [Block(inputs, channels, 1 if stage == 0 else 2), Block(channels, channels, 1)]
        inputs = channels
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), skip_init(nn.Linear, inputs, classes)]
    return nn.Sequential(*modules)


def _conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    return skip_init(nn.Conv2d, inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
