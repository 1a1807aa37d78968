"""The card of a study: its papers, typed parameters, presets and claims, read from `params/<study>.yaml`.

A card is treated as hostile: only plain YAML 1.2 data is read (no tags, aliases, directives or repeated
keys), every field is checked, and a problem is one line with file, line, field and what is allowed.
"""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ._claims import Claim, FieldError, Record, claims_hash

PRESETS = ("smoke", "laptop", "paper")
_MAX_BYTES = 100_000
_MAX_DEPTH = 50
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BASES = {"int": int, "float": float, "str": str, "bool": bool}
_NOUNS = {"int": "an integer", "float": "a number", "str": "a text", "bool": "true or false"}
_PLURALS = {"int": "integers", "float": "numbers", "str": "texts"}


class CardError(ValueError):
    """A malformed card: one line with file, line, field and what is allowed."""


class ParameterError(ValueError):
    """A preset or parameter that the card does not allow: one line naming the field and what is allowed."""


class Paper(Record):
    """A paper the card cites; at least one of `arxiv`, `doi` and `url` says where to find it."""

    key: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)
    title: str = Field(min_length=1)
    authors: list[str] = Field(min_length=1)
    year: int = Field(ge=1900, le=2100)
    arxiv: str | None = Field(None, pattern=r"^([0-9]{4}\.[0-9]{4,5}|[a-z-]+(\.[A-Z]{2})?/[0-9]{7})(v[0-9]+)?$")
    doi: str | None = Field(None, pattern=r"^10\.[0-9]{4,9}/[^\s<>\"']+$")
    url: str | None = Field(None, pattern=r"^https?://[^\s<>\"']+$")

    @model_validator(mode="after")
    def _check(self):
        if not (self.arxiv or self.doi or self.url):
            raise FieldError(("arxiv",), "must be given, or else doi or url")
        return self


