import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator


def network(seed=0):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 7),
        nn.Linear(7, 3),
    )
    return initialize(model, "kaiming_normal", generator(seed, "model"))


def random_masks(model, seed=0, keep=0.4):
    g = generator(seed, "masks")
    return Masks({n: torch.rand(m.shape, generator=g) < keep for n, m in Masks.dense(model).items()})


def test_dense_keeps_every_linear_and_convolutional_weight_and_nothing_else():
    masks = Masks.dense(network())
    assert {n: tuple(m.shape) for n, m in masks.items()} == {
        "0.weight": (4, 2, 3, 3),
        "4.weight": (7, 64),
        "5.weight": (3, 7),
    }
    assert all(m.dtype == torch.bool and m.all() for m in masks.values())
    assert masks.total == masks.kept == 72 + 448 + 21 and masks.remaining == 1.0


def test_dense_of_a_single_layer_and_of_nested_modules():
    assert list(Masks.dense(nn.Linear(2, 3))) == ["weight"]
    nested = nn.ModuleDict({"a": nn.Sequential(nn.Conv1d(1, 2, 3)), "b": nn.Conv3d(1, 1, 1), "c": nn.Embedding(4, 4)})
    assert list(Masks.dense(nested)) == ["a.0.weight", "b.weight"]


def test_counts_are_those_of_the_masks():
    model = network()
    masks = random_masks(model)
    by_hand = {n: sum(bool(v) for v in m.flatten()) for n, m in masks.items()}
    assert masks.survivors() == by_hand
    assert masks.kept == sum(by_hand.values()) and masks.remaining == masks.kept / 541
    assert repr(masks) == f"Masks({masks.kept} of 541 weights kept, {masks.kept / 541:.2%}, 3 layers)"


def test_apply_zeroes_the_pruned_weights_and_touches_nothing_else():
    model = network()
    before = {n: v.clone() for n, v in model.state_dict().items()}
    masks = random_masks(model)
    assert masks.apply(model) is model
    for name, value in model.state_dict().items():
        expected = torch.where(masks[name], before[name], 0.0) if name in masks else before[name]
        assert torch.equal(value, expected)


def test_apply_clears_weights_that_are_not_finite():
    model = nn.Linear(2, 2)
    model.weight.data = torch.tensor([[float("nan"), float("inf")], [1.0, -float("inf")]])
    Masks({"weight": torch.tensor([[False, False], [True, False]])}).apply(model)
    assert model.weight.tolist() == [[0, 0], [1, 0]]


def test_a_mask_that_is_not_boolean_is_refused():
    with pytest.raises(ValueError, match=r"^masks: a must be a boolean tensor, got torch.float32$"):
        Masks({"a": torch.ones(2)})


@given(st.data())
def test_packing_is_undone_by_unpacking(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    weight = torch.zeros(shape)
    bits = data.draw(st.lists(st.booleans(), min_size=weight.numel(), max_size=weight.numel()))
    masks = Masks({"w": torch.tensor(bits).view(shape)})
    packed = masks.pack()
    assert packed["w"].dtype == torch.uint8 and packed["w"].shape == (-(-weight.numel() // 8),)
    assert torch.equal(Masks.unpack(packed, {"w": weight})["w"], masks["w"])


def test_packing_a_real_network_takes_an_eighth_of_a_byte_per_weight():
    masks = random_masks(lenet_300_100())
    packed = masks.pack()
    assert sum(bits.numel() for bits in packed.values()) == 266_200 // 8
    back = Masks.unpack(packed, lenet_300_100().state_dict())
    assert all(torch.equal(back[n], masks[n]) for n in masks) and list(back) == list(masks)


# Masks that hold ------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2),
    "adam_fused": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2, fused=True),
    "adam_amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2, amsgrad=True, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "sgd_fused": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=1e-2, fused=True),
    "sgd_plain": lambda p: torch.optim.SGD(p, lr=1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True, weight_decay=1e-2),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2, initial_accumulator_value=0.5, weight_decay=1e-2),
}


