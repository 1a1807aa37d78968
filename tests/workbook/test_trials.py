import dataclasses
import importlib
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from redraw import data
from redraw.workbook import ParameterError, Store, Trial, TrialError, run_trials
from redraw.workbook import _trials as module

MODULE = "redraw_test_trials"

TRIALS = '''
    """Trial functions of these tests, in a module that worker processes can import."""

    import os
    import signal
    import time

    import torch

    SCALE = 2.0


    def number(*, seed, n, folder=None):
        """A trial whose record says where it ran, if there is a folder to say it in."""
        if folder:
            with open(f"{folder}/{n}-{seed}-{os.getpid()}", "a") as file:
                file.write("ran\\n")
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(64, 64, generator=g)
        return {"n": n, "sum": (x @ x).sum().item() * SCALE, "threads": torch.get_num_threads(), "tensors": {"x": x}}


    def add(*, seed, left, right, folder=None):
        return {"sum": left["sum"] + right["sum"], "tensors": {"both": left.tensors["x"] + right.tensors["x"]}}


    def twice(*, seed, one):
        return {"sum": 2 * one["sum"], "tensors": {"x": 2 * one.tensors["x"]}}


    def fails(*, seed, message, after=0.0):
        time.sleep(after)
        raise ValueError(message)


    class Unpicklable(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")
            self.held = lambda: one


    def fails_badly(*, seed):
        raise Unpicklable("not", "picklable")


    def writes_numbers(*, seed):
        return {"value": torch.tensor(1.0)}


    def dies(*, seed):
        os.kill(os.getpid(), signal.SIGKILL)


    def sleeps(*, seed, seconds, folder):
        with open(f"{folder}/{os.getpid()}", "w") as file:
            file.write("")
        time.sleep(seconds)
        return {"n": seed}


    def tiny(*, seed):
        return {"smallest": (torch.tensor([1e-38]) * 0.01).item()}


    def on_a_device(*, seed, device):
        cudnn = torch.backends.cudnn
        return {"exact": [cudnn.deterministic, cudnn.allow_tf32]}


    def on_digits(*, seed, dataset):
        return {"seed": seed}


    def unrelated():
        return 1
'''


@pytest.fixture(scope="module", autouse=True)
def trial_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial_module")
    (folder / f"{MODULE}.py").write_text(textwrap.dedent(TRIALS))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder))
    sys.modules.pop(MODULE, None)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def trial(name, seed=0, needs=None, **parameters):
    return Trial(f"{MODULE}:{name}", parameters, seed, needs or {})


def diamond(seed=0, **parameters):
    """One trial that two others need, which a fourth needs."""
    top = trial("number", seed, n=1, **parameters)
    sides = trial("twice", seed, {"one": top}), trial("twice", seed + 1, {"one": top})
    return trial("add", seed, {"left": sides[0], "right": sides[1]})


def everything(result):
    """A record without what may differ: its times."""
    body = {name: value for name, value in result.body.items() if name not in ("seconds", "busy_seconds")}
    return result.key, body, {name: value.tolist() for name, value in result.tensors.items()}


# Keys -----------------------------------------------------------------------------------------------------------


