"""The board: every study, its newest complete versions and nothing that is unfinished."""

import json
import re

import pytest
from bs4 import BeautifulSoup

from redraw.workbook._board import write_board
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
    assert "partial" not in str(page) and "ffff6666" not in str(page)
    assert page.find(id="other").find(string=re.compile("Not run yet"))
    assert len(page.select("#lottery_ticket .version .line-up")) == 3
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
    assert not page(["script", "iframe", "link", "base", "form", "object", "embed"])
    assert not [tag for tag in page(True) for name in tag.attrs if name.startswith("on") or name == "style"]
    sources = [tag["src"] for tag in page(src=True)] + [tag["href"] for tag in page(["use", "a"], href=True)]
    assert sources and not [source for source in sources if re.match(r"\w+:|//", source)]
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src 'self' file: data:; style-src 'sha256-")


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


def test_an_unreadable_version_does_not_hide_the_others(reports, make_version, make_card):
    card = make_card()
    broken = make_version(card, name="0002-paper-bbbb2222", preset="paper")
    (broken / "results.json").write_text("{")
    make_version(card)
    page = read(write_board(reports, [card]))
    assert "results.json: cannot be read" in page.find(class_="note").text
    assert len(page.select(".line-up")) == 1


def test_same_reports_same_bytes(reports, make_version, make_card):
    make_version()
    first = write_board(reports, [make_card()]).read_bytes(), (reports / "index.json").read_bytes()
    again = write_board(reports, [make_card()]).read_bytes(), (reports / "index.json").read_bytes()
    assert again == first
    assert sorted(path.name for path in reports.iterdir()) == ["index.html", "index.json", "lottery_ticket"]
