"""The papers' networks, one small file per family. Each is an ordinary `nn.Module`."""

from redraw.models._conv import conv
from redraw.models._initialize import initialize
from redraw.models._lenet import lenet_300_100
from redraw.models._lenet5 import lenet_5
from redraw.models._narrow_conv import narrow_conv_2
from redraw.models._resnet import resnet_18
from redraw.models._resnet_cifar import resnet_20, small_resnet
from redraw.models._small import perceptron, small_conv
from redraw.models._strided import strided_conv
from redraw.models._transformer import count_parameters, initialize_transformer, transformer

__all__ = [
    "conv",
    "count_parameters",
    "initialize",
    "initialize_transformer",
    "lenet_300_100",
    "lenet_5",
    "narrow_conv_2",
    "perceptron",
    "resnet_18",
    "resnet_20",
    "small_conv",
    "small_resnet",
    "strided_conv",
    "transformer",
]
