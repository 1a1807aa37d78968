"""Networks that shrink compute what the masked ones do."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from redraw.models import conv, initialize, lenet_300_100, strided_conv
from redraw.pruning import Masks, keep_outputs, magnitude, magnitude_scores, shrink
from redraw.seeds import generator


def dressed(model, shape):
    """Initialized, with batch-norm statistics and scales of their own."""
    initialize(model, "kaiming_normal", generator(0))
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5)):
                values.data = low + torch.rand(len(values), generator=generator(1, low))
            module.running_mean = torch.randn(len(module.weight), generator=generator(1))
        elif getattr(module, "bias", None) is not None:
            module.bias.data = torch.randn(len(module.bias), generator=generator(2))
    return model.eval(), torch.randn(5, *shape, generator=generator(0, "x"))


NETWORKS = {
    "mlp": (lambda: lenet_300_100((20,)), (20,)),
    "conv_2": (lambda: conv(2, (1, 12, 12)), (1, 12, 12)),
    "strided_conv": (lambda: strided_conv((1, 16, 16)), (1, 16, 16)),
    "unpadded": (
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 5, 3), nn.Flatten(), nn.Linear(80, 3)),
        (1, 8, 8),
    ),
}


def last(masks):
    return (list(masks)[-1],)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("remaining", [0.2, 0.5, 1.0])
def test_a_smaller_network_computes_the_same(name, remaining):
    make, shape = NETWORKS[name]
    model, x = dressed(make(), shape)
    dense = Masks.dense(model)
    masks = keep_outputs(magnitude_scores(model), dense, remaining, exclude=last(dense))
    small = shrink(model, masks, x)
    torch.testing.assert_close(small(x), masks.apply(model)(x), rtol=1e-5, atol=1e-5)
    parameters = [sum(p.numel() for p in m.parameters()) for m in (small, model)]
    assert parameters[0] < parameters[1] or remaining == 1
    if name in ("mlp", "unpadded") and remaining < 1:  # nothing has to stay for a padded convolution's sake
        sizes = [len(layer.weight) for layer in small if hasattr(layer, "weight")]
        assert sizes[:-1] == [max(1, round(remaining * len(dense[n]))) for n in list(dense)[:-1]]


# Chains of all kinds ----------------------------------------------------------------------------------------------


def pieces(seed, shape=(2, 11, 11)):
    """Random modules, one after another, with what shapes they take: convolutions, then linear layers."""
    chance = generator(seed, "chain")

    def pick(*choices):
        return choices[int(torch.randint(len(choices), (), generator=chance))]

    def activation():
        return pick(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU, nn.Identity, nn.Dropout)()

    modules, value = [], torch.zeros(1, *shape)

    def put(module):
        nonlocal value
        modules.append(module.eval())
        value = modules[-1](value)

    for _ in range(pick(0, 1, 2, 3)):
        size = min(pick(1, 2, 3), value.shape[-1])
        put(nn.Conv2d(value.shape[1], pick(3, 4, 6), size, padding=pick(0, 1), bias=pick(True, True, False)))
        for module in (pick(nn.BatchNorm2d(value.shape[1]), nn.Identity()), activation()):
            put(module)
        if value.shape[-1] > 4:
            pools = nn.AvgPool2d(3, 2, padding=1), nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(2), nn.Dropout2d()
            put(pick(*pools, nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), nn.AdaptiveAvgPool2d(3)))
    put(nn.Flatten())
    for _ in range(pick(1, 2, 3)):
        for module in (pick(nn.BatchNorm1d(value.shape[1]), nn.Identity()), activation()):
            put(module)
        put(nn.Linear(value.shape[1], pick(3, 5, 8), bias=pick(True, True, False)))
    return modules, shape


def nested(modules, seed):
    """The same modules in Sequentials within Sequentials, with names."""
    cut = int(torch.randint(1, len(modules), (), generator=generator(seed, "cut")))
    body = nn.Sequential(OrderedDict((f"step{i}", module) for i, module in enumerate(modules[:cut])))
    return nn.Sequential(OrderedDict(body=body, head=nn.Sequential(nn.Sequential(*modules[cut:]))))


def random_masks(model, seed):
    """Whole outputs are gone, and single weights of the others."""
    found = {}
    for name, mask in Masks.dense(model).items():
        chance = generator(seed, "masks", name)
        rows = torch.rand(len(mask), generator=chance) < 0.6
        found[name] = (torch.rand(mask.shape, generator=chance) < 0.8) & rows.view(-1, *[1] * (mask.ndim - 1))
    return Masks(found)


@pytest.mark.parametrize("inside", [False, True])
def test_random_chains_compute_the_same_when_they_shrink(inside):
    smaller = 0
    for seed in range(80):
        modules, shape = pieces(seed)
        model, x = dressed(nested(modules, seed) if inside else nn.Sequential(*modules), shape)
        masks = random_masks(model, seed)
        small = shrink(model, masks, x)
        torch.testing.assert_close(
            small(x), masks.apply(model)(x), rtol=1e-5, atol=1e-5, msg=lambda m, s=seed: f"{s}: {m}"
        )
        assert small.state_dict().keys() >= model.state_dict().keys()  # a layer may gain a bias
        layers = [module for module in small.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        for layer, following, mask in zip(layers, layers[1:], masks.values(), strict=False):
            if isinstance(following, nn.Linear):  # everything goes
                assert len(layer.weight) == max(1, int(mask.flatten(1).any(1).sum())), seed
            smaller += len(layer.weight) < len(mask)
        for layer in small.modules():
            if isinstance(layer, nn.Linear):
                assert layer.weight.shape == (layer.out_features, layer.in_features)
            elif isinstance(layer, nn.Conv2d):
                assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels)
            elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                assert len(layer.running_var) == len(layer.weight) == layer.num_features
    assert smaller > 80


def test_what_is_another_constant_at_the_border_stays_in_front_of_a_convolution():
    """Padded average pooling makes a unit's bias smaller at the border; a bias of zero is zero there too."""
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(4, 3, 2), nn.Flatten()
    model, x = dressed(nn.Sequential(*layers, nn.Linear(27, 2)), (1, 9, 9))
    model[0].bias.data = torch.tensor([1.0, 1.0, -1.0, 1.0])
    masks = dict(Masks.dense(model))
    masks["0.weight"] = torch.tensor([False, True, False, True]).view(4, 1, 1, 1).expand(4, 1, 3, 3)
    small = shrink(model, Masks(masks), x)
    assert small[0].bias.tolist() == [1.0, 1.0, 1.0]
    torch.testing.assert_close(small(x), Masks(masks).apply(model)(x), rtol=1e-5, atol=1e-5)


