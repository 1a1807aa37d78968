"""Cards are read strictly: a good one arrives typed, a bad one is one line with file, line and field."""

import copy
import io
import math
import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from redraw.workbook._card import CardError, Parameter, ParameterError, load_card

EXAMPLE = Path(__file__).with_name("example_card.yaml")
TEXT = EXAMPLE.read_text("utf-8")


@pytest.fixture
def write(tmp_path):
    def _write(text, name="example_card.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def changed(old, new):
    assert TEXT.count(old) >= 1, old
    return TEXT.replace(old, new, 1)


def line_of(text, part):
    return text[: text.index(part)].count("\n") + 1


def refusal(path):
    with pytest.raises(CardError) as caught:
        load_card(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path)), message
    return message.removeprefix(f"{path}:")


def test_the_example_is_a_complete_card():
    card = load_card(EXAMPLE)
    assert card.path == EXAMPLE and card.study == "example_card"
    assert {claim.kind for claim in card.claims} == {
        "exact", "value", "difference", "ratio", "ordering", "threshold", "exponent", "curve", "absence"
    }  # fmt: skip
    assert {parameter.type for parameter in card.parameters.values()} >= {"int", "float", "str", "bool"}
    assert card.claim("L0").reference.value[0] == 51.3
    assert re.fullmatch("[0-9a-f]{64}", card.claims_hash)
    with pytest.raises(ParameterError, match="did you mean L2a"):
        card.claim("L2aa")


def test_yaml_1_2_numbers():
    smoke = load_card(EXAMPLE).resolve("smoke")
    assert smoke["lr"] == 1e-3 and type(smoke["lr"]) is float
    assert list(smoke) == ["rounds", "seeds", "lr", "rates", "dataset", "reinit"]
    assert smoke["reinit"] is False and smoke["seeds"] == [0, 1]


def test_a_directive_cannot_bring_yaml_1_1_back(write):
    assert refusal(write("%YAML 1.1\n---\n" + TEXT)) == "1: card: must have no YAML directive, got '%YAML 1.1'"


def test_a_number_with_an_integer_value_is_a_float(write):
    card = load_card(write(changed("lr: 1e-3", "lr: 1")))
    assert card.resolve("smoke")["lr"] == 1.0 and type(card.resolve("smoke")["lr"]) is float


