"""The complete versions of a study under `reports/`: folders named `NNNN-preset-hash` with a manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redraw.workbook._card import ParameterError
from redraw.workbook._digest import sha256_file
from redraw.workbook._project import Project
from redraw.workbook._records import RECORDS, read_records

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"([0-9]{4,})-(smoke|laptop|paper)-([0-9a-f]{4,64})")


@dataclass(frozen=True)
class Version:
    """One published run of a study: `number` counts up within the study, `hash` identifies what was run."""

    study: str
    number: int
    preset: str
    hash: str
    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


def versions(reports: Path, study: str) -> list[Version]:
    """The complete versions of a study, oldest first; `*.partial` and folders without a manifest are none."""
    folder = Path(reports) / study
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and (path / "MANIFEST.sha256").is_file():
            found.append(Version(study, int(match[1]), match[2], match[3], path))
    return sorted(found, key=lambda version: (version.number, version.name))


def newest_versions(reports: Path, study: str) -> dict[str, Version]:
    """The newest complete version of each preset, strongest preset first: paper, laptop, smoke."""
    newest = {version.preset: version for version in versions(reports, study)}
    return {preset: newest[preset] for preset in ("paper", "laptop", "smoke") if preset in newest}


def find_version(project: Project, study: str, name: str) -> Version:
    """The version of a study by its number (`3`, `0003`), its name, the start of its name, or `newest`.

    Raises ParameterError, one line that lists what there is, when no version or more than one is meant.
    """
    there = versions(project.reports, study)
    if not there:
        project.card(study)  # an unknown study is the likelier mistake
        raise ParameterError(f"version {name!r}: {study} has no version yet")
    if name == "newest":
        return there[-1]
    if name.isdecimal() and len(name) < 19:
        found = [version for version in there if version.number == int(name)]
    else:
        found = [version for version in there if name and version.name.startswith(name)]
        found = [version for version in found if version.name == name] or found
    if len(found) != 1:
        listed = ", ".join(version.name for version in there)
        kind = "must be one of" if not found else "fits more than one of"
        raise ParameterError(f"version {name!r}: {kind} {listed}, a number or newest")
    return found[0]


def read_trials(version: Version) -> pd.DataFrame:
    """The version's trials.csv, a row per trial; an empty table where the study has no trials.

    Raises ParameterError, one line, when it cannot be read.
    """
    import pandas as pd  # a request is found right before it loads

    try:
        return pd.read_csv(version.path / "trials.csv")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise ParameterError(f"{version.name}/trials.csv: cannot be read ({str(error).splitlines()[0]})") from None


def manifest_problems(version: Version) -> Iterator[str]:
    """How a version's files differ from its manifest, a line each."""
    listed = {}
    try:
        for line in (version.path / "MANIFEST.sha256").read_text("utf-8").splitlines():
            digest, _, name = line.partition("  ")
            listed[name] = digest
    except (OSError, ValueError):
        yield "MANIFEST.sha256 cannot be read"
        return
    present = {path.relative_to(version.path).as_posix(): path for path in version.path.rglob("*") if path.is_file()}
    present.pop("MANIFEST.sha256")
    for name in sorted({*listed, *present} | {"results.json", "run.json", "report.ipynb", "report.html", "trials.csv"}):
        if name not in present:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} is not in the manifest"
        elif present[name].is_symlink() or sha256_file(present[name]) != listed[name]:
            yield f"{name} was changed after the run"


def find_records(project: Project, study: str, name: str) -> Path:
    """The file in which the version `name` of a study recorded its trials, for a `Store` to go on from.

    Raises ParameterError, one line, for an unknown version, one that is not as its manifest says, and one that has
    no records.
    """
    version = find_version(project, study, name)
    if problem := next(manifest_problems(version), None):
        raise ParameterError(f"from: {version.name} cannot be trusted: {problem} (see `redraw check`)")
    path = version.path / RECORDS
    if not path.is_file():
        raise ParameterError(f"from: {version.name} carries no records of its trials: it has no {RECORDS}")
    try:
        for body in read_records(path).values():
            body["value"], body["tensors"], body["seconds"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(f"from: {version.name}/{RECORDS} cannot be read ({type(error).__name__})") from None
    return path
