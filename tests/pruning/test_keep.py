"""From scores to masks, against brute force; how much each layer keeps, against the papers' numbers."""

import pytest
import torch

from redraw.models import initialize, lenet_300_100
from redraw.pruning import (
    Masks,
    connected,
    cosine_decay,
    cubic,
    erk,
    exponential,
    keep,
    keep_layers,
    keep_n_of_m,
    magnitude,
    magnitude_scores,
    smart_ratio,
    uniform,
)
from redraw.seeds import generator


def tensors(seed, density=0.8):
    chance = generator(seed, "scores")
    scores = {n: torch.randn(s, generator=chance) for n, s in {"a": (6, 8), "b": (4, 6), "c": (3, 2, 2, 2)}.items()}
    return scores, Masks({n: torch.rand(s.shape, generator=chance) < density for n, s in scores.items()})


def dense(scores):
    return Masks({name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()})


@pytest.mark.parametrize("remaining", [0.0, 0.01, 0.3, 0.7, 1.0])
def test_global_keeps_the_best_of_what_is_left(remaining):
    scores, masks = tensors(0)
    ranked = sorted(
        (
            (scores[n].flatten()[i].item(), n, i)
            for n in masks
            for i in range(masks[n].numel())
            if masks[n].flatten()[i]
        ),
        reverse=True,
    )[: round(remaining * masks.total)]
    found = keep(scores, masks, remaining)
    assert {(n, i) for n in found for i in range(found[n].numel()) if found[n].flatten()[i]} == {r[1:] for r in ranked}


@pytest.mark.parametrize("scope", ["layer", "row"])
def test_layers_and_rows_keep_their_own_best(scope):
    scores, masks = tensors(1)
    fractions = {"a": 0.25, "b": 0.5, "c": 0.75}
    found = keep(scores, masks, fractions, scope=scope)
    for name in masks:
        groups = [slice(None)] if scope == "layer" else range(len(masks[name]))
        for group in groups:
            score, before, after = (t[name][group].flatten() for t in (scores, masks, found))
            count = min(round(fractions[name] * len(score)), int(before.sum()))
            best = sorted(score[before].tolist(), reverse=True)[:count]
            assert sorted(score[after].tolist(), reverse=True) == best and not (after & ~before).any()


def check_ties():
    """Exactly as many stay as were asked for, the first by position, however many scores are equal."""
    for scores, remaining, expected in (
        ([1.0, 1, 1, 1, 1, 1], 0.5, [1, 1, 1, 0, 0, 0]),
        ([0.0, 2, 0, 0, 1, 0], 0.5, [1, 1, 0, 0, 1, 0]),
        ([3.0, 1, 1, 3, 1, 2], 2 / 3, [1, 1, 0, 1, 0, 1]),
    ):
        given = {"a": torch.tensor(scores)}
        assert keep(given, dense(given), remaining)["a"].int().tolist() == expected
        one = {"a": torch.tensor([scores])}
        assert keep(one, dense(one), remaining, scope="row")["a"].int().tolist() == [expected]


def test_ties_are_neither_dropped_nor_kept_together():
    check_ties()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_it_agrees_with_magnitude_pruning(rate):
    model = initialize(lenet_300_100((20,)), "glorot_normal", generator(0, "model"))
    masks, weights = Masks.dense(model), model.state_dict()
    assert keep(magnitude_scores(model), masks, 1 - rate) == magnitude(weights, masks, rate, scope="global")
    assert keep(magnitude_scores(model), masks, 1 - rate, scope="layer") == magnitude(weights, masks, rate)


def test_double_precision_decides_where_single_cannot():
    given = {"a": torch.tensor([1.0, 1 + 1e-12, 1 - 1e-12], dtype=torch.float64)}
    assert keep(given, dense(given), 1 / 3)["a"].tolist() == [False, True, False]


def test_n_of_m_by_brute_force():
    scores, masks = tensors(2, density=0.7)
    for n, m in ((2, 4), (1, 2), (0, 2), (2, 2)):
        scores_, masks_ = ({k: v for k, v in t.items() if v[0].numel() % m == 0} for t in (scores, masks))
        found = keep_n_of_m(scores_, Masks(masks_), n, m)
        for name in found:
            triples = zip(*(t[name].reshape(-1, m) for t in (scores_, masks_, found)), strict=True)
            for score, before, after in triples:
                best = score[before].sort(descending=True).values[:n]
                assert torch.equal(score[after].sort(descending=True).values, best)
    with pytest.raises(ValueError, match="layer 'b': its 6 inputs must divide by m = 4"):
        keep_n_of_m(scores, masks, 2, 4)
    with pytest.raises(ValueError, match="n: must be from 0 to m, got 3 of 2"):
        keep_n_of_m(scores, masks, 3, 2)


def test_whole_layers_by_their_mean():
    scores, masks = tensors(3)
    means = {name: scores[name][masks[name]].mean().item() for name in masks}
    for count in range(4):
        found = keep_layers(scores, masks, count)
        stay = sorted(means, key=means.get, reverse=True)[:count]
        assert all(torch.equal(found[n], masks[n] if n in stay else torch.zeros_like(masks[n])) for n in masks)
    last = min(means, key=means.get)
    assert keep_layers(scores, masks, 1, always=(last,))[last].any()
    gone = Masks(dict(masks) | {"a": torch.zeros_like(masks["a"])})
    assert not keep_layers({n: -s.abs() for n, s in scores.items()}, gone, 2)["a"].any(), "nothing left comes last"
    with pytest.raises(ValueError, match="count: must be from 1 to 3, got 0"):
        keep_layers(scores, masks, 0, always=("a",))
    with pytest.raises(ValueError, match="always: must name layers among a, b, c, got 'd'"):
        keep_layers(scores, masks, 2, always=("d",))


