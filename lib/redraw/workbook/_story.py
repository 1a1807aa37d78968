"""An executed notebook as HTML that is safe to open: Markdown, figures, tables and text; code folded.

The notebook is hostile input. Whatever it says is rendered, then cleaned against a list of allowed tags and
attributes; pictures come in as `data:` addresses only, mathematics as MathML that is rebuilt element by element.
"""

from __future__ import annotations

import base64
import binascii
import csv
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bleach
import nbformat
from bs4 import BeautifulSoup
from latex2mathml.converter import convert_to_element
from markupsafe import Markup
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ._numbers import cell as shown_cell
from ._pages import environment

_TEXT_LIMIT = 20_000
_TABLE_LIMIT = 200_000
_CSV_ROWS = 60
_OPENING = '<details class="opening"><summary>The opening: title, paper and claims, as above</summary>{}</details>'
_PARAMETER_TAGS = {"parameters", "injected-parameters"}


@dataclass(frozen=True)
class Figure:
    """A redrawn figure of a version: `figures/<name>.svg` with its alternative text and its numbers, which `rows` has
    for reading and the file `csv` in full."""

    name: str
    svg: bytes
    alt: str
    csv: str | None
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    more: int = 0


@dataclass
class _Page:
    """What a story has used: `room` counts the bytes that are left, `shown` the figures it has drawn."""

    figures: Mapping[str, Figure]
    room: int
    shown: set[str] = field(default_factory=set)
    level: int = 2
    tables: int = 0

    def take(self, size: int) -> bool:
        """Whether so many bytes still fit; if so they are taken."""
        if size > self.room:
            return False
        self.room -= size
        return True


def read_figures(folder: Path) -> dict[str, Figure]:
    """The figures of a version by name, in the order of their names."""
    figures = {}
    for path in sorted((folder / "figures").glob("*.svg")):
        text, table = path.with_suffix(".txt"), path.with_suffix(".csv")
        alt = text.read_text("utf-8").strip() if text.is_file() else f"Figure {path.stem.replace('_', ' ')}"
        header, rows, more = _read_table(table) if table.is_file() else ([], [], 0)
        link = f"figures/{table.name}" if table.is_file() else None
        figures[path.stem] = Figure(path.stem, path.read_bytes(), alt, link, header, rows, more)
    return figures


def _read_table(path: Path) -> tuple[list[str], list[list[str]], int]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    shown = [[shown_cell(value) for value in row] for row in rows[1 : _CSV_ROWS + 1]]
    return (rows[0], shown, max(len(rows) - 1 - _CSV_ROWS, 0)) if rows else ([], [], 0)


def tell(notebook: str, figures: Mapping[str, Figure], room: int) -> tuple[list[Markup], list[Markup]]:
    """The notebook's cells as HTML, and the figures that no cell has shown.

    notebook: the JSON text of an executed notebook. A picture whose metadata has `figure: NAME` stands for
    `figures/NAME.svg`, which is shown in its place with its alternative text and numbers. Cells tagged
    `parameters` and `injected-parameters` are left out: the report has them in a table. A first cell that opens with a
    title is folded: it says what the head of the report says.
    room: bytes that the story may take; what does not fit is named and left to report.ipynb.
    Raises ValueError, one line, for a text that is no notebook.
    """
    try:
        cells = nbformat.reads(notebook, as_version=4).cells
    except Exception as error:  # nbformat raises whatever its validators do
        raise ValueError(f"report.ipynb: must be a notebook ({type(error).__name__})") from None
    page, told = _Page(figures, room), []
    for index, cell in enumerate(cells):
        if _PARAMETER_TAGS & set(cell.get("metadata", {}).get("tags", ())):
            continue
        before = page.room
        piece = _markdown(cell, page) if cell.cell_type == "markdown" else _code(cell, index + 1, page)
        if not piece:
            continue
        if index == 0 and cell.source.lstrip().startswith("# "):
            piece = Markup(_OPENING).format(piece)
        pictures = before - page.room
        if not page.take(len(piece.encode()) - pictures):
            told.append(Markup("<p class='cut'>The rest is in report.ipynb: this page keeps small.</p>"))
            break
        told.append(piece)
    rest = [_figure(figure, page) for name, figure in figures.items() if name not in page.shown]
    return told, rest


