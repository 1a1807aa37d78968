import itertools

import pytest
import torch

from redraw import data
from redraw.models import conv, initialize, lenet_300_100
from redraw.pruning import Masks, iterative_magnitude_pruning, magnitude
from redraw.seeds import generator
from redraw.studies import lottery_ticket as study
from redraw.training import evaluate, fit
from redraw.workbook import Store, Trial, run_trials

PAPER = {
    "dataset": "digits",
    "model": "lenet_300_100",
    "initialization": "glorot_normal",
    "optimizer": "adam",
    "learning_rate": 1.2e-3,
    "batch_size": 60,
    "iterations": 40,
    "evaluate_every": 8,
    "validation": 237,
    "scope": "layer",
    "hidden_rate": 0.2,
    "conv_rate": 0.1,
    "output_rate": 0.1,
}
OPEN_LTH = PAPER | {
    "initialization": "kaiming_normal",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 128,
    "scope": "global",
    "conv_rate": 0.2,
    "output_rate": 0.2,
}
STILL = {
    "learning_rate": 0.0,
    "iterations": 1,
    "evaluate_every": 1,
}  # what is evaluated is then the start itself
SIZES = {"1.weight": 64 * 300, "3.weight": 300 * 100, "5.weight": 100 * 10}
LAST = "5.weight"
RATES = {"1.weight": 0.2, "3.weight": 0.2, LAST: 0.1}


def trial(function, recipe, seed=0, needs=None, **more):
    return Trial(f"redraw.studies.lottery_ticket:{function}", recipe | more, seed, needs or {})


def tickets(rounds, recipe, seed=0):
    chain = [trial("ticket", recipe, seed, round=0)]
    for k in range(1, rounds + 1):
        chain.append(trial("ticket", recipe, seed, {"previous": chain[-1]}, round=k))
    return chain


def run(trials, tmp_path):
    return run_trials(trials, store=Store(tmp_path / "trials"), jobs=1)


def named(result, prefix):
    return {n.removeprefix(prefix): v for n, v in result.tensors.items() if n.startswith(prefix)}


def masks_of(result):
    return Masks.unpack(named(result, "masks."), named(result, "weights."))


def start(recipe, *stream, seed=0):
    return initialize(lenet_300_100((64,)), recipe["initialization"], generator(seed, *stream))


def loss_of(model, seed=0):
    dataset = data.load("digits", validation=237, seed=seed)
    return evaluate(model, dataset.validation_x, dataset.validation_y)


@pytest.mark.parametrize("recipe", [PAPER, OPEN_LTH], ids=["paper", "open_lth"])
def test_the_chain_of_trials_is_iterative_magnitude_pruning_bit_for_bit(tmp_path, recipe):
    results = run(tickets(3, recipe, seed=2), tmp_path)

    dataset, rounds = data.load("digits", validation=237, seed=2), itertools.count()

    def train(model, masks):
        optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe["optimizer"]](
            model.parameters(), lr=recipe["learning_rate"], fused=True
        )
        masks.hold(model, optimizer)
        budget = {name: recipe[name] for name in ("iterations", "batch_size", "evaluate_every")}
        order = generator(2, "order", "ticket", next(rounds))
        history = fit(model, dataset, optimizer, generator=order, **budget)
        return history, {name: value.clone() for name, value in model.state_dict().items()}

    rates = {"rate": RATES} if recipe is PAPER else {"rate": 0.2, "scope": "global", "exclude": (LAST,)}
    torch.set_flush_denormal(True)  # as every trial does
    try:
        by_hand = list(iterative_magnitude_pruning(start(recipe, "theta_0", seed=2), train, rounds=3, **rates))
    finally:
        torch.set_flush_denormal(False)
    for result, one in zip(results, by_hand, strict=True):
        history, weights = one.outcome
        assert result["validation_loss"] == history.validation_loss
        for name in ("iterations", "stop_iteration", "stop_test_accuracy", "final_test_accuracy", "censored"):
            assert result[name] == getattr(history, name)
        found = named(result, "weights.")
        assert set(found) == set(weights) and all(torch.equal(found[n], weights[n]) for n in weights)
        assert all(torch.equal(masks_of(result)[n], one.masks[n]) for n in SIZES)
        assert result["kept"] == one.masks.kept and result["survivors"] == one.masks.survivors()
        assert result["remaining"] == one.masks.remaining
    assert results[0]["validation_loss"][-1] < 0.7 * results[0]["validation_loss"][0]  # it does train


def test_every_ticket_starts_from_theta_0_of_its_seed(tmp_path):
    trained = run(tickets(1, PAPER), tmp_path)[1]
    still = trial("ticket", PAPER | STILL, 0, {"previous": tickets(1, PAPER)[1]}, round=2)
    (result,) = run([still], tmp_path)
    theta_0 = start(PAPER, "theta_0").state_dict()
    masks, weights = masks_of(result), named(result, "weights.")
    assert set(weights) == set(theta_0)
    for name, value in weights.items():
        assert torch.equal(value, torch.where(masks[name], theta_0[name], 0.0) if name in masks else theta_0[name])
    expected = magnitude(named(trained, "weights."), masks_of(trained), RATES)
    assert all(torch.equal(masks[name], expected[name]) for name in expected)