def key_of(source, tmp_path, monkeypatch, name="number", **parameters):
    """The key of a trial whose module has another source, found afresh."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(textwrap.dedent(source))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, MODULE, raising=False)
        module_caches()
        key = trial(name, **(parameters or {"n": 1})).key
    sys.modules.pop(MODULE, None)
    module_caches()
    return key


def module_caches():
    from redraw.workbook import _meaning

    _meaning._walk_once.cache_clear()
    _meaning._libraries.cache_clear()
    _meaning._parse.cache_clear()
    importlib.invalidate_caches()


def test_trials_on_cuda_are_the_same_each_time(store):
    """Without reduced precision and by deterministic kernels, since their keys say nothing of either."""
    said = {}
    for device in ("cpu", "cuda", "cuda:1"):
        trial = Trial(f"{MODULE}:on_a_device", {"device": device}, 0)
        module.execute(trial, store)
        said[device] = store.get(trial.key)["exact"]
    assert said == {"cpu": said["cpu"], "cuda": [True, False], "cuda:1": [True, False]} and said["cpu"] != [True, False]


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("SCALE = 2.0", "SCALE = 2.5", True),
        ("x @ x", "x * x", True),
        ("def number(*, seed, n, folder=None)", "def number(*, seed, n, folder=0)", True),
        ("import torch\n", "import torch\n    torch.set_default_dtype(torch.float32)\n", True),
        ("def unrelated():\n        return 1", "def unrelated():\n        return 2", False),
        ("import time\n", "import time\n    import json\n", False),
        (
            "(*, seed, n, folder=None):",
            "(*, seed: int, n: int, folder: str | None = None) -> dict:  # typed",
            False,
        ),
        ("A trial whose record says where it ran", "Words", False),
        ("Trial functions of these tests", "Words", False),
    ],
)
def test_a_key_moves_with_the_meaning_of_the_code(tmp_path, monkeypatch, old, new, counts):
    assert old in TRIALS
    keys = [key_of(source, tmp_path, monkeypatch) for source in (TRIALS, TRIALS.replace(old, new))]
    assert (keys[0] != keys[1]) is counts


def test_a_key_moves_with_all_that_could_change_the_result():
    one = trial("number", n=1)
    others = [
        trial("number", seed=1, n=1),
        trial("number", n=2),
        trial("number", n=1.0),
        trial("number", n="1"),
        trial("number", n=True),
        trial("number", n=1, folder=None),
        trial("twice", n=1),
        trial("number", n=1, needs={"one": trial("number", n=2)}),
        trial("number", n=1, needs={"two": trial("number", n=2)}),
        trial("number", n=1, needs={"one": trial("number", n=3)}),
        trial("number", n=1, needs={"one": trial("number", seed=1, n=2)}),
    ]
    assert len({t.key for t in (one, *others)}) == 12 and all(len(t.key) == 64 for t in others)
    assert trial("number", a=1, b=2).key == trial("number", b=2, a=1).key
    assert one.key == trial("number", n=1).key


def test_a_need_of_a_need_counts():
    assert diamond().key != diamond(folder="elsewhere").key


def test_a_key_moves_with_the_datas_checksum_and_reader(monkeypatch):
    def key():
        return trial("on_digits", dataset="digits").key

    before = key()
    assert before != trial("on_digits", dataset="mnist1d").key
    with monkeypatch.context() as patch:
        patch.setattr(data, "checksums", lambda name: {"file": "0" * 64})
        assert key() != before
    with monkeypatch.context() as patch:
        other = dataclasses.replace(data.describe("digits"), read=data.describe("mnist1d").read)
        patch.setattr(data, "describe", lambda name: other)
        assert key() != before
    assert key() == before


def test_a_key_moves_with_the_numeric_stack(monkeypatch):
    before = trial("number", n=1).key
    for owner, name in ((torch, "__version__"), (module.np, "__version__")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, "9.9.9")
            assert trial("number", n=1).key != before
    monkeypatch.setattr(torch, "__version__", torch.__version__.partition("+")[0] + "+other")
    assert trial("number", n=1).key == before


def test_a_trial_travels_with_its_key():
    one = diamond()
    assert pickle.loads(pickle.dumps(one)) == one and pickle.loads(pickle.dumps(one)).key == one.key
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.seed = 2


# Running --------------------------------------------------------------------------------------------------------


def batch(folder):
    shared = [trial("number", seed, n=7, folder=str(folder)) for seed in (0, 1, 0)]
    return [diamond(5), *shared, trial("tiny"), diamond(5), trial("twice", 3, {"one": shared[0]})]


def test_here_and_in_two_processes_the_records_are_the_same(tmp_path):
    folder = tmp_path / "ran"
    folder.mkdir()
    trials, seen = batch(folder), {1: [], 2: []}
    stores = {jobs: Store(tmp_path / f"trials{jobs}") for jobs in (1, 2)}
    for jobs in (1, 2):
        results = run_trials(
            trials,
            store=stores[jobs],
            jobs=jobs,
            on_progress=lambda p, jobs=jobs: seen[jobs].append(dataclasses.replace(p)),
        )
        assert [result.key for result in results] == [t.key for t in trials]
        assert results[1]["threads"] == 1
    for t in trials:
        assert everything(stores[1].get(t.key)) == everything(stores[2].get(t.key))
    kept = {jobs: sorted(p.name for p in stores[jobs].root.glob("??/*")) for jobs in (1, 2)}
    assert kept[1] == kept[2] and len(kept[1]) == 8  # 4 of the diamond, 2 numbers, tiny and twice: each once
    ran = [path.name.split("-") for path in folder.iterdir() if path.read_text() == "ran\n"]
    assert sorted((n, seed) for n, seed, _ in ran) == [("7", "0"), ("7", "0"), ("7", "1"), ("7", "1")]
    pids = {int(pid) for *_, pid in ran}
    assert os.getpid() in pids and len(pids) > 1
    for progress in seen.values():
        assert [(p.total, p.reused, p.computed) for p in progress] == [(8, 0, n) for n in range(9)]
        assert progress[0].seconds is None and progress[-1].seconds == 0 and all(p.seconds > 0 for p in progress[1:-1])


def test_one_job_runs_here(store, tmp_path):
    run_trials([trial("number", n=1, folder=str(tmp_path))], store=store, jobs=1)
    assert [p.name for p in tmp_path.glob("1-0-*")] == [f"1-0-{os.getpid()}"]


def test_a_trial_that_runs_here_leaves_threads_and_subnormals_as_they_were(store):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run_trials([trial("tiny")], store=store, jobs=1)[0]["smallest"] == 0
        with pytest.raises(TrialError):
            run_trials([trial("fails", message="x")], store=store, jobs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (torch.tensor([1e-38]) * 0.01).item() > 0


def test_what_is_stored_is_not_run_again(store, tmp_path, monkeypatch):
    first = run_trials(batch(tmp_path), store=store, jobs=1)
    monkeypatch.setattr(module, "execute", lambda *_: pytest.fail("ran again"))
    seen = []
    again = run_trials(
        batch(tmp_path), store=Store(store.root), jobs=1, on_progress=lambda p: seen.append((p.total, p.done))
    )
    assert [everything(r) for r in again] == [everything(r) for r in first]
    assert [r.seconds for r in again] == [r.seconds for r in first]
    assert seen == [(5, 5)]  # those asked for, each once; what they need is not looked at
    assert run_trials([], store=store) == []


def test_the_needs_of_a_stored_trial_are_not_missed(store):
    one = diamond()
    run_trials([one], store=store, jobs=1)
    for path in store.root.glob("??/*"):
        if path.name != one.key:
            (path / "record.json").unlink()
    seen = []
    run_trials([one], store=store, jobs=1, on_progress=lambda p: seen.append((p.total, p.reused, p.computed)))
    assert seen == [(1, 1, 0)]


def test_a_damaged_result_is_computed_again(store):
    one = diamond()
    (before,) = run_trials([one], store=store, jobs=1)
    kept = everything(before)
    (store.folder(one.key) / "tensors.safetensors").write_bytes(b"")
    fresh = Store(store.root)
    assert everything(run_trials([one], store=fresh, jobs=1)[0]) == kept
    assert fresh.damaged == {one.key}


def test_progress_counts_what_is_reused(store):
    numbers = [trial("number", n=n) for n in range(4)]
    run_trials(numbers[:3], store=store, jobs=1)
    seen = []
    run_trials(
        numbers,
        store=store,
        jobs=1,
        on_progress=lambda p: seen.append((p.total, p.reused, p.computed, p.done)),
    )
    assert seen == [(4, 3, 0, 3), (4, 3, 1, 4)]


def test_any_executor_will_do(store, tmp_path):
    """Threads here: no process of ours is started, a need comes before what needs it."""
    with ThreadPoolExecutor(1) as executor:
        results = run_trials(batch(tmp_path), store=store, executor=executor, jobs=99)
    assert [r.key for r in results] == [t.key for t in batch(tmp_path)]


def test_jobs_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("REDRAW_JOBS", "3")
    assert module.default_jobs() == 3
    for text in ("three", "0", "-1", "1.5", " "):
        monkeypatch.setenv("REDRAW_JOBS", text)
        with pytest.raises(ParameterError, match=f"^REDRAW_JOBS: must be an integer from 1, got '{text}'$"):
            module.default_jobs()
    monkeypatch.delenv("REDRAW_JOBS")
    assert module.default_jobs() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert module.default_jobs() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert module.default_jobs() == 1


# Failing --------------------------------------------------------------------------------------------------------


def test_a_failure_is_one_line_and_what_finished_is_kept(store, monkeypatch):
    good = [trial("number", n=n) for n in range(3)]
    bad = trial("fails", 4, message="lr: must be positive\nand more")
    with pytest.raises(TrialError) as caught:
        run_trials([*good[:2], bad, good[2]], store=store, jobs=1)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("fails (seed 4): ")
    assert "Traceback" in caught.value.details and "ValueError: lr: must be positive" in caught.value.details
    assert pickle.loads(pickle.dumps(caught.value)).details == caught.value.details
    assert store.get(bad.key) is None and all(store.get(t.key) for t in good[:2])
    ran = []
    monkeypatch.setattr(module, "execute", lambda t, store, execute=module.execute: ran.append(t) or execute(t, store))
    assert len(run_trials([*good, trial("tiny")], store=store, jobs=1)) == 4
    assert trial("tiny") in ran and not set(map(id, ran)) & set(map(id, good[:2]))


def test_nothing_runs_after_a_failure(store):
    after = trial("number", n=1)
    with pytest.raises(TrialError):
        run_trials([trial("fails", message="no"), after], store=store, jobs=1)
    assert store.get(after.key) is None


def test_the_line_that_names_the_error_is_shown(store):
    with pytest.raises(TrialError, match=r"^fails \(seed 0\): ValueError: lr: must be positive$"):
        run_trials([trial("fails", message="lr: must be positive\nand more")], store=store, jobs=1)
    with pytest.raises(TrialError, match=r"^fails \(seed 0\): ValueError$"):
        run_trials([trial("fails", message="")], store=store, jobs=1)


def test_what_waits_in_a_callers_executor_is_cancelled_after_a_failure(store):
    """One thread: what was submitted first ran, what comes after the failure has not begun."""
    before, after = trial("number", n=1), [trial("number", n=n) for n in range(2, 40)]
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(TrialError, match="ValueError: no"):
            run_trials([before, trial("fails", message="no", after=0.2), *after], store=store, executor=executor)
        assert executor.submit(sum, [1, 2]).result() == 3
    assert store.get(before.key) and sum(store.get(t.key) is not None for t in after) <= 1


def test_what_needs_a_failure_is_not_run(store):
    bad = trial("fails", message="no")
    with pytest.raises(TrialError, match=r"^fails \(seed 0\): ValueError: no$"):
        run_trials([trial("twice", 0, {"one": bad})], store=store, jobs=1)
    assert not list(store.root.glob("??/*"))


def test_a_value_that_cannot_be_stored_is_a_failure_of_its_trial(store):
    with pytest.raises(TrialError, match=r"^writes_numbers \(seed 0\): TypeError: .*Tensor is not JSON serializable$"):
        run_trials([trial("writes_numbers")], store=store, jobs=1)


def children(pid):
    """The processes below one, from the system's own table."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents[int(status.parent.name)] = int(fields[1])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def gone(pids, seconds=20.0):
    """Wait until processes have ended: without a bound a failure would hang, and a pass never takes it all."""
    for _ in range(int(seconds / 0.05)):
        alive = {pid for pid in pids if Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in _status(pid)}
        if not alive:
            return True
        time.sleep(0.05)
    return False