def _markdown(cell, page: _Page) -> Markup:
    return Markup('<div class="prose">{}</div>').format(_from_markdown(cell.source, page, cell.get("attachments")))


def _code(cell, index: int, page: _Page) -> Markup:
    if cell.cell_type != "code" or not (cell.source.strip() or cell.outputs):
        return Markup("")
    outputs = [piece for output in _joined(cell.outputs) if (piece := _output(output, index, page))]
    code = Markup(highlight(cell.source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))
    count = cell.get("execution_count")
    return Markup(
        environment()
        .get_template("cell.html.j2")
        .render(
            code=code,
            lines=len(cell.source.strip().splitlines()),
            outputs=outputs,
            count=count if isinstance(count, int) else None,
        )
    )


def _joined(outputs) -> list:
    """The outputs with neighbouring pieces of one stream put together, as the notebook shows them."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("output_type") == "stream" and last["name"] == output.name:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


def _output(output, index: int, page: _Page) -> Markup:
    if output.output_type == "stream":
        if output.get("name") != "stderr":
            return _text(output.text, "stdout")
        said = _text(output.text, "stderr")
        fold = Markup('<details class="messages"><summary>Messages</summary>{}</details>')
        return fold.format(said) if said else said
    if output.output_type == "error":
        return _text("\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"]), "stderr")
    data, metadata = output.get("data", {}), output.get("metadata", {})
    for kind in ("image/svg+xml", "image/png", "image/jpeg"):
        if kind in data:
            own = metadata.get(kind)
            own = own if isinstance(own, Mapping) else {}
            name, alt = own.get("figure"), own.get("alt") or f"Picture from cell {index} of the notebook"
            if isinstance(name, str) and name in page.figures:
                return _figure(page.figures[name], page)
            return _image(kind, data[kind], str(alt), page)
    if "text/html" in data:
        return _table_or_html(data["text/html"], page)
    if "text/markdown" in data:
        return Markup('<div class="prose">{}</div>').format(_from_markdown(data["text/markdown"], page))
    if "text/latex" in data:
        return Markup('<div class="prose">{}</div>').format(_from_markdown(data["text/latex"], page))
    return _text(data["text/plain"], "result") if "text/plain" in data else Markup("")


def _text(text: str, kind: str) -> Markup:
    """Plain text: escapes of the terminal dropped, of a line that rewrites itself only the last state kept."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in strip_ansi(str(text)).split("\n")]
    text = "\n".join(lines).strip("\n")
    if not text:
        return Markup("")
    if len(text) > _TEXT_LIMIT:
        text = text[:_TEXT_LIMIT] + "\n… (the rest is in report.ipynb)"
    return Markup('<pre class="{}" tabindex="0">{}</pre>').format(kind, text)


def _table_or_html(text: str, page: _Page) -> Markup:
    text = str(text)
    if len(text) > _TABLE_LIMIT:
        return Markup("<p class='cut'>A long output is left to report.ipynb.</p>")
    return Markup('<div class="prose">{}</div>').format(clean(text, page))


def _image(kind: str, content: str, alt: str, page: _Page) -> Markup:
    try:
        raw = str(content).encode() if kind == "image/svg+xml" else base64.b64decode(str(content), validate=False)
    except (ValueError, binascii.Error):
        return Markup("")
    return Markup("<figure>{}</figure>").format(_img(kind, raw, alt, page))


def _img(kind: str, raw: bytes, alt: str, page: _Page) -> Markup:
    if kind == "image/svg+xml" and not _inert(raw):
        return Markup("<p class='cut'>A picture is left out: it is not a plain drawing.</p>")
    address = f"data:{kind};base64,{base64.b64encode(raw).decode()}"
    if not page.take(len(address)):
        return Markup("<p class='cut'>A picture is left to report.ipynb: this page keeps small.</p>")
    return Markup('<img src="{}" alt="{}">').format(address, alt)


def _figure(figure: Figure, page: _Page) -> Markup:
    page.shown.add(figure.name)
    image = _img("image/svg+xml", figure.svg, figure.alt, page)
    return Markup(environment().get_template("figure.html.j2").render(figure=figure, image=image))


