"""The board: every study, its newest complete versions and nothing that is unfinished."""

import base64
import csv
import hashlib
import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

from redraw.workbook import Samples
from redraw.workbook import _pages as pages
from redraw.workbook._board import show_board, write_board
from redraw.workbook._board_picture import draw_board
from redraw.workbook._report import write_report
from redraw.workbook._versions import Version, newest_versions, versions


@pytest.fixture
def reports(tmp_path):
    return tmp_path / "reports"


def read(path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def test_versions_are_complete_and_in_order(reports, make_version, make_card):
    make_version(name="0010-laptop-aaaa1111")
    make_version(name="0002-paper-bbbb2222", preset="paper")
    make_version(name="0009-laptop-cccc3333")
    make_version(name="0011-laptop-dddd4444", complete=False)
    make_version(name="0012-laptop-eeee5555.partial")
    make_version(name="notes")
    make_version(name="0013-huge-ffff6666")
    (reports / "lottery_ticket" / "0014-laptop-abcd").write_text("a file, no folder")
    found = versions(reports, "lottery_ticket")
    assert [version.name for version in found] == [
        "0002-paper-bbbb2222",
        "0009-laptop-cccc3333",
        "0010-laptop-aaaa1111",
    ]
    path = reports / "lottery_ticket" / "0002-paper-bbbb2222"
    assert found[0] == Version("lottery_ticket", 2, "paper", "bbbb2222", path)
    newest = newest_versions(reports, "lottery_ticket")
    assert {preset: version.number for preset, version in newest.items()} == {"paper": 2, "laptop": 10}
    assert list(newest) == ["paper", "laptop"], "strongest first"
    assert versions(reports, "another") == [] and versions(reports / "none", "x") == []


def test_no_study_and_no_version(reports, make_card):
    assert "no study yet" in read(write_board(reports, [])).text
    page = read(write_board(reports, [make_card()]))
    assert "Not run yet" in page.text and not page(class_="badge")
    assert json.loads((reports / "index.json").read_text())["studies"][0]["versions"] == []


def test_the_newest_version_of_each_preset_is_listed(reports, make_version, make_card):
    card = make_card()
    for name, preset in (
        ("0001-laptop-aaaa1111", "laptop"),
        ("0002-smoke-bbbb2222", "smoke"),
        ("0003-laptop-cccc3333", "laptop"),
        ("0004-paper-dddd4444", "paper"),
    ):
        write_report(make_version(card, name=name, preset=preset), card)
    make_version(card, name="0005-paper-eeee5555.partial", preset="paper")
    make_version(card, name="0006-paper-ffff6666", preset="paper", complete=False)
    other = make_card(study="other", title="Another study")
    page = read(write_board(reports, [card, other]))
    links = [link["href"] for link in page.select(".preset a")]
    assert links == [f"lottery_ticket/{v}/report.html" for v in
                     ("0004-paper-dddd4444", "0003-laptop-cccc3333", "0002-smoke-bbbb2222")]  # fmt: skip
    assert "ffff6666" not in str(page) and "eeee5555" not in str(page)
    assert page.find(id="other").find(string=re.compile("Not run yet"))
    chips = page.select("#lottery_ticket .line-up a")
    assert [chip["href"] for chip in chips] == [f"#lottery_ticket.{claim.id}" for claim in card.claims]
    assert all(page.find(id=chip["href"][1:]) for chip in chips), "every sign leads to its claim on the board"
    for link in page("a", href=re.compile("report.html")):
        address, _, mark = link["href"].partition("#")
        assert (reports / address).is_file()
        assert not mark or read(reports / address).find(id=mark), "every badge leads to its claim"
    picture = page.find("img")
    assert (reports / picture["src"]).read_text().startswith("<svg")


def test_the_tally_counts_each_claim_once(reports, make_version, make_card):
    card = make_card()
    make_version(card, name="0001-paper-aaaa1111", preset="paper", samples={})
    make_version(card, name="0002-laptop-bbbb2222", preset="laptop")
    page = read(write_board(reports, [card]))
    counts = {li.find(class_="badge").text: int(li.b.text) for li in page.select(".tally li")}
    assert counts == {
        "reproduced": 4,
        "contradicted": 1,
        "inconclusive": 1,
        "paper error": 1,
        "not tested": 2,
    }


def test_the_board_runs_nothing_and_asks_nobody(reports, make_version, make_card):
    text = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    claims = [claim.model_dump() | {"statement": text + '" onclick="alert(1)'} for claim in make_card().claims]
    card = make_card(title=text, question=text, topic=text, claims=claims)
    make_version(card)
    page = read(write_board(reports, [card]))
    assert not page(["iframe", "link", "base", "form", "object", "embed"])
    (script,) = page("script")
    assert script.string == pages.environment().get_template("board.js.j2").render() and not script.attrs
    assert not [tag for tag in page(True) for name in tag.attrs if name.startswith("on") or name == "style"]
    sources = [tag["src"] for tag in page(src=True)] + [tag["href"] for tag in page(["use", "a"], href=True)]
    assert sources and not [source for source in sources if re.match(r"\w+:|//", source)]
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hashed(source):
        return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "img-src": "'self' file: data:",
        "style-src": hashed(page.style.string),
        "script-src": hashed(script.string),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_table_for_machines_says_the_same(reports, make_version, make_card):
    card = make_card()
    folder = make_version(card)
    write_board(reports, [card])
    plain = json.loads((reports / "index.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    version = plain["studies"][0]["versions"][0]
    assert [(claim["id"], claim["outcome"], claim["scope"]) for claim in version["claims"]] == [
        (claim["id"], claim["outcome"], claim["scope"]) for claim in results["claims"]
    ]
    assert version["claims"][1]["link"] == "lottery_ticket/0001-laptop-ab12cd34ef/report.html#claim-L1"
    stands = plain["studies"][0]["stands"]
    assert [(stand["id"], stand["outcome"]) for stand in stands] == [(c["id"], c["outcome"]) for c in results["claims"]]
    assert stands[1]["link"] == "index.html#lottery_ticket.L1"
    rows = list(csv.DictReader((reports / "index.csv").open(newline="")))
    assert [(row["id"], row["outcome"], row["stands"]) for row in rows] == [
        (claim["id"], claim["outcome"], "true") for claim in results["claims"]
    ]
    L1 = results["claims"][1]
    assert float(rows[1]["measured"]) == L1["measured"] and rows[1]["topic"] == "pruning"
    assert [float(rows[1]["low"]), float(rows[1]["high"])] == L1["strength"]["interval"]


def test_an_unreadable_version_does_not_hide_the_others(reports, make_version, make_card):
    card = make_card()
    broken = make_version(card, name="0002-paper-bbbb2222", preset="paper")
    (broken / "results.json").write_text("{")
    make_version(card)
    page = read(write_board(reports, [card]))
    assert "results.json: cannot be read" in page.find(class_="note").text
    assert len(page.select(".line-up")) == 1


def test_what_a_spreadsheet_would_run_is_defused(reports, make_version, make_card):
    claims = [claim.model_dump() | {"statement": "=HYPERLINK(1)"} for claim in make_card().claims]
    card = make_card(claims=claims, topic="+1")
    make_version(card)
    write_board(reports, [card])
    for row in csv.DictReader((reports / "index.csv").open(newline="")):
        assert (row["statement"], row["topic"]) == ("'=HYPERLINK(1)", "'+1")


def test_a_claim_stands_where_the_strongest_preset_that_tested_it_says(reports, make_version, make_card):
    card = make_card()
    make_version(card, name="0001-paper-aaaa1111", preset="paper", samples={"L4": Samples.of([99.0, 99.1, 98.9])})
    make_version(card, name="0002-laptop-bbbb2222", preset="laptop")
    page = read(write_board(reports, [card]))
    stands = {li["id"]: (li["data-verdict"], li.select_one(".found a")["href"]) for li in page.select(".stand")}
    assert stands["lottery_ticket.L4"] == ("reproduced", "lottery_ticket/0001-paper-aaaa1111/report.html#claim-L4")
    assert stands["lottery_ticket.L1"] == ("reproduced", "lottery_ticket/0002-laptop-bbbb2222/report.html#claim-L1")
    assert stands["lottery_ticket.L7"][0] == "not_tested"


def test_a_later_run_that_leaves_a_claim_out_does_not_unsay_it(reports, make_version, make_card):
    card = make_card()
    make_version(card, name="0001-laptop-aaaa1111", samples={"L4": Samples.of([99.0, 99.1, 98.9])})
    make_version(card, name="0002-laptop-bbbb2222", samples={"L4": Samples.of([50.0, 50.1, 49.9])})
    make_version(
        card, name="0003-laptop-cccc3333", samples={"L4": Samples.not_tested("this run made no such networks")}
    )
    page = read(write_board(reports, [card]))
    (stand,) = page.select("[id='lottery_ticket.L4']")
    assert stand["data-verdict"] == "contradicted", "by the newest that tested it"
    assert stand.select_one(".found a")["href"] == "lottery_ticket/0002-laptop-bbbb2222/report.html#claim-L4"
    assert [link["href"] for link in page.select(".preset a")] == ["lottery_ticket/0003-laptop-cccc3333/report.html"]


def test_the_board_says_what_was_measured_and_where_it_holds(reports, make_version, make_card):
    card = make_card()
    make_version(card)
    page = read(write_board(reports, [card]))

    def found(id):
        return " ".join(page.find(id=f"lottery_ticket.{id}").find(class_="found").text.split())

    assert "ticket over dense" in found("L1") and "where the claim holds, from" in found("L1")
    assert "comparisons" in found("L3") and "ticket >= dense" in found("L3"), "what is compared"
    assert found("L1").endswith("laptop report 0001 on L1"), "two claims of a study may stand in different versions"
    assert "smaller than the paper" in page.find(class_="reading").text


def test_the_card_shows_the_figure_that_the_notebook_shows_first(reports, make_version, make_card):
    folder = make_version()
    (folder / "figures" / "aaa.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = read(write_board(reports, [make_card()]))
    assert page.find("img")["src"] == "lottery_ticket/0001-laptop-ab12cd34ef/figures/accuracy.svg"
    (folder / "report.ipynb").unlink()
    page = read(write_board(reports, [make_card()]))
    assert page.find("img")["src"].endswith("aaa.svg")


def test_the_drawing_has_a_sign_for_each_claim(reports, make_version, make_card):
    make_version()
    card = make_card(title="Lottery & <tickets>")
    write_board(reports, [card, make_card(study="other", title="Another")])
    drawing = ElementTree.parse(reports / "board.svg").getroot()
    groups = [node for node in drawing.iter("{http://www.w3.org/2000/svg}g")]
    assert len(groups) == len(card.claims) + 6, "and one for each outcome in the legend"
    texts = [node.text for node in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert "Lottery & <tickets>" in texts and "not run yet" in texts and "inconclusive 1" in texts


def test_the_drawing_has_room_for_long_titles():
    titles = [
        "Step Law: optimal learning rate and batch size",
        "A study whose title is so long that it takes more than a line",
    ]
    drawing = ElementTree.fromstring(draw_board([(titles[0], []), (titles[1], []), ("Next " + "word " * 40, [])]))
    texts = [node for node in drawing.iter("{http://www.w3.org/2000/svg}text") if node.get("x") == "20"]
    assert [node.text for node in texts[:3]] == [titles[0], titles[1][:44], "more than a line"]
    assert texts[-1].text.endswith("…") and len(texts) == 5
    heights = [int(node.get("y")) for node in texts]
    assert min(b - a for a, b in pairwise(heights)) >= 18
    assert heights[-1] < int(drawing.get("height"))


def test_the_board_inside_a_notebook_leads_nowhere_else(reports, make_version, make_card):
    make_version()
    shown = show_board(reports, [make_card()], height=300).data
    frame = BeautifulSoup(shown, "html.parser").iframe
    page = BeautifulSoup(frame["srcdoc"], "html.parser")
    assert frame["height"] == "300" and frame["title"]
    assert len(page.select(".stand")) == len(make_card().claims) and not page("img")
    assert not [link["href"] for link in page("a") if not link["href"].startswith("#")]


def test_one_new_version_touches_only_its_own_pages(reports, make_version, make_card):
    cards = [make_card(study=name) for name in ("one", "two", "three")]
    for card in cards:
        make_version(card)
    write_board(reports, cards)
    before = {path: path.stat().st_mtime_ns for path in reports.rglob("*.html")}
    write_board(reports, cards)
    assert {path: path.stat().st_mtime_ns for path in reports.rglob("*.html")} == before
    make_version(cards[1], name="0002-laptop-bbbb2222", samples={})
    write_board(reports, cards)
    after = {path: path.stat().st_mtime_ns for path in reports.rglob("*.html")}
    written = {path.relative_to(reports).as_posix() for path in after if after[path] != before.get(path)}
    assert written == {"index.html", "two/index.html"}
    assert "0002-laptop-bbbb2222" in (reports / "two" / "index.html").read_text()


def test_same_reports_same_bytes(reports, make_version, make_card):
    make_version()
    first = write_board(reports, [make_card()]).read_bytes(), (reports / "index.json").read_bytes()
    again = write_board(reports, [make_card()]).read_bytes(), (reports / "index.json").read_bytes()
    assert again == first
    assert sorted(path.name for path in reports.iterdir()) == [
        *("board.svg", "index.csv", "index.html", "index.json", "lottery_ticket")
    ]