def _status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ"


def test_a_failure_in_a_worker_ends_the_others_and_keeps_what_finished(store, tmp_path):
    """The error cannot be pickled, and the other worker would sleep for an hour."""
    before = children(os.getpid())
    good, bad = trial("number", n=1), trial("fails_badly")
    slow = trial("sleeps", seconds=3600, folder=str(tmp_path))
    with pytest.raises(TrialError) as caught:
        run_trials([good, slow, bad], store=store, jobs=2)
    assert str(caught.value) == f"fails_badly (seed 0): {MODULE}.Unpicklable: not picklable"
    assert "in fails_badly" in caught.value.details
    assert store.get(good.key) and not store.get(bad.key) and not store.get(slow.key)
    workers = {int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()}
    assert gone(workers | (children(os.getpid()) - before - tracker()))


def tracker():
    """multiprocessing keeps one process of its own for the life of the parent."""
    from multiprocessing.resource_tracker import _resource_tracker

    return {_resource_tracker._pid}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run one of whose workers was killed: its store, the error, and the processes that there were."""
    store, before = Store(tmp_path_factory.mktemp("killed")), children(os.getpid())
    with pytest.raises(Exception, match=".") as caught:
        run_trials([trial("number", n=1), trial("dies"), trial("number", n=2)], store=store, jobs=2)
    return store, caught.value, children(os.getpid()) - before - tracker()


def test_a_worker_that_is_killed_ends_the_run_and_leaves_no_process_and_no_torn_result(killed):
    store, _, processes = killed
    assert gone(processes)
    assert store.get(trial("dies").key) is None and not store.damaged
    assert len(run_trials([trial("number", n=1), trial("number", n=2)], store=store, jobs=1)) == 2


def test_a_worker_that_is_killed_is_a_trial_error(killed):
    _, error, _ = killed
    assert isinstance(error, TrialError)
    assert str(error) == "a worker process was killed (out of memory?); finished trials are kept"


PARENT = """
    import sys
    from redraw.workbook import Store, Trial, run_trials
    if __name__ == "__main__":
        sys.path.insert(0, sys.argv[1])
        folder, store = sys.argv[2:]
        trials = [Trial("redraw_test_trials:number", {"n": 1}, 0)]
        trials += [Trial("redraw_test_trials:sleeps", {"seconds": 3600, "folder": folder}, n) for n in range(4)]
        run_trials(trials, store=Store(store), jobs=2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_when_the_parent_goes_so_do_its_workers(tmp_path, how):
    script, folder, root = tmp_path / "parent.py", tmp_path / "ran", tmp_path / "trials"
    script.write_text(textwrap.dedent(PARENT))
    folder.mkdir()
    modules = Path(importlib.util.find_spec(MODULE).origin).parent
    command = [sys.executable, str(script), str(modules), str(folder), str(root)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while len(list(folder.iterdir())) < 2 and parent.poll() is None:
            time.sleep(0.05)
        below = children(parent.pid)
        assert len(below) >= 2 and {int(p.name) for p in folder.iterdir()} <= below
        if how == signal.SIGINT:  # a terminal sends it to all of them
            os.killpg(parent.pid, how)
        else:
            parent.send_signal(how)
        parent.wait(30)
        assert parent.returncode != 0
        assert gone(below)
    finally:
        parent.kill()
    store = Store(root)
    assert store.get(trial("number", n=1).key) is not None and not store.damaged
    assert len(list(root.glob("??/*"))) == 1


# The table of trials --------------------------------------------------------------------------------------------


def test_the_table_has_a_row_per_trial(store):
    trials = [trial("number", n=1), trial("tiny", seed=2)]
    results = run_trials(trials, store=store, jobs=1)
    table = module.trial_table(trials, results)
    assert list(table["function"]) == ["number", "tiny"] and list(table["seed"]) == [0, 2]
    assert list(table["key"]) == [t.key for t in trials] and list(table["seconds"]) == [r.seconds for r in results]
    first, second = table.to_dict("records")
    assert first["n"] == first["n_parameter"] == 1 and first["sum"] == results[0]["sum"]
    assert second["smallest"] == 0 and math.isnan(second["sum"])


def test_a_trial_that_is_planned_twice_is_no_second_observation(store):
    trials = [trial("number", n=1), trial("number", n=2), trial("number", n=1)]
    assert module.trial_table(trials, run_trials(trials, store=store, jobs=1))["n"].tolist() == [1, 2]


# Code that is edited while a session runs -----------------------------------------------------------------------


EDITED = """
    import sys, pathlib
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from redraw.workbook import Store, Trial, TrialError, run_trials

    SOURCE = "import os\\ndef f(*, seed, n):\\n    return {'version': VERSION}\\ndef g():\\n    return 1\\n"

    def edit(version, of="VERSION"):
        (folder / "redraw_test_edited.py").write_text(SOURCE.replace(of, version))

    def run(n, **options):
        try:
            results = run_trials([Trial("redraw_test_edited:f", {"n": n}, 0)], store=store, **options)
        except TrialError as error:
            return print(error)
        print([result["version"] for result in results])

    if __name__ == "__main__":
        folder = pathlib.Path(sys.argv[1])
        sys.path.insert(0, str(folder))
        store = Store(folder / "trials")
        edit("1")
        run(0, jobs=1)
        SOURCE += "# a comment\\n"
        edit("1")
        run(1, jobs=1)
        SOURCE = SOURCE.replace("return 1", "return 2")
        edit("1")
        run(2, jobs=1)
        edit("20")
        run(0, jobs=1)
        run(3, jobs=1)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
            run(4, executor=workers)
            edit("1")
            run(5, executor=workers)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
            run(6, executor=workers)
        print(len(list(store.root.glob("??/*"))))
"""


def test_code_edited_while_a_session_runs_is_not_stored_under_its_old_key(tmp_path):
    """What means the same runs on, what is stored is reused, all else is refused: here, in a worker that started after
    the edit, and in one that loaded the edit before it was taken back."""
    script = tmp_path / "edited.py"
    script.write_text(textwrap.dedent(EDITED))
    ran = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=240)
    refused = "f (seed 0): the code changed while the run was going on: start it again"
    expected = ["[1]", "[1]", "[1]", "[1]", refused, refused, refused, "[1]", "4"]
    assert ran.stdout.splitlines() == expected, ran.stdout + ran.stderr


EDITS_ITSELF = """
    from pathlib import Path

    def f(*, seed):
        Path(__file__).write_text(Path(__file__).read_text().replace("= 1", "= 2"))
        return {"value": VALUE}

    VALUE = 1
"""


def test_code_edited_while_a_trial_runs_is_not_kept(store, tmp_path, monkeypatch):
    (tmp_path / "redraw_test_edits_itself.py").write_text(textwrap.dedent(EDITS_ITSELF))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        TrialError, match=r"^f \(seed 0\): the code changed while the run was going on: start it again$"
    ):
        run_trials([Trial("redraw_test_edits_itself:f", {}, 0)], store=store, jobs=1)
    assert not list(store.root.glob("??/*"))


