"""The complete versions of a study under `reports/`: folders named `NNNN-preset-hash` with a manifest."""

import re
from dataclasses import dataclass
from pathlib import Path

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
