"""A run whose trials are all stored: the issue is how soon its version is there, papermill included."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_stored_run_is_published_within_ten_seconds(tmp_path, record_ratio):
    for name in ("lib", "params", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "lib"),
        "REDRAW_HOME": str(tmp_path),
        "REDRAW_STORE": str(tmp_path / "store"),
    }

    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what was installed is compiled once, not at every start

    def seconds():
        started = time.perf_counter()
        command = [sys.executable, "-m", "redraw.cli", "run", "lottery_ticket", "--preset", "smoke"]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
        return time.perf_counter() - started

    computed, stored, unchanged = seconds(), [], []
    for _ in range(3):
        published = list((tmp_path / "reports" / "lottery_ticket").glob("0001-smoke-*"))
        assert len(published) == 1
        shutil.rmtree(published[0])
        stored.append(seconds())
        unchanged.append(seconds())
    record_ratio("run, nothing to do", unchanged, unit="s", what="a run whose version is published already")
    record_ratio("run, computed", computed, unit="s", what="lottery_ticket at smoke, from nothing")
    record_ratio("run, all trials stored", stored, limit=10, unit="s", what="until its report is there")
