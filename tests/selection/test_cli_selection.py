"""`redraw score` and `redraw select`: what they write, what they refuse, and which weights a score is of."""

import json

import pytest
import torch

from redraw import _cli_selection as cli
from redraw import data, selection
from redraw._cli_selection import SelectionRequestError
from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator
from redraw.selection import checkpoint_hash, el2n, load_scores, select


def fresh(seed):
    return initialize(lenet_300_100((64,)), "kaiming_normal", generator(seed, "score", "theta"))


def ask(method="el2n", epoch=1, networks=1, checkpoints=None, network="mlp", dataset="digits"):
    return cli.score(dataset, method, network, epoch, networks, 3, checkpoints)


def check_epoch_0(tmp_path):
    """Epoch 0 of a folder with later checkpoints is the initialization: its hash is that of weights never trained."""
    later = ask(epoch=1, checkpoints=tmp_path)
    found = ask(epoch=0, checkpoints=tmp_path)
    assert found.epoch == 0 and found.weights == (checkpoint_hash(fresh(3)),) != later.weights
    x, y = data.reader("digits")({})[:2]
    assert torch.equal(found.values, el2n(fresh(3).eval(), (x, y)))


def test_scores_at_epoch_0_are_of_the_initialization(tmp_path):
    check_epoch_0(tmp_path)


def test_a_kept_checkpoint_gives_what_training_gives(tmp_path):
    first, again, anew = ask(networks=2, checkpoints=tmp_path), ask(networks=2, checkpoints=tmp_path), ask(networks=2)
    assert torch.equal(first.values, again.values) and torch.equal(first.values, anew.values)
    assert first.weights == anew.weights and len(set(first.weights)) == 2
    assert (
        sorted(p.name for p in tmp_path.rglob("*.safetensors"))
        == ["epoch-00000.safetensors"] * 2 + ["epoch-00001.safetensors"] * 2
    )


@pytest.mark.parametrize("method", cli.METHODS)
def test_every_method_scores_every_example(method, tmp_path):
    found = ask(method, epoch=2)
    x, y = data.reader("digits")({})[:2]
    found.check(x, y)
    assert len(found.values) == len(x) and found.ids.tolist() == list(range(len(x)))
    assert (found.epoch is None) == (found.weights == ()) == (method in cli.UNTRAINED)
    cli.save_scores(found, tmp_path / "a.safetensors")
    assert json.loads(json.dumps(cli.about(load_scores(tmp_path / "a.safetensors"))))["method"] == method


def test_the_lists_of_choices_are_the_librarys():
    assert cli.POLICIES == selection.POLICIES
    assert all(hasattr(selection, m) for m in cli.METHODS if m not in ("random",))


def test_a_wrong_checkpoint_is_refused(tmp_path):
    ask(epoch=1, checkpoints=tmp_path)
    folder = tmp_path / "digits-mlp-seed-3"
    (folder / "epoch-00001.safetensors").rename(folder / "epoch-00000.safetensors")
    with pytest.raises(SelectionRequestError, match="is not the checkpoint of epoch 0"):
        ask(epoch=0, checkpoints=tmp_path)
    selection.save_checkpoint(folder, 0, fresh(4))
    with pytest.raises(SelectionRequestError, match="is not the initialization of seed 3"):
        ask(epoch=0, checkpoints=tmp_path)
    selection.save_checkpoint(folder, 0, torch.nn.Linear(64, 10))
    with pytest.raises(SelectionRequestError, match="Error"):
        ask(epoch=0, checkpoints=tmp_path)


@pytest.mark.parametrize(
    "request_, words",
    [
        (dict(method="hard"), "method: must be one of el2n, grand"),
        (dict(network="vgg"), "network: must be one of mlp"),
        (dict(network="small_conv"), r"network: must be mlp for inputs of shape \(64,\)"),
        (dict(method="forgetting", epoch=1), "epoch: must be at least 2"),
        (dict(dataset="chinchilla"), "dataset: must hold examples with labels"),
    ],
)
def test_impossible_requests_are_one_line(request_, words):
    with pytest.raises(SelectionRequestError, match=words) as error:
        ask(**request_)
    assert "\n" not in str(error.value)


@pytest.fixture
def kept(tmp_path):
    scores = ask("input_norm")
    cli.save_scores(scores, tmp_path / "scores.safetensors")
    return scores, tmp_path / "scores.safetensors"