def test_flattening_of_rows_is_followed():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(1, 2), nn.BatchNorm1d(24), nn.Conv1d(24, 3, 3))
    model, x = dressed(model, (1, 8, 8))
    model[3].running_mean.zero_(), model[3].bias.data.zero_()
    for values in (model[3].running_var, model[3].weight.data):
        values.copy_(values.view(4, 6)[:, :1].expand(4, 6).flatten())  # one for each channel
    masks = dict(Masks.dense(model))
    masks["0.weight"] = torch.tensor([False, True, False, True]).view(4, 1, 1, 1).expand(4, 1, 3, 3)
    small = shrink(model, Masks(masks), x)
    assert small[4].weight.shape == (3, 12, 3)
    torch.testing.assert_close(small(x), Masks(masks).apply(model)(x), rtol=1e-5, atol=1e-5)


def test_what_comes_before_the_first_layer_and_after_the_last_is_free():
    layers = nn.AvgPool1d(2), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(1)
    model, x = dressed(nn.Sequential(*layers), (8,))
    masks = random_masks(model, 1)
    small = shrink(model, masks, x)
    assert len(small[1].weight) == int(masks["1.weight"].any(1).sum()) < 6
    torch.testing.assert_close(small(x), masks.apply(model)(x), rtol=1e-5, atol=1e-5)


