"""Networks that shrink compute what the masked ones do."""

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
        if isinstance(module, nn.BatchNorm2d):
            for values, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5)):
                values.data = low + torch.rand(len(values), generator=generator(1, low))
            module.running_mean = torch.randn(len(module.weight), generator=generator(1))
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


def test_what_cannot_be_is_refused():
    model, x = dressed(nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)), (4,))
    dense = Masks.dense(model)
    with pytest.raises(ValueError, match="model: Softmax between layers"):
        shrink(model, dense, x)
    with pytest.raises(ValueError, match="exclude: '9.weight' must be one of 0.weight, 2.weight"):
        keep_outputs(magnitude_scores(model), dense, 0.5, exclude=("9.weight",))
    with pytest.raises(ValueError, match="remaining: must be above 0 and at most 1, got 0 for '0.weight'"):
        keep_outputs(magnitude_scores(model), dense, 0, exclude=())
