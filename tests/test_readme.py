"""What the README shows is true: its code runs, its links lead somewhere, its commands exist."""

import re
from pathlib import Path

import torch

from redraw import cli
from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_prune_your_own_model_prints_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    said = re.search(r"# (Masks\(.*\))", code)[1]
    model = initialize(lenet_300_100(), "glorot_normal", generator(0, "readme"))
    batch = torch.randn(60, 1, 28, 28, generator=generator(0, "x")), torch.arange(60) % 10
    exec(code, {"model": model, "batches": [batch] * 3})
    assert capsys.readouterr().out.splitlines()[-1] == f"5 {said}"
    weights = [module.weight for module in model if isinstance(module, torch.nn.Linear)]
    assert sum(int(weight.count_nonzero()) for weight in weights) == int(
        said.split()[0].removeprefix("Masks(").replace(",", "")
    )


def test_every_link_and_picture_is_there():
    places = [place for place in re.findall(r"\]\(([^)]+)\)", README) if "://" not in place]
    assert places and [place for place in places if not (ROOT / place).exists()] == []


def test_every_command_exists():
    commands = {command.name for command in cli.app.registered_commands} | {"data"}
    commands |= {command.callback.__name__ for command in cli.app.registered_commands}
    assert set(re.findall(r"redraw ([a-z]+)", README)) - commands == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) - targets <= {"test"}
