"""Long trials of the rewinding study, interrupted at any iteration, give to the bit what the short ones give."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from redraw import data
from redraw.models import small_resnet
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.studies import _rewound, _rewound_long
from redraw.studies import late_rewinding as study
from redraw.workbook import Project
from redraw.workbook._checkpoint import Checkpoint

RECIPE = replace(study.SETTINGS["lenet_digits"], iterations=50)  # 20 iterations an epoch
K = 6


class Interrupted(Exception):
    pass


class Saving(Checkpoint):
    """Due at some iterations of its training, and ends it after each."""

    def __init__(self, path, at):
        super().__init__(path)
        self.at = list(at)

    @property
    def due(self):
        return True

    def save(self, values, tensors):
        if self.at and values["now"] == self.at[0]:
            self.at.pop(0)
            super().save(values, tensors)
            raise Interrupted


def in_parts(function, path, at):
    """What `function(checkpoint)` returns in the end, and how often it was interrupted."""
    saving, times = Saving(path, at), 0
    while True:
        try:
            return function(saving), times
        except Interrupted:
            times += 1


class Kept(dict):
    """What stands for a result in the store."""

    def __init__(self, value):
        super().__init__({name: part for name, part in value.items() if name != "tensors"})
        self.tensors = value["tensors"]


def same(one, other):
    assert one.keys() == other.keys() and one.tensors.keys() == other.tensors.keys()
    assert {name: one[name] for name in one} == {name: other[name] for name in other}
    assert [name for name, value in one.tensors.items() if not torch.equal(value, other.tensors[name])] == []


@pytest.fixture(scope="module")
def dense():
    return Kept(study.dense(seed=3, keep=[0, K, 30], **asdict(RECIPE)))


@pytest.mark.parametrize("at", [(), (1,), (K, 20, 30, 49)], ids=str)
def test_a_dense_network(dense, tmp_path, at):
    found, times = in_parts(
        lambda saved: _rewound_long.dense(seed=3, keep=[0, K, 30], checkpoint=saved, **asdict(RECIPE)),
        tmp_path / "key",
        at,
    )
    same(Kept(found), dense)
    assert times == len(at)


def test_a_ticket_under_its_masks(dense, tmp_path):
    asked = {"seed": 3, "k": K, "round": 1, "rate": 0.5, "dense": dense, **asdict(RECIPE)}
    found, times = in_parts(
        lambda saved: _rewound_long.ticket(checkpoint=saved, **asked), tmp_path / "key", (K + 1, 26, 27)
    )
    same(Kept(found), Kept(study.ticket(**asked)))
    assert times == 3 and found["remaining"] == pytest.approx(0.5, abs=1e-3)


def test_batch_normalization_momentum_pictures_that_change_and_the_schedule(tmp_path):
    x, y = torch.randn(24, 1, 14, 14, generator=generator(0)), torch.arange(24) % 10
    dataset = data.Dataset("made up", x, y, x, y, x, y, 10)
    recipe = _rewound.Recipe("", "", "sgd", 0.05, "step", 1e-3, 8, 14, True, "cpu")
    ends = []
    for long in (False, True):
        model = small_resnet((1, 14, 14))
        for number, weight in enumerate(model.parameters()):
            with torch.no_grad():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator(number)))
        start = _rewound.fresh(model)
        masks = magnitude(start.state, Masks.dense(model), 0.3, scope="global")
        arguments = recipe, model, masks, dataset, start, (0, "one")
        if long:
            in_parts(lambda saved, a=arguments: _rewound_long.train(*a, saved), tmp_path / "key", (4, 8, 13))
        else:
            _rewound.train(*arguments)
        ends.append(_rewound.state_of(model))
    assert ends[0].keys() == ends[1].keys()
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []


def test_only_the_papers_long_trainings_keep_a_checkpoint():
    card = Project(Path(__file__).resolve().parents[2]).card("late_rewinding")
    modules = {
        preset: {(t.function, t.parameters["network"]) for t in study.plan(**card.resolve(preset))}
        for preset in ("smoke", "laptop", "paper")
    }
    long = {f"{_rewound_long.__name__}:{name}" for name in ("dense", "ticket")}
    assert not [function for function, _ in modules["smoke"] | modules["laptop"] if function in long]
    assert {pair for pair in modules["paper"] if pair[0] in long} == {(name, "resnet_20") for name in long}