@pytest.mark.parametrize(
    "old, new, field, words",
    [
        ("rounds: 2,", "rounds: three,", "presets.smoke.values.rounds", "an integer from 1 to 30, got 'three'"),
        ("rounds: 2,", "rounds: 31,", "presets.smoke.values.rounds", "an integer from 1 to 30, got 31"),
        ("rounds: 2,", "rounds: true,", "presets.smoke.values.rounds", "an integer from 1 to 30, got True"),
        ("rounds: 2,", "rounds: 2.0,", "presets.smoke.values.rounds", "an integer from 1 to 30, got 2.0"),
        ("rounds: 2,", "rounds: 1" + "0" * 400 + ",", "presets.smoke.values.rounds", "an integer from 1 to 30"),
        ("lr: 1e-3", "lr: .nan", "presets.smoke.values.lr", "a number from 0.0 to 1.0, got nan"),
        ("lr: 1e-3", "lr: -.inf", "presets.smoke.values.lr", "a number from 0.0 to 1.0, got -inf"),
        ("lr: 1e-3", "lr: 1" + "0" * 400, "presets.smoke.values.lr", "a number from 0.0 to 1.0"),
        ("lr: 1e-3", "lr: false", "presets.smoke.values.lr", "a number from 0.0 to 1.0, got False"),
        ("rates: [0.2, 0.1]", "rates: 0.2", "presets.smoke.values.rates", "a list of numbers from 0.0 to 1.0"),
        ("rates: [0.2, 0.1]", "rates: [0.2, 7]", "presets.smoke.values.rates", "a list of numbers from 0.0"),
        ("dataset: digits", "dataset: cifar", "presets.smoke.values.dataset", "one of digits, mnist, got 'cifar'"),
        ("reinit: false", "reinit: 0", "presets.smoke.values.reinit", "true or false, got 0"),
        ("rounds: 2, ", "", "presets.smoke.values.rounds", "is required (an integer from 1 to 30)"),
        ("rounds: 2,", "rounds: 2, round: 2,", "presets.smoke.values.round", "did you mean rounds?"),
        ("  laptop:\n", "  labtop:\n", "presets.labtop", "did you mean laptop?"),
        ("topic: pruning\n", "", "topic", "is required"),
        ("topic: pruning\n", "topic: pruning\ntopics: x\n", "topics", "is not a field"),
        ("study: example_card", "study: Example", "study", "pattern"),
        ("study: example_card", "study: another", "study", "must be 'example_card', as the file is named"),
        ("year: 2019", "year: twenty", "papers.frankle2019.year", "integer"),
        ('arxiv: "1803.03635"', "url: javascript:alert(1)", "papers.frankle2019.url", "pattern"),
        ('arxiv: "1803.03635"', "arxiv: null", "papers.frankle2019.arxiv", "must be given, or else doi or url"),
        ("kind: exact", "kind: exactly", "claims.L0.kind", "must be one of 'exact', 'value'"),
        ("decimals: 1}", "digits: 1}", "claims.L0.reference.digits", "is not a field"),
        ("{margin: 1.25,", "{margin: .nan,", "claims.L1.criterion.margin", "finite"),
        ("{margin: 1.25,", "{margin: 0.5,", "claims.L1.criterion.margin", "a factor above 1"),
        ("bound: 0.3", "bound: low", "claims.L2a.criterion.bound", "number"),
        ("{laptop: reduced, paper: reim", "{desk: reduced, paper: reim", "claims.L1.scope.desk", "'smoke', 'laptop'"),
        ("paper: frankle2019\n    place: Figure 3", "paper: franke", "claims.L1.paper", "did you mean frankle2019"),
        ("type: int,", "type: integer,", "parameters.rounds.type", "must be one of 'int', 'float'"),
        ("range: [1, 30]", "range: [30, 1]", "parameters.rounds.range", "[lowest, highest]"),
        ("range: [1, 30]", "range: [1, 30.5]", "parameters.rounds.range[1]", "an integer, got 30.5"),
        ("range: [1, 30], ", "", "parameters.rounds.range", "must be given, or else choices"),
        ("{type: str, choices", "{type: bool, choices", "parameters.dataset.choices", "not for type bool"),
        ("role: nuisance", "role: boring", "parameters.lr.role", "'scientific', 'nuisance', 'fixed'"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_line(write, old, new, field, words):
    text = changed(old, new)
    message = refusal(write(text))
    line, named, said = re.match(r"(\d+): (\S+): (.*)", message).groups()
    assert named == field and words in said, message
    place = new.strip().split("\n")[0] or None
    if place and "required" not in said and "given" not in said and "[lowest" not in said:
        assert abs(int(line) - line_of(text, place)) <= 1, message


def test_a_repeated_claim_is_found_where_it_is_repeated(write):
    message = refusal(write(changed("- id: L2a", "- id: l1")))
    assert message == f"{line_of(TEXT, '- id: L2a')}: claims.l1.id: must differ from every other id, got 'l1' again"


def test_the_exact_words_of_a_line(write):
    text = changed("rounds: 2,", "rounds: three,")
    line = line_of(text, "rounds: three")
    expected = f"{line}: presets.smoke.values.rounds: must be an integer from 1 to 30, got 'three'"
    assert refusal(write(text)) == expected


@pytest.mark.parametrize("name", ["x = 1; import os", "class", "match", "_hidden", "__import__", "a b", "é", "1st"])
def test_parameter_names_are_never_code(write, name):
    text = changed("  rounds: {type", f"  {name!r}: {{type")
    message = refusal(write(text))
    assert "must be named by a plain Python identifier" in message
    assert message.startswith(f"{line_of(text, repr(name))}: parameters.")


@pytest.mark.parametrize(
    "text, words",
    [
        (TEXT + "\nstudy: again\n", "duplicate key"),
        (changed("reinit: false}", "reinit: false, reinit: true}"), "duplicate key"),
        ("a: [1, 2\nb: 3\n", "not plain YAML"),
        ("a: 1\n b: 2\n", "not plain YAML"),
        ("a: &x [1]\nb: *x\n", "anchor or alias"),
        ("a: &x [*x]\n", "anchor or alias"),
        ("a: {<<: {b: 1}}\n", "merge key"),
        ("a: !!python/object/apply:os.system ['true']\n", "not plain YAML"),
        ("a: !custom 1\n", "not plain YAML"),
        ("a: 1\n---\nb: 2\n", "not plain YAML"),
        ("? [1, 2]\n: 3\n", ""),
        ("1: 2\n", ""),
        ("", "must be a mapping"),
        ("- 1\n", "must be a mapping"),
        ("just words\n", "must be a mapping"),
        ("a: \x00\n", "not plain YAML"),
        (b"a: \xff\n", "must be UTF-8"),
        ("a: " + "[" * 5000, "nested"),
        ("a: " + "[" * 40 + "\n" + "{a: " * 40, "nested"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested"),
        ("- " * 5000, "nested"),
        ("a: " + "1" * 5000 + "\n", ""),
        ("#" * 100_001, "at most 100,000 bytes"),
        ("a: 2020-99-99\n", ""),
        ("a: !!float x\n", ""),
        ("a: !!binary '%%'\n", ""),
    ],
)
def test_hostile_or_malformed_yaml_is_one_line(write, text, words):
    assert words in refusal(write(text))


def test_a_duplicate_key_is_found_at_its_line(write):
    assert refusal(write(TEXT + "study: again\n")).startswith(f"{TEXT.count(chr(10)) + 1}: card: ")


def test_a_missing_file_and_a_folder(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "none.yaml")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    "overrides, expected",
    [
        ({"rounds": "3"}, {"rounds": 3}),
        ({"rounds": 3}, {"rounds": 3}),
        ({"lr": "1e-2"}, {"lr": 0.01}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"reinit": "TRUE"}, {"reinit": True}),
        ({"seeds": "4,5"}, {"seeds": [4, 5]}),
        ({"seeds": " [4, 5] "}, {"seeds": [4, 5]}),
        ({"seeds": "[]"}, {"seeds": []}),
        ({"seeds": (7,)}, {"seeds": [7]}),
        ({"dataset": "mnist", "rates": "0.5"}, {"dataset": "mnist", "rates": [0.5]}),
    ],
)
def test_overrides_are_typed(overrides, expected):
    values = load_card(EXAMPLE).resolve("smoke", overrides)
    assert {key: values[key] for key in expected} == expected
    assert all(type(values[key]) is type(value) for key, value in expected.items())


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"rounds": "three"}, "parameter rounds: must be an integer from 1 to 30, got 'three'"),
        ({"rounds": "3.0"}, "parameter rounds: must be an integer from 1 to 30, got '3.0'"),
        ({"rounds": "0"}, "parameter rounds: must be an integer from 1 to 30, got '0'"),
        ({"rounds": "9" * 5000}, None),
        ({"rounds": True}, "parameter rounds: must be an integer from 1 to 30, got True"),
        ({"lr": "nan"}, "parameter lr: must be a number from 0.0 to 1.0, got 'nan'"),
        ({"lr": "1e999"}, "parameter lr: must be a number from 0.0 to 1.0, got '1e999'"),
        ({"reinit": "yes"}, "parameter reinit: must be true or false, got 'yes'"),
        ({"seeds": "1,,2"}, None),
        ({"seeds": [1, None]}, None),
        ({"dataset": "x\ny"}, None),
        ({"round": "3"}, "parameter 'round': is not known (did you mean rounds?); known: rounds, "
         "seeds, lr, rates, dataset, reinit"),
        ({"import os": "3"}, None),
        ({"a\nb": "3"}, None),
        ({"rounds": object()}, None),
    ],
)  # fmt: skip
def test_wrong_overrides_are_refused_in_one_line(overrides, message):
    with pytest.raises(ParameterError) as caught:
        load_card(EXAMPLE).resolve("smoke", overrides)
    assert "\n" not in str(caught.value)
    assert message is None or str(caught.value) == message


