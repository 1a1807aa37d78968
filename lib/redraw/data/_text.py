"""Texts as sequences of characters: the World English Bible, or a file of the reader's."""

import ast
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redraw.data._catalog import describe, expect, reader
from redraw.data._files import locate

SYMBOLS = 95  # the most characters that are told apart; a text in one alphabet has fewer
OTHER = "\ufffd"  # stands for the rest
_HELD_OUT = 0.1
_TYPEWRITER = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b`\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u00ad\u200b\ufeff", "")
)


@dataclass(frozen=True)
class Text:
    """A text in memory, a token for a character.

    tokens      (n,) int64, positions in `symbols`
    symbols     the characters that are told apart, one each, in the order of their code points
    train       (n - m,) the first part of `tokens`; a view
    validation  (m,) the last tenth, rounded down, held out in one piece: it is read on, not dipped into, so that no
                held-out window overlaps what was trained on
    """

    name: str
    tokens: Tensor
    symbols: str

    @property
    def train(self) -> Tensor:
        return self.tokens[: len(self.tokens) - self._held_out]

    @property
    def validation(self) -> Tensor:
        return self.tokens[len(self.tokens) - self._held_out :]

    @property
    def _held_out(self) -> int:
        return int(_HELD_OUT * len(self.tokens))

    def decode(self, tokens: Tensor) -> str:
        """The characters of `tokens` (n,)."""
        return "".join(self.symbols[token] for token in tokens.tolist())


def text(name: str) -> Text:
    """A text by name, `world_english_bible`, or by the path of a text file in UTF-8.

    Normalized: quotation marks and dashes become those of a typewriter, Unicode's compatibility forms are composed
    (NFKC), every run of white space becomes one space, and characters beyond the 95 most frequent become U+FFFD.
    The last text is kept in memory.

    Raises UnknownDataset for a name that is neither; ValueError for another kind of dataset, a file that is not UTF-8,
    or one of fewer than 1,000 characters; DataUnavailable when the files cannot be had.
    """
    expect(describe(name), "text")
    files = locate(name)
    key = (name, *((str(path), path.stat().st_mtime_ns) for path in files.values()))
    if key not in _recent:
        made = reader(name)(files)
        _recent.clear()
        _recent[key] = Text(name, made.tokens, made.symbols)
    return _recent[key]


_recent: dict[tuple, Text] = {}


def read_text(files: Mapping[str, Path]) -> Text:
    """The text of one UTF-8 file. Raises ValueError as `text`."""
    (path,) = files.values()
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"text: {path} must be UTF-8 ({error})") from None
    made = encode(content)
    if len(made.tokens) < 1000:
        raise ValueError(f"text: {path} must hold at least 1000 characters, got {len(made.tokens)}")
    return made


def read_world_english_bible(files: Mapping[str, Path]) -> Text:
    """The running text out of the package's module, which holds it as its first string literal.

    The brackets around words that the translators supplied are left out; the words stay.
    """
    (path,) = files.values()
    source = path.read_text(encoding="utf-8")
    start = source.index('"""')
    literal = source[start : source.index('"""', start + 3) + 3]
    return encode(re.sub(r"[\[\]]", "", ast.literal_eval(literal)))


def encode(content: str) -> Text:
    """A string, normalized as `text` says, as tokens."""
    content = unicodedata.normalize("NFKC", content.translate(_TYPEWRITER))
    content = " ".join(content.split())
    counted = sorted(Counter(content).items(), key=lambda item: (-item[1], item[0]))
    kept = {character for character, _ in counted[:SYMBOLS]}
    symbols = "".join(sorted(kept | {OTHER} if len(counted) > SYMBOLS else kept))
    points = np.frombuffer(content.encode("utf-32-le"), np.uint32)
    table = np.array([ord(symbol) for symbol in symbols], np.uint32)
    position = np.minimum(np.searchsorted(table, points), len(table) - 1)
    position[table[position] != points] = symbols.find(OTHER)
    return Text("", torch.from_numpy(position.astype(np.int64)), symbols)