class Parameter(Record):
    """A parameter of the study: its type, what it may be, its unit and its role in the study.

    `range` [lo, hi] (both included) and `choices` bound a number or a text; for a list they bound each
    element.
    """

    type: Literal["int", "float", "str", "bool", "list[int]", "list[float]", "list[str]"]
    help: str = Field(min_length=1)
    role: Literal["scientific", "nuisance", "fixed"]
    unit: str = ""
    range: list[Any] | None = None
    choices: list[Any] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _check(self):
        numeric = self.base in ("int", "float")
        if numeric and (self.range is None) == (self.choices is None):
            raise FieldError(("range",), f"must be given, or else choices, for type {self.type}")
        if not numeric and self.range is not None:
            raise FieldError(("range",), f"is for numbers; type {self.type} takes choices")
        if self.base == "bool" and self.choices is not None:
            raise FieldError(("choices",), "is not for type bool")
        for name in ("range", "choices"):
            for index, bound in enumerate(getattr(self, name) or ()):
                if (fit := _typed(bound, self.base)) is None:
                    raise FieldError((name, index), f"must be {_NOUNS[self.base]}, got {_shown(bound)}")
                getattr(self, name)[index] = fit
        if self.range is not None and (len(self.range) != 2 or self.range[0] > self.range[1]):
            raise FieldError(("range",), f"must be [lowest, highest], got {_shown(self.range)}")
        return self

    @property
    def base(self) -> str:
        """The type of the value, or of each element of a list."""
        return self.type.removeprefix("list[").removesuffix("]")

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list[")

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words: `an integer from 1 to 30`."""
        text = f"a list of {_PLURALS[self.base]}" if self.is_list else _NOUNS[self.base]
        if self.range is not None:
            return f"{text} from {self.range[0]!r} to {self.range[1]!r}"
        if self.choices is not None:
            options = ", ".join(str(choice) for choice in self.choices)
            return f"{text} out of {options}" if self.is_list else f"one of {options}"
        return text

    def check(self, value: Any) -> Any:
        """The value in its declared type (an integer serves as a float); ValueError with one line
        otherwise."""
        if self.is_list:
            fit = [self._element(item) for item in value] if isinstance(value, list | tuple) else [None]
            if not any(item is None for item in fit):
                return fit
        elif (fit := self._element(value)) is not None:
            return fit
        raise ValueError(f"must be {self.allowed}, got {_shown(value)}")

    def parse(self, text: str) -> Any:
        """The value that a text from the command line stands for; lists are separated by commas."""
        if not self.is_list:
            value = _parsed(text, self.base)
        else:
            inner = text.strip().removeprefix("[").removesuffix("]").strip()
            value = [_parsed(item.strip(), self.base) for item in inner.split(",")] if inner else []
        try:
            return self.check(value)
        except ValueError:
            raise ValueError(f"must be {self.allowed}, got {_shown(text)}") from None

    def _element(self, value: Any) -> Any:
        fit = _typed(value, self.base)
        if fit is None or (self.range is not None and not self.range[0] <= fit <= self.range[1]):
            return None
        return None if self.choices is not None and fit not in self.choices else fit


class Preset(Record):
    """One named setting of every parameter, and what it is for."""

    help: str = Field(min_length=1)
    values: dict[str, Any]


class Card(Record):
    """A study's card; `load_card` reads it."""

    study: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    topic: str = Field(min_length=1)
    papers: list[Paper] = Field(min_length=1)
    parameters: dict[str, Parameter]
    presets: dict[str, Preset]
    claims: list[Claim] = Field(min_length=1)
    _path: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self):
        _check_names(self.parameters)
        _check_presets(self)
        _check_claims(self)
        return self

    @property
    def path(self) -> Path | None:
        """The file the card was read from."""
        return self._path

    @property
    def claims_hash(self) -> str:
        """SHA-256 over what the claims mean (their words left out): kept with each run, so that drift
        shows."""
        return claims_hash(self.claims)

    def claim(self, id: str) -> Claim:
        """The claim of that id; ParameterError, one line, when there is none."""
        for claim in self.claims:
            if claim.id == id:
                return claim
        raise ParameterError(f"claim {_shown(id)}: {_unknown(id, [claim.id for claim in self.claims])}")

    def resolve(self, preset: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The parameters of a preset, some of them overridden, typed and checked, in the card's order.

        An override that is a text is parsed by the declared type (`rounds=3`). Raises ParameterError, one
        line naming the field and what is allowed, for an unknown preset or parameter, a wrong type or
        range.
        """
        if preset not in self.presets:
            raise ParameterError(f"preset {_shown(preset)}: {_unknown(preset, PRESETS)}")
        values = dict(self.presets[preset].values)
        for name, value in (overrides or {}).items():
            if name not in self.parameters:
                raise ParameterError(f"parameter {_shown(name)}: {_unknown(name, list(self.parameters))}")
            parameter = self.parameters[name]
            try:
                values[name] = parameter.parse(value) if isinstance(value, str) else parameter.check(value)
            except ValueError as error:
                raise ParameterError(f"parameter {name}: {error}") from None
        return {name: list(v) if isinstance(v := values[name], list) else v for name in self.parameters}


def load_card(path: str | Path) -> Card:
    """Read and check a card; raises CardError with one line `file:line: field: what is allowed`.

    The file is YAML 1.2 in UTF-8 (`1e-3` is a number); the name of the study is the stem of the file.
    """
    path = Path(path)
    root, plain = _read(path)
    if not isinstance(plain, dict):
        raise CardError(f"{path}:1: card: must be a mapping of fields, got {_shown(plain)}")
    try:
        card = Card.model_validate(plain)
    except ValidationError as error:
        loc, message = _explain(error, plain)
        raise CardError(f"{path}:{_line(root, loc)}: {_dotted(loc, plain)}: {message}") from None
    if card.study != path.stem:
        line = _line(root, ("study",))
        raise CardError(f"{path}:{line}: study: must be {path.stem!r}, as the file is named, got {card.study!r}")
    card._path = path
    return card


def _check_names(parameters: Mapping[str, Parameter]) -> None:
    for name in parameters:
        plain = name.isidentifier() and name.isascii() and not name.startswith("_")
        if not plain or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            raise FieldError(("parameters", name), "must be named by a plain Python identifier that is no keyword")


def _check_presets(card: Card) -> None:
    for name in card.presets:
        if name not in PRESETS:
            raise FieldError(("presets", name), _unknown(name, PRESETS))
    for name in PRESETS:
        if name not in card.presets:
            raise FieldError(("presets", name), "is required")
        values = card.presets[name].values
        for key in values:
            if key not in card.parameters:
                raise FieldError(("presets", name, "values", key), _unknown(key, list(card.parameters)))
        for key, parameter in card.parameters.items():
            if key not in values:
                raise FieldError(("presets", name, "values", key), f"is required ({parameter.allowed})")
            try:
                values[key] = parameter.check(values[key])
            except ValueError as error:
                raise FieldError(("presets", name, "values", key), str(error)) from None


def _check_claims(card: Card) -> None:
    keys = [paper.key for paper in card.papers]
    if len(set(keys)) < len(keys):
        raise FieldError(("papers",), f"must have different keys, got {', '.join(keys)}")
    seen = set()
    for index, claim in enumerate(card.claims):
        if claim.id.lower() in seen:
            raise FieldError(("claims", index, "id"), f"must differ from every other id, got {claim.id!r} again")
        if claim.paper not in keys:
            raise FieldError(("claims", index, "paper"), _unknown(claim.paper, keys))
        seen.add(claim.id.lower())
    if not any(claim.main for claim in card.claims):
        raise FieldError(("claims",), "must have at least one claim with main: true")


def _typed(value: Any, base: str) -> Any:
    """The value as its base type, or None: True is no integer, an integer is a float, NaN is nothing."""
    if base == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            return None
        return value if math.isfinite(value) else None
    return value if type(value) is _BASES[base] else None


def _parsed(text: str, base: str) -> Any:
    """The value a text stands for, or the text itself where it stands for none (check then refuses it)."""
    if base == "int":
        return int(text) if _INTEGER.fullmatch(text.strip()) else text
    if base == "float":
        try:
            return float(text)
        except ValueError:
            return text
    if base == "bool":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    return text


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer too long to print, a structure too deep
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(name: Any, known) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"is not known{hint}; known: {', '.join(known) or 'none'}"


def _read(path: Path) -> tuple[Node, Any]:
    """The file's node graph, which knows the lines, and its plain data; refuses what a card does not need."""
    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if root is None:
            raise CardError(f"{path}:1: card: must be a mapping of fields, got nothing")
        _refuse_aliases(path, root)
        return root, yaml.constructor.construct_document(root)
    except CardError:
        raise
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise CardError(_syntax(path, error)) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise CardError(f"{path}: card: cannot be read ({error.strerror})") from None
    if len(raw) > _MAX_BYTES:
        raise CardError(f"{path}: card: must be at most {_MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise CardError(f"{path}:{line}: card: must be UTF-8 text") from None
    depth = 0
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith("%"):  # a directive could bring back YAML 1.1, where 1e-3 is a text
            raise CardError(f"{path}:{number}: card: must have no YAML directive, got {_shown(row)}")
        for mark in row:
            depth += (mark in "[{") - (mark in "]}")
            if depth > _MAX_DEPTH:  # the reader takes quadratic time over open brackets
                raise CardError(f"{path}:{number}: card: must not be nested this deep")
    return text


def _refuse_aliases(path: Path, root: Node) -> None:
    seen, queue = set(), [root]
    while queue:
        node = queue.pop()
        if id(node) in seen or node.anchor is not None:
            raise CardError(f"{path}:{node.start_mark.line + 1}: card: must have no YAML anchor or alias")
        seen.add(id(node))
        if isinstance(node, MappingNode):
            queue += [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            queue += node.value
        elif isinstance(node, ScalarNode) and str(node.tag).endswith(":merge"):
            raise CardError(f"{path}:{node.start_mark.line + 1}: card: must have no YAML merge key '<<'")


def _syntax(path: Path, error: Exception) -> str:
    """One line for what the YAML reader says."""
    if isinstance(error, RecursionError):
        return f"{path}: card: must not be nested this deep"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = error.problem if isinstance(error, MarkedYAMLError) else getattr(error, "reason", None)
    text = str(problem or error).strip().splitlines()[0]
    where = f"{path}:{mark.line + 1}" if mark is not None else f"{path}"
    return f"{where}: card: is not plain YAML: {text}"


def _line(root: Node, loc: tuple) -> int:
    """The line of the deepest node on the way to a field."""
    node, line = root, root.start_mark.line
    for step in loc:
        if isinstance(node, MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            line, node = found[0][0].start_mark.line, found[0][1]
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _dotted(loc: tuple, plain: Any) -> str:
    """A field in words: `claims.L1.criterion.margin` (a claim or a paper by its id)."""
    text = ""
    for step in loc:
        plain = _step(plain, step)
        if isinstance(step, int):
            name = next((plain[k] for k in ("id", "key") if isinstance(plain, dict) and k in plain), None)
            text += f".{name}" if isinstance(name, str) and name.isprintable() and name else f"[{step}]"
        else:
            text += f".{step}" if str(step).isprintable() else f".{step!r}"
    return text.removeprefix(".") or "card"


def _step(plain: Any, step: Any) -> Any:
    try:
        return plain[step]
    except (KeyError, IndexError, TypeError):
        return None


def _explain(error: ValidationError, plain: Any) -> tuple[tuple, str]:
    """Where the first problem is and what is allowed there, in our words; tells of further fields."""
    problems = error.errors(include_url=False)
    places = [_place(problem["loc"], plain) for problem in problems]
    more = len(set(places)) - 1
    first, loc = problems[0], places[0]
    got, inner = _inside(plain, loc), first.get("ctx", {}).get("error")
    if isinstance(inner, FieldError):
        loc, text = (*loc, *inner.path), str(inner)
    elif first["type"] == "missing":
        text = "is required"
    elif first["type"] == "extra_forbidden":
        text = "is not a field that a card has here"
    elif first["type"] == "literal_error":
        text = f"must be one of {first['ctx']['expected'].replace(' or ', ', ')}, got {_shown(got)}"
    else:
        text = first["msg"].replace("Input should be", "must be").replace("String should", "must")
        text = f"{text}, got {_shown(got)}"
    return loc, text + (f" (and {more} more)" if more > 0 else "")


def _place(loc: tuple, plain: Any) -> tuple:
    """The steps that lead through the file, without pydantic's own marks: [key], and a union's branches."""
    steps = []
    for step in loc:
        if step == "[key]" or (isinstance(step, str) and not isinstance(plain, dict)):
            continue
        steps.append(step)
        plain = _step(plain, step)
    return tuple(steps)


def _inside(plain: Any, loc) -> Any:
    for step in loc:
        plain = _step(plain, step)
    return plain