def test_a_reader_of_data_that_was_edited_is_refused(store, monkeypatch):
    one, real = trial("on_digits", dataset="digits"), module.meaning
    assert one.key

    def edited(function, *, now=False, **options):
        return "another" if now and function == data.describe("digits").read else real(function, now=now, **options)

    monkeypatch.setattr(module, "meaning", edited)
    with pytest.raises(TrialError, match="the code changed"):
        run_trials([one], store=store, jobs=1)
    monkeypatch.undo()
    assert run_trials([one], store=store, jobs=1)[0]["seed"] == 0


def test_only_trials_whose_data_can_be_had_are_reachable(monkeypatch):
    def fetch(names):
        if "mnist" in names:
            raise data.DataUnavailable("mnist: no source has train-images\nand how to place it")

    monkeypatch.setattr(data, "fetch", fetch)
    free, bundled = Trial("m:f", {}, 0), Trial("m:f", {"dataset": "digits"}, 0)
    missing = Trial("m:f", {"dataset": "mnist"}, 0)
    upon = Trial("m:f", {}, 1, {"previous": Trial("m:f", {}, 2, {"previous": missing})})
    assert module.reachable([free, bundled, missing, upon]) == ([free, bundled], "mnist: no source has train-images")
    assert module.reachable([free, bundled]) == ([free, bundled], "")
    assert module.datasets([free, bundled, upon]) == ["digits", "mnist"]


def test_damaged_data_are_not_taken_for_missing(monkeypatch):
    def fetch(names):
        raise data.DataCorrupt("mnist: damaged")

    monkeypatch.setattr(data, "fetch", fetch)
    with pytest.raises(data.DataCorrupt):
        module.reachable([Trial("m:f", {"dataset": "mnist"}, 0)])
