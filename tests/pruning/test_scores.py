"""Scores against closed forms, finite differences and conservation laws."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from redraw.models import initialize, lenet_300_100
from redraw.pruning import (
    Masks,
    grasp_scores,
    magnitude_scores,
    random_scores,
    snip_scores,
    synflow_scores,
    wanda_scores,
)
from redraw.seeds import generator


def small(seed=0, bias=True):
    model = nn.Sequential(
        nn.Linear(5, 7, bias=bias), nn.ReLU(), nn.Linear(7, 6, bias=bias), nn.ReLU(), nn.Linear(6, 3, bias=bias)
    ).double()
    return initialize(model, "kaiming_normal", generator(seed, "model"))


def convolutional(seed=0):
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)).double()
    return initialize(model, "kaiming_normal", generator(seed, "model"))


def examples(n=8, *shape, seed=0):
    shape = shape or (5,)
    x = torch.randn(n, *shape, generator=generator(seed, "x"), dtype=torch.float64)
    return x, torch.arange(n) % 3


def loss_with(model, x, y, name, weight):
    return F.cross_entropy(functional_call(model, {name: weight}, (x,)), y)


# SNIP -------------------------------------------------------------------------------------------------------------


def check_snip():
    """dL/dc by central differences: every weight of a layer multiplied by 1 + h and by 1 - h in turn."""
    model, (x, y), h = small(), examples(), 1e-6
    scores = snip_scores(model, x, y)
    for name in scores:
        weight = model.state_dict()[name]
        for place in itertools.product(*map(range, weight.shape)):
            up, down = weight.clone(), weight.clone()
            up[place] *= 1 + h
            down[place] *= 1 - h
            slope = (loss_with(model, x, y, name, up) - loss_with(model, x, y, name, down)) / (2 * h)
            assert scores[name][place].item() == pytest.approx(abs(slope.item()), rel=1e-5, abs=1e-9)


def test_snip_is_the_slope_of_the_loss_in_the_mask():
    check_snip()


def test_snip_of_one_linear_layer_in_closed_form():
    """dL/dw_kj = mean (p_k - y_k) x_j."""
    model = initialize(nn.Linear(5, 3).double(), "kaiming_normal", generator(0))
    x, y = examples()
    error = model(x).softmax(1) - F.one_hot(y)
    expected = (model.weight * (error.T @ x) / len(x)).abs().detach()
    torch.testing.assert_close(snip_scores(model, x, y)["weight"], expected)


# GraSP ------------------------------------------------------------------------------------------------------------


def check_grasp():
    """w * (H g), with the Hessian of all weights together, biases left out, by torch.func."""
    model, (x, y), temperature = small(), examples(), 3.0
    weights = {name: model.state_dict()[name] for name in Masks.dense(model)}

    def loss(flat):
        pieces = flat.split([w.numel() for w in weights.values()])
        given = {n: p.view_as(w) for (n, w), p in zip(weights.items(), pieces, strict=True)}
        return F.cross_entropy(functional_call(model, given, (x,)) / temperature, y)

    flat = torch.cat([w.flatten() for w in weights.values()])
    gradient, hessian = torch.func.grad(loss)(flat), torch.func.hessian(loss)(flat)
    expected = flat * (hessian @ gradient)
    found = grasp_scores(model, x, y, temperature=temperature)
    torch.testing.assert_close(torch.cat([s.flatten() for s in found.values()]), expected, rtol=1e-9, atol=1e-15)


def test_grasp_is_the_hessian_times_the_gradient():
    check_grasp()


def test_grasp_sums_to_half_the_slope_of_the_squared_gradient_norm():
    """d/ds |g(s w)|^2 / 2 at s = 1 is w^T H g, the sum of all scores: what shrinking all weights would take away."""
    model, (x, y), h = small(), examples(), 1e-5

    def half_norm(scale):
        names = list(Masks.dense(model))
        given = {n: (scale * model.state_dict()[n]).requires_grad_() for n in names}
        loss = F.cross_entropy(functional_call(model, given, (x,)), y)
        return sum(g.square().sum() for g in torch.autograd.grad(loss, list(given.values()))).item() / 2

    slope = (half_norm(1 + h) - half_norm(1 - h)) / (2 * h)
    total = sum(s.sum().item() for s in grasp_scores(model, x, y, temperature=1.0).values())
    assert total == pytest.approx(slope, rel=1e-6)


# SynFlow ----------------------------------------------------------------------------------------------------------


def check_paths():
    """The score of a weight is the sum over the paths through it of the products of their magnitudes."""
    model = small()
    a, b, c = (w.abs() for w in (model[0].weight, model[2].weight, model[4].weight))
    paths = torch.einsum("hi,jh,oj->ohij", a, b, c).permute(2, 1, 3, 0)  # input, hidden, hidden, output
    expected = {
        "0.weight": paths.sum((2, 3)).T,
        "2.weight": paths.sum((0, 3)).T,
        "4.weight": paths.sum((0, 1)).T,
    }
    for name, scores in synflow_scores(model, examples()[0]).items():
        torch.testing.assert_close(scores, expected[name].detach())


def test_synflow_counts_paths():
    check_paths()


@pytest.mark.parametrize("make, shape", [(small, (5,)), (convolutional, (1, 8, 8))])
def test_synflow_is_conserved_from_layer_to_layer(make, shape):
    """Theorems 1 and 2 of the paper: all layers' scores have one sum, and what enters a hidden unit leaves it."""
    model = make()
    scores = list(synflow_scores(model, examples(2, *shape)[0]).values())
    sums = [score.sum().item() for score in scores]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-12) and sums[0] > 0
    into, out = scores[0].flatten(1).sum(1), scores[1].transpose(0, 1).flatten(1).sum(1)
    torch.testing.assert_close(into, out)


