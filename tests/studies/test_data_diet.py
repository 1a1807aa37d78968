"""The trials of the data-diet study against the same steps taken by hand, on digits."""

import math
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from redraw import data
from redraw.models import initialize, lenet_300_100, resnet_18
from redraw.seeds import generator
from redraw.selection import checkpoint_hash, el2n, grand, select
from redraw.studies import _diet_figures as shown
from redraw.studies import data_diet as study

RECIPE = study.Recipe("digits", "mlp", 600, 40, 60, 0.05, False, 0.0, "cpu")
NOISY = study.Recipe("digits", "mlp", 600, 40, 60, 0.05, False, 0.2, "cpu")


class Kept(dict):
    """What stands for a result in the store."""

    def __init__(self, value):
        super().__init__(value)
        self.tensors = value["tensors"]


@pytest.fixture(scope="module")
def networks():
    return [study.scored(seed=k, score_epoch=2, **asdict(RECIPE)) for k in range(3)]


@pytest.fixture(scope="module")
def mean(networks):
    needs = {f"net_{k:03d}": Kept(net) for k, net in enumerate(networks)}
    return study.averaged(seed=0, groups=2, **needs, **asdict(RECIPE))


def fresh(*stream):
    return initialize(lenet_300_100((64,)), "kaiming_normal", generator(*stream))


# Scores -----------------------------------------------------------------------------------------------------------


def check_start():
    """Scores at initialization are of weights never trained, by their hash."""
    found = study.scored(seed=1, score_epoch=2, **asdict(RECIPE))
    pool, start = study.make_pool(RECIPE), fresh(1, "scoring", "theta")
    assert found["weights_start"] == checkpoint_hash(start) != found["weights"]
    assert torch.equal(found["tensors"]["grand_start"], grand(start, (pool.x, pool.y)))
    assert torch.equal(found["tensors"]["el2n_start"], el2n(start, (pool.x, pool.y)))


def test_scores_at_the_start_are_of_untrained_weights():
    check_start()


