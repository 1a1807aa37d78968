import pytest
import torch
from torch import nn

from redraw.models import initialize, lenet_5, perceptron, small_conv
from redraw.seeds import generator


def ready(model):
    return initialize(model, "kaiming_normal", generator(0, "test"))


def test_lenet_5_has_its_61470_weights():
    model = lenet_5()
    layers = [layer.weight.numel() for layer in model if hasattr(layer, "weight")]
    assert layers == [6 * 25, 16 * 6 * 25, 400 * 120, 120 * 84, 84 * 10]
    assert sum(layers) == 61_470
    assert ready(model)(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 32, 32), (2, 15, 28)])
def test_lenet_5_takes_other_pictures(shape):
    assert ready(lenet_5(shape, classes=4))(torch.zeros(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_a_perceptron_has_the_layers_it_is_asked_for(hidden):
    model = perceptron((2, 3), hidden, classes=4)
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [*hidden, 4]
    assert sum(isinstance(layer, nn.ReLU) for layer in model) == len(hidden)
    assert ready(model)(torch.zeros(5, 2, 3)).shape == (5, 4)


def test_without_hidden_layers_the_logits_are_affine():
    model = ready(perceptron((6,), classes=3))
    x, y = torch.randn(2, 4, 6, generator=generator(0, "x"))
    torch.testing.assert_close(model((x + y) / 2), (model(x) + model(y)) / 2)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14)])
def test_small_conv_halves_pictures_twice(shape):
    model = ready(small_conv(shape, classes=5))
    assert model(torch.zeros(2, *shape)).shape == (2, 5)
    assert [layer.stride for layer in model if isinstance(layer, nn.Conv2d)] == [(2, 2), (2, 2)]
