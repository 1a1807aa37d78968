from math import cos, log, sin

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import count_parameters, initialize_transformer, transformer
from redraw.seeds import generator

torch.set_num_threads(1)
SIZES = {"width": 16, "layers": 2, "heads": 2, "context": 12}


def ready(symbols=7, seed=0, **sizes):
    return initialize_transformer(transformer(symbols, **SIZES | sizes), generator(seed, "test"))


def tokens(batch=3, length=12, symbols=7):
    return torch.randint(symbols, (batch, length), generator=generator(1, "tokens"))


def test_logits_have_the_promised_shape_for_every_length():
    model = ready()
    for length in (1, 5, 12):
        assert model(tokens(length=length)).shape == (3, length, 7)
    with pytest.raises(ValueError, match="^tokens: must be at most 12 in a row, got 13"):
        model(tokens(length=13))


def test_a_later_token_leaves_earlier_logits_alone_and_changes_later_ones():
    model, x = ready(), tokens()
    before = model(x)
    for t in range(12):
        changed = x.clone()
        changed[:, t] = (x[:, t] + 1) % 7
        after = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.isclose(after[:, t:], before[:, t:]).all(-1).any()


def test_order_matters():
    model, x = ready(layers=1), tokens(batch=1)
    swapped = x[:, [1, 0, *range(2, 12)]]
    assert x[0, 0] != x[0, 1] and not torch.allclose(model(x)[:, -1], model(swapped)[:, -1])


@pytest.mark.parametrize("width, layers", [(16, 1), (16, 2), (24, 3)])
def test_parameters_without_vocabulary_by_formula(width, layers):
    model = ready(width=width, layers=layers)
    assert count_parameters(model) == layers * (12 * width**2 + 2 * width) + width
    assert sum(p.numel() for p in model.parameters()) == count_parameters(model) + 2 * 7 * width
    assert count_parameters(ready(symbols=90, width=width, layers=layers)) == count_parameters(model)


def test_initialization_is_a_function_of_the_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = ready(), ready(), ready(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for (name, one), two, three in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three) == ("norm" in name or "before" in name)


def test_initial_deviations_and_a_loss_near_that_of_guessing():
    model = ready(symbols=50, width=128, layers=2, heads=4)
    assert model.embed.weight.std().item() == pytest.approx(1, rel=0.03)
    for block in model.blocks:
        assert block.attend.weight.std().item() == pytest.approx(128**-0.5, rel=0.03)
        assert block.attended.weight.std().item() == pytest.approx(128**-0.5 / 2, rel=0.03)
        assert block.narrow.weight.std().item() == pytest.approx(512**-0.5 / 2, rel=0.03)
    x = tokens(batch=8, symbols=50)
    loss = F.cross_entropy(model(x).flatten(0, 1), tokens(batch=8, symbols=50).flip(0).flatten())
    assert loss.item() == pytest.approx(log(50) + 0.5, abs=0.35)  # logits of variance 1 add 1/2


def plain(model, x):
    """The same network written out for one sequence x (T,), a head at a time, on an explicit mask."""
    h = model.embed.weight[x] + model.positions[: len(x)]
    mask = torch.full((len(x), len(x)), -torch.inf).triu(1)
    for block in model.blocks:
        size = h.shape[1] // block.heads
        q, k, v = (F.layer_norm(h, h.shape[1:], block.before_attention.weight) @ block.attend.weight.T).chunk(3, 1)
        parts = [slice(i * size, (i + 1) * size) for i in range(block.heads)]
        mixed = [((q[:, p] @ k[:, p].T / size**0.5 + mask).softmax(-1)) @ v[:, p] for p in parts]
        h = h + torch.cat(mixed, 1) @ block.attended.weight.T
        wide = F.layer_norm(h, h.shape[1:], block.before_mlp.weight) @ block.widen.weight.T
        h = h + nn.GELU()(wide) @ block.narrow.weight.T
    return F.layer_norm(h, h.shape[1:], model.norm.weight) @ model.predict.weight.T


def test_agrees_with_the_network_written_out():
    model, x = ready(heads=4), tokens()
    expected = torch.stack([plain(model, row) for row in x])
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_the_sinusoids():
    model = ready()
    for t, i in [(0, 0), (3, 2), (11, 7)]:
        angle = t / 10_000 ** (2 * i / 16)
        assert model.positions[t, i].item() == pytest.approx(sin(angle), abs=1e-5)
        assert model.positions[t, 8 + i].item() == pytest.approx(cos(angle), abs=1e-5)


def test_learns_to_add_the_last_two_symbols():
    """Each symbol is the sum of the two before it, modulo 5: needs attention, positions and the MLP."""
    model, draws = ready(symbols=5, width=32, context=16), generator(0, "sums")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        x = torch.randint(5, (32, 16), generator=draws)
        for t in range(2, 16):
            x[:, t] = (x[:, t - 1] + x[:, t - 2]) % 5
        loss = F.cross_entropy(model(x[:, :-1])[:, 1:].flatten(0, 1), x[:, 2:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 < log(5)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"layers": 0}, "^layers: must be at least 1, got 0$"),
        ({"context": -1}, "^context: must be at least 1, got -1$"),
        ({"width": 15, "heads": 1}, "^width: must be even and a multiple of the 1 heads, got 15$"),
        ({"width": 16, "heads": 3}, "^width: must be even and a multiple of the 3 heads, got 16$"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        transformer(7, **SIZES | sizes)
