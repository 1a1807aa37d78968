"""A version folder as the runner leaves it, built from code: a card, its verdicts, an executed notebook."""

import base64
import hashlib
import json
import struct
import zlib

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from redraw.workbook._card import Card
from redraw.workbook._claims import Samples
from redraw.workbook._judge import judge_all

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 320 180">'
    '<defs><clipPath id="c"><rect width="320" height="180"/></clipPath></defs>'
    '<g clip-path="url(#c)"><path d="M20 150L110 60L200 40L300 90" fill="none" stroke="#0072b2"/></g></svg>'
)
SCOPE = {"smoke": "reduced", "laptop": "reduced", "paper": "reimplemented"}


def make_card(**changes) -> Card:
    """A card with claims of several kinds; `changes` replace fields."""
    paper = {"paper": "frankle2019", "scope": SCOPE}
    claims = [
        {"id": "L0", "statement": "The pruning rates fix the levels that the paper prints.", "place": "Section 2",
         "kind": "exact", "metric": "weights left", "unit": "%", "main": True,
         "reference": {"value": [51.3, 21.1, 13.5, 7.0, 3.6, 2.9, 1.9], "decimals": 1}},
        {"id": "L1", "statement": "At 21.1 % of the weights the early stop comes 38 % earlier than dense.",
         "place": "Figure 3", "kind": "ratio", "metric": "iterations to the early stop, ticket over dense",
         "reference": {"value": 0.62, "decimals": 2, "source": "digitised"},
         "criterion": {"margin": 1.25, "basis": "a factor of 1.25, about the paper's error bars"}},
        {"id": "L2a", "statement": "At 13.5 % of the weights test accuracy is more than 0.3 points higher.",
         "place": "Section 2", "kind": "difference", "metric": "test accuracy, ticket - dense", "unit": "pp",
         "criterion": {"op": ">", "bound": 0.3, "basis": "the claim's own bound"}},
        {"id": "L2b", "statement": "At 3.6 % of the weights accuracy is back at the dense level.",
         "place": "Figure 3", "kind": "absence", "metric": "test accuracy, ticket - dense", "unit": "pp",
         "criterion": {"margin": 0.2, "basis": "the spread of dense networks over seeds"}},
        {"id": "L3", "statement": "At 21.1 % a reinitialized network is worse than dense and the ticket is not.",
         "place": "Figure 4", "kind": "ordering", "metric": "test accuracy at the early stop", "unit": "pp",
         "main": True, "criterion": {"all": [{"a": "reinit", "op": "<", "b": "dense"},
                                              {"a": "ticket", "op": ">=", "b": "dense", "margin": 0.1}],
                                      "basis": "0.1 pp is ten test images"}},
        {"id": "L4", "statement": "One-shot pruning keeps the accuracy down to 17.6 %.", "place": "Figure 4",
         "kind": "threshold", "metric": "test accuracy", "unit": "%", "criterion": {"op": ">", "bound": 97}},
        {"id": "L5", "statement": "Conv-6 has 1.7 million weights.", "place": "Figure 2", "kind": "exact",
         "metric": "weights of Conv-6", "reference": {"value": 1700000, "decimals": -5},
         "expect": "paper_error", "counted": 2261184},
        {"id": "L6", "statement": "On CIFAR-10, tickets of Conv-6 stop earlier as well.", "place": "Figure 5",
         "kind": "threshold", "metric": "ratio of iterations", "criterion": {"op": "<", "bound": 1}},
        {"id": "L7", "statement": "Tickets need no warm-up on MNIST.", "place": "Appendix G",
         "kind": "threshold", "metric": "difference", "criterion": {"op": ">", "bound": 0}},
    ]  # fmt: skip
    plain = {
        "study": "lottery_ticket",
        "title": "Lottery tickets",
        "question": "Do small subnetworks, trained alone from their first weights, match the network they come from?",
        "topic": "pruning",
        "papers": [{"key": "frankle2019", "title": "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural "
                    "Networks", "authors": ["Jonathan Frankle", "Michael Carbin"], "year": 2019,
                    "arxiv": "1803.03635"}],
        "parameters": {
            "dataset": {"type": "str", "choices": ["digits", "mnist"], "role": "fixed", "help": "what to train on"},
            "rounds": {"type": "int", "range": [1, 30], "role": "scientific", "unit": "rounds",
                       "help": "how often to prune and rewind"},
            "seeds": {"type": "list[int]", "range": [0, 1000], "role": "fixed", "help": "one training run each"},
            "lr": {"type": "float", "range": [0, 1], "role": "nuisance", "help": "learning rate of Adam"},
        },
        "presets": {
            "smoke": {"help": "seconds", "values": {"dataset": "digits", "rounds": 2, "seeds": [0, 1], "lr": 1e-3}},
            "laptop": {"help": "minutes",
                       "values": {"dataset": "mnist", "rounds": 9, "seeds": [0, 1, 2], "lr": 1.2e-3}},
            "paper": {"help": "the paper's protocol",
                      "values": {"dataset": "mnist", "rounds": 24, "seeds": [0, 1, 2, 3, 4], "lr": 1.2e-3}},
        },
        "claims": [paper | claim for claim in claims],
    }  # fmt: skip
    return Card.model_validate(plain | changes)