def train(model, optimizer, iterations, seed=0):
    """Steps on noise; yields after each."""
    g = generator(seed, "noise")
    for _ in range(iterations):
        x, y = torch.randn(8, 2, 4, 4, generator=g), torch.randint(3, (8,), generator=g)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        yield


def weight_state(optimizer, weight):
    return {k: s for k, s in optimizer.state[weight].items() if torch.is_tensor(s) and s.shape == weight.shape}


def assert_pruned_are_zero(model, optimizer, masks, states):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        weight, state = parameters[name], weight_state(optimizer, parameters[name])
        assert not weight[~mask].any(), f"{name}: a pruned weight is not zero"
        assert len(state) == states
        for key, value in state.items():
            assert not value[~mask].any(), f"{name}: {key} of a pruned weight is not zero"


STATES = {"adam_amsgrad": 3, "rmsprop": 3, "sgd": 1, "sgd_fused": 1, "sgd_plain": 0, "adagrad": 1}


def check_hold(name, before=0, after=200):
    """Train `before` steps without masks, so that momentum is there, then `after` with; look after every step."""
    model = network()
    optimizer, masks = OPTIMIZERS[name](model.parameters()), random_masks(model)
    for _ in train(model, optimizer, before):
        pass
    masks.hold(model, optimizer)
    start = {n: v.clone() for n, v in model.named_parameters()}
    for n, mask in masks.items():
        assert not start[n][~mask].any()
    for _ in train(model, optimizer, after, seed=1):
        assert_pruned_are_zero(model, optimizer, masks, STATES.get(name, 2))
    for n, mask in masks.items():
        moved = model.get_parameter(n) != start[n]
        assert moved[mask].float().mean() > 0.5, f"{n}: kept weights did not train"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_mask_holds_for_200_steps(optimizer):
    check_hold(optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_mask_holds_when_momentum_is_already_there(optimizer):
    check_hold(optimizer, before=30, after=30)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_dense_mask_changes_nothing(optimizer):
    model, other = network(), network()
    held, free = OPTIMIZERS[optimizer](model.parameters()), OPTIMIZERS[optimizer](other.parameters())
    Masks.dense(model).hold(model, held)
    for _ in zip(train(model, held, 20), train(other, free, 20), strict=True):
        pass
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_kept_weights_train_as_in_the_network_without_the_pruned_ones():
    """Removing hidden units is the same as masking their weights, momentum and decay included."""
    big, small = (
        lenet_300_100((6,), 3),
        nn.Sequential(nn.Linear(6, 120), nn.ReLU(), nn.Linear(120, 100), nn.ReLU()),
    )
    small.append(nn.Linear(100, 3))
    initialize(big, "kaiming_normal", generator(0, "big"))
    masks = dict(Masks.dense(big))
    masks["1.weight"][120:] = False
    masks["3.weight"][:, 120:] = False
    Masks(masks).apply(big)
    with torch.no_grad():
        big[1].bias[120:] = 0
        for source, target in ((1, 0), (3, 2), (5, 4)):
            small[target].weight.copy_(big[source].weight[: small[target].out_features, : small[target].in_features])
            small[target].bias.copy_(big[source].bias[: small[target].out_features])
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2) for m in (big, small)]
    Masks(masks).hold(big, optimizers[0])
    g = generator(0, "noise")
    for _ in range(50):
        x, y = torch.randn(8, 6, generator=g), torch.randint(3, (8,), generator=g)
        for model, optimizer in zip((big, small), optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert torch.allclose(big[1].weight[:120], small[0].weight, atol=1e-5)
    assert torch.allclose(big[3].weight[:, :120], small[2].weight, atol=1e-5)
    assert torch.allclose(big[5].weight, small[4].weight, atol=1e-5)


def test_letting_go_lets_the_weights_come_back():
    model = network()
    optimizer, masks = OPTIMIZERS["adam"](model.parameters()), random_masks(model)
    handle = masks.hold(model, optimizer)
    list(train(model, optimizer, 3))
    handle.remove()
    list(train(model, optimizer, 1))
    assert all(model.get_parameter(n)[~m].any() for n, m in masks.items())


class Restless(torch.optim.Optimizer):
    """Moves every weight and its state at every step, whatever the gradient."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure=None):
        for weight in self.param_groups[0]["params"]:
            self.state[weight].setdefault("trace", torch.zeros_like(weight)).add_(1.0)
            weight.add_(1e-3)


def test_a_mask_holds_for_optimizers_that_move_weights_without_a_gradient():
    model = network()
    optimizer, masks = Restless(model.parameters()), random_masks(model)
    masks.hold(model, optimizer)
    for _ in train(model, optimizer, 5):
        assert_pruned_are_zero(model, optimizer, masks, 1)


def test_a_mask_holds_when_a_closure_computes_the_gradients():
    model = network()
    optimizer, masks = OPTIMIZERS["adam"](model.parameters()), random_masks(model)
    masks.hold(model, optimizer)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.randn(8, 2, 4, 4, generator=generator(0, "x"))).square().sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
        assert_pruned_are_zero(model, optimizer, masks, 2)


def test_a_mask_holds_when_weights_and_state_are_written_between_steps():
    model = network()
    optimizer, masks = OPTIMIZERS["adam"](model.parameters()), random_masks(model)
    free = network(1)
    other = OPTIMIZERS["adam"](free.parameters())
    list(train(free, other, 3))
    masks.hold(model, optimizer)
    for _ in train(model, optimizer, 3):
        assert_pruned_are_zero(model, optimizer, masks, 2)
        model.load_state_dict(free.state_dict())
        optimizer.load_state_dict(other.state_dict())


def test_tighter_masks_can_be_held_on_top():
    model = network()
    optimizer, first = OPTIMIZERS["adamw"](model.parameters()), random_masks(model)
    first.hold(model, optimizer)
    list(train(model, optimizer, 5))
    second = magnitude(model.state_dict(), first, 0.5)
    second.hold(model, optimizer)
    for _ in train(model, optimizer, 5):
        assert_pruned_are_zero(model, optimizer, second, 2)


def test_a_mask_holds_over_parameter_groups_and_for_another_precision():
    model = network().double()
    groups = [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[4:].parameters(), "lr": 1e-2}]
    optimizer, masks = torch.optim.Adam(groups, weight_decay=1e-2), random_masks(model)
    masks.hold(model, optimizer)
    for _ in range(5):
        model(torch.randn(8, 2, 4, 4, dtype=torch.double)).square().sum().backward()
        optimizer.step()
        assert_pruned_are_zero(model, optimizer, masks, 2)


def test_masks_hold_on_conv_nets():
    model = initialize(conv(2, (1, 8, 8), 3), "glorot_normal", generator(0, "conv"))
    optimizer, masks = torch.optim.Adam(model.parameters(), lr=1e-3), random_masks(model)
    masks.hold(model, optimizer)
    for _ in range(3):
        model(torch.randn(4, 1, 8, 8, generator=generator(0, "x"))).square().sum().backward()
        optimizer.step()
    assert_pruned_are_zero(model, optimizer, masks, 2)


# A reader's own model -------------------------------------------------------------------------------------------


def test_an_optimizer_of_some_layers_can_still_be_saved():
    model = network()
    optimizer, masks = torch.optim.SGD(model[5].parameters(), lr=0.1, momentum=0.9), random_masks(model)
    masks.hold(model, optimizer)
    for _ in train(model, optimizer, 3):
        assert not any(model.get_parameter(name)[~mask].any() for name, mask in masks.items())
    other = torch.optim.SGD(model[5].parameters(), lr=0.1, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    assert len(optimizer.state) == 2


def test_layers_that_share_a_weight_have_one_mask():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 5))
    model[2].weight = model[1].weight
    model[3].weight = model[0].weight
    masks = Masks.dense(model)
    assert masks.survivors() == {"0.weight": 15, "1.weight": 9}
    masks = magnitude(model.state_dict(), masks, 0.5)
    masks.apply(model)
    assert torch.equal(model[2].weight != 0, masks["1.weight"]) and torch.equal(model[3].weight != 0, masks["0.weight"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    masks.hold(model, optimizer)
    for _ in range(3):
        model(torch.arange(5)).square().sum().backward()
        optimizer.step()
        assert not model[2].weight[~masks["1.weight"]].any() and not model[3].weight[~masks["0.weight"]].any()


@pytest.mark.parametrize("special", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_pruned_weight_stays_zero_when_its_gradient_overflows(optimizer, special):
    model = nn.Linear(3, 2)
    masks = Masks({"weight": torch.tensor([[True, False, True], [False, True, True]])})
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    masks.hold(model, optimizer)
    for gradient in (special, 1.0, special):
        model.weight.grad = torch.where(masks["weight"], 1.0, gradient)
        model.bias.grad = torch.ones(2)
        optimizer.step()
        assert (model.weight[~masks["weight"]] == 0).all() and model.weight.isfinite().all()
        assert all((state[~masks["weight"]] == 0).all() for state in weight_state(optimizer, model.weight).values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_holding_keeps_what_is_kept_to_the_last_bit(dtype):
    """Also the smallest and the special numbers, and states of another precision than the weight."""
    values = [1.5, -0.0, 1e-7, -3e4, float("inf"), float("nan"), -1.0, 2.0]
    model, keep = nn.Linear(8, 1, bias=False).to(dtype), torch.tensor([[True] * 6 + [False] * 2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    Masks({"weight": keep}).hold(model, optimizer)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([values]))
    before = model.weight.detach().clone()
    state = torch.tensor([values], dtype=torch.double)
    optimizer.state[model.weight] = {"double": state, "same": before.clone(), "step": torch.tensor(3.0)}
    optimizer.step()
    for name, after in (("same", model.weight.detach()), *optimizer.state[model.weight].items()):
        if name != "step":
            expected = torch.tensor([values], dtype=torch.double) if name == "double" else before
            assert torch.equal(after[keep].view(torch.uint8), expected[keep].view(torch.uint8))
            assert (after[~keep] == 0).all()
    assert optimizer.state[model.weight]["step"] == 3


def test_a_network_without_prunable_layers_is_refused():
    with pytest.raises(ValueError, match="^model: must have a linear or convolutional layer, ReLU has none$"):
        Masks.dense(nn.ReLU())
    with pytest.raises(ValueError, match="^masks: must be at least one$"):
        Masks({})


def test_a_layer_whose_weight_is_computed_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="^layer '1': its weight must be a parameter, and is computed from others$"):
        Masks.dense(model)


def test_masks_are_equal_when_they_keep_the_same():
    model = network()
    masks = random_masks(model)
    assert masks == Masks({name: mask.clone() for name, mask in reversed([*masks.items()])})
    assert masks != random_masks(model, seed=1) and masks != Masks.dense(model)
    assert masks != Masks({"0.weight": masks["0.weight"]}) and masks != dict(masks) and masks != 1
    assert Masks({"w": torch.ones(2, 3, dtype=torch.bool)}) != Masks({"w": torch.ones(3, 2, dtype=torch.bool)})
    with pytest.raises(TypeError):
        hash(masks)


def test_masks_go_where_the_weights_are():
    """The meta device stands for another one: it computes nothing, and mixing it with this one fails."""
    here = random_masks(network())
    model = network().to("meta")
    assert all(mask.device.type == "meta" for mask in Masks.dense(model).values())
    here.apply(model)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    here.hold(model, optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    away = Masks.unpack(here.pack(), model.state_dict())
    assert all(mask.device.type == "meta" for mask in away.values())
    assert all(bits.device.type == "meta" for bits in away.pack().values())
