from math import sqrt

import pytest
import torch
from scipy.stats import kstest
from torch import nn

from redraw.models import conv, initialize, lenet_300_100
from redraw.seeds import generator


def layers(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def fans(layer):
    """By hand: a linear unit sees its inputs; a convolution's sees inputs times the kernel's area."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    area = layer.kernel_size[0] * layer.kernel_size[1]
    return layer.in_channels * area, layer.out_channels * area


@pytest.mark.parametrize("scheme", ["glorot_normal", "kaiming_normal"])
@pytest.mark.parametrize("model", [lenet_300_100, lambda: conv(2, (3, 16, 16))], ids=["lenet", "conv_2"])
def test_weights_are_normal_with_the_schemes_spread(model, scheme):
    for layer in layers(initialize(model(), scheme, generator(1, "moments"))):
        fan_in, fan_out = fans(layer)
        std = sqrt(2 / (fan_in + fan_out)) if scheme == "glorot_normal" else sqrt(2 / fan_in)
        w = layer.weight.detach().flatten().double()
        n = len(w)
        assert abs(w.mean()) < 4.5 * std / sqrt(n)
        assert abs(w.std() / std - 1) < 4.5 / sqrt(2 * n)
        assert kstest(w[:50_000].numpy() / std, "norm").pvalue > 1e-4


def test_biases_are_zero_for_glorot_and_uniform_for_kaiming():
    for layer in layers(initialize(lenet_300_100(), "glorot_normal", generator(2, "bias"))):
        assert not layer.bias.any()
    for layer in layers(initialize(lenet_300_100(), "kaiming_normal", generator(2, "bias"))):
        bound = 1 / sqrt(fans(layer)[0])
        assert layer.bias.abs().max() <= bound
        assert kstest(layer.bias.detach().numpy() / bound / 2 + 0.5, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("scheme", ["glorot_normal", "kaiming_normal"])
def test_the_generator_alone_decides(scheme):
    state = torch.get_rng_state()
    first, again, other = (
        initialize(lenet_300_100((64,)), scheme, generator(seed, "theta_0")).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[n], other[n]) for n in first if n.endswith("weight"))
    assert torch.equal(torch.get_rng_state(), state)


def test_building_a_network_draws_nothing():
    state = torch.get_rng_state()
    lenet_300_100(), conv(6)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_layer_is_set_and_the_rest_left_alone():
    model = nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(12, 4))
    for p in model.parameters():
        p.data.fill_(7.0)
    assert initialize(model, "glorot_normal", generator(0, "x")) is model
    assert not (model[0].weight == 7).any() and not (model[3].weight == 7).any()
    assert (model[1].weight == 7).all() and (model[1].bias == 7).all()


def test_another_scheme_is_refused():
    with pytest.raises(ValueError, match=r"^initialization: must be glorot_normal or kaiming_normal, got 'he'$"):
        initialize(lenet_300_100((4,)), "he", generator(0, "x"))