def check_deep():
    """A hundred layers in which R is about 1e100: more than single precision holds."""
    model = nn.Sequential(*(nn.Linear(10, 10, bias=False) for _ in range(100)))
    for layer in model:
        layer.weight.data = 1 + torch.rand(10, 10, generator=generator(0, "deep"))
    scores = synflow_scores(model, torch.ones(1, 10))
    sums = torch.stack([score.sum() for score in scores.values()])
    assert sums.isfinite().all(), "overflow"
    torch.testing.assert_close(sums, sums[:1].expand(100))


def test_synflow_survives_depth():
    check_deep()


def test_synflow_leaves_out_biases_and_normalization():
    model = convolutional()
    plain = synflow_scores(model, examples(1, 1, 8, 8)[0])
    with torch.no_grad():
        model[1].weight.fill_(7), model[1].running_mean.fill_(3), model[0].bias.fill_(5), model[7].bias.fill_(-2)
    moved = synflow_scores(model, examples(1, 1, 8, 8, seed=1)[0])
    for name in plain:
        torch.testing.assert_close(plain[name], moved[name])


# Wanda, magnitude, random -----------------------------------------------------------------------------------------


def test_wanda_is_the_weight_times_the_norm_of_its_input():
    model, (x, _) = small(), examples(20)
    hidden = F.relu(model[0](x)).detach()
    scores = wanda_scores(model, x)
    torch.testing.assert_close(scores["0.weight"], model[0].weight.detach().abs() * x.norm(dim=0))
    torch.testing.assert_close(scores["2.weight"], model[2].weight.detach().abs() * hidden.norm(dim=0))
    with pytest.raises(ValueError, match="layer '0': must be linear for Wanda's score, is Conv2d"):
        wanda_scores(convolutional(), examples(1, 1, 8, 8)[0])


def test_magnitudes_are_absolute():
    model = small()
    assert torch.equal(magnitude_scores(model)["2.weight"], model[2].weight.detach().abs())


def test_random_scores_come_from_the_generator_alone():
    model, state = lenet_300_100(), torch.get_rng_state()
    one, same, other = (random_scores(model, generator(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[n], same[n]) and not torch.equal(one[n], other[n]) for n in one)
    flat = torch.cat([s.flatten() for s in one.values()])
    assert 0 <= flat.min() and flat.max() < 1 and abs(flat.mean() - 0.5) < 0.005


# All of them ------------------------------------------------------------------------------------------------------

SCORES = {
    "snip": snip_scores,
    "grasp": grasp_scores,
    "synflow": lambda model, x, y, masks=None: synflow_scores(model, x, masks),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_leaves_the_model_as_it_was(name):
    model, (x, y) = convolutional().train(), examples(4, 1, 8, 8)
    for parameter in list(model.parameters())[::2]:
        parameter.requires_grad_(False)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    SCORES[name](model, x, y)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert all(module.training for module in model.modules()) and all(p.grad is None for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == [False, True] * 4


@pytest.mark.parametrize("score", [snip_scores, grasp_scores])
def test_other_than_one_label_an_input_is_refused(score):
    x, y = examples()
    with pytest.raises(ValueError, match=f"^y: must be a label for each of the {len(x)} inputs, got 3$"):
        score(small(), x, y[:3])


class Partly(nn.Module):
    """Its layer `b` stands idle: never run, run for nothing, or (`how="none"`) neither layer has a part."""

    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.how = nn.Linear(5, 3).double(), nn.Linear(5, 3).double(), how

    def forward(self, x):
        if self.how == "for nothing":
            self.b(x)
        return x[:, :3] + 0.0 if self.how == "none" else self.a(x)


@pytest.mark.parametrize("how", ["never", "for nothing", "none"])
@pytest.mark.parametrize("name", SCORES)
def test_a_layer_that_forward_does_not_use_is_refused(name, how):
    layer = "a" if how == "none" else "b"
    with pytest.raises(ValueError, match=f"^model: layer '{layer}' is not used by forward[^\n]*$"):
        SCORES[name](Partly(how), *examples())


def test_wanda_refuses_a_layer_that_is_never_run():
    with pytest.raises(ValueError, match="^model: layer 'b' is not used by forward[^\n]*$"):
        wanda_scores(Partly("never"), examples()[0])
    assert wanda_scores(Partly("for nothing"), examples()[0])["b.weight"].all()


@pytest.mark.parametrize("name", SCORES)
def test_scores_see_what_is_pruned_already(name):
    """As if the pruned weights had been zero from the start."""
    model, (x, y) = small(), examples()
    masks = Masks({n: torch.rand(m.shape, generator=generator(1, n)) < 0.5 for n, m in Masks.dense(model).items()})
    masked = SCORES[name](model, x, y, masks)
    zeroed = SCORES[name](masks.apply(model), x, y)
    for layer in masked:
        torch.testing.assert_close(masked[layer], zeroed[layer])
        assert not masked[layer][~masks[layer]].any()
