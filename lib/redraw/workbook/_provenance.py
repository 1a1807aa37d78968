"""What exactly ran, on what: the facts that go into run.json."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Collection, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch


def environment(root: Path, device: str = "cpu") -> dict:
    """Code version, libraries, hardware and determinism settings of this process, as JSON data.

    device: what the work was done on, see `devices`.
    """
    return {
        "code": _code(root),
        "lock": _digest([root / "constraints.txt"], root),
        "library": _digest(sorted((root / "lib").rglob("*.py")), root),
        "python": platform.python_version(),
        "libraries": {d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.name.lower())},
        "hardware": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "determinism": {
            "device": device,
            "threads_per_trial": 1,
            "flush_denormal": True,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "blas": "mkl" if torch.backends.mkl.is_available() else "other",
        },
    }


def devices(bodies: Mapping[str, Mapping[str, Any]], here: Collection[str] = ()) -> str:
    """What trials were computed on, all of it, in words: "cpu", "NVIDIA H200, cpu"; "cuda" is a GPU not known by name.

    bodies: what the store holds of the trials, by key. One that ran together with others says where itself, any other
    ran on what its parameter `device` says, or else on the CPU. here: the keys of those that processes of this machine
    have just computed, whose GPU is the one that is here; where the others were computed is not on record.
    """
    return ", ".join(sorted({_device(body, key in here) for key, body in bodies.items()})) or "cpu"


def _device(body: Mapping[str, Any], here: bool) -> str:
    if how := body.get("batched"):
        return how.get("processor", how["device"])
    device = str(body["parameters"].get("device") or "cpu")
    if here and device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return device


def _digest(files: list[Path], root: Path) -> str | None:
    """SHA-256 over the names and bytes of files; None when there are none."""
    found = [path for path in files if path.is_file()]
    total = hashlib.sha256()
    for path in found:
        total.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return total.hexdigest() if found else None


def _code(root: Path) -> dict:
    """Commit, and a hash of what is not committed, new files included; nulls outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    what = "lib", "params", "notebooks"
    commit, difference = git("rev-parse", "HEAD"), git("diff", "HEAD", "--", *what)
    new = git("ls-files", "-z", "--others", "--exclude-standard", "--", *what)
    if commit is None or difference is None or new is None:
        return {"commit": commit.strip() if commit else None, "uncommitted": None}
    files = sorted(root / name for name in new.split("\0") if name)
    changed = hashlib.sha256((difference + (_digest(files, root) or "")).encode()).hexdigest()
    return {"commit": commit.strip(), "uncommitted": changed if difference or files else None}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
