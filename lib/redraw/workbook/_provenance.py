"""What exactly ran, on what: the facts that go into run.json."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import torch


def environment(root: Path) -> dict:
    """Code version, libraries, hardware and determinism settings of this process, as JSON data."""
    return {
        "code": _code(root),
        "python": platform.python_version(),
        "libraries": {d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.name.lower())},
        "hardware": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "determinism": {"device": "cpu", "threads_per_trial": 1, "flush_denormal": True, "blas": _blas()},
    }


def _code(root: Path) -> dict:
    """Commit and a hash of what is not committed; nulls outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", "lib", "params", "notebooks")
    difference = git("diff", "HEAD", "--", "lib", "params", "notebooks")
    dirty = hashlib.sha256((changes + (difference or "")).encode()).hexdigest() if changes else None
    return {"commit": commit.strip() if commit else None, "uncommitted": dirty}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas() -> str:
    return "mkl" if torch.backends.mkl.is_available() else "other"