def test_an_unknown_preset_is_refused():
    with pytest.raises(ParameterError, match=r"preset 'labtop': is not known \(did you mean laptop\?\); known: "):
        load_card(EXAMPLE).resolve("labtop")


def test_resolving_never_changes_the_card():
    card = load_card(EXAMPLE)
    card.resolve("smoke")["seeds"].append(99)
    assert card.resolve("smoke")["seeds"] == [0, 1]
    assert card.resolve("smoke", {"rounds": 5})["rounds"] == 5 and card.resolve("smoke")["rounds"] == 2


@given(st.floats() | st.integers() | st.booleans() | st.text() | st.lists(st.integers()) | st.none())
def test_a_float_parameter_accepts_exactly_the_finite_numbers_of_its_range(value):
    parameter = Parameter(type="float", help="x", role="fixed", range=[-1.5, 2.0])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and -1.5 <= value <= 2.0:
        assert parameter.check(value) == value and math.isfinite(parameter.check(value))
    else:
        with pytest.raises(ValueError, match="must be a number from -1.5 to 2.0"):
            parameter.check(value)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused_in_one_line(text):
    for kind in ("int", "float", "bool", "list[int]", "list[float]"):
        bounds = {} if kind == "bool" else {"range": [0, 10]}
        parameter = Parameter(type=kind, help="x", role="fixed", **bounds)
        try:
            assert parameter.check(parameter.parse(text)) is not None
        except ValueError as error:
            assert "\n" not in str(error) and parameter.allowed in str(error)


