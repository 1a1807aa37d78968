"""`redraw render`: only the page changes, and what was replaced is on record."""

import hashlib
import json
import types

import pytest

from redraw import cli
from redraw.workbook import ParameterError
from redraw.workbook._report import write_report
from redraw.workbook._rerender import render_again
from redraw.workbook._versions import manifest_problems, versions


@pytest.fixture
def version(tmp_path, make_version, make_card):
    """A published version whose page was set by an earlier layout."""
    folder = make_version(complete=False)
    (folder / "report.html").write_text("<p>as it was set then</p>\n")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / "MANIFEST.sha256").write_text("".join(lines))
    (found,) = versions(tmp_path / "reports", "lottery_ticket")
    assert not list(manifest_problems(found))
    return found


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sealed(version):
    files = (path for path in version.path.rglob("*") if path.is_file())
    return {path.relative_to(version.path).as_posix(): digest(path) for path in files}


def test_the_page_is_set_again_and_nothing_else_touched(version, make_card, tmp_path):
    before = sealed(version)
    lines = set((version.path / "MANIFEST.sha256").read_text().splitlines())
    assert render_again(version, make_card())
    assert not list(manifest_problems(version))
    after = sealed(version)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"report.html", "MANIFEST.sha256", "rendered.json"}
    gone = lines - set((version.path / "MANIFEST.sha256").read_text().splitlines())
    assert [line.partition("  ")[2] for line in gone] == ["report.html"]
    (told,) = json.loads((version.path / "rendered.json").read_text())["rendered"]
    assert told["replaced"] == {name: before[name] for name in ("report.html", "MANIFEST.sha256")}
    page = (version.path / "report.html").read_text()
    assert "This page was set again on" in page and "L2a" in page
    assert [path.name for path in version.path.parent.iterdir()] == [version.name], "nothing is left lying about"


def test_a_page_that_is_as_it_should_be_is_left_alone(version, make_card):
    assert render_again(version, make_card())
    before = sealed(version)
    assert not render_again(version, make_card()) and sealed(version) == before


def test_each_time_is_on_record(version, make_card):
    render_again(version, make_card())
    first = sealed(version)
    assert render_again(version, make_card(title="Under another name"))
    told = json.loads((version.path / "rendered.json").read_text())["rendered"]
    assert len(told) == 2 and told[1]["replaced"]["report.html"] == first["report.html"]


@pytest.mark.parametrize("name", ["results.json", "report.html", "extra.txt"])
def test_a_version_that_was_changed_by_hand_is_refused(version, make_card, name):
    (version.path / name).write_text("{}")
    before = sealed(version)
    with pytest.raises(ParameterError, match=f"render: {version.name} is not as it was published: {name}"):
        render_again(version, make_card())
    assert sealed(version) == before


def test_a_run_publishes_what_would_not_be_set_again(version, make_card):
    write_report(version.path, make_card())
    manifest = version.path / "MANIFEST.sha256"
    lines = [line for line in manifest.read_text().splitlines() if not line.endswith("  report.html")]
    manifest.write_text("\n".join([*lines, f"{digest(version.path / 'report.html')}  report.html"]) + "\n")
    assert not render_again(version, make_card()) and not (version.path / "rendered.json").exists()


def test_the_command_sets_pages_again_and_rewrites_the_board(version, make_card, monkeypatch, capsys):
    reports = version.path.parent.parent
    project = types.SimpleNamespace(reports=reports, card=lambda study: make_card(), studies=lambda: ["lottery_ticket"])
    monkeypatch.setattr(cli, "find_project", lambda: project)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["redraw", *arguments])
        return cli._exit_code(), capsys.readouterr()

    code, said = run("render")
    assert code == 0 and said.out.startswith("set again:") and (reports / "index.html").is_file()
    code, said = run("render", "lottery_ticket", "newest")
    assert code == 0 and said.out.startswith("as it was:")
    code, said = run("render", "lottery_ticket", "7")
    assert code == 2 and "version '7': must be one of 0001-laptop-ab12cd34ef" in said.err
    (version.path / "trials.csv").write_text("forged")
    code, said = run("render")
    assert code == 2 and "trials.csv was changed after the run" in said.err


def test_the_command_that_prints_says_what_it_needs(version, make_card, monkeypatch, capsys, tmp_path):
    project = types.SimpleNamespace(reports=version.path.parent.parent, card=lambda study: make_card())
    monkeypatch.setattr(cli, "find_project", lambda: project)
    monkeypatch.setenv("REDRAW_CHROMIUM", str(tmp_path / "none"))
    monkeypatch.setattr("sys.argv", ["redraw", "pdf", "lottery_ticket", "--out", str(tmp_path / "x.pdf")])
    assert cli._exit_code() == 2 and "pdf: needs Chromium" in capsys.readouterr().err
