"""`redraw check`: cards, notebooks and committed reports still say what they said."""

import ast
import json
import math
from collections.abc import Iterator

from redraw.workbook._card import Card, CardError
from redraw.workbook._claims import Claim
from redraw.workbook._project import NotebookError, Project
from redraw.workbook._rulings import rule
from redraw.workbook._standing import standings
from redraw.workbook._versions import Version, manifest_problems, newest_versions, read_trials, versions

MOST_LINES = 15
MOST_LINES_IN_FUNCTION = 5
MOST_CODE_CELLS = 2
COMPARED = "nbval-check-output"

Finding = tuple[str, str]


def check_project(project: Project) -> list[Finding]:
    """Everything that is wrong with a project, as (place, problem) lines; empty when all is as it should be.

    Every version must be as its manifest says. The verdicts of the newest of each preset must follow from its trials by
    the claims of the card as it is; those of an older one must where a claim still stands there (`standings`).
    """
    findings: list[Finding] = []
    for study in project.studies():
        card = module = None
        try:
            card, notebook, module = project.card(study), project.notebook(study), project.module(study)
        except (CardError, NotebookError) as error:
            findings.append((study, str(error)))
        else:
            findings += [(f"notebooks/{study}.ipynb", problem) for problem in notebook_problems(card, notebook)]
        newest = newest_versions(project.reports, study).values()
        standing: dict[Version, set[str]] = {}
        for claim, (version, _) in standings(project.reports, card).items() if module else ():
            standing.setdefault(version, set()).add(claim)
        for version in versions(project.reports, study):
            problems = list(manifest_problems(version))
            if not problems and module and version in newest:
                problems = list(_verdict_problems(version, card, module))
            elif not problems and version in standing:
                problems = list(_verdict_problems(version, card, module, standing[version]))
            findings += [(f"reports/{study}/{version.name}", problem) for problem in problems]
    return findings


# Notebooks ------------------------------------------------------------------------------------------------------


def notebook_problems(card: Card, notebook: dict) -> Iterator[str]:
    """What keeps a notebook from being a study's story, a line each.

    The first cell holds the claims table, the second the parameters: typed, with one help comment each, equal to the
    smoke preset. The last code cell prints the verdicts. Some cell is compared, and each such cell has what nbval
    compares with. And the manners of `cell_problems`.
    """
    cells = notebook["cells"]
    first = cells[0]["source"] if cells[0]["cell_type"] == "markdown" else ""
    if lost := [claim.id for claim in card.claims if f"| {claim.id} |" not in first]:
        yield f"the first cell must hold the claims table; claims without a row: {', '.join(lost)}"
    yield from _parameter_problems(card, cells)
    last = [cell for cell in cells if cell["cell_type"] == "code"][-1]
    if "verdict_table(" not in last["source"]:
        yield f"the last code cell must print verdict_table(...), is {_opening(last)}"
    elif COMPARED not in _tags(last):
        yield f"the cell that prints the verdicts must be tagged {COMPARED}"
    yield from comparison_problems(cells)
    yield from cell_problems(cells)


def _parameter_problems(card: Card, cells: list[dict]) -> Iterator[str]:
    (cell,) = [cell for cell in cells if "parameters" in _tags(cell)]
    if cells.index(cell) != 1:
        yield f"the parameters cell must be the second, is number {cells.index(cell) + 1}"
    lines, defaults = cell["source"].splitlines(), {}
    for node in ast.parse(cell["source"]).body:
        line = lines[node.lineno - 1].strip()
        try:
            plain = isinstance(node, ast.AnnAssign) and node.lineno == node.end_lineno
            defaults[node.target.id] = ast.literal_eval(node.value)
        except (AttributeError, TypeError, ValueError):
            plain = False
        if not plain or not line[node.end_col_offset :].strip().removeprefix("#").strip():
            yield f"a parameter must be one line `name: type = value  # help`, is {line[:50]!r}"
    smoke = {"preset": "smoke", **card.resolve("smoke")}
    odd = sorted(name for name in {*defaults, *smoke} if not _same(defaults.get(name, ...), smoke.get(name, ...)))
    if odd:
        what = ", ".join(f"{n} ({_said(defaults, n)}; the card has {_said(smoke, n)})" for n in odd)
        yield f"the defaults of the parameters cell differ from the card's smoke preset: {what}"


def _same(a, b) -> bool:
    return type(a) is type(b) and a == b


def _said(values: dict, name: str) -> str:
    return repr(values[name]) if name in values else "nothing"


def comparison_problems(cells: list[dict]) -> Iterator[str]:
    """Why nbval would have nothing to compare: it passes over a tagged cell that has no stored output or count."""
    compared = [cell for cell in cells if COMPARED in _tags(cell)]
    if not compared:
        yield f"no cell is tagged {COMPARED}: nothing would be compared"
    for cell in compared:
        if cell["cell_type"] != "code":
            yield f"a cell tagged {COMPARED} is no code: {_opening(cell)}"
        elif cell.get("execution_count") is None or not cell.get("outputs"):
            yield f"a cell to compare has no stored output: {_opening(cell)}; run the notebook and save it"
        elif all(output["output_type"] == "error" for output in cell["outputs"]):
            yield f"a cell to compare ended in an error: {_opening(cell)}"