class Around(torch.nn.Module):
    """Two branches that a path leads around, and a head."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 3)

    def forward(self, x):
        x = x + self.one(x)
        return self.head(x + self.two(x))


def test_a_residual_network_computes_without_a_layer_and_a_chain_does_not():
    x = torch.randn(5, 6, generator=generator(0, "x"))
    with torch.no_grad():
        around = Around()
        around.one.weight *= 10
        masks = keep_layers(magnitude_scores(around), Masks.dense(around), 2, always=("head.weight",))
        assert masks.survivors() == {"one.weight": 36, "two.weight": 0, "head.weight": 18}
        without = x + around.one(x)
        expected = around.head(without + around.two.bias)
        masks.apply(around)
        torch.testing.assert_close(around(x), expected)
    assert connected(around, x, masks) == masks
    chain = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Linear(6, 3))
    masks = keep_layers(magnitude_scores(chain), Masks.dense(chain), 1)
    assert connected(chain, x, masks).kept == 0


# Distributions ----------------------------------------------------------------------------------------------------


def lenet_masks():
    return Masks.dense(initialize(lenet_300_100(), "glorot_normal", generator(0, "model")))


def level(masks, fractions):
    return sum(fractions[name] * mask.numel() for name, mask in masks.items()) / masks.total


def test_erk_of_lenet_is_what_follows_from_the_equation():
    """(784 + 300) / (784 * 300), (300 + 100) / (300 * 100), (100 + 10) / (100 * 10), the last one full."""
    masks = lenet_masks()
    assert list(erk(masks, 0.1).values()) == pytest.approx([0.080, 0.230, 1.0], abs=5e-4)
    assert list(erk(masks, 0.05).values()) == pytest.approx([0.0385, 0.1114, 0.9187], abs=2e-4)
    sides = {"a": (8, 4, 3, 3)}
    conv = Masks({n: torch.ones(s, dtype=torch.bool) for n, s in (sides | {"b": (10, 8)}).items()})
    by_kernel, by_sides = erk(conv, 0.2), erk(conv, 0.2, kernel=False)
    assert by_kernel["a"] / by_kernel["b"] == pytest.approx((18 / 288) / (18 / 80))
    assert by_sides["a"] / by_sides["b"] == pytest.approx((12 / 32) / (18 / 80))


def test_smart_ratios_fall_as_the_paper_says():
    masks = lenet_masks()
    found = smart_ratio(masks, 0.02, last=None)
    assert found["1.weight"] / found["3.weight"] == pytest.approx((9 + 3) / (4 + 2))
    assert found["3.weight"] / found["5.weight"] == pytest.approx((4 + 2) / (1 + 1))
    assert smart_ratio(masks, 0.1)["5.weight"] == 0.3
    assert smart_ratio(masks, 0.0005)["5.weight"] < 0.01  # 0.3 of it would be more than all that may stay


@pytest.mark.parametrize("distribution", [uniform, erk, smart_ratio])
@pytest.mark.parametrize("remaining", [0.0, 0.001, 0.05, 0.5, 0.97, 1.0])
def test_a_distribution_keeps_what_was_asked_in_all(distribution, remaining):
    masks = lenet_masks()
    found = distribution(masks, remaining)
    if not (distribution is smart_ratio and remaining > 0.99):  # its output layer stays at 0.3
        assert level(masks, found) == pytest.approx(remaining)
    assert all(0 <= fraction <= 1 + 1e-12 for fraction in found.values())


# Schedules --------------------------------------------------------------------------------------------------------


def test_schedules_end_where_they_should():
    assert exponential(0.01, 4) == pytest.approx([0.01**0.25, 0.1, 0.01**0.75, 0.01]) and exponential(0.3, 1) == [0.3]
    assert exponential(0.07, 100)[-1] == 0.07
    assert [cubic(p, 0.1) for p in (-1, 0, 0.5, 1, 2)] == pytest.approx([1, 1, 0.1 + 0.9 / 8, 0.1, 0.1])
    assert [cosine_decay(p, 0.5, 0.1) for p in (0, 0.5, 1, 3)] == pytest.approx([0.5, 0.3, 0.1, 0.1])


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scope": "all"}, "scope: must be one of global, layer, row, got 'all'"),
        ({"remaining": 1.5}, "remaining: must be from 0 to 1, got 1.5"),
        ({"remaining": {"a": 0.5}}, "remaining: must name every layer, lacks 'b'"),
        ({"remaining": {"a": 0.5, "b": 0.5, "c": 0.5}}, "remaining: must be one number when scope is global"),
        ({"scores": {"a": torch.ones(6, 8)}}, r"scores: must have one of shape \(4, 6\) for 'b'"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    scores, masks = tensors(3)
    arguments = {"scores": scores, "masks": masks, "remaining": 0.5} | given
    with pytest.raises(ValueError, match=words):
        keep(**arguments)


def test_scores_that_are_no_numbers_are_refused():
    scores, masks = tensors(3)
    scores["b"][0, 0] = torch.nan
    with pytest.raises(ValueError, match="scores: must be finite numbers, those of 'b' are not"):
        keep(scores, masks, 0.5)
    with pytest.raises(ValueError, match="rounds: must be at least 1, got 0"):
        exponential(0.5, 0)
    with pytest.raises(ValueError, match="remaining: must be above 0 and at most 1, got 0"):
        exponential(0.0, 5)
    for distribution in (uniform, erk, smart_ratio):
        with pytest.raises(ValueError, match="remaining: must be from 0 to 1, got 2"):
            distribution(masks, 2)
