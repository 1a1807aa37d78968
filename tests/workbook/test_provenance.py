"""What a run's record says of where it ran, no more than is known."""

import json

import pytest
import torch

from redraw.workbook import Project, run_study
from redraw.workbook import _provenance as module
from redraw.workbook._crate import _ran
from redraw.workbook._provenance import devices


def body(**parameters):
    return {"parameters": parameters}


def beside(**how):
    return {"parameters": {"device": "odd"}, "batched": {"members": 4, **how}}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"Made GPU {device}")


def test_the_device_is_what_the_records_say_or_the_trials_asked_for(gpu):
    assert devices({}) == devices({"a": body(n=1)}, here={"a"}) == devices({"a": body(device=None)}) == "cpu"
    assert devices({"a": body(device="cpu"), "b": body()}, here={"a"}) == "cpu"
    assert devices({"a": beside(device="cpu"), "b": body()}) == "cpu"
    assert devices({"a": beside(device="cuda", processor="NVIDIA H200"), "b": body()}) == "NVIDIA H200, cpu"


def test_a_gpu_has_a_name_where_it_is_here(gpu, monkeypatch):
    trials = {"a": body(device="cuda"), "b": body(device="cuda")}
    assert devices(trials) == "cuda", "computed who knows where"
    assert devices(trials, here={"a", "b"}) == "Made GPU cuda"
    assert devices(trials, here={"a"}) == "Made GPU cuda, cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices(trials, here={"a", "b"}) == "cuda"


def test_a_run_names_the_device_of_its_trials(checkout, enter, unexecuted, gpu):
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    text = study.read_text()
    study.write_text(text.replace('asked = {"seconds": seconds}', 'asked = {"seconds": seconds, "device": "cuda"}'))
    enter(checkout)

    def run(**more):
        done = run_study(Project(checkout.root), "tiny", preset="smoke", jobs=1, execute=unexecuted, **more)
        return json.loads((done.version.path / "run.json").read_text())

    record = run()
    assert record["determinism"]["device"] == "Made GPU cuda" and record["batched"] is None
    assert "s of trials on Made GPU cuda beside " in _ran(record)
    assert run(overrides={"seeds": 2})["determinism"]["device"] == "cuda", "all stored"
    assert run(overrides={"seeds": 4})["determinism"]["device"] == "Made GPU cuda, cuda"


def test_without_trials_it_is_this_processor(tmp_path):
    assert module.environment(tmp_path)["determinism"]["device"] == "cpu"