def test_layers_lose_their_own_rate_each_round(tmp_path):
    left = dict(SIZES)
    for result in run(tickets(4, PAPER | {"iterations": 2, "evaluate_every": 1}), tmp_path):
        assert result["survivors"] == left and result["kept"] == sum(left.values())
        assert result["remaining"] == sum(left.values()) / sum(SIZES.values())
        left = {name: kept - round(RATES[name] * kept) for name, kept in left.items()}


def test_a_global_round_leaves_the_output_layer_and_four_fifths_of_the_whole(tmp_path):
    kept = sum(SIZES.values())
    for result in run(tickets(4, OPEN_LTH | {"iterations": 2, "evaluate_every": 1}), tmp_path):
        assert result["kept"] == kept and result["survivors"][LAST] == SIZES[LAST]
        kept -= round(0.2 * kept)


def test_a_reinitialization_is_the_tickets_mask_on_new_weights(tmp_path):
    ticket = tickets(1, PAPER)[1]
    masks = masks_of(run([ticket], tmp_path)[0])
    again = [trial("reinitialized", PAPER | STILL, 0, {"ticket": ticket}, draw=draw) for draw in range(3)]
    results = run(again, tmp_path)
    for draw, result in enumerate(results):
        model = masks.apply(start(PAPER, "reinitialization", draw))
        assert (result["validation_loss"][0], result["validation_accuracy"][0]) == loss_of(model)
        assert result["survivors"] == masks.survivors() and not result.tensors
    rewound = loss_of(masks.apply(start(PAPER, "theta_0")))[0]
    losses = [rewound, *(result["validation_loss"][0] for result in results)]
    assert len(set(losses)) == 4, "a reinitialization starts from the ticket's weights or from another's"


@pytest.mark.parametrize("remaining", [0.951, 0.513, 0.176, 0.0517, 0.5123])
def test_one_shot_removes_as_much_at_once_as_rounds_do(tmp_path, remaining):
    dense = tickets(0, PAPER)[0]
    shot = trial("one_shot", PAPER | STILL, 0, {"dense": dense}, remaining=remaining)
    trained, result = run([dense, shot], tmp_path)
    assert result["remaining"] == pytest.approx(remaining, abs=2 / sum(SIZES.values()))
    # The number of rounds by bisection, in place of the study's root finder.
    low, high = 0.0, 100.0
    for _ in range(100):
        k = (low + high) / 2
        left = sum(n * (1 - RATES[name]) ** k for name, n in SIZES.items()) / sum(SIZES.values())
        low, high = (k, high) if left > remaining else (low, k)
    rates = {name: 1 - (1 - RATES[name]) ** k for name in SIZES}
    masks = magnitude(named(trained, "weights."), masks_of(trained), rates)
    assert result["survivors"] == masks.survivors()
    assert (result["validation_loss"][0], result["validation_accuracy"][0]) == loss_of(
        masks.apply(start(PAPER, "theta_0"))
    )


def test_one_shot_under_global_pruning(tmp_path):
    dense = tickets(0, OPEN_LTH)[0]
    shot = trial("one_shot", OPEN_LTH | STILL, 0, {"dense": dense}, remaining=0.4)
    result = run([dense, shot], tmp_path)[1]
    assert result["kept"] == round(0.4 * sum(SIZES.values())) and result["survivors"][LAST] == SIZES[LAST]


def test_a_seed_decides_everything_and_each_network_has_its_own_order(tmp_path):
    short = PAPER | {"iterations": 2, "evaluate_every": 1}
    first, again = run(tickets(0, short), tmp_path / "a"), run(tickets(0, short), tmp_path / "b")
    assert first[0]["validation_loss"] == again[0]["validation_loss"]
    other = run(tickets(0, short, seed=1), tmp_path)
    assert first[0]["validation_loss"] != other[0]["validation_loss"]
    # A dense network at another round differs by its order alone: the loss after the first step moves.
    (moved,) = run([trial("ticket", short, 0, round=5)], tmp_path)
    assert first[0]["validation_loss"] != moved["validation_loss"]


@pytest.mark.parametrize(
    ("recipe", "convolution", "hidden", "output"),
    [(PAPER, 0.1, 0.2, 0.1), (PAPER | {"conv_rate": 0.15}, 0.15, 0.2, 0.1), (OPEN_LTH, 0.2, 0.2, 0.2)],
)
def test_convolutions_hidden_and_output_layers_have_their_own_rates(recipe, convolution, hidden, output):
    rates = study._rates(study.Recipe(**recipe), Masks.dense(conv(4)))
    assert list(rates.values()) == [convolution] * 4 + [hidden] * 2 + [output]


def test_the_levels_and_the_counts_of_the_paper():
    levels = study.levels(18)
    paper = {3: 51.3, 7: 21.1, 9: 13.5, 12: 7.0, 15: 3.6, 16: 2.9, 18: 1.9}
    assert {k: round(levels[k], 1) for k in paper} == paper and levels[0] == 100 and len(levels) == 19
    counts = [study.weights_of(model) for model in ("lenet_300_100", "conv_2", "conv_4", "conv_6")]
    assert counts == [266_200, 4_300_992, 2_425_024, 2_261_184]


def test_a_knob_that_the_recipe_does_not_have_is_refused():
    with pytest.raises(TypeError, match="momentum"):
        study.ticket(seed=0, round=0, momentum=0.9, **PAPER)
