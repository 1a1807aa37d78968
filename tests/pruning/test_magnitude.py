import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from redraw.models import initialize, lenet_300_100
from redraw.pruning import Masks, compound, magnitude
from redraw.seeds import generator

SHAPES = {"a": (4, 5), "b": (3, 2, 3, 3), "c": (7,)}


def tensors(seed=0, keep=0.7):
    g = generator(seed, "weights")
    weights = {name: torch.randn(shape, generator=g) for name, shape in SHAPES.items()}
    masks = Masks({name: torch.rand(shape, generator=g) < keep for name, shape in SHAPES.items()})
    return weights, masks


def brute_force(weights, masks, count, names):
    """Drop kept weights one after the other, always the smallest |w| of `names`; the earliest on ties."""
    kept = {name: mask.clone() for name, mask in masks.items()}
    for _ in range(count):
        candidates = [
            (abs(w), order, i)
            for order, name in enumerate(names)
            for i, w in enumerate(weights[name].flatten().tolist())
            if kept[name].flatten()[i]
        ]
        _, order, i = min(candidates)
        kept[names[order]].view(-1)[i] = False
    return kept


def same(masks, expected):
    return list(masks) == list(expected) and all(torch.equal(masks[n], expected[n]) for n in masks)


@given(seed=st.integers(0, 50), rate=st.floats(0, 0.99), keep=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_layerwise_equals_brute_force(seed, rate, keep):
    weights, masks = tensors(seed, keep)
    expected = {}
    for name in masks:
        count = round(rate * masks.survivors()[name])
        expected |= {name: brute_force(weights, masks, count, [name])[name]}
    assert same(magnitude(weights, masks, rate), expected)


@given(seed=st.integers(0, 50), rate=st.floats(0, 0.99), keep=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_global_equals_brute_force(seed, rate, keep):
    weights, masks = tensors(seed, keep)
    expected = brute_force(weights, masks, round(rate * masks.kept), list(masks))
    assert same(magnitude(weights, masks, rate, scope="global"), expected)


def check_signs():
    """Large negative weights are as important as large positive ones."""
    weights = {"a": torch.tensor([-5.0, 0.1, -0.2, 4.0, -3.0])}
    for scope in ("layer", "global"):
        masks = magnitude(weights, Masks({"a": torch.ones(5, dtype=torch.bool)}), 0.4, scope=scope)
        assert masks["a"].tolist() == [True, False, False, True, True]


def test_signs_do_not_count():
    check_signs()


def test_layers_may_have_rates_of_their_own():
    weights, masks = tensors(1)
    rates = {"a": 0.5, "b": 0.0, "c": 0.25}
    pruned = magnitude(weights, masks, rates)
    for name in masks:
        assert torch.equal(pruned[name], magnitude(weights, masks, rates[name])[name])
    assert torch.equal(pruned["b"], masks["b"])


def test_what_is_pruned_stays_pruned_whatever_the_weights_say():
    weights, masks = tensors(2)
    for name, mask in masks.items():
        weights[name][~mask] = 1e6
    for scope in ("layer", "global"):
        pruned = magnitude(weights, masks, 0.3, scope=scope)
        assert not any((pruned[n] & ~masks[n]).any() for n in masks)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_equal_weights_go_by_position_and_the_count_is_exact(scope):
    weights = {"a": torch.full((3, 4), 0.5), "b": -torch.full((8,), 0.5)}
    masks = Masks({name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})
    for rate in (0.05, 0.25, 0.5, 0.95):
        pruned = magnitude(weights, masks, rate, scope=scope)
        if scope == "layer":
            assert pruned.survivors() == {n: w.numel() - round(rate * w.numel()) for n, w in weights.items()}
            removed = [(~pruned[n]).flatten().tolist() for n in weights]
            assert all(flags == sorted(flags, reverse=True) for flags in removed)
        else:
            removed = torch.cat([(~pruned[n]).flatten() for n in weights]).tolist()
            assert removed == [i < round(rate * 20) for i in range(20)]


def test_zeros_among_the_kept_weights_go_first_and_only_as_many_as_asked():
    weights = {"a": torch.tensor([0.0, 2.0, 0.0, 0.0, 1.0])}
    masks = Masks({"a": torch.ones(5, dtype=torch.bool)})
    assert magnitude(weights, masks, 0.4)["a"].tolist() == [False, True, False, True, True]


def test_nothing_to_remove_and_nothing_left():
    weights, masks = tensors(3)
    assert same(magnitude(weights, masks, 0.0), masks)
    empty = Masks({n: torch.zeros_like(m) for n, m in masks.items()})
    assert magnitude(weights, empty, 0.9).kept == magnitude(weights, empty, 0.9, scope="global").kept == 0


def test_arguments_are_left_alone():
    weights, masks = tensors(4)
    before = {n: (weights[n].clone(), masks[n].clone()) for n in masks}
    magnitude(weights, masks, 0.5)
    magnitude(weights, masks, 0.5, scope="global")
    assert all(torch.equal(weights[n], w) and torch.equal(masks[n], m) for n, (w, m) in before.items())


# Against another implementation ---------------------------------------------------------------------------------


def small():
    model = nn.Sequential(nn.Linear(9, 11), nn.ReLU(), nn.Linear(11, 6), nn.ReLU(), nn.Linear(6, 4))
    return initialize(model, "kaiming_normal", generator(5, "model"))


@pytest.mark.parametrize("rate", [0.1, 0.37, 0.8])
def test_three_rounds_equal_torchs_layerwise_pruning(rate):
    model, other = small(), small()
    masks = Masks.dense(model)
    for _ in range(3):
        masks = magnitude(model.state_dict(), masks, rate)
        for layer in other[::2]:
            prune.l1_unstructured(layer, "weight", amount=rate)
        for i in (0, 2, 4):
            assert torch.equal(masks[f"{i}.weight"], other[i].weight_mask.bool())


@pytest.mark.parametrize("rate", [0.1, 0.37, 0.8])
def test_three_rounds_equal_torchs_global_pruning(rate):
    model, other = small(), small()
    masks = Masks.dense(model)
    for _ in range(3):
        masks = magnitude(model.state_dict(), masks, rate, scope="global")
        prune.global_unstructured([(layer, "weight") for layer in other[::2]], prune.L1Unstructured, amount=rate)
        for i in (0, 2, 4):
            assert torch.equal(masks[f"{i}.weight"], other[i].weight_mask.bool())


# Levels ---------------------------------------------------------------------------------------------------------


def test_a_global_exclusion_keeps_its_layer_but_counts_towards_the_level():
    """open_lth: pruning_fraction of all the weights that remain, taken from the layers that may lose some."""
    weights, masks = tensors(6)
    for _ in range(4):
        pruned = magnitude(weights, masks, 0.2, scope="global", exclude=("c",))
        assert torch.equal(pruned["c"], masks["c"])
        assert pruned.kept == masks.kept - round(0.2 * masks.kept)
        assert same(pruned, brute_force(weights, masks, round(0.2 * masks.kept), ["a", "b"]) | {"c": masks["c"]})
        masks = pruned


def test_a_global_level_is_a_power_of_the_rate_however_small_the_output_layer():
    model = initialize(lenet_300_100(), "kaiming_normal", generator(0, "model"))
    masks = Masks.dense(model)
    for k in range(1, 21):
        masks = magnitude(model.state_dict(), masks, 0.2, scope="global", exclude=("5.weight",))
        assert masks.remaining == pytest.approx(0.8**k, abs=1e-5)
        assert masks.survivors()["5.weight"] == 1000


def test_layerwise_exclusion():
    weights, masks = tensors(7)
    pruned = magnitude(weights, masks, 0.5, exclude=("a", "c"))
    assert torch.equal(pruned["a"], masks["a"]) and torch.equal(pruned["c"], masks["c"])
    assert pruned.survivors()["b"] == masks.survivors()["b"] - round(0.5 * masks.survivors()["b"])


PAPER_LEVELS = {3: 51.3, 7: 21.1, 9: 13.5, 12: 7.0, 15: 3.6, 16: 2.9, 18: 1.9}


def test_the_lottery_papers_levels():
    """arXiv 1803.03635, Figures 3 to 5: 20 % of the hidden weights a round and 10 % of the output layer's."""
    model = initialize(lenet_300_100(), "glorot_normal", generator(0, "levels"))
    masks, levels = Masks.dense(model), [100.0]
    rates = {"1.weight": 0.2, "3.weight": 0.2, "5.weight": 0.1}
    sizes = {"1.weight": 235_200, "3.weight": 30_000, "5.weight": 1_000}
    for k in range(1, 25):
        masks = magnitude(model.state_dict(), masks, rates)
        levels.append(100 * masks.remaining)
        exact = sum(n * (1 - rates[name]) ** k for name, n in sizes.items())
        assert abs(masks.kept - exact) < 10  # each layer is rounded each round: less than 5 halves off in the limit
    assert {k: round(levels[k], 1) for k in PAPER_LEVELS} == PAPER_LEVELS


def test_compound_is_what_the_rounds_leave():
    for rate in (0.0, 0.1, 0.2, 0.99):
        left = 1.0
        for rounds in range(12):
            assert math.isclose(1 - compound(rate, rounds), left, rel_tol=1e-9, abs_tol=1e-12)
            left *= 1 - rate
    assert compound(0.36, 0.5) == pytest.approx(0.2)
    weights = {"a": torch.randn(100_000, generator=generator(0, "w"))}
    masks = Masks({"a": torch.ones(100_000, dtype=torch.bool)})
    assert magnitude(weights, masks, compound(0.2, 7)).remaining == pytest.approx(0.8**7, abs=1e-5)


# Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, "rate: must be at least 0 and below 1, got 1.0"),
        ({"rate": -0.1}, "rate: must be at least 0 and below 1, got -0.1"),
        ({"rate": math.nan}, "rate: must be at least 0 and below 1, got nan"),
        (
            {"rate": {"a": 0.1, "b": 2, "c": 0}},
            "rate: must be at least 0 and below 1, got {'a': 0.1, 'b': 2, 'c': 0}",
        ),
        ({"rate": 0.2, "scope": "row"}, "scope: must be layer or global, got 'row'"),
        ({"rate": 0.2, "exclude": ("z",)}, "layer 'z': must be one of a, b, c"),
        ({"rate": {"a": 0.1, "b": 0.1, "c": 0.1, "z": 0.1}}, "layer 'z': must be one of a, b, c"),
        (
            {"rate": {"a": 0.1, "b": 0.1, "c": 0.1}, "scope": "global"},
            "rate: must be one number when scope is global",
        ),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, message):
    with pytest.raises(ValueError) as caught:
        magnitude(*tensors(), **arguments)
    assert str(caught.value) == message


def test_more_to_remove_than_may_go_is_refused():
    weights, masks = tensors(0, keep=1.0)
    with pytest.raises(ValueError, match="^rate: 73 weights to remove but only 61 are left outside the excluded"):
        magnitude(weights, masks, 0.9, scope="global", exclude=("a",))


def test_a_layer_without_a_rate_is_named():
    with pytest.raises(ValueError, match="^rate: must name every layer, lacks 'b'$"):
        magnitude(*tensors(), {"a": 0.1, "c": 0.1})
    weights, masks = tensors()
    kept = magnitude(weights, masks, {"a": 0.1, "c": 0.1}, exclude=("b",))
    assert torch.equal(kept["b"], masks["b"]) and kept["a"].sum() < masks["a"].sum()


def test_nothing_left_to_prune_is_refused():
    with pytest.raises(ValueError, match="^exclude: must leave a layer to prune when scope is global$"):
        magnitude(*tensors(), 0.1, scope="global", exclude=("a", "b", "c"))
