import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest

from redraw.hpo import (
    Float,
    SearchError,
    Space,
    asha,
    hyperband,
    model_search,
    population_based_training,
    random_search,
    read_journal,
    successive_halving,
)

SEARCHES = {
    "random": partial(random_search, trials=9, fidelity=9),
    "tpe": partial(model_search, trials=14, fidelity=9, slots=2),
    "halving": partial(successive_halving, trials=9, low=1, high=9),
    "hyperband": partial(hyperband, low=1, high=9, sampler="tpe"),
    "asha": partial(asha, trials=12, low=1, high=9, slots=3),
    "pbt": partial(population_based_training, population=4, interval=2, total=10),
}


class Stopped(BaseException):
    pass


class Stopping:
    """An objective that is interrupted at its n-th call."""

    def __init__(self, objective, at):
        self.objective, self.left = objective, at
        self.__qualname__ = type(objective).__qualname__

    def __call__(self, *args):
        self.left -= 1
        if self.left < 0:
            raise Stopped
        return self.objective(*args)


def plain(search):
    return search.frame().drop(columns="seconds")


@pytest.mark.parametrize("checkpoints", [True, False])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_stopped_search_goes_on_to_the_same_end(tmp_path, training, space, name, checkpoints):
    search = partial(SEARCHES[name], space=space, seed=2)
    whole = search(training)
    steps = sum(training.steps.values())
    training.steps.clear()
    journal = tmp_path / "search.jsonl"
    stops = 0
    while True:  # killed at every seventh evaluation
        try:
            resumed = search(Stopping(training, 7), journal=journal, checkpoints=checkpoints)
            break
        except Stopped:
            stops += 1
    assert stops >= 1
    pd.testing.assert_frame_equal(plain(resumed), plain(whole))
    pd.testing.assert_frame_equal(read_journal(journal), resumed.frame(), check_dtype=False)
    if checkpoints or name in ("random", "tpe"):
        assert sum(training.steps.values()) == steps  # nothing was trained twice
    else:
        assert sum(training.steps.values()) > steps  # lost states were made again


def test_a_finished_search_is_read_not_run(tmp_path, training, space):
    search = partial(asha, space=space, trials=9, low=1, high=9, journal=tmp_path / "j.jsonl")
    first = search(training)
    calls = len(training.calls)
    pd.testing.assert_frame_equal(search(training).frame(), first.frame())
    assert len(training.calls) == calls


def test_a_search_may_grow(tmp_path, training, space):
    journal = tmp_path / "j.jsonl"
    random_search(training, space, trials=4, journal=journal)
    grown = random_search(training, space, trials=6, journal=journal)
    assert len(training.calls) == 6 == len(grown.evaluations) == len(read_journal(journal))


def test_only_the_last_two_states_of_a_trial_are_kept(tmp_path, training, space):
    journal = tmp_path / "j.jsonl"
    population_based_training(training, space, population=3, interval=1, total=9, journal=journal)
    kept = sorted(path.name for path in (tmp_path / "j.jsonl.states").iterdir())
    assert kept == [f"{member}@{fidelity}.state" for member in range(3) for fidelity in (7, 8)]


# Torn and strange journals ----------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path, training, space):
    path = tmp_path / "j.jsonl"
    random_search(training, space, trials=5, journal=path)
    training.calls.clear()
    return path


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_last_line_is_dropped_with_a_warning(journal, training, space, cut):
    whole = read_journal(journal)
    journal.write_bytes(journal.read_bytes()[:-cut])
    with pytest.warns(UserWarning, match="dropped its last line, which was torn"):
        assert len(read_journal(journal)) == 4
    with pytest.warns(UserWarning, match="dropped its last line"):
        resumed = random_search(training, space, trials=5, journal=journal)
    assert len(training.calls) == 1
    pd.testing.assert_frame_equal(read_journal(journal).drop(columns="seconds"), whole.drop(columns="seconds"))
    assert len(resumed.evaluations) == 5


def test_a_torn_middle_line_is_an_error(journal, training, space):
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:20] + b"\n"
    journal.write_bytes(b"".join(lines))
    before = journal.read_bytes()
    for look in (partial(read_journal, journal), partial(random_search, training, space, trials=5, journal=journal)):
        with pytest.raises(SearchError, match="^journal: line 3 of .* is not a line of a search's journal$"):
            look()
    assert journal.read_bytes() == before and not training.calls


