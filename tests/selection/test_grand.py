"""GraNd against plain autograd, one example at a time, and against torch.func."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import conv, initialize, lenet_5, lenet_300_100
from redraw.seeds import generator
from redraw.selection import SelectionError, _grand, grand


def settle(model, seed=0):
    """Random values for every parameter and buffer, in double precision, in eval mode."""
    chance = generator(seed, "settle")
    with torch.no_grad():
        for value in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
            value.copy_(torch.rand(value.shape, generator=chance) * 0.6 + 0.1)
            value *= 1 if value.ndim < 2 else value.numel() ** -0.5
            if value.ndim > 1:
                value -= value.mean()
    return model.double().eval()


def labels(n, classes=5, seed=0):
    return torch.randint(classes, (n,), generator=generator(seed, "labels"))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed, "x"), dtype=torch.float64)


def by_hand(model, x, y):
    """The definition: the norm of the gradient of one example's loss."""
    norms = []
    for i in range(len(x)):
        model.zero_grad()
        F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norms.append(torch.cat(parts).double().norm())
    model.zero_grad()
    return torch.stack(norms).to(x.dtype if x.is_floating_point() else torch.float64)


class Mean(nn.Module):
    """The mean over all places of a picture or a sequence."""

    def __init__(self, *dimensions):
        super().__init__()
        self.dimensions = dimensions

    def forward(self, x):
        return x.mean(self.dimensions)


MLP = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.Tanh(), nn.Linear(12, 5, bias=False))
CNN = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1, bias=False),
    nn.BatchNorm2d(4),
    nn.ReLU(inplace=True),
    nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), groups=2),
    nn.GroupNorm(3, 6),
    nn.ReLU(inplace=True),
    nn.Conv2d(6, 6, 1, padding_mode="reflect"),
    Mean(2, 3),
    nn.Linear(6, 5),
)
LAYER_NORMED = nn.Sequential(
    nn.Unflatten(1, (6, 6)),
    nn.Linear(6, 8),
    nn.LayerNorm(8),
    nn.GELU(),
    nn.Linear(8, 8),
    nn.RMSNorm(8),
    Mean(1),
    nn.Linear(8, 5),
)
PICTURE_NORMED = nn.Sequential(
    nn.LayerNorm((1, 6, 6)), nn.Conv2d(1, 3, 3, padding="same"), nn.Flatten(), nn.Linear(108, 5)
)
SEQUENCE = nn.Sequential(nn.Conv1d(1, 4, 5, stride=2), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
VOLUME = nn.Sequential(
    nn.Unflatten(2, (2, 3)), nn.Conv3d(1, 3, (1, 2, 3), padding=1), nn.BatchNorm3d(3), Mean(2, 3, 4), nn.Linear(3, 5)
)
NARROW = nn.Sequential(nn.Conv2d(1, 40, 3), nn.Conv2d(40, 40, 3), Mean(2, 3), nn.GroupNorm(4, 40), nn.Linear(40, 5))
WORDS = nn.Sequential(nn.Embedding(7, 6, padding_idx=2), nn.Linear(6, 4), Mean(1), nn.BatchNorm1d(4), nn.Linear(4, 5))

PICTURES = normal(9, 1, 6, 6)
CLOSED = {
    "mlp": (MLP, PICTURES),
    "cnn": (CNN, PICTURES),
    "narrow cnn": (NARROW, PICTURES),
    "layer norm": (LAYER_NORMED, PICTURES.flatten(1)),
    "layer norm of pictures": (PICTURE_NORMED, PICTURES),
    "sequence": (SEQUENCE, PICTURES.flatten(2)),
    "volume": (VOLUME, PICTURES),
    "words": (WORDS, torch.randint(7, (9, 11), generator=generator(0, "words"))),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_the_gradient_norms(name):
    model, x = CLOSED[name]
    settle(model)
    y = labels(len(x))
    assert _grand._choose(model, x[:2], y[:2]) is _grand.squares_by_layer
    check_norms(name)
    torch.testing.assert_close(
        _grand.squares_by_layer(model, x, y), _grand.squares_by_func(model, x, y), rtol=1e-8, atol=0
    )


def check_norms(name):
    """Called with each bug put in."""
    model, x = CLOSED[name]
    settle(model)
    y = labels(len(x))
    found = grand(model, (x, y), chunk=4)
    assert torch.allclose(found, by_hand(model, x, y), rtol=1e-8, atol=0)


def test_in_single_precision_they_agree_to_a_hundred_thousandth():
    for model, shape in (
        (lenet_300_100(), (6, 1, 28, 28)),
        (conv(2, (1, 28, 28)), (6, 1, 28, 28)),
        (lenet_5(), (6, 1, 28, 28)),
    ):
        initialize(model, "kaiming_normal", generator(0, "theta"))
        x, y = normal(*shape).float(), labels(6, 10)
        found = _grand.squares_by_layer(model, x, y).sqrt()
        torch.testing.assert_close(found, _grand.squares_by_func(model, x, y).sqrt(), rtol=1e-5, atol=0)
        torch.testing.assert_close(found, by_hand(model, x, y), rtol=1e-5, atol=0)


def test_a_linear_network_by_hand():
    """||delta|| sqrt(||x||^2 + 1), delta = softmax - onehot: the error of EL2N times the input."""
    model = settle(nn.Linear(4, 5))
    x, y = normal(3, 4), labels(3)
    delta = model(x).softmax(1) - F.one_hot(y, 5)
    expected = delta.norm(dim=1) * (x.square().sum(1) + 1).sqrt()
    torch.testing.assert_close(grand(model, (x, y)), expected.detach())


def test_frozen_parameters_do_not_count():
    model = settle(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5)))
    x, y = normal(3, 4), labels(3)
    everything = grand(model, (x, y))
    model[0].weight.requires_grad_(False)
    found = grand(model, (x, y))
    assert (found < everything).all() and torch.allclose(found, by_hand(model, x, y))
    model[2].bias.requires_grad_(False)
    assert torch.allclose(grand(model, (x, y)), by_hand(model, x, y))
    torch.testing.assert_close(_grand.squares_by_func(model, x, y).sqrt(), by_hand(model, x, y))
    model.requires_grad_(False)
    with pytest.raises(SelectionError, match="require a gradient"):
        grand(model, (x, y))


