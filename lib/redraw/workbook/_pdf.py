"""A report as a PDF: the same page, printed by a headless browser, so that its figures stay drawings."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ._card import ParameterError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SECONDS = 180


def find_browser() -> str | None:
    """The program that prints: REDRAW_CHROMIUM, or the first of `BROWSERS` on the path; None where there is none."""
    asked = os.environ.get("REDRAW_CHROMIUM")
    return shutil.which(asked) if asked else next(filter(None, map(shutil.which, BROWSERS)), None)


def browser_flags() -> list[str]:
    """What a browser without a screen and without the network is started with; root has no sandbox to give it."""
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def print_page(page: Path, pdf: Path) -> None:
    """Print an HTML file to `pdf`, in the page's own print style.

    Raises ParameterError, one line, without a browser, for a folder that is not there or another ending than .pdf;
    RuntimeError, one line, when the browser printed nothing.
    """
    if pdf.suffix != ".pdf":
        raise ParameterError(f"out: must end in .pdf, got {str(pdf)!r}")
    browser = find_browser()
    if not browser:
        known = ", ".join(BROWSERS)
        raise ParameterError(f"pdf: needs Chromium to print with (one of {known}, or its path in REDRAW_CHROMIUM)")
    if not pdf.absolute().parent.is_dir():
        raise ParameterError(f"pdf: must be in a folder that exists, got {str(pdf)!r}")
    with tempfile.TemporaryDirectory(prefix="redraw-pdf-") as folder:
        printed = Path(folder) / "page.pdf"
        command = [browser, *browser_flags(), f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        command += [f"--print-to-pdf={printed}", page.absolute().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{browser} did not print {page.name} within {_SECONDS} s") from None
        if not printed.is_file() or printed.read_bytes()[:5] != b"%PDF-":
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise RuntimeError(f"{browser} did not print {page.name}: {said}")
        shutil.copyfile(printed, pdf)