def test_scores_are_of_the_epoch_asked_for(networks):
    """Two epochs of ten steps by hand, the first learning rate throughout (it falls at 30 % of 40 steps)."""
    pool, model = study.make_pool(RECIPE), fresh(0, "scoring", "theta")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    order, right = generator(0, "scoring", "order"), torch.zeros(4, 600, dtype=torch.bool)
    for step in range(40):
        if step % 10 == 0:
            permutation = torch.randperm(600, generator=order)
        if step == 20:
            by_hand = (model(pool.x).softmax(1) - F.one_hot(pool.y)).norm(dim=1)
            torch.testing.assert_close(networks[0]["tensors"]["el2n"], by_hand.detach(), rtol=1e-4, atol=1e-5)
        ids = permutation[60 * (step % 10) :][:60]
        logits = model(pool.x[ids])
        right[step // 10, ids] = logits.argmax(1) == pool.y[ids]
        optimizer.param_groups[0]["lr"] = 0.05 * 0.2 ** sum(step >= decay for decay in (12, 24, 32))
        optimizer.zero_grad()
        F.cross_entropy(logits, pool.y[ids]).backward()
        optimizer.step()
    events = (right[:-1] & ~right[1:]).sum(0)
    events = torch.where(right.any(0), events, 4).float()
    assert (networks[0]["tensors"]["forgetting"] == events).float().mean() > 0.995
    accuracy = (model(pool.test_x).argmax(1) == pool.test_y).float().mean().item()
    assert networks[0]["test_accuracy"] == pytest.approx(accuracy, abs=0.01)
    assert networks[0]["never_forgotten"] == pytest.approx(100 * (events == 0).float().mean().item(), abs=0.6)


def test_averages_and_what_networks_say_of_each_other(networks, mean):
    scores = torch.stack([net["tensors"]["grand"] for net in networks])
    torch.testing.assert_close(mean["tensors"]["grand"], scores.mean(0))
    assert len(mean["agree"]["el2n"]) == 1 and len(mean["agree"]["el2n"][0]) == 2
    assert sum(mean["histogram"]["right"]) == 600 and mean["averaged_networks"] == 3
    norms = study.make_pool(RECIPE).x.norm(dim=1)
    torch.testing.assert_close(mean["tensors"]["input_norm"], norms)
    found = study.ranked(seed=0, own=Kept(networks[0]), mean=Kept(mean), **asdict(RECIPE))
    mine = networks[0]["tensors"]
    assert found == {
        "one_el2n": pytest.approx(rank(mine["el2n"], sum(net["tensors"]["el2n"] for net in networks[1:])), abs=1e-4),
        "one_grand": pytest.approx(rank(mine["grand"], scores[1:].sum(0)), abs=1e-4),
        "forgetting_el2n": pytest.approx(rank(mine["forgetting"], mine["el2n"])),
        "norm_grand": pytest.approx(rank(norms, mine["grand_start"])),
    }
    between = study.compared(seed=0, own=Kept(networks[0]), mean=Kept(mean))
    assert between["between_grand"] == pytest.approx(rank(mine["grand"], scores.sum(0)), abs=1e-4)


def rank(a, b):
    return stats.spearmanr(a, b).statistic


def test_unforgotten_by_a_group_is_unforgotten_by_each(networks):
    needs = {f"net_{k:03d}": Kept(net) for k, net in enumerate(networks)}
    never = np.all([net.tensors["never"].numpy() for net in needs.values()], axis=0)
    assert study.unforgotten(seed=0, **needs, **asdict(RECIPE)) == {"unforgotten": pytest.approx(100 * never.mean())}
    assert 0 < never.mean() < 1


def test_the_wall_shows_the_right_pictures(mean):
    """Positions of the wall lead to pictures of their class in the dataset's file, hardest last in score."""
    arrays, pool = data.reader("digits")({}), study.make_pool(RECIPE)
    score = dict(zip(pool.ids.tolist(), mean["tensors"]["el2n"].tolist(), strict=True))
    for label in range(10):
        assert all(int(arrays.train_y[i]) == label for name in mean["wall"] for i in mean["wall"][name][label])
        members = sorted(score[int(i)] for i in pool.ids[pool.y == label])
        assert [score[i] for i in mean["wall"]["easiest"][label]] == members[:5]
        assert [score[i] for i in mean["wall"]["hardest"][label]] == members[:-6:-1]


# Noise ------------------------------------------------------------------------------------------------------------


def test_noise_permutes_labels_and_leaves_examples_where_they_are():
    clean, noisy = study.make_pool(RECIPE), study.make_pool(NOISY)
    assert torch.equal(clean.x, noisy.x) and torch.equal(clean.ids, noisy.ids)
    assert torch.equal(clean.y.bincount(), noisy.y.bincount()) and not clean.changed.any()
    assert torch.equal(noisy.changed, noisy.y != clean.y) and 0.15 < noisy.changed.float().mean() < 0.2
    assert torch.equal(noisy.test_y, clean.test_y)


def check_noise():
    """Precision and AUC of made-up scores that find the noise exactly, but for one example."""
    changed = torch.zeros(100, dtype=torch.bool)
    changed[::10] = True
    scores = changed.float() + torch.linspace(0, 0.5, 100)
    scores[0] = -1
    assert study.noise_found(scores, changed) == {"precision": pytest.approx(0.9), "auc": pytest.approx(0.9)}


def test_noise_is_found_as_counted():
    check_noise()
    needs = {f"net_{k:03d}": Kept(study.scored(seed=k, score_epoch=2, **asdict(NOISY))) for k in range(2)}
    mean = study.averaged(seed=0, groups=1, **needs, **asdict(NOISY))
    assert sum(mean["histogram"]["wrong"]) == int(study.make_pool(NOISY).changed.sum())
    found = study.ranked(seed=0, own=needs["net_000"], mean=Kept(mean), **asdict(NOISY))
    assert 0.5 < found["auc"] < 1 and 0.3 < found["precision"] <= 1


# Training on what is kept -----------------------------------------------------------------------------------------


def by_hand(chosen, steps, seed, recipe=RECIPE):
    """Accuracy after plain training on the examples `chosen`."""
    pool, model = study.make_pool(recipe), fresh(seed, "theta")
    x, y = pool.x[chosen], pool.y[chosen]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    order, queue = generator(seed, "order"), []
    for step in range(steps):
        if not queue:
            queue = list(torch.randperm(len(x), generator=order)[: len(x) // 60 * 60].split(60))
        ids = queue.pop(0)
        optimizer.param_groups[0]["lr"] = 0.05 * 0.2 ** sum(step >= round(steps * p) for p in (0.3, 0.6, 0.8))
        optimizer.zero_grad()
        F.cross_entropy(model(x[ids]), y[ids]).backward()
        optimizer.step()
    return (model(pool.test_x).argmax(1) == pool.test_y).float().mean().item()


def check_kept():
    """The hardest are kept, of whatever class they are, and trained on for as long as was asked."""
    pool, scores = study.make_pool(RECIPE), torch.rand(600, generator=generator(0, "scores"))
    scores += study.make_pool(RECIPE).y  # so that the hardest are of a few classes
    order = scores.argsort(descending=True)
    for skip, matched, steps in ((0.0, "iterations", 40), (0.1, "epochs", 20)):
        made = Kept({"tensors": {"el2n": scores}})
        given = dict(score="el2n", keep=0.5, skip=skip, matched=matched, source="all", scores=made)
        found = study.trained(seed=3, **given, **asdict(RECIPE))
        chosen = order[round(skip * 600) :][:300].sort().values
        assert found["trained_steps"] == steps
        assert found["kept_of_class"] == pool.y[chosen].bincount(minlength=10).tolist()
        assert found["test_accuracy"] == pytest.approx(by_hand(chosen, steps, 3), abs=0.006)
        weights = torch.bincount(pool.test_y).tolist()
        by_class = [found[f"accuracy_{label}"] for label in range(10)]
        assert found["test_accuracy"] == pytest.approx(np.average(by_class, weights=weights))


def test_a_network_is_trained_on_what_the_score_keeps():
    check_kept()


def test_a_random_choice_is_new_for_each_seed_and_all_is_all():
    given = dict(score="random", skip=0.0, matched="iterations", source="all")
    kept = [study.trained(seed=s, keep=0.5, **given, **asdict(RECIPE))["kept_of_class"] for s in range(2)]
    assert kept[0] != kept[1] and sum(kept[0]) == 300
    assert sum(study.trained(seed=0, keep=1.0, **given, **asdict(RECIPE))["kept_of_class"]) == 600
    expected = by_hand(select(torch.zeros(600), 0.5, "random", seed=1), 40, 1)
    assert study.trained(seed=1, keep=0.5, **given, **asdict(RECIPE))["test_accuracy"] == pytest.approx(
        expected, abs=0.006
    )


def test_pictures_are_cropped_from_a_frame_of_four_and_mirrored():
    x = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8).repeat(40, 1, 1, 1)
    found = study.cropped_and_flipped(x, generator(0, "crop"))
    padded, mirrored = F.pad(x, (4, 4, 4, 4), mode="reflect"), set()
    for one, frame in zip(found, padded, strict=True):
        crops = {(flip, i, j): frame[:, i : i + 8, j : j + 8] for flip in (0, 1) for i in range(9) for j in range(9)}
        match = [k for k, crop in crops.items() if torch.equal(crop.flip(2) if k[0] else crop, one)]
        assert match
        mirrored |= {k[0] for k in match}
    assert mirrored == {0, 1} and found.is_contiguous()


def test_the_papers_network_trains_and_scores_on_pictures_that_are_cropped_and_mirrored(monkeypatch):
    """ResNet-18 with batch normalization and augmentation, as the paper preset has it, narrow and on few pictures."""
    chance = generator(0, "pictures")
    y = torch.arange(40) % 10
    x = torch.randn(40, 3, 32, 32, generator=chance) + y[:, None, None, None] / 5
    monkeypatch.setattr(study, "_arrays", lambda dataset: data.Arrays(x, y, x[:20], y[:20]))
    monkeypatch.setitem(study.NETWORKS, "resnet_18", partial(resnet_18, width=4))
    seen, plain = [], study.cropped_and_flipped
    monkeypatch.setattr(study, "cropped_and_flipped", lambda x, chance: seen.append(len(x)) or plain(x, chance))
    recipe = asdict(study.Recipe("cifar10", "resnet_18", 40, 6, 10, 0.05, True, 0.0, "cpu"))

    networks = [Kept(study.scored(seed=k, score_epoch=1, **recipe)) for k in range(2)]
    assert seen == [10] * 12  # every step of training and no scoring
    for net in networks:
        assert {name: (value.shape, bool(value.isfinite().all())) for name, value in net.tensors.items()} == {
            name: ((40,), True) for name in ("el2n_start", "grand_start", "el2n", "grand", "forgetting", "never")
        }
        assert net["weights_start"] != net["weights"] and (net.tensors["grand"] > 0).all()
    start = initialize(resnet_18(width=4), "kaiming_normal", generator(0, "scoring", "theta")).eval()
    torch.testing.assert_close(networks[0].tensors["grand_start"], grand(start, (x, y)))
    mean = Kept(study.averaged(seed=0, groups=1, net_000=networks[0], net_001=networks[1], **recipe))
    torch.testing.assert_close(mean.tensors["el2n"], (networks[0].tensors["el2n"] + networks[1].tensors["el2n"]) / 2)

    kept = dict(seed=0, score="el2n", keep=0.5, skip=0.0, matched="iterations", source="all", scores=mean)
    found = study.trained(**kept, **recipe)
    assert len(seen) == 18 and sum(found["kept_of_class"]) == 20 and found["trained_steps"] == 6
    assert 0 <= found["test_accuracy"] <= 1
    plainly = study.scored(seed=0, score_epoch=1, **recipe | {"augment": False})
    assert len(seen) == 18 and plainly["weights_start"] == networks[0]["weights_start"]
    assert plainly["weights"] != networks[0]["weights"]


# The plan ---------------------------------------------------------------------------------------------------------

KNOBS = dict(
    datasets=["mnist"],
    network="mlp",
    other_network="small_conv",
    examples=600,
    steps=40,
    batch_size=60,
    learning_rate=0.05,
    score_epoch=2,
    networks=3,
    scores=["el2n", "grand", "forgetting"],
    fractions=[0.2, 0.5],
    seeds=2,
    noise=0.1,
    device="cpu",
)


def test_the_plan_has_each_arm_once_per_seed():
    trials = [t for t in study.plan(**KNOBS | {"other_network": "none"}) if t.function.endswith(":trained")]
    arms = [
        tuple(t.parameters[k] for k in ("score", "keep", "skip", "matched", "source", "noise")) + (t.seed,)
        for t in trials
    ]
    assert len(set(arms)) == len(arms)
    assert {a[:4] for a in arms if a[5] == 0 and a[1] == 0.2} == {
        ("random", 0.2, 0.0, "iterations"),
        ("random", 0.2, 0.0, "epochs"),
        ("el2n", 0.2, 0.0, "iterations"),
        ("el2n", 0.2, 0.0, "epochs"),
        ("grand", 0.2, 0.0, "iterations"),
        ("forgetting", 0.2, 0.0, "iterations"),
    }
    assert {a[:3] for a in arms if a[5] == 0.1} == {("random", 0.5, 0.0), ("el2n", 0.5, 0.0), ("el2n", 0.5, 0.1)}


def test_noisy_networks_are_scored_with_noise():
    """Scores of clean labels must not choose among noisy ones, nor the other way round."""
    for trial in study.plan(**KNOBS):
        if trial.function.endswith((":trained", ":averaged")):
            for need in trial.needs.values():
                assert need.parameters["noise"] == trial.parameters["noise"]
                same = need.parameters["network"] == trial.parameters["network"]
                assert same or trial.parameters["source"] == "transfer"


def test_impossible_requests_are_refused():
    for more, words in {
        "epoch": (dict(score_epoch=5), "score_epoch: must be at most the 4 epochs of training, got 5"),
        "less than an epoch": (dict(steps=5), "score_epoch: must be at most the 0.5 epochs of training, got 2"),
        "no dataset": (dict(datasets=[]), "datasets: must name at least one, each once, got none"),
        "twice": (dict(datasets=["mnist", "mnist"]), "datasets: must name at least one, each once, got mnist, mnist"),
        "no fraction": (dict(fractions=[]), "fractions: must name at least one, each once, got none"),
        "scores": (dict(scores=["grand", "grand"]), "scores: must name each once, got grand, grand"),
        "many": (
            dict(datasets=["digits"]),
            "other_network: must be mlp for the inputs of digits, which are no pictures",
        ),
        "flat": (
            dict(datasets=["mnist", "digits"], network="lenet_5"),
            "network: must be mlp for the inputs of digits",
        ),
        "examples": (dict(datasets=["digits"], examples=5000), "examples: must be at most the 1437 examples of digits"),
        "batch": (dict(batch_size=301), "batch_size: must be at most 300, half of the examples, got 301"),
        "noise": (dict(noise=0.9), r"noise: must be 0, or from 0.017 \(10 labels\) to 0.5, got 0.9"),
        "no noise": (dict(noise=0.001), "noise: must be 0, or from 0.017"),
        "fraction": (dict(fractions=[0.05]), "fractions: must keep from a batch of 60"),
        "all": (dict(fractions=[1.0]), "fractions: "),
        "other": (dict(other_network="mlp"), "other_network: must be another than network, got mlp twice"),
    }.values():
        with pytest.raises(ValueError, match=words):
            study.plan(**KNOBS | more)
    with pytest.raises(ValueError, match="examples: must be at most the 1437 of digits"):
        study.make_pool(study.Recipe("digits", "mlp", 2000, 40, 60, 0.05, False, 0.0, "cpu"))


@pytest.mark.parametrize(("rate", "steps", "score_epoch"), [(1e30, 40, 2), (10.0, 40, 4)])
def test_a_scoring_network_that_diverges_says_so_and_at_which_learning_rate(rate, steps, score_epoch):
    recipe = asdict(RECIPE) | {"learning_rate": rate, "steps": steps}
    with pytest.raises(ValueError, match="^learning_rate: must be one at which scoring .* has diverged within"):
        study.scored(seed=0, score_epoch=score_epoch, **recipe)


def test_without_noise_there_is_no_histogram_of_wrong_labels(mean):
    row = {"function": "averaged", "dataset": "digits", "network": "mlp", "noise": 0.0, "histogram": mean["histogram"]}
    table = pd.DataFrame([row, row | {"function": "scored"}, row | {"noise": 0.2}])
    assert shown.histogram(table, "digits", 0.0).empty
    assert len(shown.histogram(table, "digits", 0.2)) == 40


def test_the_enlarged_panel_has_the_lines_of_half_and_more_in_their_order():
    row = {"function": "trained", "dataset": "digits", "network": "mlp", "noise": 0.0, "skip": 0.0, "source": "all"}
    row |= {"matched": "iterations", "test_accuracy": 0.5, "seed": 0}
    arms = [("random", 1.0), ("grand_start", 0.5), *((s, k) for k in (0.8, 0.5, 0.2) for s in ("el2n", "random"))]
    table = pd.DataFrame([row | {"function": "scored"}, *(row | {"score": s, "keep": k} for s, k in arms)])
    frame = shown.accuracies(table, "digits")
    assert len(frame) == 2 * 4 + 1 and set(frame["score"]) == {"EL2N", "random", "GraNd at initialization"}
    half = shown.enlarged(frame)
    assert sorted(half["kept"]) == [50, 50, 80, 80, 100, 100]
    assert list(dict.fromkeys(half["score"])) == list(dict.fromkeys(frame["score"]))[:2]
    assert shown.enlarged(frame.iloc[:0]).empty


def test_classes_stand_beside_their_random_control_in_one_order():
    row = {"function": "trained", "dataset": "digits", "network": "mlp", "noise": 0.0, "skip": 0.0, "source": "all"}
    row |= {"matched": "iterations"}
    values = {("random", 1.0): (0.9, 0.9), ("el2n", 0.2): (0.7, 0.4), ("random", 0.2): (0.8, 0.85)}
    rows = [
        row | {"score": s, "keep": k, "seed": seed, "accuracy_0": a + seed / 100, "accuracy_1": b}
        for (s, k), (a, b) in values.items()
        for seed in range(2)
    ]
    frame = shown.uneven(pd.DataFrame([row | {"function": "scored"}, *rows]), "digits", 0.2)
    assert frame["kept"].tolist() == ["EL2N"] * 2 + ["random"] * 2 and frame["label"].tolist() == ["1", "0"] * 2
    assert frame["estimate"].tolist() == pytest.approx([50, 20, 5, 10])
    assert shown.uneven(pd.DataFrame(), "digits", 0.2).empty


def test_the_pool_is_the_datasets_own_examples():
    arrays, pool = data.reader("digits")({}), study.make_pool(RECIPE)
    assert torch.equal(pool.x, arrays.train_x[pool.ids]) and torch.equal(pool.y, arrays.train_y[pool.ids])
    assert len(pool.ids.unique()) == 600 and pool.classes == 10
    assert math.isclose(len(pool.test_x), 360)
