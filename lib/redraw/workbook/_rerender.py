"""`redraw render`: the page of a published version in today's layout, from the files that its manifest seals."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ._card import Card, ParameterError
from ._digest import sha256_file
from ._report import write_report
from ._versions import Version, manifest_problems

RECORD = "rendered.json"


def render_again(version: Version, card: Card) -> bool:
    """Set `report.html` of a version again; whether that changed it.

    Only a version whose every file is as its manifest says is touched, and of its files only the page: verdicts,
    trials, figures and notebook stay as they were sealed. rendered.json tells each time it was done and the SHA-256 of
    the page and of the manifest that were replaced, the manifest's lines for these two files are made anew, and the
    page says so itself. Where the page would come out as it is, nothing is touched.
    Raises ParameterError, one line, for a version that is not as its manifest says; ReportError for one that cannot
    be reported.
    """
    if problem := next(manifest_problems(version), None):
        raise ParameterError(f"render: {version.name} is not as it was published: {problem} (see `redraw check`)")
    page, manifest = version.path / "report.html", version.path / "MANIFEST.sha256"
    with tempfile.TemporaryDirectory(dir=version.path.parent, prefix=f".{version.name}.") as folder:
        copy = Path(folder) / version.name
        shutil.copytree(version.path, copy)
        write_report(copy, card)
        if (copy / "report.html").read_bytes() == page.read_bytes():
            return False
        replaced = {path.name: sha256_file(path) for path in (page, manifest)}
        told = _record(copy / RECORD, {"at": datetime.now(UTC).isoformat(timespec="seconds"), "replaced": replaced})
        (copy / RECORD).write_text(told)
        write_report(copy, card)  # now it says that it was set again
        (copy / "MANIFEST.sha256").write_text(_sealed(manifest.read_text("utf-8"), copy))
        for name in (RECORD, "report.html", "MANIFEST.sha256"):  # killed in between, `redraw check` tells
            os.replace(copy / name, version.path / name)
    return True


def _record(path: Path, entry: dict) -> str:
    before = json.loads(path.read_text("utf-8"))["rendered"] if path.is_file() else []
    return json.dumps({"rendered": [*before, entry]}, indent=1) + "\n"


def _sealed(manifest: str, folder: Path) -> str:
    """The manifest with the page and the record as they are now, every other line untouched."""
    lines = {line.partition("  ")[2]: line for line in manifest.splitlines()}
    for name in ("report.html", RECORD):
        lines[name] = f"{sha256_file(folder / name)}  {name}"
    return "".join(f"{lines[name]}\n" for name in sorted(lines))