class Tied(nn.Module):
    """One layer used twice."""

    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Shared(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 5)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))


class AroundTheLayer(nn.Module):
    """A weight that is used without its layer being called."""

    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, x):
        return self.out(torch.tanh(self.a(x)) + F.linear(x, self.a.weight))


class OwnParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.out = nn.Parameter(torch.ones(6)), nn.Linear(6, 5)

    def forward(self, x):
        return self.out(x * self.scale)


class TimeFirst(nn.Module):
    """Examples are the second axis inside."""

    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Linear(2, 4), nn.Linear(4, 5)

    def forward(self, x):
        return self.out(torch.tanh(self.a(x.reshape(len(x), 3, 2).transpose(0, 1)))).mean(0)


class Recurrent(nn.Module):
    """What torch.func cannot vectorize."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 5)

    def forward(self, x):
        return self.out(self.rnn(x.reshape(len(x), 3, 2))[0][:, -1])


def weight_normed():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, 5))


@pytest.mark.parametrize("make", [Tied, Shared, AroundTheLayer, OwnParameter, TimeFirst, Recurrent, weight_normed])
def test_what_has_no_closed_form_is_differentiated_per_example(make):
    model = settle(make())
    x, y = normal(6, 6), labels(6)
    torch.testing.assert_close(grand(model, (x, y), chunk=4), by_hand(model, x, y), rtol=1e-7, atol=0)


def test_many_networks_are_averaged_and_nothing_is_left_behind():
    models = [settle(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 5)), seed) for seed in range(3)]
    x, y = normal(7, 4), labels(7)
    with torch.no_grad():
        found = grand(models, (x, y))
    expected = torch.stack([by_hand(model, x, y) for model in models]).mean(0)
    for model in models:
        model.zero_grad()
    torch.testing.assert_close(found, expected)
    assert all(not layer._forward_hooks for model in models for layer in model)
    assert all(p.grad is None for model in models for p in model.parameters()) and not found.requires_grad


def test_a_layer_that_is_never_used_counts_for_nothing():
    model = settle(nn.ModuleDict({"used": nn.Linear(4, 5), "idle": nn.Linear(4, 5)}))
    model.forward = lambda x: model["used"](x)
    x, y = normal(3, 4), labels(3)
    torch.testing.assert_close(grand(model, (x, y)), by_hand(model, x, y))


def test_batch_norm_in_train_mode_is_refused():
    model = settle(CNN).train()
    with pytest.raises(SelectionError, match=r"models: 1 normalizes by the statistics of the batch.*model.eval\(\)"):
        grand(model, (PICTURES, labels(9)))
    model.eval()
    with pytest.raises(SelectionError, match="statistics of the batch"):
        grand(
            nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 5)).double(),
            (normal(3, 4), labels(3)),
        )


def test_dropout_in_train_mode_is_refused():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5)).double()
    with pytest.raises(SelectionError, match="models: 0 drops units at random"):
        grand(model, (normal(3, 4), labels(3)))
    assert len(grand(model.eval(), (normal(3, 4), labels(3)))) == 3
