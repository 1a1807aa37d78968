"""Board, study page and report in a real browser: they work, can be reached, read and printed, and ask nobody."""

import re
import time

import pytest

from .conftest import loaded

BOARD, STUDY = "index.html", "lottery_ticket/index.html"
REPORT = "lottery_ticket/0002-laptop-bbbb2222/report.html"
PAGES = [BOARD, STUDY, REPORT]


def shown(page, selector):
    return page.eval_on_selector_all(selector, "all => all.filter(e => e.checkVisibility()).map(e => e.id)")


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_from_its_file_and_asks_nobody(visit, path, script):
    page = visit(path, script=script)  # the fixture looks at console and requests
    assert page.title() and page.locator("h1").count() == 1
    pictures = page.locator("img")
    for index in range(pictures.count()):
        pictures.nth(index).scroll_into_view_if_needed()
    if script:
        loaded(page)


def test_every_link_leads_to_something(visit, reports):
    for path in PAGES:
        page = visit(path)
        for address in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)"):
            if address.startswith("file:"):
                file, _, mark = address.removeprefix("file://").partition("#")
                text = open(file, encoding="utf-8").read() if file.endswith(".html") else ""
                assert not mark or f'id="{mark}"' in text, address


def test_filters_leave_what_was_asked_for(visit):
    page = visit(BOARD)
    every = page.locator(".stand").count()
    assert page.inner_text("#count") == f"{every} of {every} claims, in 3 studies"
    page.select_option("#verdict", "contradicted")
    assert shown(page, ".stand") == ["lottery_ticket.L4", "schedules.L4"]
    assert page.inner_text("#count") == f"2 of {every} claims, in 2 studies"
    page.select_option("#topic", "pruning")
    assert shown(page, ".stand") == shown(page, ".stand:not([hidden])") == ["lottery_ticket.L4"]
    assert page.inner_text("#count") == f"1 of {every} claims, in 1 study"
    assert page.locator("#lottery_ticket details.all").get_attribute("open") is not None
    page.click("#clear")
    assert page.inner_text("#count").startswith(f"{every} of") and shown(page, ".stand") == []
    page.select_option("#topic", "schedules")
    assert shown(page, "article.study") == ["schedules"]
    page.click("#clear")
    page.select_option("#paper", "Byron 2021")
    assert shown(page, "article.study") == ["schedules"]
    page.click("#clear")
    page.select_option("#scope", "reimplemented")
    assert shown(page, "article.study") == ["lottery_ticket"]
    page.select_option("#verdict", "blocked")
    assert page.inner_text("#nothing").startswith("No claim fits")


def test_search_finds_words_of_claims_studies_and_papers(visit):
    page = visit(BOARD)
    page.fill("#words", "ONE-shot pruning")
    assert {name.split(".")[1] for name in shown(page, ".stand")} == {"L4"}
    page.fill("#words", "byron")
    assert shown(page, "article.study") == ["schedules"]
    page.fill("#words", "not yet")
    assert shown(page, "article.study") == ["later"], "a study without runs is found as well"


def test_sorting_orders_the_studies(visit):
    page = visit(BOARD)
    assert shown(page, "article.study") == ["lottery_ticket", "schedules", "later"]
    page.select_option("#sort", "contradicted")
    assert shown(page, "article.study")[0] == "lottery_ticket"
    page.select_option("#sort", "inconclusive")
    page.select_option("#sort", "")
    assert shown(page, "article.study") == ["lottery_ticket", "schedules", "later"]
    page.select_option("#sort", "newest")
    dates = page.eval_on_selector_all("article.study", "all => all.map(e => e.dataset.newest)")
    assert dates == sorted(dates, reverse=True)


def test_a_filter_can_be_handed_on_as_an_address(visit):
    page = visit(BOARD)
    page.select_option("#verdict", "contradicted")
    page.fill("#words", "97 & more")
    address = page.evaluate("location.hash")
    assert address == "#words=97%20%26%20more&verdict=contradicted"
    again = visit(BOARD + address)
    assert again.input_value("#words") == "97 & more" and again.input_value("#verdict") == "contradicted"
    assert visit(BOARD + "#words=%").input_value("#words") == "", "a broken address is no error"


@pytest.mark.parametrize("script", [True, False])
def test_the_address_of_a_claim_opens_it(visit, script):
    page = visit(f"{BOARD}#lottery_ticket.L4", script=script)
    claim = page.locator("[id='lottery_ticket.L4']")
    claim.wait_for(state="visible")
    until = time.monotonic() + 20
    while claim.bounding_box()["y"] >= 900:
        assert time.monotonic() < until, "the page did not scroll to the claim"
        page.wait_for_timeout(20)


def test_without_a_script_everything_is_there(visit):
    page = visit(BOARD, script=False)
    assert not page.locator("#tools").is_visible()
    assert page.locator(".chip").count() == page.locator(".stand").count() == 18
    page.click("#lottery_ticket details.all > summary")
    assert page.locator("#lottery_ticket .stand").first.is_visible()


def test_the_keyboard_reaches_everything(visit):
    page = visit(BOARD)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    wanted = ["words", "verdict", "topic", "paper", "scope", "sort"]
    assert [name for name in dict.fromkeys(seen) if name in wanted] == wanted and "SUMMARY" in seen
    page.focus("#lottery_ticket details.all > summary")
    page.keyboard.press("Enter")
    assert page.locator("#lottery_ticket .stand").first.is_visible()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where one is can be seen"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(visit, axe, path, width, dark):
    page = visit(path, width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    said = [f"{v['id']}: {v['help']}: {[n['html'][:120] for n in v['nodes'][:3]]}" for v in found["violations"]]
    assert said == []


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_the_page(visit, path, width):
    page = visit(path, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.scrollWidth > t.parentElement.clientWidth + 1"
        " && getComputedStyle(t.parentElement).overflowX !== 'auto').map(t => t.className)"
    )
    assert over == [], "wide tables scroll inside their box"


def test_dark_follows_the_system(visit):
    def ground(page):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    for path in PAGES:
        assert ground(visit(path)) > 240 and ground(visit(path, dark=True)) < 40
        assert ground(visit(path, dark=True, media="print")) == 255, "paper is white"


def test_in_print_every_claim_is_said(visit):
    page = visit(BOARD, media="print")
    assert not page.locator("#tools").is_visible()
    heights = page.eval_on_selector_all(".stand", "all => all.map(e => e.getBoundingClientRect().height)")
    assert len(heights) == 18 and min(heights) > 10


def test_inside_a_notebook_the_board_works_as_well(visit):
    page = visit("notebook.html")
    frame = page.frame_locator("iframe")
    frame.locator("#verdict").select_option("contradicted")
    assert frame.locator("#count").inner_text() == "2 of 18 claims, in 2 studies"
    frame.locator(".chip:visible").first.click()
    assert frame.locator("[id='lottery_ticket.L4']").is_visible() and page.url.endswith("notebook.html")
