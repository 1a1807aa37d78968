"""A board of 100 studies with 20 claims each: built, opened, and built again after one new version."""

import importlib.util
import shutil
import time
from pathlib import Path

import pytest

from redraw.workbook._board import write_board
from redraw.workbook._pdf import browser_flags, find_browser

STUDIES, CLAIMS = 100, 20


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(reports, cards), with one version of each study."""
    path = Path(__file__).parents[1] / "workbook" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_versions", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    reports = tmp_path_factory.mktemp("many") / "reports"
    some = made.make_card().claims
    samples = made.make_samples()
    claims = [some[i % 7].model_copy(update={"id": f"C{i}"}) for i in range(CLAIMS)]
    card = made.make_card(claims=[claim.model_dump() for claim in claims])
    given = {f"C{i}": samples[some[i % 7].id] for i in range(CLAIMS)}
    cards = [card.model_copy(update={"study": f"study_{n}", "title": f"Study {n}"}) for n in range(STUDIES)]
    first = made.write_version(reports, cards[0], samples=given)
    for other in cards[1:]:
        shutil.copytree(first, reports / other.study / first.name)
    return reports, cards


def seconds(site):
    started = time.perf_counter()
    write_board(*site)
    return time.perf_counter() - started


def test_one_new_version_rebuilds_what_it_touches(site, record_ratio):
    reports, _ = site
    version, first, unchanged, added = next((reports / "study_7").glob("0001-*")), [], [], []
    for _ in range(3):
        for page in reports.glob("**/index.html"):
            page.unlink()
        first.append(seconds(site))
        unchanged.append(seconds(site))
        newer = shutil.copytree(version, version.with_name("0002-laptop-ffff0000"))
        added.append(seconds(site))
        shutil.rmtree(newer)
    what = f"a board of {STUDIES} studies with {CLAIMS} claims each, over making it anew"
    shares = [one / all_of for one, all_of in zip(unchanged, first, strict=True)]
    record_ratio("board, nothing new / built", shares, limit=0.7, what=what)
    shares = [one / all_of for one, all_of in zip(added, first, strict=True)]
    record_ratio("board, one new version / built", shares, limit=0.7, what=what)
    record_ratio("board, built", first, limit=5, unit="s", what=what.partition(",")[0])


def test_the_board_opens_within_a_second(site, record_ratio):
    playwright = pytest.importorskip("playwright.sync_api")
    if not find_browser():
        pytest.skip("needs Chromium")
    page_path = write_board(*site)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=browser_flags())
        page = browser.new_page()
        page.goto("about:blank")
        taken = []
        for _ in range(5):
            page.goto(page_path.as_uri())
            taken.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"))
        count = page.inner_text("#count")
        page.fill("#words", "study 42")
        page.wait_for_selector("#count >> text=/^20 of/", timeout=20_000)
        browser.close()
    assert count == f"{STUDIES * CLAIMS} of {STUDIES * CLAIMS} claims, in {STUDIES} studies"
    record_ratio("board, opened", taken, limit=1, unit="s", what=f"{STUDIES * CLAIMS} claims in Chromium")
