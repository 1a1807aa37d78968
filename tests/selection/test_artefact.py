"""Scores and checkpoints as files: what is read is what was written, and belongs to whom it says."""

import pytest
import torch
from torch import nn

from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator
from redraw.selection import (
    Scores,
    SelectionError,
    checkpoint_hash,
    data_hash,
    load_checkpoint,
    load_scores,
    save_checkpoint,
    save_scores,
    select,
)


def network(seed=0):
    return initialize(lenet_300_100((6,), 3), "kaiming_normal", generator(seed, "theta"))


def made(**more):
    values, ids = torch.tensor([0.3, 0.1, 0.2]), torch.tensor([2, 0, 1])
    return Scores(
        **dict(values=values, ids=ids, method="el2n", model="mlp", epoch=0, weights=("ab",), data="cd") | more
    )


def test_scores_come_back_whole(tmp_path):
    save_scores(made(), tmp_path / "a.safetensors")
    back = load_scores(tmp_path / "a.safetensors")
    assert back.epoch == 0 and back.weights == ("ab",) and back.model == "mlp" and back.data == "cd"
    assert torch.equal(back.values, made().values) and torch.equal(back.ids, made().ids)


def check_ids():
    """Values follow their ids, in whatever order they are kept or asked for."""
    scores = made()
    assert scores.of(torch.tensor([0, 1, 2])).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert scores.of(torch.tensor([1])).tolist() == pytest.approx([0.2])
    assert select(scores, 1).tolist() == [2] and select(scores, 1, "easiest").tolist() == [0]


def test_values_follow_their_ids():
    check_ids()
    with pytest.raises(SelectionError, match="example 7 has no score"):
        made().of(torch.tensor([0, 7]))
    with pytest.raises(SelectionError, match="example -1 has no score"):
        made().of(torch.tensor([0, -1]))


def test_a_resorted_dataset_is_found_out():
    x, y = torch.rand(20, 6, generator=generator(0)), torch.arange(20) % 3
    scores = made(data=data_hash(x, y))
    scores.check(x, y)
    order = y.argsort(stable=True)
    for other in ((x[order], y[order]), (x, y.flip(0)), (x + 1, y)):
        with pytest.raises(SelectionError, match="other examples, labels or order"):
            scores.check(*other)


def test_a_damaged_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_scores(made(), path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-3] + b"\x01" + raw[-2:])
    with pytest.raises(SelectionError, match="damaged"):
        load_scores(path)
    path.write_bytes(raw.replace(b"el2n", b"loss"))
    with pytest.raises(SelectionError, match="damaged"):
        load_scores(path)
    path.write_bytes(b"ids,values\n")
    with pytest.raises(SelectionError, match="cannot be read"):
        load_scores(path)
    save_checkpoint(tmp_path, 0, network())
    with pytest.raises(SelectionError, match="scores that redraw wrote"):
        load_scores(tmp_path / "epoch-00000.safetensors")
    with pytest.raises(SelectionError, match="is not there"):
        load_scores(tmp_path / "none.safetensors")
    with pytest.raises(SelectionError, match="cannot be written"):
        save_scores(made(), tmp_path / "no" / "a.safetensors")


def test_scores_that_make_no_sense_are_refused():
    for more in (
        dict(ids=torch.tensor([0, 0, 1])),
        dict(ids=torch.tensor([0, 1])),
        dict(ids=torch.tensor([0.0, 1.0, 2.0])),
        dict(ids=torch.tensor([-1, 0, 1])),
        dict(values=torch.tensor([0.0, 1.0, float("nan")])),
    ):
        with pytest.raises(SelectionError):
            made(**more)


def check_epochs(tmp_path):
    """Epoch 0 is the initialization, proven by the hash of what was loaded; no epoch is the latest."""
    start, later = network(0), network(1)
    written = {0: save_checkpoint(tmp_path, 0, start), 12: save_checkpoint(tmp_path, 12, later)}
    assert written == {0: checkpoint_hash(network(0)), 12: checkpoint_hash(network(1))}
    for asked, epoch in ((0, 0), (12, 12), (None, 12)):
        model = network(2)
        assert load_checkpoint(tmp_path, model, asked) == (epoch, written[epoch])
        assert checkpoint_hash(model) == written[epoch]


def test_epoch_0_is_the_initialization(tmp_path):
    check_epochs(tmp_path)


def test_a_checkpoint_that_is_another_is_refused(tmp_path):
    with pytest.raises(SelectionError, match="holds no checkpoint"):
        load_checkpoint(tmp_path, network())
    save_checkpoint(tmp_path, 12, network())
    with pytest.raises(SelectionError, match="epoch-00003.safetensors: is not there"):
        load_checkpoint(tmp_path, network(), 3)
    (tmp_path / "epoch-00012.safetensors").rename(tmp_path / "epoch-00000.safetensors")
    with pytest.raises(SelectionError, match="is not the checkpoint of epoch 0"):
        load_checkpoint(tmp_path, network(), 0)
    for epoch in (-1, 1.0, True):
        with pytest.raises(SelectionError, match="epoch: must be an integer from 0"):
            save_checkpoint(tmp_path, epoch, network())


def test_a_hash_tells_any_change():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = checkpoint_hash(model)
    assert before == checkpoint_hash(model.state_dict())
    model[1].running_mean[0] = 1e-7
    assert checkpoint_hash(model) != before
    assert data_hash(torch.zeros(2, 3), torch.zeros(2)) != data_hash(torch.zeros(3, 2), torch.zeros(2))
