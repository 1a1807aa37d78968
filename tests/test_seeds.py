import hashlib

import torch

from redraw.seeds import generator


def draws(*names):
    return torch.rand(8, generator=generator(*names))


def test_a_stream_starts_from_the_first_63_bits_of_the_sum_of_its_path():
    digest = hashlib.sha256(b"3/order/ticket/2").hexdigest()
    assert generator(3, "order", "ticket", 2).initial_seed() == int(digest[:16], 16) // 2


def test_the_same_name_gives_the_same_stream_and_another_name_another():
    paths = [(0,), (1,), (0, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (1, "a"), (0, "ab")]
    streams = [draws(*path) for path in paths]
    for path, stream in zip(paths, streams, strict=True):
        assert torch.equal(stream, draws(*path))
    assert len({tuple(stream.tolist()) for stream in streams}) == len(paths)


def test_reading_one_stream_leaves_another_and_the_global_state_alone():
    state = torch.get_rng_state()
    first, second = generator(0, "a"), generator(0, "b")
    torch.rand(1000, generator=first)
    assert torch.equal(torch.rand(8, generator=second), draws(0, "b"))
    assert torch.equal(torch.get_rng_state(), state)


def test_streams_of_neighbouring_seeds_are_uncorrelated():
    columns = torch.stack([torch.randn(10_000, generator=generator(seed, "x")) for seed in range(6)])
    correlation = torch.corrcoef(columns) - torch.eye(6)
    assert correlation.abs().max() < 5 / 10_000**0.5