def cell_problems(cells: list[dict]) -> Iterator[str]:
    """Where cells are too long, functions belong in lib, or prose is missing before code."""
    row = MOST_CODE_CELLS  # nothing stands before the first cell
    for cell in cells:
        if cell["cell_type"] != "code":
            row = 0 if cell["source"].strip() else row
            continue
        row += 1
        if row > MOST_CODE_CELLS:
            yield f"prose must come before {_opening(cell)}: at most {MOST_CODE_CELLS} code cells in a row"
        if (lines := len(cell["source"].splitlines())) > MOST_LINES:
            yield f"a cell has {lines} lines, more than {MOST_LINES}: {_opening(cell)}"
        for node in ast.walk(ast.parse(cell["source"])):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if (lines := node.end_lineno - node.lineno + 1) > MOST_LINES_IN_FUNCTION:
                yield f"{node.name} has {lines} lines, more than {MOST_LINES_IN_FUNCTION}: it belongs in lib"


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _opening(cell: dict) -> str:
    return repr(cell["source"].strip().splitlines()[0][:50]) if cell["source"].strip() else "(empty)"


# Reports --------------------------------------------------------------------------------------------------------


def _verdict_problems(version: Version, card: Card, module, standing: set[str] | None = None) -> Iterator[str]:
    """Do the verdicts still follow from the trials, by the criteria that the card has now?

    standing: ask it of these claims alone, which stand in an older version. Its card may have been another, as long as
    they meant what they mean now: the claims beside them, on which Holm's levels depend, and the preset are its own.
    """
    try:
        results = json.loads((version.path / "results.json").read_text("utf-8"))
        run = json.loads((version.path / "run.json").read_text("utf-8"))
        if run["claims_hash"] != card.claims_hash:
            yield from _drift(run["claims"], card, standing)
            if standing is None:
                return
        samples = module.measure(read_trials(version), **results["parameters"])
        if standing is not None:
            card = _card_then(card, version.preset, results["parameters"], run)
            samples = {claim.id: samples[claim.id] for claim in card.claims if claim.id in samples}
        again = _rule_again(card, samples, version.preset, results["parameters"], run)
        said = {claim["id"]: claim for claim in results["claims"]}
        for name in sorted({*said, *again} if standing is None else standing):
            if not _alike(said.get(name), again.get(name)):
                moved = _moved(said.get(name), again.get(name))
                yield f"the verdict on {name} does not follow from trials.csv: {moved}"
    except Exception as error:  # whatever a forged file makes of the study's code
        what = f"{type(error).__name__}: {error}".splitlines()[0][:150]
        yield f"its verdicts cannot be computed again ({what})"


def _card_then(card: Card, preset: str, parameters: dict, run: dict) -> Card:
    """The card as a run had it, by run.json: its claims, its parameters, and what it changed of its preset."""
    claims = card.claims
    if run["claims_hash"] != card.claims_hash:
        claims = [Claim.model_validate(claim) for claim in run["claims"]]
    known = {name: parameter for name, parameter in card.parameters.items() if name in parameters}
    values = {name: parameters[name] for name in known} | dict.fromkeys(run["changed"])  # None is no parameter's value
    then = card.presets[preset].model_copy(update={"values": values})
    return card.model_copy(update={"claims": claims, "parameters": known, "presets": {preset: then}})


def _rule_again(card: Card, samples: dict, preset: str, parameters: dict, run: dict) -> dict[str, dict]:
    level = run.get("level", 0.95)
    verdicts = rule(card, samples, preset, parameters, run["blocked"], level=level)
    return {verdict.id: json.loads(json.dumps(verdict.to_dict())) for verdict in verdicts}


def _drift(claims: list[dict], card: Card, asked: set[str] | None) -> Iterator[str]:
    """The claims (of those `asked` for, or all) whose meaning was changed since the run, both shown."""
    then = {claim["id"]: Claim.model_validate(claim).meaning() for claim in claims}
    now = {claim.id: claim.meaning() for claim in card.claims}
    for name in sorted({*then, *now} if asked is None else asked):
        before, after = then.get(name), now.get(name)
        if before != after:
            fields = [
                field for field in {**(before or {}), **(after or {})} if _field(before, field) != _field(after, field)
            ]
            yield f"claim {name} has drifted: was {_shown(before, fields)}, is {_shown(after, fields)}"


def _field(claim: dict | None, field: str):
    return None if claim is None else claim.get(field)


def _shown(claim: dict | None, fields: list[str]) -> str:
    return "absent" if claim is None else json.dumps({field: claim.get(field) for field in fields})


def _moved(said: dict | None, again: dict | None) -> str:
    """What the report says and what its trials give, by the outcome where that differs, else by all that differs."""
    if said is None or again is None:
        return "the report has none" if said is None else "the card has no such claim"
    odd = [name for name in again if name in said and not _alike(said[name], again[name])]
    odd = ["outcome"] if "outcome" in odd else odd or sorted({*said} ^ {*again})
    return "; ".join(f"{name} {said.get(name)!r}, now {again.get(name)!r}" for name in odd)


def _alike(a, b) -> bool:
    """Equal, numbers to nine digits: another build of the numerical libraries may differ in the last."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b
