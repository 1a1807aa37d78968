"""Trainings of the rewinding study that are interrupted, at any iteration, end to the bit where whole ones do."""

from dataclasses import asdict, replace

import pytest
import torch

from redraw import data
from redraw.models import small_resnet
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.studies import _rewound
from redraw.studies import late_rewinding as study
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
        lambda saved: study.dense(seed=3, keep=[0, K, 30], checkpoint=saved, **asdict(RECIPE)),
        tmp_path / "key",
        at,
    )
    same(Kept(found), dense)
    assert times == len(at)


@pytest.mark.parametrize(
    ("function", "asked", "at"),
    [
        ("ticket", {"k": K, "round": 1, "rate": 0.5}, (K + 1, 26, 27)),
        ("sibling", {"k": K, "round": 0, "points": 3, "examples": 100}, (7, 41)),
        ("retrained", {"arm": "rewound", "k": K, "remaining": 0.2}, (K + 1, 49)),
        ("retrained", {"arm": "lr_rewound", "k": K, "remaining": 0.2}, (1, 43)),
        ("structured", {"arm": "finetuned", "keep": 0.5}, (5,)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_comes_after_it(dense, tmp_path, function, asked, at):
    asked = {"seed": 3, "dense": dense, **asked, **asdict(RECIPE)}
    trial = getattr(study, function)
    found, times = in_parts(lambda saved: trial(checkpoint=saved, **asked), tmp_path / "key", at)
    same(Kept({"tensors": {}} | found), Kept({"tensors": {}} | trial(**asked)))
    assert times == len(at)


def test_batch_normalization_momentum_pictures_that_change_and_the_schedule(tmp_path):
    x, y = torch.randn(24, 1, 14, 14, generator=generator(0)), torch.arange(24) % 10
    dataset = data.Dataset("made up", x, y, x, y, x, y, 10)
    recipe = _rewound.Recipe("", "", "sgd", 0.05, "step", 1e-3, 8, 14, True, "cpu")
    ends = []
    for interrupted in (False, True):
        model = small_resnet((1, 14, 14))
        for number, weight in enumerate(model.parameters()):
            with torch.no_grad():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator(number)))
        start = _rewound.fresh(model)
        masks = magnitude(start.state, Masks.dense(model), 0.3, scope="global")
        arguments = recipe, model, masks, dataset, start, (0, "one")
        if interrupted:
            in_parts(lambda saved, a=arguments: _rewound.train(*a, saved=saved), tmp_path / "key", (4, 8, 13))
        else:
            _rewound.train(*arguments)
        ends.append(_rewound.state_of(model))
    assert ends[0].keys() == ends[1].keys()
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
