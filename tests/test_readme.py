"""What the README shows is true: its code runs, its links lead somewhere, its commands exist."""

import re
from pathlib import Path

import torch

from redraw import cli
from redraw.models import initialize, lenet_300_100
from redraw.seeds import generator

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def code_under(heading):
    """The code of one section."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


def test_prune_your_own_model_prints_what_it_says(capsys):
    code = code_under("Prune your own model")
    said = re.search(r"# (Masks\(.*\))", code)[1]
    model = initialize(lenet_300_100(), "glorot_normal", generator(0, "readme"))
    batch = torch.randn(60, 1, 28, 28, generator=generator(0, "x")), torch.arange(60) % 10
    exec(code, {"model": model, "batches": [batch] * 3})
    assert capsys.readouterr().out.splitlines()[-1] == f"5 {said}"
    weights = [module.weight for module in model if isinstance(module, torch.nn.Linear)]
    assert sum(int(weight.count_nonzero()) for weight in weights) == int(
        said.split()[0].removeprefix("Masks(").replace(",", "")
    )


def test_keep_the_examples_that_matter_keeps_half_of_them():
    x, y = torch.randn(40, 1, 28, 28, generator=generator(0, "x")), torch.arange(40) % 10
    own = {"x": x, "y": y, "train_a_few_epochs": lambda model: model}
    own["make_model"] = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    exec(code_under("Keep the examples that matter"), own)
    hardest_first = own["scores"].argsort(descending=True)
    assert own["ids"].tolist() == sorted(hardest_first[2:22].tolist())
    assert torch.equal(own["x"], x[own["ids"]]) and torch.equal(own["y"], y[own["ids"]])


def test_tune_your_own_training_finds_a_rate_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained = []

    def train(weights, config, epochs):
        trained.append(epochs)
        return weights + epochs, abs(config["lr"] - 0.01) + 1 / (weights + epochs)

    own = {"new_weights": lambda config, seed: 0, "train": train}
    exec(code_under("Tune your own training"), own)
    best, cost = own["search"].best.config, sum(trained)
    assert best["lr"] < 0.3 and best["optimizer"] in ("sgd", "adam") and capsys.readouterr().out == f"{best}\n"
    assert cost < 20 * 9 and max(trained) < 9  # most are stopped early, and the others go on from where they were
    exec(code_under("Tune your own training"), own)
    assert sum(trained) == cost and own["search"].best.config == best


def test_a_schedule_for_your_own_training_runs_to_its_end():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    batch = torch.randn(20, 1, 28, 28, generator=generator(0, "x")), torch.arange(20) % 10
    own = {"model": model, "batches": [batch] * 40}
    exec(code_under("A schedule for your own training"), own)
    assert own["scheduler"].last_epoch == 40 and own["optimizer"].param_groups[0]["lr"] == 0


def test_every_link_and_picture_is_there():
    places = [place.partition("#") for place in re.findall(r"\]\(([^)]+)\)", README) if "://" not in place]
    assert places and [file for file, _, _ in places if not (ROOT / file).exists()] == []
    anchored = [(file, anchor) for file, _, anchor in places if anchor]
    assert [pair for pair in anchored if f'id="{pair[1]}"' not in (ROOT / pair[0]).read_text()] == []


def test_every_command_exists():
    commands = {command.name for command in cli.app.registered_commands} | {"data"}
    commands |= {command.callback.__name__ for command in cli.app.registered_commands}
    assert set(re.findall(r"redraw ([a-z]+)", README)) - commands == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) - targets <= {"test"}