PLAIN = YAML(typ="safe", pure=True).load(TEXT)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=8)
JUNK = st.recursive(LEAF, lambda x: st.lists(x, max_size=3) | st.dictionaries(LEAF, x, max_size=3), max_leaves=6)
FUZZ = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # fmt: skip


def load_or_refuse(path):
    """The only two ends a card may come to; returns whether it was accepted."""
    try:
        load_card(path)
    except CardError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return False
    return True


def places(plain, path=()):
    steps = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in steps:
        yield (*path, key)
        yield from places(value, (*path, key))


@FUZZ
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_fuzz_bytes(write, blob):
    assert not load_or_refuse(write(blob))


@FUZZ
@given(st.data())
def test_fuzz_one_field_of_a_good_card(write, data):
    plain = copy.deepcopy(PLAIN)
    path = data.draw(st.sampled_from(list(places(plain))))
    holder = plain
    for step in path[:-1]:
        holder = holder[step]
    action = data.draw(st.sampled_from(["replace", "delete", "add"]))
    if action == "delete":
        del holder[path[-1]]
    elif action == "replace" or not isinstance(holder, dict):
        holder[path[-1]] = data.draw(JUNK)
    else:
        holder[data.draw(LEAF)] = data.draw(JUNK)
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(plain, stream)
    load_or_refuse(write(stream.getvalue()))


@FUZZ
@given(st.integers(0, len(TEXT)), st.integers(0, 30), st.text("{}[]:,&*!|>'\"%@`#-? \n\t\x00ab1", max_size=6))
def test_fuzz_the_text_of_a_good_card(write, at, cut, paste):
    load_or_refuse(write(TEXT[:at] + paste + TEXT[at + cut :]))
