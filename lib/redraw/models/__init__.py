"""The papers' networks, one small file per family. Each is an ordinary `nn.Module`."""

from redraw.models._conv import conv
from redraw.models._initialize import initialize
from redraw.models._lenet import lenet_300_100

__all__ = ["conv", "initialize", "lenet_300_100"]
