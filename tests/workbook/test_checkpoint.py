"""What a long trial keeps of its middle: read back whole or not at all, for who asks for it, gone when it is done."""

import signal
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from engine_tools import trial

from redraw.workbook import Store, run_trials
from redraw.workbook import _checkpoint as module
from redraw.workbook._checkpoint import Checkpoint, offered, saving_first


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "checkpoints" / "key")


def test_what_was_saved_last_is_loaded(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save({"step": 1}, {"x": torch.arange(6).view(2, 3).T})
    checkpoint.save({"step": 2, "rates": [0.1, None]}, {"x": torch.arange(6).view(2, 3).T, "g": torch.tensor(0.5)})
    values, tensors = Checkpoint(checkpoint.path).load()
    assert values == {"step": 2, "rates": [0.1, None]} and tensors["g"] == 0.5
    assert torch.equal(tensors["x"], torch.arange(6).view(2, 3).T)
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["key"]
    checkpoint.drop()
    checkpoint.drop()
    assert checkpoint.load() is None


def test_a_damaged_one_counts_as_none(checkpoint):
    checkpoint.save({"step": 1}, {"x": torch.arange(100)})
    whole = checkpoint.path.read_bytes()
    damages = [b"", whole[:-1], whole[:200], whole[:-3] + b"\0\1\2", b"0" + whole[1:], b"no line at all"]
    for damage in damages:
        checkpoint.path.write_bytes(damage)
        assert Checkpoint(checkpoint.path).load() is None, damage[:80]


def test_a_save_that_is_killed_leaves_the_one_before(checkpoint, monkeypatch):
    checkpoint.save({"step": 1}, {})
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save({"step": 2}, {})
    assert checkpoint.load() == ({"step": 1}, {})


def test_only_who_names_it_is_given_one(tmp_path):
    for function, taken, expected in (
        (lambda *, seed: 0, (), False),
        (lambda *, seed, **more: 0, (), False),
        (lambda *, seed, checkpoint: 0, (), True),
        (lambda *, seed, checkpoint: 0, ("checkpoint",), False),  # a parameter or a need of its own
    ):
        with offered(function, taken, tmp_path / "key") as given:
            assert (list(given) == ["checkpoint"]) is expected


def test_time_is_that_of_all_attempts(checkpoint):
    checkpoint._started -= 100
    checkpoint.save({}, {})
    later = Checkpoint(checkpoint.path)
    later.load()
    later._started -= 10
    later.save({}, {})
    last = Checkpoint(checkpoint.path)
    last.load()
    assert 110 <= last.seconds < 115


def test_it_is_due_after_a_while_or_when_the_process_is_to_end(checkpoint, monkeypatch):
    assert not checkpoint.due
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    assert checkpoint.due
    monkeypatch.undo()
    with saving_first():
        signal.raise_signal(signal.SIGTERM)
        assert checkpoint.due
    assert not checkpoint.due and signal.getsignal(signal.SIGTERM) != module._told


class Gone(BaseException):
    pass


def test_what_ends_the_process_waits_for_the_next_save(checkpoint, monkeypatch):
    def leave(*_):
        raise Gone

    monkeypatch.setattr(module, "GRACE_SECONDS", 60.0)
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with pytest.raises(Gone), saving_first(signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)  # no trial keeps anything
            pytest.fail("went on")
        with pytest.raises(Gone), saving_first(signal.SIGUSR1):
            with offered(lambda *, checkpoint: 0, (), checkpoint.path) as given:
                signal.raise_signal(signal.SIGUSR1)
                assert given["checkpoint"].due
                given["checkpoint"].save({"step": 3}, {})
                pytest.fail("went on")
        assert checkpoint.load() == ({"step": 3}, {})
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
        with pytest.raises(Gone), saving_first(signal.SIGUSR1):  # never whole: it goes all the same
            with offered(lambda *, checkpoint: 0, (), checkpoint.path):
                signal.raise_signal(signal.SIGUSR1)
                signal.sigtimedwait([], 10)
                pytest.fail("went on")
        assert signal.getsignal(signal.SIGUSR1) is leave and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_trial_goes_on_from_its_middle_and_drops_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    store, saved = Store(tmp_path / "trials"), []

    def stop(self, values, tensors, save=Checkpoint.save):
        save(self, values, tensors)
        saved.append(values["step"])
        if values["step"] == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stop)
    one = trial("walks", steps=12, folder=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run_trials([one], store=store, jobs=1)
    assert store.checkpoint(one.key).exists() and store.get(one.key) is None
    (result,) = run_trials([one], store=store, jobs=1)
    assert saved == list(range(1, 13)) and not store.checkpoint(one.key).exists()
    monkeypatch.undo()
    (straight,) = run_trials([one], store=Store(tmp_path / "others"), jobs=1)
    assert result["end"] == straight["end"]
    assert (tmp_path / "began-0").read_text() == "0\n7\n0\n"
