"""`redraw check`: cards, notebooks and committed reports still say what they said."""

import ast
import json
import math
from collections.abc import Iterator

import pandas as pd

from redraw.workbook._card import Card, CardError
from redraw.workbook._project import NotebookError, Project
from redraw.workbook._rulings import rule
from redraw.workbook._store import sha256_file
from redraw.workbook._versions import Version, newest_versions, versions

MOST_LINES = 15
MOST_LINES_IN_FUNCTION = 5

Finding = tuple[str, str]


def check_project(project: Project) -> list[Finding]:
    """Everything that is wrong with a project, as (place, problem) lines; empty when all is as it should be."""
    findings: list[Finding] = []
    for study in project.studies():
        try:
            card, notebook, module = project.card(study), project.notebook(study), project.module(study)
        except (CardError, NotebookError) as error:
            findings.append((study, str(error)))
            continue
        findings += [(f"notebooks/{study}.ipynb", problem) for problem in notebook_problems(card, notebook)]
        newest = newest_versions(project.reports, study).values()
        for version in versions(project.reports, study):
            place = f"reports/{study}/{version.name}"
            problems = list(_manifest_problems(version))
            if not problems and version in newest:
                problems = list(_verdict_problems(version, card, module))
            findings += [(place, problem) for problem in problems]
    return findings


def notebook_problems(card: Card, notebook: dict) -> Iterator[str]:
    """What keeps a notebook from being a study's story: see the names of the checks below."""
    cells = notebook["cells"]
    if cells[0]["cell_type"] != "markdown" or (lost := [c.id for c in card.claims if f"| {c.id} |" not in cells[0]["source"]]):
        yield f"the first cell must hold the claims table; claims without a row: {', '.join(lost)}"
    defaults = notebook_defaults(notebook)
    smoke = {"preset": "smoke", **card.resolve("smoke")}
    if defaults != smoke:
        odd = sorted(n for n in {*defaults, *smoke} if defaults.get(n, ...) != smoke.get(n, ...))
        yield f"the defaults of the parameters cell differ from the card's smoke preset: {', '.join(odd)}"
    compared = [c for c in cells if "nbval-check-output" in c["metadata"].get("tags", [])]
    if not compared:
        yield "no cell is tagged nbval-check-output: nothing would be compared"
    for cell in compared:
        if cell.get("execution_count") is None or not cell.get("outputs"):
            yield f"a cell to compare has no stored output or count, so nbval would skip it: {_opening(cell)}"
    for cell in (c for c in cells if c["cell_type"] == "code"):
        if (lines := len(cell["source"].splitlines())) > MOST_LINES:
            yield f"a cell has {lines} lines, more than {MOST_LINES}: {_opening(cell)}"
        for node in ast.walk(ast.parse(cell["source"])):
            if isinstance(node, ast.FunctionDef) and (n := node.end_lineno - node.lineno + 1) > MOST_LINES_IN_FUNCTION:
                yield f"function {node.name} has {n} lines, more than {MOST_LINES_IN_FUNCTION}: it belongs in lib"


def notebook_defaults(notebook: dict) -> dict:
    """The values that the parameters cell assigns."""
    (cell,) = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    found = {}
    for node in ast.parse(cell["source"]).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        found[target.id] = ast.literal_eval(node.value)
    return found


def _opening(cell: dict) -> str:
    return repr(cell["source"].strip().splitlines()[0][:50]) if cell["source"].strip() else "(empty)"


def _manifest_problems(version: Version) -> Iterator[str]:
    listed = {}
    for line in (version.path / "MANIFEST.sha256").read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    present = {path.relative_to(version.path).as_posix(): path for path in version.path.rglob("*") if path.is_file()}
    present.pop("MANIFEST.sha256")
    for name in sorted({*listed, *present}):
        if name not in present:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} is not in the manifest"
        elif sha256_file(present[name]) != listed[name]:
            yield f"{name} was changed after the run"


def _verdict_problems(version: Version, card: Card, module) -> Iterator[str]:
    """Do the verdicts still follow from the trials, by the criteria that the card has now?"""
    results = json.loads((version.path / "results.json").read_text())
    run = json.loads((version.path / "run.json").read_text())
    then = {claim["id"]: claim for claim in run["claims"]}
    now = {claim.id: claim.model_dump(mode="json") for claim in card.claims}
    if run["claims_hash"] != card.claims_hash:
        for name in sorted({*then, *now}):
            if _decisive(then.get(name)) != _decisive(now.get(name)):
                yield f"claim {name} has drifted: was {_criterion(then.get(name))}, is {_criterion(now.get(name))}"
        return
    try:
        table = pd.read_csv(version.path / "trials.csv", float_precision="round_trip")
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    parameters = results["parameters"]
    samples = module.measure(table, **parameters)
    again = [v.to_dict() for v in rule(card, samples, version.preset, parameters, run["blocked"])]
    for claim, other in zip(results["claims"], again, strict=True):
        if not _alike(claim, json.loads(json.dumps(other))):
            yield f"the verdict on {claim['id']} does not follow from trials.csv: {claim['outcome']}, now {other['outcome']}"


def _decisive(claim: dict | None) -> dict | None:
    return claim and {k: v for k, v in claim.items() if k in ("kind", "reference", "criterion", "scope", "counted", "expect")}


def _criterion(claim: dict | None) -> str:
    return "absent" if claim is None else json.dumps({"reference": claim["reference"]["value"], **claim["criterion"]})


def _alike(a, b) -> bool:
    """Equal, numbers to nine digits: another build of the numerical libraries may differ in the last."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b