def make_samples() -> dict[str, Samples]:
    """What five seeds measured, so that every outcome occurs."""
    noise = np.random.default_rng(7).normal(size=(8, 5))
    dense = 98.0 + 0.05 * noise[0]
    return {
        "L0": Samples.exact([51.3, 21.07, 13.52, 6.95, 3.58, 2.87, 1.85]),
        "L1": Samples.pair(6000 + 80 * noise[1], 9500 + 100 * noise[2]),
        "L2a": Samples.of(0.42 + 0.2 * noise[3]),
        "L2b": Samples.of(0.03 + 0.05 * noise[4]),
        "L3": Samples.many({"dense": dense, "reinit": dense - 0.6 + 0.06 * noise[5], "ticket": dense + 0.2}),
        "L4": Samples.of(95.4 + 0.3 * noise[6]),
        "L5": Samples.exact(2261184),
        "L6": Samples.blocked("cifar10 could not be reached"),
    }


_RULED = {}


def _usual(card: Card, preset: str) -> list:
    """The verdicts on `make_samples()`, ruled once: judging takes longer than reporting."""
    key = card.claims_hash, preset
    if key not in _RULED:
        _RULED[key] = judge_all(card.claims, make_samples(), preset)
    return _RULED[key]


def png(width: int = 4, height: int = 3) -> str:
    """A small grey picture, base64."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


TABLE = """<div><style scoped>.dataframe tbody tr th {vertical-align: top;}</style>
<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th><th>weights left</th>
<th>accuracy</th></tr></thead><tbody><tr><th>0</th><td>100.0 %</td><td>98.0 %</td></tr>
<tr><th>7</th><td>21.1 %</td><td>98.2 %</td></tr></tbody></table></div>"""


def make_cells() -> list:
    """The cells of a small study: Markdown with mathematics, code with every kind of output."""
    display = {"output_type": "display_data"}
    cells = [
        new_markdown_cell("# Lottery tickets\n\nA network $f(x; \\theta_0)$ is trained, pruned and *rewound*."),
        new_code_cell("rounds = 2", metadata={"tags": ["parameters"]}),
        new_code_cell("rounds = 9", metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell("## What is left\n\nAfter $n$ rounds at rate $p$ this share of the weights is left:\n\n"
                          "$$P_n = (1 - p)^n, \\qquad \\hat\\theta \\le \\frac{a}{b}$$\n\nThe `masks` hold.\n\n"
                          "| round | left |\n|---|---|\n| 3 | 51.2 % |\n| 7 | 21.0 % |"),
        new_code_cell("# train the rounds\nresults = run_trials(trials)\nlen(results)", outputs=[
            new_output("stream", name="stderr", text="0 of 5\r3 of 5\r5 of 5 \x1b[32mdone\x1b[0m\n"),
            new_output("execute_result", data={"text/plain": "120"}, execution_count=2)]),
        new_code_cell("frame", outputs=[
            new_output("execute_result", data={"text/html": TABLE, "text/plain": "frame"}, execution_count=3)]),
        new_code_cell("plot(frame)", outputs=[
            new_output(**display, data={"image/png": png(), "text/plain": "<Figure>"},
                       metadata={"image/png": {"figure": "accuracy", "width": 640}})]),
        new_code_cell("plot(other)", outputs=[new_output(**display, data={"image/svg+xml": SVG})]),
    ]  # fmt: skip
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
        if cell.cell_type == "code":
            cell.execution_count = index
    return cells


def write_version(reports, card=None, *, name="0001-laptop-ab12cd34ef", preset="laptop", cells=None, samples=None,
                  svg=SVG, complete=True, started="2026-11-21T06:12:00+00:00", parameters=None):  # fmt: skip
    """A version folder under `reports`, without report.html; returns its path."""
    card = card or make_card()
    folder = reports / card.study / name
    (folder / "figures").mkdir(parents=True)
    ruled = judge_all(card.claims, samples, preset) if samples is not None else _usual(card, preset)
    results = {
        "study": card.study,
        "version": name,
        "preset": preset,
        "parameters": card.resolve(preset, parameters),
        "claims": [verdict.to_dict() for verdict in ruled],
        "started": started,
        "seconds": 192.4,
        "trials": {"total": 120, "reused": 100, "computed": 20},
    }
    run = {
        "study": card.study,
        "version": name,
        "preset": preset,
        "parameters": results["parameters"],
        "claims_hash": card.claims_hash,
        "claims": [claim.model_dump(mode="json") for claim in card.claims],
        "data": {"mnist": {"train-images-idx3-ubyte": "ba891046e6505d7a" * 4}},
        "seeds": [0, 1, 2],
        "trial_seconds": 3723.5,
        "blocked": "",
        "exit_reason": "completed",
        "finished": "2026-11-21T06:15:12+00:00",
        "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "uncommitted": None},
        "python": "3.11.9",
        "libraries": {f"library{i}": f"1.{i}" for i in range(40)},
        "hardware": {"processor": "x86_64", "cores": 2, "memory_gib": 7.8},
    }
    notebook = new_notebook(cells=make_cells() if cells is None else cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "report.ipynb").write_text(nbformat.writes(notebook))
    (folder / "trials.csv").write_text("key,seed\n")
    (folder / "figures" / "accuracy.svg").write_text(svg)
    (folder / "figures" / "accuracy.txt").write_text("Accuracy holds until 3.6 % of the weights are left.\n")
    (folder / "figures" / "accuracy.csv").write_text("weights_left,accuracy\n100,98.0\n21.1,98.2\n")
    if complete:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in files]
        (folder / "MANIFEST.sha256").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(name="make_card")
def _make_card():
    return make_card


@pytest.fixture(name="make_version")
def _make_version(tmp_path):
    """`make_version(**changes)` writes a version under `tmp_path / "reports"`."""

    def make(card=None, **changes):
        return write_version(tmp_path / "reports", card, **changes)

    return make


@pytest.fixture
def unexecuted():
    """For `run_study(execute=...)`: the notebook as it is, since executing it takes longer than the rest of a run."""

    def copied(source, target, parameters, *, environment, meanwhile):
        target.write_text(source.read_text())
        return meanwhile()

    return copied
