"""The networks of the rewinding study: their sizes by hand, and where they halve the picture."""

import torch

from redraw.models import initialize, narrow_conv_2, resnet_20, small_resnet
from redraw.seeds import generator


def block(i, o):
    return 9 * i * o + 9 * o * o + 4 * o + (i * o + 2 * o if i != o else 0)


def test_they_have_as_many_parameters_as_counted_by_hand():
    stages = [(16, 16)] * 3 + [(16, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
    deep = 27 * 16 + 32 + sum(block(i, o) for i, o in stages) + 650
    small = 9 * 16 + 32 + block(16, 16) + block(16, 32) + block(32, 64) + 650
    narrow = (9 * 6 + 6) + (9 * 36 + 6) + (6 * 14 * 14 * 64 + 64) + (64 * 64 + 64) + 650
    for model, expected, said in (
        (resnet_20(), deep, 272_474),
        (small_resnet(), small, 77_754),
        (narrow_conv_2(), narrow, 80_528),
    ):
        assert sum(p.numel() for p in model.parameters()) == expected == said


def test_they_map_pictures_to_logits():
    x = torch.randn(3, 1, 28, 28, generator=generator(1))
    for network in (resnet_20, small_resnet, narrow_conv_2):
        model = initialize(network((1, 28, 28), 7), "kaiming_normal", generator(0)).eval()
        assert model(x).shape == (3, 7) and model(x).isfinite().all()
    pictures = initialize(resnet_20(width=4), "kaiming_normal", generator(0)).eval()[:-3]
    assert pictures(torch.zeros(1, 3, 32, 32)).shape == (1, 16, 8, 8)
    reduced = initialize(small_resnet(width=4), "kaiming_normal", generator(0)).eval()
    assert reduced[:4](x).shape == (3, 4, 7, 7) and reduced[:-3](x).shape == (3, 16, 2, 2)
