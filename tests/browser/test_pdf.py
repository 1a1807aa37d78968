"""A report printed as a PDF: complete, and its figures drawings."""

import re
import zlib

import pytest

from redraw.workbook import ParameterError
from redraw.workbook._pdf import find_browser, print_page


def _content(pdf):
    """What the PDF's compressed streams say, as far as they are plain zlib."""
    said = b""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            said += zlib.decompress(stream)
        except zlib.error:
            continue
    return said


def test_a_report_is_printed_with_its_figures_as_drawings(reports, tmp_path):
    if not find_browser():
        pytest.skip("needs Chromium on the path or in REDRAW_CHROMIUM (Debian: apt-get install chromium)")
    file = tmp_path / "report.pdf"
    print_page(reports / "lottery_ticket" / "0002-laptop-bbbb2222" / "report.html", file)
    pdf = file.read_bytes()
    assert pdf.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
    assert not re.search(rb"/Subtype\s*/Image\b", pdf), "no figure came out as pixels"
    drawn = _content(pdf)
    assert re.search(rb"\b0 \.447\d* \.698\d* RG", drawn), "the figure's own blue line, #0072b2"


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="^out: must end in .pdf, got .*x.txt"):
        print_page(tmp_path / "x.html", tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()


def test_without_a_browser_one_line_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("REDRAW_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(ParameterError, match="pdf: needs Chromium"):
        print_page(tmp_path / "x.html", tmp_path / "x.pdf")


def test_a_browser_that_prints_nothing_is_told(tmp_path, monkeypatch):
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\necho cannot draw >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("REDRAW_CHROMIUM", str(program))
    with pytest.raises(RuntimeError, match="did not print x.html: cannot draw"):
        print_page(tmp_path / "x.html", tmp_path / "x.pdf")
    with pytest.raises(ParameterError, match="must be in a folder that exists"):
        print_page(tmp_path / "x.html", tmp_path / "none" / "x.pdf")
