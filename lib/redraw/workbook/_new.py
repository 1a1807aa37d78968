"""`redraw new STUDY`: the three files of a study, small enough to read and complete enough to run."""

import keyword
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from redraw.workbook._card import ParameterError
from redraw.workbook._project import Project

CARD = """\
study: {study}
title: {title}
question: What does this study ask?
topic: to be named

papers:
  - key: paper
    title: The paper's title
    authors: [First Author]
    year: 2026
    url: https://example.org/paper

parameters:
  seeds:
    type: int
    range: [1, 1000]
    role: nuisance
    help: independent repetitions

presets:
  smoke:
    help: seconds
    values: {{seeds: 3}}
  laptop:
    help: minutes on two cores
    values: {{seeds: 10}}
  paper:
    help: the paper's own protocol
    values: {{seeds: 30}}

claims:
  - id: C1
    statement: The mean of a uniform number is one half.
    paper: paper
    place: Section 1
    kind: value
    metric: mean of 1,000 uniform numbers
    reference: {{value: 0.5, decimals: 1}}
    criterion: {{margin: 0.05, basis: half of the last printed digit}}
    main: true
    scope: {{smoke: reimplemented, laptop: reimplemented, paper: reimplemented}}
"""

MODULE = '''\
"""{title}: what the study runs and measures. Nothing here draws."""

import pandas as pd
import torch

from redraw.seeds import generator
from redraw.workbook import Samples, Trial


def uniform_mean(*, seed: int, count: int) -> dict:
    """One trial: the mean of `count` uniform numbers."""
    return {{"mean": torch.rand(count, generator=generator(seed, "uniform")).mean().item()}}


def plan(*, seeds: int) -> list[Trial]:
    """The trials of the study."""
    return [Trial(f"{{__name__}}:uniform_mean", {{"count": 1000}}, seed) for seed in range(seeds)]


def measure(table: pd.DataFrame, **knobs) -> dict[str, Samples]:
    """The samples of every claim, from the table of trials."""
    return {{"C1": Samples.of(table["mean"])}}
'''


def write_skeletons(project: Project, study: str) -> list[Path]:
    """Write card, module and notebook of a new study; returns their paths.

    Raises ParameterError, before anything is written, for a name that is no module name or a file that exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", study) or keyword.iskeyword(study):
        allowed = (
            "must be at most 60 lower-case letters, digits and underscores, starting with a letter, and no keyword"
        )
        raise ParameterError(f"study {study!r}: {allowed}")
    title = study.replace("_", " ").capitalize()
    files = {
        project.root / "params" / f"{study}.yaml": CARD.format(study=study, title=title),
        project.root / "lib" / "redraw" / "studies" / f"{study}.py": MODULE.format(title=title),
        project.notebook_path(study): nbformat.writes(_notebook(study, title)) + "\n",
    }
    if not all(path.parent.is_dir() for path in files):
        raise ParameterError("project: must have a folder lib/redraw/studies to write the study's module into")
    if existing := [path for path in files if path.exists()]:
        raise ParameterError(f"study {study}: {existing[0].relative_to(project.root)} exists already")
    for path, text in files.items():
        path.write_text(text)
    return list(files)


def _notebook(study: str, title: str) -> nbformat.NotebookNode:
    def code(source: str, *tags: str):
        return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})

    cells = [
        new_markdown_cell(
            f"# {title}\n\n**What does this study ask?**\n\n| | the paper says | where |\n|---|---|---|\n"
            "| C1 | The mean of a uniform number is one half. | Section 1 |"
        ),
        code(
            'preset: str = "smoke"  # which of the card\'s presets the values below come from\n'
            "seeds: int = 3  # independent repetitions",
            "parameters",
        ),
        new_markdown_cell("## The method, alive\n\nShow it at toy size here, in a cell the reader can edit."),
        code(
            f"from redraw.studies import {study} as study\n"
            "from redraw.workbook import find_project, gather, rule, verdict_table"
        ),
        new_markdown_cell("## The trials\n\nEach is run once and kept."),
        code(
            f'card = find_project().card("{study}")\n'
            "knobs = card.resolve(preset, {name: globals()[name] for name in card.parameters})\n"
            "table = gather(study.plan(**knobs))\n"
            'table[["seed", "mean"]].head()'
        ),
        new_markdown_cell("## The verdicts"),
        code(
            "verdicts = rule(card, study.measure(table, **knobs), preset, knobs)\nprint(verdict_table(verdicts))",
            "nbval-check-output",
        ),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
