"""`redraw crate`: a version as an RO-Crate whose metadata are right, whole and refused where they would lie.

The requirements checked here are those of RO-Crate 1.1 and Process Run Crate 0.5, written out as plain Python; the
`rocrate` validator, which has them as SHACL shapes, is asked too by `make test-long`, in an environment of its own.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from redraw.workbook import ParameterError, Project, _crate
from redraw.workbook._crate import METADATA, write_crate
from redraw.workbook._digest import sha256_file
from redraw.workbook._versions import manifest_problems, versions

TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+\d{2}:\d{2}"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def checkout(make_checkout, tmp_path_factory):
    """A checkout whose one version was made by the command."""
    made = make_checkout(tmp_path_factory.mktemp("crate"))
    figure = 'import os, pathlib\npathlib.Path(os.environ["REDRAW_FIGURES"], "a figure.csv").write_text("x,y\\n1,2\\n")'
    made.write_notebook(figure)
    ran = made.redraw("run", "tiny", "--preset", "smoke", "-p", "seeds=2")
    assert ran.code == 0, ran
    return made


@pytest.fixture
def version(checkout):
    (found,) = versions(checkout.reports, "tiny")
    return found


@pytest.fixture
def crate(checkout, version, tmp_path):
    """The crate of that version: its folder and its metadata."""
    path = write_crate(Project(checkout.root), version, tmp_path / "crate")
    return path.parent, json.loads(path.read_text("utf-8"))


def entities(document):
    return {entity["@id"]: entity for entity in document["@graph"]}


def several(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def refer(entity, name, known):
    """The entities that a property refers to."""
    return [known[value["@id"]] for value in several(entity.get(name)) if value["@id"] in known]


def problems(folder, document):
    """What RO-Crate 1.1 and Process Run Crate 0.5 require and this crate lacks, in the order of their sections."""
    known = entities(document)
    if len(known) != len(document["@graph"]):
        yield "an @id stands twice"
    if "https://w3id.org/ro/crate/1.1/context" not in several(document.get("@context")):
        yield "context"
    for entity in document["@graph"]:
        if not entity.get("@type"):
            yield f"{entity['@id']}: no @type"
        for name, values in entity.items():
            for value in several(values):
                if isinstance(value, dict) and list(value) != ["@id"]:
                    yield f"{entity['@id']}.{name}: not flat"
                outside = name in ("conformsTo",) and entity["@id"] == METADATA
                if isinstance(value, dict) and value.get("@id") not in known and not outside:
                    yield f"{entity['@id']}.{name}: refers to nothing"
    descriptor, root = known.get(METADATA, {}), known.get("./", {})
    if descriptor.get("@type") != "CreativeWork" or descriptor.get("about") != {"@id": "./"}:
        yield "metadata file descriptor"
    if descriptor.get("conformsTo") != {"@id": "https://w3id.org/ro/crate/1.1"}:
        yield "metadata file descriptor: conformsTo"
    if root.get("@type") != "Dataset":
        yield "root: @type"
    yield from (f"root: {name}" for name in ("name", "description", "license") if not root.get(name))
    if not re.fullmatch(TIME, root.get("datePublished", "")):
        yield "root: datePublished"
    listed = {part["@id"] for part in several(root.get("hasPart"))}
    files = {entity["@id"]: entity for entity in known.values() if entity["@type"] == "File"}
    if files.keys() - listed:
        yield "a File is not part of the root"
    for name, entity in files.items():
        path = folder / name.replace("%20", " ")
        if not path.is_file():
            yield f"{name}: no such file"
        elif entity["sha256"] != sha256_file(path) or entity["contentSize"] != str(path.stat().st_size):
            yield f"{name}: another file"
    profiles = [entity["@id"] for entity in refer(root, "conformsTo", known) if entity["@type"] == "CreativeWork"]
    if not any(profile.startswith("https://w3id.org/ro/wfrun/process/") for profile in profiles):
        yield "root: conformsTo"
    actions = [entity for entity in known.values() if entity["@type"] == "CreateAction"]
    if not actions:
        yield "no CreateAction"
    for action in actions:
        if not [1 for tool in refer(action, "instrument", known) if tool["@type"] == "SoftwareApplication"]:
            yield "action: instrument"
        if action not in refer(root, "mentions", known):
            yield "action: not mentioned by the root"
        yield from (f"action: {name}" for name in ("name", "description", "result") if not action.get(name))
        for name in ("object", "result"):
            if {e["@type"] for e in refer(action, name, known)} - {"File", "Dataset", "CreativeWork", "PropertyValue"}:
                yield f"action: {name}"
        for name in ("startTime", "endTime"):
            if not re.fullmatch(TIME, action.get(name, "")):
                yield f"action: {name}"
        if action.get("actionStatus") != "http://schema.org/CompletedActionStatus":
            yield "action: actionStatus"
    for entity in known.values():
        if entity["@type"] == "SoftwareApplication" and not (entity.get("name") and entity.get("softwareVersion")):
            yield f"{entity['@id']}: name or softwareVersion"


def test_the_crate_is_as_the_profiles_require(crate):
    assert list(problems(*crate)) == []


BROKEN = {
    "root: conformsTo": lambda known: known["./"].update(conformsTo={"@id": METADATA}),
    "root: license": lambda known: known["./"].pop("license"),
    "root: datePublished": lambda known: known["./"].update(datePublished="yesterday"),
    "action: instrument": lambda known: known["#run"].update(instrument={"@id": "report.html"}),
    "action: endTime": lambda known: known["#run"].pop("endTime"),
    "action: result": lambda known: known["#run"].update(result=[]),
    "action: not mentioned by the root": lambda known: known["./"].pop("mentions"),
    "#run.object: refers to nothing": lambda known: known["#run"]["object"].append({"@id": "#elsewhere"}),
    "report.html: another file": lambda known: known["report.html"].update(sha256="0" * 64),
    "no CreateAction": lambda known: known["#run"].update({"@type": "Action"}),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_those_requirements_find_what_is_wrong(crate, problem):
    folder, document = crate
    BROKEN[problem](entities(document))
    assert problem in list(problems(folder, document))


def test_the_crate_says_what_ran_on_what_and_what_came_of_it(crate, checkout, version):
    folder, document = crate
    known, run = entities(document), json.loads((version.path / "run.json").read_text())
    action = known["#run"]
    assert action["startTime"] == json.loads((version.path / "results.json").read_text())["started"]
    assert action["endTime"] == run["finished"] and run["command"] in action["description"]
    assert "agent" not in action
    objects = {entity["@id"]: entity for entity in refer(action, "object", known)}
    assert objects["#parameter-seeds"]["value"] == "2" and objects["#parameter-dataset"]["value"] == "none"
    assert objects["#parameter-seeds"]["description"] == "independent repetitions"
    assert objects["#claims"]["value"] == run["claims_hash"]
    assert objects["#notebook"]["name"] == "notebooks/tiny.ipynb"
    assert known["#redraw"]["softwareVersion"].startswith("0.1.0")
    libraries = {
        entity["name"]: entity["softwareVersion"] for entity in refer(known["#redraw"], "softwareRequirements", known)
    }
    assert libraries["torch"] == run["libraries"]["torch"] and libraries["Python"] == run["python"]
    files = {path.relative_to(version.path).as_posix() for path in version.path.rglob("*") if path.is_file()}
    assert {entity["name"] for entity in refer(action, "result", known)} == files
    assert "figures/a figure.csv" in files and "figures/a%20figure.csv" in known
    assert all((folder / name).read_bytes() == (version.path / name).read_bytes() for name in files)
    assert known["https://example.org/paper"]["name"] == "Uniform numbers"
    assert known["./"]["license"] == {"@id": "https://www.apache.org/licenses/LICENSE-2.0"}
    assert str(checkout.root) not in json.dumps(document)


def test_data_are_named_by_the_checksums_of_their_files(version):
    run = json.loads((version.path / "run.json").read_text()) | {
        "data": {"mnist": {"a": "0" * 64, "b": "1" * 64}, "digits": {}}
    }
    data, checksums = _crate._data(run)
    assert [entity["@id"] for entity in data] == ["#data-mnist", "#data-digits"] and "identifier" not in data[1]
    assert [(part["name"], part["propertyID"], part["value"]) for part in checksums] == [
        ("a", "sha256", "0" * 64),
        ("b", "sha256", "1" * 64),
    ]
    assert data[0]["identifier"] == [{"@id": "#data-mnist-a"}, {"@id": "#data-mnist-b"}]


# Refused --------------------------------------------------------------------------------------------------------


def test_only_a_new_or_an_empty_folder_will_do(checkout, version, tmp_path, monkeypatch):
    project, full = Project(checkout.root), tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(ParameterError, match="^out: must be a new or empty folder, '.*' is neither$"):
            write_crate(project, version, tmp_path / name)
    assert {path.name for path in tmp_path.rglob("*")} == {"full", "mine", "file", "link"}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ParameterError, match="^out: must be another folder than the working folder"):
        write_crate(project, version, Path("."))
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "deep/down"):
        assert write_crate(project, version, tmp_path / name).is_file()


def test_a_crate_is_there_whole_or_not_at_all(checkout, version, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(_crate, "describe", full)
    with pytest.raises(OSError, match="no space left"):
        write_crate(Project(checkout.root), version, tmp_path / "crate")
    assert not list(tmp_path.iterdir())


def test_a_version_that_was_edited_is_not_passed_on(checkout, version, tmp_path, monkeypatch):
    monkeypatch.setattr(_crate, "manifest_problems", lambda version: iter(["trials.csv was changed after the run"]))
    with pytest.raises(ParameterError, match=f"^version {version.name}: trials.csv was changed after the run"):
        write_crate(Project(checkout.root), version, tmp_path / "crate")
    assert not list(tmp_path.iterdir()) and not list(manifest_problems(version))


def test_the_command(checkout, tmp_path):
    ran = checkout.redraw("crate", "tiny", "--out", str(tmp_path / "out"))
    assert ran.code == 0 and (tmp_path / "out" / METADATA).is_file(), ran
    refused = checkout.redraw("crate", "tiny", "1", "--out", str(tmp_path / "out"))
    assert refused.code == 2 and "out: must be a new or empty folder" in refused.line and refused.cpu < 2


# The validator --------------------------------------------------------------------------------------------------

# What it recommends and nobody has told us: where the project lives, who ran it, who publishes it.
NOT_RECORDED = {
    "The Application SHOULD have a url",
    "The SoftwareApplication id SHOULD be an absolute URI",
    "The Action SHOULD have an agent that is a Person or Organization",
    "The Root Data Entity SHOULD have a link to a Contextual Entity representing the `author` of the RO-Crate",
    "The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`",
}


@pytest.fixture(scope="module")
def validate(tmp_path_factory):
    """`validate(crate)` asks the `rocrate` validator (PyPI: roc-validator) and returns what it finds."""
    folder = tmp_path_factory.mktemp("validator")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--requirement", HERE / "validate_crate.txt"]
    if (done := subprocess.run(install, capture_output=True, text=True)).returncode:
        pytest.skip(f"the validator could not be installed: {done.stderr.strip()[-300:]}")

    def ask(crate):
        command = [python, HERE / "validate_crate.py", crate, folder / "cache", "RECOMMENDED"]
        asked = subprocess.run(command, capture_output=True, text=True)
        assert asked.returncode == 0, asked.stderr[-2000:]
        checks, *found = asked.stdout.splitlines()
        assert int(checks.split()[0]) > 90
        return [tuple(line.split(": ", 1)) for line in found]

    return ask


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_validator_accepts_it(validate, crate, tmp_path):
    folder, document = crate
    found = validate(folder)
    assert [line for line in found if line[0].startswith("REQUIRED")] == []
    assert {words for _, words in found} <= NOT_RECORDED
    BROKEN["action: instrument"](entities(document))
    (folder / METADATA).write_text(json.dumps(document))
    assert [line for line in validate(folder) if line[0].startswith("REQUIRED")]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_validator_accepts_what_is_committed(validate, tmp_path):
    project = Project(HERE.parents[1])
    for study in project.studies():
        for version in versions(project.reports, study):
            write_crate(project, version, tmp_path / version.name)
            found = validate(tmp_path / version.name)
            assert {words for _, words in found} <= NOT_RECORDED, version.name
