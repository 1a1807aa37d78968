"""Trials that may run on a GPU keep to its rules about devices and come to the same numbers, on one that is none."""

import json
import subprocess
import sys
from pathlib import Path

from redraw.workbook import Project

ROOT = Path(__file__).parents[2]


def on_a_device(script):
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_trial_that_takes_a_device_comes_to_the_same_there():
    found = on_a_device(ROOT / "tests" / "studies" / "device_trials.py")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    project, named = Project(ROOT), set()
    for study in project.studies():
        card = project.card(study)
        if "device" in card.parameters:
            presets = {name: card.resolve(name) for name in ("laptop", "paper")}
            trials = [trial for knobs in presets.values() for trial in project.module(study).plan(**knobs)]
            named |= {
                trial.function.removeprefix("redraw.studies.") for trial in trials if "device" in trial.parameters
            }
    named = {function.removeprefix("redraw.studies.") for function in named}
    assert named <= found.keys(), "a trial function that nobody tried on a device"


def test_the_device_refuses_what_cuda_refuses(tmp_path):
    script = tmp_path / "refused.py"
    script.write_text(
        f"""
import json, sys, torch
sys.path.insert(0, {str(ROOT / "tests")!r})
from emulated_device import DEVICE, emulated_cuda

refused, x = {{}}, torch.arange(6.0)
with emulated_cuda():
    there, index, chance = x.to(DEVICE), torch.arange(2), torch.Generator()
    tried = {{
        "sum": lambda: there + x,
        "index_select": lambda: there.index_select(0, index),
        "index here": lambda: x[index.to(DEVICE)],
        "random": lambda: torch.rand(3, device=DEVICE, generator=chance),
        "numpy": lambda: there.numpy(),
        "scalar": lambda: there * torch.tensor(2.0),
        "index there": lambda: there[index],
        "copy": lambda: there.cpu() + x,
    }}
    for name, run in tried.items():
        try:
            refused[name] = run().cpu().tolist() if name in ("scalar", "index there", "copy") else bool(run() is None)
        except (RuntimeError, TypeError):
            refused[name] = "refused"
print(json.dumps(refused))
"""
    )
    found, allowed = on_a_device(script), {"scalar": 2, "index there": None, "copy": 2}
    assert {name for name, what in found.items() if what == "refused"} == found.keys() - allowed.keys()
    assert found["scalar"] == found["copy"] == [2.0 * i for i in range(6)] and found["index there"] == [0.0, 1.0]