@pytest.mark.parametrize(
    "changed",
    [{"trial": 1}, {"end": None}, {"config": None}, {"from": 3}, {"value": "low"}, {"info": [1]}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_line_that_is_no_evaluation_is_told_in_one_line(journal, changed):
    head, first, *rest = journal.read_text().splitlines()
    line = changed if "trial" in changed else json.loads(first) | changed
    journal.write_text("\n".join([head, json.dumps(line), *rest]) + "\n")
    with pytest.raises(SearchError, match="no evaluation of a search") as caught:
        read_journal(journal)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["my notes", "my notes\n", '{"a": 1}\n', "[1]\n2\n"])
def test_another_file_is_never_written_over(tmp_path, training, space, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(SearchError, match="^journal: line 1 of"):
        random_search(training, space, trials=5, journal=path)
    assert path.read_text() == text


def test_a_journal_torn_in_its_first_line_begins_anew(tmp_path, training, space, journal):
    journal.write_bytes(journal.read_bytes()[:30])
    with pytest.warns(UserWarning, match="dropped its last line"):
        random_search(training, space, trials=5, journal=journal)
    assert len(training.calls) == 5 == len(read_journal(journal))


@pytest.mark.parametrize(
    "change, told",
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"maximize": True}, "maximize was False, is True"),
        ({"fidelity": 2}, "fidelity was 1, is 2"),
        ({"space": Space(lr=Float(0, 1))}, "space was"),
        ({"objective": len}, "objective was 'Training', is 'len'"),
    ],
)
def test_another_searchs_journal_is_refused(journal, training, space, change, told):
    arguments = {"objective": training, "space": space, "trials": 5, "journal": journal} | change
    with pytest.raises(SearchError, match=f"^journal: .* belongs to another search: .*{told}"):
        random_search(**arguments)


def test_a_record_that_the_search_would_not_have_made_is_refused(journal, training, space):
    lines = journal.read_text().splitlines()
    line = json.loads(lines[3])
    line["config"]["lr"] *= 2
    journal.write_text("\n".join([*lines[:3], json.dumps(line), *lines[4:]]) + "\n")
    with pytest.raises(SearchError, match="^journal: .* belongs to another search: trial 2 at fidelity 1 was"):
        random_search(training, space, trials=5, journal=journal)


def test_two_searches_do_not_write_one_journal(tmp_path, training, space):
    path = tmp_path / "j.jsonl"

    def nested(config, fidelity, seed, state):
        with pytest.raises(SearchError, match="^journal: .* is being written by another search$"):
            random_search(training, space, trials=1, journal=path)
        return len(read_journal(path))  # to look is allowed

    search = random_search(nested, space, trials=3, journal=path)
    assert [e.value for e in search.evaluations] == [0, 1, 2]


@pytest.mark.filterwarnings("ignore:`gamma`:FutureWarning")  # Optuna's
def test_fidelities_and_settings_of_any_kind_are_written(tmp_path, training, space):
    fidelity, path = np.int64(3), tmp_path / "j.jsonl"
    settings = {"gamma": half}
    model_search(training, space, trials=12, fidelity=fidelity, settings=settings, journal=path)
    frame = read_journal(path)
    assert len(frame) == 12 and frame.attrs["settings"] == {"gamma": "half"} and frame.attrs["fidelity"] == 3


def half(n):
    return n // 2


def test_a_journal_that_is_not_there(tmp_path):
    with pytest.raises(SearchError, match="^journal: .* does not exist$"):
        read_journal(tmp_path / "j.jsonl")


def test_an_empty_journal_is_an_empty_frame(tmp_path, space):
    (tmp_path / "j.jsonl").write_text("")
    assert read_journal(tmp_path / "j.jsonl").empty


# A kill ----------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
from redraw.hpo import Float, Space, asha

def slow(config, fidelity, seed, state):
    done = state or 0
    open("steps", "a").write("x" * (fidelity - done))
    time.sleep(0.01 * fidelity)
    return abs(config["x"] - 0.3) + 1 / fidelity, fidelity

if __name__ == "__main__":
    search = asha(slow, Space(x=Float(0, 1)), trials=24, low=1, high=9, slots=2, workers=int(sys.argv[1]),
                  journal="j.jsonl")
    search.frame().drop(columns="seconds").to_csv("done.csv")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_search_goes_on(tmp_path, workers):
    def started(folder):
        folder.mkdir(exist_ok=True)
        (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
        return subprocess.Popen([sys.executable, "script.py", str(workers)], cwd=folder, env=os.environ)

    journal = tmp_path / "killed" / "j.jsonl"
    process, lines = started(tmp_path / "killed"), 0
    while lines < 8 and process.poll() is None:
        time.sleep(0.005)
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    held = journal.read_bytes().count(b"\n") - 1
    assert 6 <= held < 36
    assert started(journal.parent).wait() == 0
    assert started(tmp_path / "whole").wait() == 0
    ended = [(tmp_path / name / "done.csv").read_text() for name in ("killed", "whole")]
    assert ended[0] == ended[1]
    # What was lost is what was under way, two evaluations of at most 6 steps each.
    steps = [len((tmp_path / name / "steps").read_text()) for name in ("killed", "whole")]
    assert steps[1] <= steps[0] <= steps[1] + 2 * 6