def check_unbalanced(tmp_path):
    """Classes are balanced by request only."""
    tmp_path.mkdir(exist_ok=True)
    scores = ask("input_norm")
    cli.save_scores(scores, tmp_path / "scores.safetensors")
    found = cli.select_file(tmp_path / "scores.safetensors", "0.25", "hardest", "7", balanced=False, seed=0)
    assert found.ids == select(scores, 0.25, skip=7).tolist()


def test_classes_are_balanced_by_request_only(tmp_path):
    check_unbalanced(tmp_path)


def test_selects_as_the_library_does(kept, tmp_path):
    scores, path = kept
    found = cli.select_file(path, "0.25", "hardest", "7", balanced=False, seed=0)
    assert found.ids == select(scores, 0.25, skip=7).tolist()
    labels = data.reader("digits")({}).train_y
    balanced = cli.select_file(path, "100", "easiest", "0", balanced=True, seed=0)
    assert balanced.ids == select(scores, 100, "easiest", classes=labels).tolist()
    assert balanced.highest == pytest.approx(scores.of(torch.tensor(balanced.ids)).max().item())
    cli.save_ids(found, tmp_path / "ids.csv")
    assert (tmp_path / "ids.csv").read_text().split() == ["id", *map(str, found.ids)]
    assert found.to_dict()["kept"] == 359


def test_wrong_files_and_numbers_are_one_line(kept, tmp_path):
    _, path = kept
    for keep, skip, policy, words in (
        ("half", "0", "hardest", "keep: must be a fraction or a number"),
        ("0.5", "0.6", "hardest", "keep: must be at most"),
        ("0.5", "x", "hardest", "skip: must be a fraction"),
        ("0.5", "0", "best", "policy: must be one of"),
        ("nan", "0", "hardest", "keep: must be"),
    ):
        with pytest.raises(SelectionRequestError, match=words):
            cli.select_file(path, keep, policy, skip, balanced=False, seed=0)
    with pytest.raises(SelectionRequestError, match="is not there"):
        cli.select_file(tmp_path / "no.safetensors", "0.5", "hardest", "0", balanced=False, seed=0)
    found = cli.select_file(path, "5", "hardest", "0", balanced=False, seed=0)
    for place, words in (
        (tmp_path / "ids.txt", "must end in .csv"),
        (tmp_path / "no" / "ids.csv", r"save: must be a file that can be written, got .*ids.csv \(no such folder\)"),
    ):
        with pytest.raises(SelectionRequestError, match=words):
            cli.save_ids(found, place)
    with pytest.raises(SelectionRequestError, match="must end in .safetensors"):
        cli.save_scores(kept[0], tmp_path / "a.pt")


def test_the_commands(checkout, tmp_path):
    path = str(tmp_path / "a.safetensors")
    done = checkout.redraw("score", "--dataset", "digits", "--method", "random", "--save", path, "--json")
    assert done.code == 0 and json.loads(done.out)["examples"] == 1437
    done = checkout.redraw("select", path, "--keep", "0.1", "--json")
    assert done.code == 0 and len(json.loads(done.out)["ids"]) == 144
    done = checkout.redraw("select", path, "--keep", "0.1", "--save", str(tmp_path / "ids.csv"))
    assert done.code == 0 and "144 of 1,437 examples kept" in done.out
    done = checkout.redraw("select", path, "--keep", "7.5")
    assert done.code == 2 and done.line.startswith("redraw: keep: must be a fraction")
    done = checkout.redraw("score", "--dataset", "digits", "--save", "a.pt")
    assert done.code == 2 and "must end in .safetensors" in done.line


def test_a_place_that_cannot_be_written_is_refused_before_networks_train(checkout, tmp_path, monkeypatch):
    done = checkout.redraw("score", "--dataset", "digits", "--save", "nowhere/a.safetensors")
    told = "redraw: save: must be a file that can be written, got nowhere/a.safetensors (no such folder)"
    assert done.code == 2 and done.line == told
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SelectionRequestError, match=r"\(it is a folder\)$"):
        cli.check_place(tmp_path / "folder.csv", ".csv")
    (tmp_path / "there.csv").touch()
    cli.check_place(tmp_path / "there.csv", ".csv")
    monkeypatch.setattr(cli.os, "access", lambda path, mode: False)
    with pytest.raises(SelectionRequestError, match=r"\(no permission\)$"):
        cli.check_place(tmp_path / "there.csv", ".csv")
