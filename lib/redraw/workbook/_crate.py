"""`redraw crate`: a version as an RO-Crate, with how it was made told in terms that other tools read."""

import json
import mimetypes
import os
import shutil
import uuid
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redraw.workbook._card import Card, Paper, ParameterError
from redraw.workbook._command import shown
from redraw.workbook._digest import sha256_file
from redraw.workbook._project import Project
from redraw.workbook._versions import Version, manifest_problems

SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
METADATA = "ro-crate-metadata.json"

_SHA256 = "https://w3id.org/ro/terms/workflow-run#sha256"  # RO-Crate 1.1 itself has no such term
_MEDIA = {".ipynb": "application/x-ipynb+json", ".sha256": "text/plain", ".gz": "application/gzip"}
_LICENCES = {"Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}

Entity = dict[str, Any]


def write_crate(project: Project, version: Version, folder: Path) -> Path:
    """Copy a version into `folder` and write its ro-crate-metadata.json there; returns that file.

    The crate conforms to RO-Crate 1.1 and Process Run Crate 0.5: its one CreateAction names the program that ran
    (instrument), what it ran on (object: the notebook, the card's parameters, the data with their checksums), what
    came of it (result: every file of the version) and when. Who ran it is not recorded, so it has no agent.
    The folder is there whole or not at all. Raises ParameterError, one line, when `folder` is not new or empty, and
    when the version is not as its manifest says.
    """
    folder, asked = Path(folder).resolve(), str(folder)
    if Path(asked).is_symlink() or folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ParameterError(f"out: must be a new or empty folder, {asked!r} is neither")
    if folder == Path.cwd():  # it is replaced, which would leave the caller's shell nowhere
        raise ParameterError("out: must be another folder than the working folder")
    if problem := next(manifest_problems(version), None):
        raise ParameterError(f"version {version.name}: {problem} (see `redraw check`)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        shutil.copytree(version.path, partial)
        document = describe(partial, version, project.card(version.study))
        (partial / METADATA).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / METADATA


def describe(folder: Path, version: Version, card: Card) -> Entity:
    """The metadata document (JSON-LD) of the crate whose files stand in `folder`."""
    run, results = (json.loads((folder / name).read_text("utf-8")) for name in ("run.json", "results.json"))
    program, requirements = _program(run)
    data, checksums = _data(run)
    inputs = [_notebook(version, run), *_parameters(results, card), _claims(run), *data]
    files = _files(folder)
    papers = [_paper(paper) for paper in card.papers]
    licence = _licence()
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"{card.title}: preset {version.preset}",
        "description": _ran(run),
        "instrument": _ref(program),
        "object": _refs(inputs),
        "result": _refs(files),
        "startTime": results["started"],
        "endTime": run["finished"],
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": f"{card.title}, version {version.name}",
        "description": f"{card.question} Trials, report and verdicts on {len(results['claims'])} claims of one run.",
        "datePublished": run["finished"],
        "license": _ref(licence),
        "hasPart": _refs(files),
        "mainEntity": {"@id": "report.html"},
        "mentions": _ref(action),
        "citation": _refs(papers),
    }
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": _ref(root),
        "conformsTo": {"@id": SPECIFICATION},
    }
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    graph = [descriptor, root, profile, action, program, *requirements, *inputs, *checksums, *files, *papers, licence]
    return {"@context": [f"{SPECIFICATION}/context", {"sha256": _SHA256}], "@graph": graph}


