from functools import partial
from math import prod

import pytest
import torch
from torch import nn

from redraw.models import (
    conv,
    initialize,
    lenet_5,
    lenet_300_100,
    narrow_conv_2,
    resnet_18,
    resnet_20,
    small_conv,
    small_resnet,
    strided_conv,
)
from redraw.pruning import Masks
from redraw.seeds import generator

# Weights by layer, counted by hand: 3x3 kernels times channels in and out, then the fully connected layers.
CONV_LAYERS = {
    2: [9 * 3 * 64, 9 * 64 * 64, 64 * 16 * 16 * 256, 256 * 256, 256 * 10],
    4: [9 * 3 * 64, 9 * 64 * 64, 9 * 64 * 128, 9 * 128 * 128, 128 * 8 * 8 * 256, 256 * 256, 256 * 10],
    6: [
        *(9 * 3 * 64, 9 * 64 * 64, 9 * 64 * 128, 9 * 128 * 128, 9 * 128 * 256, 9 * 256 * 256),
        *(256 * 4 * 4 * 256, 256 * 256, 256 * 10),
    ],
}


def weights(model):
    return [layer.weight.numel() for layer in model if hasattr(layer, "weight")]


def ready(model, scheme="kaiming_normal"):
    return initialize(model, scheme, generator(0, "test"))


def test_lenet_has_the_papers_266200_weights():
    model = lenet_300_100()
    assert weights(model) == [784 * 300, 300 * 100, 100 * 10]
    assert Masks.dense(model).total == 266_200
    assert sum(p.numel() for p in model.parameters()) == 266_200 + 300 + 100 + 10


@pytest.mark.parametrize(("layers", "total"), [(2, 4_300_992), (4, 2_425_024), (6, 2_261_184)])
def test_conv_weights_by_layer(layers, total):
    model = conv(layers)
    assert weights(model) == CONV_LAYERS[layers]
    assert Masks.dense(model).total == sum(CONV_LAYERS[layers]) == total
    biases = sum(p.numel() for name, p in model.named_parameters() if name.endswith("bias"))
    assert biases == sum((64, 64, 128, 128, 256, 256)[:layers]) + 256 + 256 + 10


@pytest.mark.parametrize("shape", [(64,), (40,), (1, 28, 28), (3, 32, 32)])
def test_lenet_takes_any_shape_of_input(shape):
    model = ready(lenet_300_100(shape, classes=7))
    assert model[1].in_features == prod(shape)
    assert model(torch.zeros(5, *shape)).shape == (5, 7)


@pytest.mark.parametrize("layers", [2, 4, 6])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 9, 13)])
def test_conv_halves_the_image_after_each_pair(layers, shape):
    model = ready(conv(layers, shape, classes=3))
    x = torch.zeros(2, *shape)
    for layer in model:
        channels, (height, width) = x.shape[1], x.shape[2:] if x.ndim == 4 else (0, 0)
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            assert x.shape[2:] == (height, width)
        elif isinstance(layer, nn.MaxPool2d):
            assert x.shape[1:] == (channels, height // 2, width // 2)
    assert x.shape == (2, 3)
    pairs = [isinstance(layer, nn.MaxPool2d) for layer in model]
    assert sum(pairs) == layers // 2


def test_conv_without_linear_shortcuts_is_nonlinear_between_any_two_layers():
    """A ReLU lost between two layers would leave the network a shallower one."""
    for model in (lenet_300_100((64,)), conv(4, (1, 8, 8))):
        parametric = [i for i, layer in enumerate(model) if isinstance(layer, nn.Linear | nn.Conv2d)]
        for i in parametric[:-1]:
            assert isinstance(model[i + 1], nn.ReLU)
        assert parametric[-1] == len(model) - 1


@pytest.mark.parametrize("layers", [0, 3, 8])
def test_other_depths_are_refused(layers):
    with pytest.raises(ValueError, match=rf"^layers: must be one of 2, 4, 6, got {layers}$"):
        conv(layers)


CONVOLUTIONAL = {f"conv_{layers}": partial(conv, layers) for layers in (2, 4, 6)} | {
    network.__name__: network
    for network in (lenet_5, narrow_conv_2, resnet_18, resnet_20, small_conv, small_resnet, strided_conv)
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_say_that_they_need_pictures(name):
    with pytest.raises(ValueError, match=r"^shape: must be pictures \(channels, height, width\), got \(64,\)$"):
        CONVOLUTIONAL[name]((64,))


@pytest.mark.parametrize(("name", "least"), [("lenet_5", 12), ("narrow_conv_2", 2), ("conv_2", 2), ("conv_6", 8)])
def test_too_small_pictures_are_refused_and_the_smallest_are_not(name, least):
    network = CONVOLUTIONAL[name]
    assert network((1, least, least))(torch.zeros(2, 1, least, least)).shape == (2, 10)
    with pytest.raises(ValueError, match=f"^shape: must be pictures of at least {least}x{least}, got {least - 1}x30$"):
        network((1, least - 1, 30))
