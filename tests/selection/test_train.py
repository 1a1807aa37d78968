"""The loop behind scores is the plain one, and records what it saw."""

import torch
import torch.nn.functional as F

from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator
from redraw.selection import Presentations, train
from redraw.training import batches

X = torch.randn(50, 6, generator=generator(0, "x"))
Y = torch.randint(3, (50,), generator=generator(0, "y"))


def network():
    return initialize(lenet_300_100((6,), 3), "kaiming_normal", generator(0, "theta"))


def test_it_trains_as_by_hand_and_records_before_each_step():
    model, plain = network(), network()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (model, plain)]
    seen = Presentations(50)
    steps = list(train(model, (X, Y), optimizers[0], iterations=13, batch_size=10, generator=generator(1), seen=seen))
    assert steps == list(range(14))
    history = {i: [] for i in range(50)}
    numbered = batches(torch.arange(50), Y, 10, generator(1))
    for _ in range(13):
        ids, y = next(numbered)
        logits = plain(X[ids])
        for i, right in zip(ids.tolist(), (logits.argmax(1) == y).tolist(), strict=True):
            history[i].append(right)
        optimizers[1].zero_grad()
        F.cross_entropy(logits, y).backward()
        optimizers[1].step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    assert seen.times.tolist() == [len(h) for h in history.values()]
    assert seen.events.tolist() == [sum(a and not b for a, b in zip(h, h[1:], strict=False)) for h in history.values()]


def test_zero_comes_before_the_first_step():
    model = network()
    before = [p.clone() for p in model.parameters()]
    run = train(
        model, (X, Y), torch.optim.SGD(model.parameters(), lr=0.1), iterations=2, batch_size=10, generator=generator(1)
    )
    assert next(run) == 0
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert next(run) == 1
    assert not all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_inputs_are_augmented_before_the_network_sees_them():
    asked = []
    model = network()
    augment = lambda x: asked.append(x.shape) or 2 * x  # noqa: E731
    run = train(
        model,
        (X, Y),
        torch.optim.SGD(model.parameters(), lr=0.1),
        iterations=2,
        batch_size=10,
        generator=generator(1),
        augment=augment,
    )
    assert list(run) == [0, 1, 2] and asked == [(10, 6)] * 2
