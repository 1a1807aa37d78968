"""The page of a study: its runs side by side, its versions on a line, and claims over versions."""

import json

import pytest
from bs4 import BeautifulSoup

from redraw.workbook import Samples
from redraw.workbook._study_page import write_study_page


@pytest.fixture
def page(tmp_path, make_card):
    def read(card=None):
        card = card or make_card()
        write_study_page(tmp_path / "reports", card)
        return BeautifulSoup((tmp_path / "reports" / card.study / "index.html").read_text("utf-8"), "html.parser")

    return read


def columns(soup):
    return [" ".join(head.get_text(" ").split()) for head in soup.select(".matrix thead th")[1:]]


def cell(soup, id, column):
    return " ".join(soup.find(id=f"claim-{id}")("td")[column].get_text(" ").split())


def change(folder, **values):
    results, run = (json.loads((folder / name).read_text()) for name in ("results.json", "run.json"))
    results["parameters"] |= values
    run["changed"] = [name for name in values if name != "lr"]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "run.json").write_text(json.dumps(run))


def test_each_way_to_run_the_study_is_a_column(page, make_version):
    make_version(name="0001-laptop-aaaa1111", samples={"L2a": Samples.of([0.9, 1.0, 1.1])})
    make_version(name="0002-paper-bbbb2222", preset="paper", samples={"L2a": Samples.of([0.1, 0.11, 0.12])})
    change(make_version(name="0003-laptop-cccc3333"), dataset="digits", lr=2e-3)
    change(make_version(name="0004-laptop-dddd4444"), seeds=[0, 1, 2, 3, 4, 5])
    soup = page()
    assert columns(soup) == [
        "paper 21 November 2026",
        "laptop 21 November 2026",
        "laptop dataset=digits also not as the preset today: lr=0.002 21 November 2026",
    ]
    links = [link["href"] for link in soup.select(".matrix thead a")]
    assert [link[:4] for link in links] == ["0002", "0004", "0003"], "the newest of each; more seeds are no other way"
    assert cell(soup, "L2a", 0).startswith("contradicted reimplemented · 0.110 pp")
    assert cell(soup, "L2a", 1).startswith("inconclusive reduced")
    assert soup.find(id="claim-L2a").find("a", href="0002-paper-bbbb2222/report.html#claim-L2a")
    for link in soup("a", href=lambda address: address.startswith("#")):
        assert soup.find(id=link["href"][1:]), link


def test_the_time_line_says_what_changed_and_which_verdict_moved(page, make_version, make_card):
    claims = [claim.model_dump() for claim in make_card().claims]
    claims[2]["criterion"]["bound"] = 0.9
    values = Samples.of([0.5, 0.52, 0.51, 0.49])
    for folder in (
        make_version(make_card(claims=claims), name="0001-laptop-aaaa1111", samples={"L2a": values}),
        make_version(name="0002-laptop-bbbb2222", samples={"L2a": values}),
    ):
        (folder / "trials.csv").write_text("function,seed,key\nticket,0,aa\n")
    soup = page()
    newest, oldest = soup.select("ol.line > li")
    assert newest.a["href"] == "0002-laptop-bbbb2222/report.html" and "The first of its preset" in oldest.text
    moved = [" ".join(item.get_text(" ").split()) for item in newest.select(".moved li")]
    assert moved == ["L2a contradicted → reproduced"]
    assert "L2a's criterion.bound 0.9 → 0.3" in newest.details.text
    trail = soup.find(id="trail-L2a")
    assert trail.find(class_="drift").text == "its criterion was another one"
    bands = trail.svg("rect", class_="holds")
    assert len(bands) == 2 and float(bands[0]["x"]) > float(bands[1]["x"]), "each band is that of its time"
    assert "0001 laptop" in trail.svg["aria-label"]


def test_one_version_is_not_drawn_over_versions(page, make_version):
    make_version()
    soup = page()
    assert not soup.select(".trail svg.ruling") and len(soup.select(".trail")) == 9
    assert "reproduced" in soup.find(id="trail-L1").text


def test_nothing_hostile_survives(page, make_version, make_card):
    text = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    claims = [claim.model_dump() | {"statement": text} for claim in make_card().claims]
    card = make_card(title=text, question=text, topic=text, claims=claims)
    for name in ("0001-laptop-aaaa1111", "0002-laptop-bbbb2222"):
        folder = make_version(card, name=name)
        (folder / "trials.csv").write_text(f"function,seed,key\n{text},0,{name}\n")
        change(folder, **{text: text})
        results = json.loads((folder / "results.json").read_text())
        for claim in results["claims"]:
            claim |= {"outcome": text, "scope": text, "criterion": text}
        (folder / "results.json").write_text(json.dumps(results))
    soup = page(card)
    assert not soup(["script", "img", "iframe", "object", "embed", "link", "base", "form"])
    assert not [tag for tag in soup(True) for name in tag.attrs if name.startswith("on") or name == "style"]
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-") and "script-src" not in policy


def test_it_is_made_again_only_for_a_reason(tmp_path, make_version, make_card):
    reports = tmp_path / "reports"
    folder = make_version()
    assert write_study_page(reports, make_card()) and not write_study_page(reports, make_card())
    assert write_study_page(reports, make_card(title="Another title"))
    (folder / "MANIFEST.sha256").write_text("0" * 64 + "  x\n")
    assert write_study_page(reports, make_card())
    (reports / "lottery_ticket" / "index.html").write_text("half")
    assert write_study_page(reports, make_card())