# What else holds --------------------------------------------------------------------------------------------------


def test_single_weights_that_are_pruned_stay_pruned():
    model, x = dressed(lenet_300_100((20,)), (20,))
    dense = Masks.dense(model)
    masks = keep_outputs(magnitude_scores(model), dense, 0.5, exclude=last(dense))
    masks = magnitude(model.state_dict(), masks, 0.5)
    small = shrink(model, masks, x)
    torch.testing.assert_close(small(x), masks.apply(model)(x), rtol=1e-5, atol=1e-5)
    assert (small[1].weight == 0).any()


def test_the_model_itself_stays_as_it_was():
    model, x = dressed(strided_conv((1, 16, 16)), (1, 16, 16))
    before = {n: v.clone() for n, v in model.state_dict().items()}
    dense = Masks.dense(model)
    shrink(model, keep_outputs(magnitude_scores(model), dense, 0.3, exclude=last(dense)), x)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_a_layer_without_outputs_keeps_one():
    model, x = dressed(lenet_300_100((20,)), (20,))
    masks = Masks({n: torch.zeros_like(m) if n == "3.weight" else m for n, m in Masks.dense(model).items()})
    small = shrink(model, masks, x)
    assert len(small[3].weight) == 1
    torch.testing.assert_close(small(x), masks.apply(model)(x), rtol=1e-5, atol=1e-5)


def test_the_outputs_with_the_largest_sums_stay():
    model, _ = dressed(lenet_300_100((20,)), (20,))
    dense = Masks.dense(model)
    masks = keep_outputs(magnitude_scores(model), dense, 0.1, exclude=last(dense))
    sums = model[1].weight.detach().abs().sum(1)
    kept = masks["1.weight"].any(1)
    assert int(kept.sum()) == 30 and sums[kept].min() > sums[~kept].max()
    assert torch.equal(masks["1.weight"], kept[:, None].expand(300, 20)) and masks["5.weight"].all()


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


TIED = nn.Linear(4, 4)
REFUSED = {
    "model: must be an nn.Sequential, is Linear": nn.Linear(4, 2),
    "model: Softmax between layers is not known": nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)),
    "model: LSTM between layers is not known": nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4), nn.Linear(4, 2)),
    "masks: '0.0.weight' must be the weight of a layer in the chain": nn.Sequential(
        Residual(nn.Linear(4, 4)), nn.Linear(4, 2)
    ),
    "masks: '1.0.weight' must be the weight of a layer in the chain": nn.Sequential(
        nn.Linear(4, 4), Residual(nn.Linear(4, 4))
    ),
    "model: layers must not share weights": nn.Sequential(TIED, nn.ReLU(), TIED),
    "model: batch norm must have running": nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)
    ),
    "model: convolutions must not be grouped": nn.Sequential(
        nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1, groups=4)
    ),
    r"model: '1' must be given 3 dimensions, gets \[1, 4\] for one input": nn.Sequential(
        nn.Linear(4, 4), nn.MaxPool1d(3, 1, 1), nn.Linear(4, 2)
    ),
    r"model: '1' must be given 2 dimensions, gets \[1, 1, 4\] for one input": nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Linear(4, 4), nn.Linear(4, 2)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_chain_of_known_layers_is_refused(message):
    model = REFUSED[message].eval()
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        shrink(model, Masks.dense(model), torch.zeros(2, 4))


def test_what_cannot_be_is_refused():
    model, x = dressed(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), (4,))
    dense = Masks.dense(model)
    with pytest.raises(ValueError, match="^masks: must have one of every layer, lack '2.weight'$"):
        shrink(model, Masks({"0.weight": dense["0.weight"]}), x)
    with pytest.raises(ValueError, match="exclude: '9.weight' must be one of 0.weight, 2.weight"):
        keep_outputs(magnitude_scores(model), dense, 0.5, exclude=("9.weight",))
    with pytest.raises(ValueError, match="remaining: must be above 0 and at most 1, got 0 for '0.weight'"):
        keep_outputs(magnitude_scores(model), dense, 0, exclude=())