_ACTIVE = re.compile(
    rb"<\s*(?:[\w-]+:)?(?:script|foreignobject|iframe|object|embed|set|animate\w*|handler|listener)\b|<!entity"
    rb"|[\s\"'/]on[a-z]+\s*=|(?:javascript|vbscript)\s*:|@import|(?:href|src)\s*=\s*[\"']?\s*(?![\"'#\s]|data:image/)"
    rb"|url\(\s*[\"']?\s*(?!#|[\"'\s])",
    re.IGNORECASE,
)


def _inert(svg: bytes) -> bool:
    """Whether a drawing has no script, handler, animation or outside address: even opened alone it does nothing."""
    plain = html.unescape(svg.decode("utf-8", "replace")).encode()
    return not (_ACTIVE.search(svg) or _ACTIVE.search(plain))


# --- Markdown and HTML ---------------------------------------------------------------------------------------

_OPEN, _CLOSE = "\ue000", "\ue001"  # private characters mark where mathematics goes back in
_MARK = re.compile(f"{_OPEN}([0-9]{{1,6}}){_CLOSE}")
_DROP = [
    "script",
    "style",
    "template",
    "noscript",
    "iframe",
    "object",
    "embed",
    "svg",
    "math",
    "title",
    "head",
    "link",
]
_DROP += [
    "textarea",
    "select",
    "button",
    "form",
    "xmp",
    "plaintext",
    "noembed",
    "noframes",
    "audio",
    "video",
    "meta",
]
_TAGS = set(
    "a abbr b blockquote br caption code dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img"
    " kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var".split()
)
_LINK = re.compile(r"https?://[^\s\"'<>]+|mailto:[^\s\"'<>]+|#[\w.:-]*|(?!/)[\w./-]+")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,([A-Za-z0-9+/=]+)")


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "a":
        return name == "title" or name == "href" and bool(_LINK.fullmatch(value))
    if tag == "img":
        return name == "alt" or name == "src" and _plain_picture(value)
    if tag in ("td", "th"):
        return name in ("colspan", "rowspan") and value.isascii() and value.isdigit() and 0 < int(value[:9]) <= 100
    if tag in ("ol",):
        return name == "start" and value.isascii() and value.isdigit()
    return tag == "abbr" and name == "title"


def _plain_picture(address: str) -> bool:
    match = _PICTURE.fullmatch(address)
    if not match or match[1] != "svg+xml":
        return bool(match)
    try:
        return _inert(base64.b64decode(match[2]))
    except (ValueError, binascii.Error):
        return False


_CLEANER = bleach.Cleaner(
    tags=_TAGS,
    attributes=_allowed,
    protocols={"http", "https", "mailto", "data"},
    strip=True,
    strip_comments=True,
)


class _Renderer(IPythonRenderer):
    """Markdown with its mathematics set aside: a mark stands for each formula until the HTML is clean."""

    def __init__(self, attachments: dict):
        super().__init__(escape=False, exclude_anchor_links=True, attachments=attachments)
        self.formulas: list[Markup] = []

    def _set_aside(self, latex: str, display: bool) -> str:
        self.formulas.append(mathml(latex, display))
        return f"{_OPEN}{len(self.formulas) - 1}{_CLOSE}"

    def inline_math(self, body: str) -> str:
        return self._set_aside(body, False)

    def block_math(self, body: str) -> str:
        return self._set_aside(body, True)

    def latex_environment(self, name: str, body: str) -> str:
        if name.rstrip("*") == "equation":
            return self._set_aside(body, True)
        return self._set_aside(rf"\begin{{{name}}}{body}\end{{{name}}}", True)

    def block_code(self, code: str, info: str | None = None) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>\n"

    def _embed_image_or_attachment(self, src: str) -> str:
        name = src.removeprefix("attachment:")
        if src.startswith("attachment:") and not isinstance(self.attachments.get(name), Mapping):
            return ""
        return super()._embed_image_or_attachment(src)


def _from_markdown(source: str, page: _Page, attachments=None) -> Markup:
    source = str(source).replace(_OPEN, "").replace(_CLOSE, "")
    renderer = _Renderer(dict(attachments or {}))
    return clean(MarkdownWithMath(renderer=renderer).render(source), page, renderer.formulas)


