"""A real browser on pages made from code: Chromium from the system, driven by Playwright, offline."""

import base64
import hashlib
import importlib.util
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from redraw.data._files import cache_folder
from redraw.workbook._board import show_board, write_board
from redraw.workbook._pdf import browser_flags, find_browser
from redraw.workbook._report import write_report

AXE = "axe-core@4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


def _maker():
    path = Path(__file__).parents[1] / "workbook" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_versions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """A board of three studies, one of them with three versions and a drifted margin, one never run."""
    made, folder = _maker(), tmp_path_factory.mktemp("site") / "reports"
    tickets = made.make_card()
    claims = [claim.model_dump() for claim in tickets.claims]
    claims[2]["criterion"]["bound"] = 0.2
    old = made.make_card(claims=claims)
    papers = [{"key": "frankle2019", "title": "Another", "authors": ["Ada Byron"], "year": 2021, "doi": "10.1000/x"}]
    others = [
        made.make_card(study="schedules", title="Schedules", topic="schedules", papers=papers),
        made.make_card(study="later", title="Not yet", topic="data"),
    ]
    made.write_version(folder, old, name="0001-laptop-aaaa1111", started="2026-11-19T06:12:00+00:00")
    made.write_version(folder, tickets, name="0002-laptop-bbbb2222", started="2026-11-20T06:12:00+00:00")
    made.write_version(folder, tickets, name="0003-paper-cccc3333", preset="paper")
    made.write_version(folder, others[0], name="0001-smoke-dddd4444", preset="smoke")
    for card in (tickets, *others):
        for version in (folder / card.study).glob("0*"):
            (version / "trials.csv").write_text("function,seed,key\nticket,0,aa\nticket,1,bb\n")
            write_report(version, card)
    write_board(folder, [tickets, *others])
    shown = show_board(folder, [tickets, *others]).data
    page = f"<!DOCTYPE html><html lang='en'><title>As in a notebook</title><h1>A notebook</h1>{shown}</html>"
    (folder / "notebook.html").write_text(page, "utf-8")
    return folder


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make install")
    if not (program := find_browser()):
        pytest.skip("needs Chromium on the path or in REDRAW_CHROMIUM (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=browser_flags())
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, reports):
    """`visit("index.html", width=..., dark=..., script=..., media=...)` opens a page; at the end of the test there must
    have been no error on its console and no request but for its own files."""
    contexts, wrong = [], []
    home = reports.as_uri()

    def visit(path, *, width=1280, height=900, dark=False, script=True, media="screen"):
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:100]}"))
        page.on("request", lambda request: _asked(request.url, home, wrong))
        page.emulate_media(media=media, color_scheme=scheme)
        page.goto(f"{home}/{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def loaded(page, seconds=20):
    """Wait for every picture. Asked anew each time: Playwright's own `wait_for_function` evaluates a string within the
    page from its second look on, which the pages' content policy forbids."""
    until = time.monotonic() + seconds
    while not page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"):
        assert time.monotonic() < until, "a picture did not load"
        page.wait_for_timeout(20)


def _asked(url, home, wrong):
    if not url.startswith((home, "data:")):
        wrong.append(f"asked for {url}")


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, packed by npm once and kept in the cache, its archive verified."""
    kept = cache_folder().parent / "tools" / f"{AXE.replace('@', '-')}.js"
    if kept.is_file():
        return kept.read_text("utf-8")
    kept.parent.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", AXE, "--ignore-scripts", "--fetch-retries=0", "--silent"]
    try:
        subprocess.run(command, cwd=kept.parent, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"needs {AXE} from npm ({type(error).__name__})")
    archive = kept.parent / f"{AXE.replace('@', '-')}.tgz"
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert found == AXE_SHA512, "the archive that npm gave is not the one that was meant"
    with tarfile.open(archive) as packed:
        source = packed.extractfile("package/axe.min.js").read()
    temporary = kept.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(source)
    os.replace(temporary, kept)
    archive.unlink()
    return source.decode()