def _ref(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _refs(entities: list[Entity]) -> list[Entity] | Entity:
    return _single([_ref(entity) for entity in entities])


def _single(values: list) -> Any:
    """One value stands alone, as RO-Crate recommends."""
    return values[0] if len(values) == 1 else values


def _ran(run: Entity) -> str:
    """What ran, in words."""
    hardware, trials = run["hardware"], f"{run['trial_seconds']:g} s of trials"
    device = (run.get("determinism") or {}).get("device") or "cpu"
    where = hardware["processor"] if device == "cpu" else f"{device} beside {hardware['processor']}"
    words = [f"{run['command']}: {trials} on {where}, {hardware['system']}, Python {run['python']}."]
    if run["blocked"]:
        words.append(f"Blocked: {run['blocked']}.")
    if source := run.get("seeded_from"):
        words.append(f"It started from the trials recorded in {source['version']}.")
    return " ".join(words)


def _program(run: Entity) -> tuple[Entity, list[Entity]]:
    """The program that ran, by version and commit, and the libraries it ran with."""
    about, code = metadata("redraw"), run["code"]
    version = run["libraries"].get("redraw", about["Version"])
    if code["commit"]:
        version += f" at commit {code['commit']}"
    if code["uncommitted"]:
        version += f" with uncommitted changes (SHA-256 {code['uncommitted']})"
    python = {
        "@id": "https://www.python.org/",
        "name": "Python",
        "url": "https://www.python.org/",
        "softwareVersion": run["python"],
    }
    libraries = [python]
    for name, number in run["libraries"].items():
        if name != "redraw":
            package = f"pkg:pypi/{quote(name.lower())}@{quote(number)}"  # a package URL, which names no server
            libraries.append({"@id": package, "name": name, "softwareVersion": number})
    requirements = [{"@type": "SoftwareApplication", **library} for library in libraries]
    program = {
        "@id": "#redraw",
        "@type": "SoftwareApplication",
        "name": "Redraw",
        "description": about["Summary"],
        "softwareVersion": version,
        "softwareRequirements": _refs(requirements),
    }
    return program, requirements


def _notebook(version: Version, run: Entity) -> Entity:
    return {
        "@id": "#notebook",
        "@type": "CreativeWork",
        "name": f"notebooks/{version.study}.ipynb",
        "description": f"The notebook at commit {run['code']['commit']}; report.ipynb is its executed copy.",
        "encodingFormat": _MEDIA[".ipynb"],
    }


def _parameters(results: Entity, card: Card) -> list[Entity]:
    """The parameters of the run, with what the card says of those it has."""
    found = []
    for name, value in results["parameters"].items():
        entity = {"@id": f"#parameter-{quote(name)}", "@type": "PropertyValue", "name": name, "value": shown(value)}
        if declared := card.parameters.get(name):
            entity["description"] = declared.help
            if declared.unit:
                entity["unitText"] = declared.unit
        found.append(entity)
    return found


def _claims(run: Entity) -> Entity:
    return {
        "@id": "#claims",
        "@type": "PropertyValue",
        "name": "claims",
        "description": "SHA-256 of the card's claims and criteria as they stood when the run began.",
        "propertyID": "sha256",
        "value": run["claims_hash"],
    }


def _data(run: Entity) -> tuple[list[Entity], list[Entity]]:
    """The datasets, which the crate does not contain, and the checksums of their files, which identify them."""
    data, checksums = [], []
    for name, files in run["data"].items():
        start = f"#data-{quote(name, safe='')}"
        sums = [
            {
                "@id": f"{start}-{quote(file, safe='')}",
                "@type": "PropertyValue",
                "name": file,
                "propertyID": "sha256",
                "value": digest,
            }
            for file, digest in files.items()
        ]
        known = {"identifier": _refs(sums)} if sums else {}  # some are generated, or come with a library
        data.append({"@id": start, "@type": "CreativeWork", "name": name, **known})
        checksums += sums
    return data, checksums


def _files(folder: Path) -> list[Entity]:
    """Every file of the version."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {
            "@id": quote(path.relative_to(folder).as_posix()),
            "@type": "File",
            "name": path.relative_to(folder).as_posix(),
            "encodingFormat": _MEDIA.get(path.suffix)
            or mimetypes.guess_type(path.name)[0]
            or "application/octet-stream",
            "contentSize": str(path.stat().st_size),
            "sha256": sha256_file(path),
        }
        for path in paths
    ]


def _paper(paper: Paper) -> Entity:
    doi, arxiv = (f"https://doi.org/{paper.doi}", f"https://arxiv.org/abs/{paper.arxiv}")
    return {
        "@id": doi if paper.doi else arxiv if paper.arxiv else paper.url,
        "@type": "ScholarlyArticle" if paper.doi or paper.arxiv else "CreativeWork",
        "name": paper.title,
        "author": _single(paper.authors),
        "datePublished": str(paper.year),
    }


def _licence() -> Entity:
    """The licence of this package, which its reports share."""
    name = metadata("redraw")["License-Expression"]
    return {
        "@id": _LICENCES.get(name, f"https://spdx.org/licenses/{name}"),
        "@type": "CreativeWork",
        "name": name,
        "identifier": f"https://spdx.org/licenses/{name}",
        "description": f"{name}: the licence of Redraw and of the reports it makes.",
    }