def clean(text: str, page: _Page, formulas: list[Markup] = ()) -> Markup:
    """HTML of unknown origin with only harmless tags, attributes and addresses left, fitted to the page:
    headings one below the other, tables in a box that scrolls, their headers scoped, formulas in their place."""
    soup = BeautifulSoup(f"<div>{text}</div>", "html.parser")
    for element in soup(_DROP):
        element.decompose()
    soup = BeautifulSoup(_CLEANER.clean(str(soup)), "html.parser")
    _order_headings(soup, page)
    _fit_tables(soup, page)
    for link in soup("a"):
        link["rel"] = "noopener noreferrer"
    for image in soup("img"):
        if not image.get("src"):
            image.replace_with(image.get("alt") or "")
        elif not page.take(len(image["src"])):
            image.replace_with("(a picture is left to report.ipynb)")
        else:
            image["alt"] = image.get("alt") or "Picture in the notebook"
    return _with_formulas(soup, formulas)


def _order_headings(soup: BeautifulSoup, page: _Page) -> None:
    """The notebook's sections start at the third level of the page; no level is skipped on the way down."""
    for heading in soup(re.compile("^h[1-6]$")):
        page.level = max(3, min(int(heading.name[1]) + 1, page.level + 1, 6))
        heading.name = f"h{page.level}"


def _fit_tables(soup: BeautifulSoup, page: _Page) -> None:
    for table in soup("table"):
        for head in table("thead"):
            for cell in head("th"):
                cell["scope"] = "col"
                if not cell.get_text(strip=True):  # the corner over a frame's index heads nothing
                    cell.name = "td"
                    del cell["scope"]
        for cell in table("th"):
            cell.attrs.setdefault("scope", "row")
        page.tables += 1
        label = f"Table {page.tables}"
        box = soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": label})
        table.wrap(box)


def _with_formulas(soup: BeautifulSoup, formulas: list[Markup]) -> Markup:
    """The formulas take the place of their marks in text; a mark in an attribute, where one would break out, goes."""
    for node in list(soup.find_all(string=_MARK)):
        parts = _MARK.split(str(node))
        for position, part in enumerate(parts):
            if position % 2 == 0:
                node.insert_before(part)
            elif int(part) < len(formulas):
                node.insert_before(BeautifulSoup(str(formulas[int(part)]), "html.parser"))
        node.extract()
    return Markup(str(soup).replace(_OPEN, "").replace(_CLOSE, ""))


# --- mathematics ---------------------------------------------------------------------------------------------

_MATH_TAGS = set(
    "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle mpadded mphantom msub msup msubsup munder mover"
    " munderover mmultiscripts mprescripts mtable mtr mtd menclose".split()
)
_MATH_ATTRIBUTES = set(
    "display mathvariant stretchy fence separator accent accentunder form largeop movablelimits lspace rspace width"
    " height depth linethickness columnalign rowspacing columnspacing minsize maxsize symmetric displaystyle notation"
    " scriptlevel".split()
)
_MATH_VALUE = re.compile(r"[\w .%+-]*")


def mathml(latex: str, display: bool) -> Markup:
    """LaTeX as MathML; the LaTeX itself as code where it cannot be read.

    The converter escapes nothing, so its tree is rebuilt here from known elements, attributes and escaped text.
    """
    latex = latex.strip()
    try:
        tree = convert_to_element(latex, display="block" if display else "inline")
    except Exception:  # a formula is somebody's typing; the converter raises its own and plain errors alike
        return Markup("<code>{}</code>").format(latex)
    return _rebuilt(tree)


def _rebuilt(element) -> Markup:
    inner = Markup("").join([_plain(element.text), *(_rebuilt(child) + _plain(child.tail) for child in element)])
    if element.tag not in _MATH_TAGS:
        return inner
    kept = [(k, v) for k, v in element.attrib.items() if k in _MATH_ATTRIBUTES and _MATH_VALUE.fullmatch(v)]
    attributes = Markup("").join(Markup(' {}="{}"').format(*pair) for pair in kept)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(element.tag), attributes, inner)


def _plain(text: str | None) -> str:
    return html.unescape(text or "")
