"""ResNet-18 for small pictures: its size, its shapes, and that a block is what its formula says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import initialize, resnet_18
from redraw.models._resnet import Block
from redraw.seeds import generator


def test_it_has_as_many_parameters_as_counted_by_hand():
    def block(i, o):
        return 9 * i * o + 9 * o * o + 4 * o + (i * o + 2 * o if i != o else 0)

    stages = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    expected = 27 * 64 + 128 + sum(block(i, o) for i, o in stages) + 512 * 10 + 10
    assert expected == 11_173_962 == sum(p.numel() for p in resnet_18().parameters())


@pytest.mark.parametrize("shape, classes", [((3, 32, 32), 10), ((1, 28, 28), 7)])
def test_it_maps_pictures_to_logits(shape, classes):
    model = initialize(resnet_18(shape, classes, width=4), "kaiming_normal", generator(0)).eval()
    x = torch.randn(2, *shape, generator=generator(1))
    assert model(x).shape == (2, classes) and model(x).isfinite().all()
    assert model[:-3](x).shape[1:] == (32, -(-shape[1] // 8), -(-shape[2] // 8))


def test_a_block_is_a_residual():
    block = initialize(Block(4, 6, 2), "kaiming_normal", generator(0)).eval()
    x = torch.randn(3, 4, 8, 8, generator=generator(1))
    out = F.relu(F.conv2d(x, block.first.weight, stride=2, padding=1))
    out = F.conv2d(out, block.second.weight, padding=1) + F.conv2d(x, block.shortcut[0].weight, stride=2)
    torch.testing.assert_close(block(x), F.relu(out), rtol=1e-3, atol=1e-3)  # batch norm adds 1e-5 to the variance
    assert isinstance(Block(4, 4, 1).shortcut, nn.Identity)
