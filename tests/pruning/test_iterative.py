import pytest
import torch
import torch.nn.functional as F
from torch import nn

from redraw.models import initialize
from redraw.pruning import Masks, iterative_magnitude_pruning, magnitude
from redraw.seeds import generator


class Reader(nn.Module):
    """A network that this package has never seen: a convolution, batch norm, a residual and two heads."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.mix = nn.ModuleList([nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1)])
        self.scale = nn.Parameter(torch.ones(6, 1, 1))
        self.heads = nn.ModuleDict({"left": nn.Linear(6, 2), "right": nn.Linear(6, 2)})

    def forward(self, x):
        h = F.relu(self.norm(self.stem(x)))
        h = h + self.scale * self.mix[1](F.relu(self.mix[0](h)))
        h = h.mean((2, 3))
        return torch.cat([self.heads["left"](h), self.heads["right"](h)], 1)


def network(seed=0):
    return initialize(Reader(), "kaiming_normal", generator(seed, "model"))


def trainer(hold=True, steps=12):
    """Trains on noise that differs from round to round; the same rounds again for each trainer."""
    state = {"round": -1}

    def train(model, masks):
        state["round"] += 1
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
        if hold:
            masks.hold(model, optimizer)
        g = generator(state["round"], "noise")
        for _ in range(steps):
            x, y = torch.randn(16, 1, 5, 5, generator=g), torch.randint(4, (16,), generator=g)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return train


def by_hand(model, train, rounds, rate, scope, exclude):
    """The paper's steps, one by one, on masks that are float tensors."""
    theta_0 = {name: value.clone() for name, value in model.state_dict().items()}
    prunable = [n for n, p in model.named_parameters() if n.endswith("weight") and p.ndim > 1]
    keep = {n: torch.ones_like(model.get_parameter(n)) for n in prunable}
    found = []
    for k in range(rounds + 1):
        state = {n: v * keep[n] if n in keep else v.clone() for n, v in theta_0.items()}
        model.load_state_dict(state)
        outcome = train(model, Masks({n: m.bool() for n, m in keep.items()}))
        found.append((k, {n: m.clone() for n, m in keep.items()}, outcome))
        candidates = [n for n in prunable if n not in exclude]
        groups = [[n] for n in candidates] if scope == "layer" else [candidates]
        for group in groups:
            counted = group if scope == "layer" else prunable
            count = round(rate * int(sum(keep[n].sum() for n in counted)))
            alive = [
                (abs(model.get_parameter(n).flatten()[i].item()), n, i)
                for n in group
                for i in range(keep[n].numel())
                if keep[n].flatten()[i]
            ]
            for _, n, i in sorted(alive, key=lambda entry: entry[0])[:count]:
                keep[n].view(-1)[i] = 0
    return found


@pytest.mark.parametrize(
    ("scope", "exclude"),
    [("layer", ()), ("global", ()), ("layer", ("stem.weight",)), ("global", ("heads.left.weight",))],
)
def test_rounds_equal_a_loop_written_by_hand(scope, exclude):
    found = iterative_magnitude_pruning(network(), trainer(), rounds=3, rate=0.3, scope=scope, exclude=exclude)
    expected = by_hand(network(), trainer(), 3, 0.3, scope, exclude)
    for one, (k, keep, outcome) in zip(found, expected, strict=True):
        assert (one.index, one.outcome) == (k, outcome)
        assert all(torch.equal(one.masks[n], keep[n].bool()) for n in keep) and set(one.masks) == set(keep)


def test_each_round_starts_from_theta_0_with_its_buffers():
    model, train = network(), trainer()
    theta_0 = {name: value.clone() for name, value in model.state_dict().items()}
    theta_0["norm.running_mean"].fill_(0.25)
    model.load_state_dict(theta_0)
    starts, ends = [], []

    def spy(model, masks):
        starts.append({name: value.clone() for name, value in model.state_dict().items()})
        train(model, masks)
        ends.append({name: value.clone() for name, value in model.state_dict().items()})

    rounds = list(iterative_magnitude_pruning(model, spy, rounds=4, rate=0.4))
    for start, one in zip(starts, rounds, strict=True):
        assert set(start) == set(theta_0)
        for name, value in start.items():
            expected = torch.where(one.masks[name], theta_0[name], 0.0) if name in one.masks else theta_0[name]
            assert torch.equal(value, expected), f"round {one.index}: {name} is not that of theta_0"
    for end in ends:  # training moves all of it, so coming back is not for free
        assert not torch.equal(end["norm.running_mean"], theta_0["norm.running_mean"])
        assert not torch.equal(end["scale"], theta_0["scale"])
    for before, after, end in zip(rounds, rounds[1:], ends, strict=False):
        assert all(torch.equal(m, magnitude(end, before.masks, 0.4)[n]) for n, m in after.masks.items())


def test_the_start_is_the_state_when_the_first_round_is_asked_for():
    model, seen = network(), []

    def spy(model, masks):
        seen.append(model.scale.detach().clone())
        with torch.no_grad():
            model.scale.add_(1.0)

    rounds = iterative_magnitude_pruning(model, spy, rounds=2)
    with torch.no_grad():
        model.scale.fill_(5.0)
    list(rounds)
    assert all((scale == 5).all() for scale in seen) and len(seen) == 3


def test_levels_by_layer_and_one_shot():
    rates = {n: 0.5 if n.startswith("heads") else 0.2 for n in Masks.dense(network())}
    rounds = list(iterative_magnitude_pruning(network(), lambda m, k: None, rounds=3, rate=rates))
    left = Masks.dense(network()).survivors()
    for one in rounds:
        assert one.masks.survivors() == left
        left = {n: kept - round(rates[n] * kept) for n, kept in left.items()}
    (_, shot) = iterative_magnitude_pruning(network(), lambda m, k: None, rounds=1, rate=0.9, scope="global")
    assert shot.masks.kept == shot.masks.total - round(0.9 * shot.masks.total)


def test_rounds_are_computed_as_they_are_asked_for():
    trained = []
    rounds = iterative_magnitude_pruning(network(), lambda m, k: trained.append(k.kept), rounds=10)
    next(rounds), next(rounds)
    assert len(trained) == 2


def test_a_train_that_does_not_hold_is_caught():
    rounds = iterative_magnitude_pruning(network(), trainer(hold=False), rounds=2)
    assert next(rounds).index == 0
    with pytest.raises(
        RuntimeError, match=r"^train: revived pruned weights of \S+; call masks.hold\(model, optimizer\)$"
    ):
        next(rounds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": -1}, "rounds: must be a whole number of at least 0, got -1"),
        ({"rounds": 2.5}, "rounds: must be a whole number of at least 0, got 2.5"),
        ({"rounds": 1, "rate": 1.0}, "rate: must be at least 0 and below 1, got 1.0"),
        ({"rounds": 1, "rate": {"stem.weight": 0.1}}, "rate: must name every layer, lacks 'mix.0.weight'"),
        ({"rounds": 1, "scope": "row"}, "scope: must be layer or global, got 'row'"),
        ({"rounds": 1, "exclude": ("norm.weight",)}, "layer 'norm.weight': must be one of stem.weight, .*"),
    ],
)
def test_bad_input_is_refused_at_the_call_before_anything_is_trained(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        iterative_magnitude_pruning(network(), lambda *_: pytest.fail("trained"), **arguments)


def test_no_rounds_are_the_dense_network():
    assert [one.index for one in iterative_magnitude_pruning(network(), trainer(), rounds=0)] == [0]
