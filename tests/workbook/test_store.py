import errno
import json
import math
import multiprocessing
import random
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch

from redraw.workbook import ParameterError, Store
from redraw.workbook import _store as module
from redraw.workbook._store import canonical, default_store

KEY = "ab" + "0" * 62
BODY = {
    "value": {"loss": 0.1 + 0.2, "curve": [1, 2.5, None, True], "name": 'é\n"', "nested": {"b": 1, "a": {}}},
    "seconds": 1.5,
}


def key(n):
    return f"{n:064x}"


def some_tensors(seed=0):
    g = torch.Generator().manual_seed(seed)
    return {
        "weights.0": torch.randn(30, 7, generator=g),
        "masks.0": torch.randint(256, (27,), generator=g).to(torch.uint8),
        "scalar": torch.tensor(math.pi, dtype=torch.double),
        "view": torch.randn(6, 4, generator=g).T[1:, ::2],
    }


def files(root):
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def test_what_is_put_comes_back_exactly(store):
    stored = store.put(KEY, BODY, some_tensors())
    for result in (stored, store.get(KEY), Store(store.root).get(KEY)):
        assert dict(result) == BODY["value"] and result.seconds == 1.5 and result.key == KEY
        assert len(result) == 4 and result["loss"] == 0.1 + 0.2
        tensors = result.tensors
        assert set(tensors) == set(some_tensors())
        for name, value in some_tensors().items():
            assert torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype
    assert files(store.root) == [f"ab/{KEY}/record.json", f"ab/{KEY}/tensors.safetensors"]
    assert not store.damaged and not list((store.root / "tmp").iterdir())


def test_without_tensors_there_is_one_file(store):
    store.put(KEY, BODY)
    store.put(key(1), BODY, {})
    assert store.get(KEY).tensors == store.get(key(1)).tensors == {}
    assert files(store.root) == [f"00/{key(1)}/record.json", f"ab/{KEY}/record.json"]


def test_numbers_survive_to_the_last_bit(store):
    numbers = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 2**70, 1e-05]
    store.put(KEY, {"value": {"numbers": numbers}, "seconds": 0.0})
    back = store.get(KEY)["numbers"]
    assert list(map(repr, back)) == list(map(repr, numbers))


def test_what_was_not_put_is_not_there(store):
    assert store.get(KEY) is None and not store.damaged and not store.root.exists()


def test_the_first_of_two_results_stays(store):
    store.put(KEY, {"value": {"from": "first"}, "seconds": 1.0}, some_tensors(0))
    store.put(KEY, {"value": {"from": "second"}, "seconds": 2.0})
    assert store.get(KEY)["from"] == "first" and torch.equal(store.get(KEY).tensors["view"], some_tensors()["view"])
    assert not list((store.root / "tmp").iterdir())


def test_where_the_store_is(monkeypatch, tmp_path):
    monkeypatch.setenv("REDRAW_STORE", str(tmp_path / "here"))
    assert default_store() == Store().root == tmp_path / "here"
    monkeypatch.delenv("REDRAW_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "redraw" / "trials"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_store() == Path.home() / ".cache" / "redraw" / "trials"


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for root in ("/proc/x", tmp_path / "file", tmp_path / "file" / "below"):
        words = f"REDRAW_STORE: must name a folder that can be written to, got {root} ("
        for attempt in (Store(root).ready, lambda root=root: Store(root).put("ab", {"value": {}})):
            with pytest.raises(ParameterError) as caught:
                attempt()
            assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    Store(tmp_path / "new" / "store").ready()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ParameterError, match=r"\(no permission to write\)$"):
        Store(tmp_path / "new" / "store").ready()


def test_equal_values_have_equal_text():
    assert canonical({"b": [1, {"d": 1, "c": 2}], "a": 1.0}) == '{"a":1.0,"b":[1,{"c":2,"d":1}]}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


def test_what_is_not_json_is_refused_and_leaves_nothing(store):
    for body in ({"value": {"x": torch.tensor(1.0)}}, {"value": {"x": {1, 2}}}):
        with pytest.raises(TypeError):
            store.put(KEY, body)
    with pytest.raises(Exception, match="."):
        store.put(KEY, BODY, {"x": [1, 2]})
    assert files(store.root) == [] and store.get(KEY) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"by_round": {2: 0.5, 10: 0.25}}, "value.by_round: must have strings as keys, got 2"),
        ({"curve": [{"a": 1}, ({None: 1},)]}, "value.curve: must have strings as keys, got None"),
        ({True: 1}, "value: must have strings as keys, got True"),
    ],
)
def test_names_that_are_no_strings_are_refused(store, value, message):
    with pytest.raises(TypeError) as caught:
        store.put(KEY, {"value": value, "seconds": 0.0})
    assert str(caught.value) == message and files(store.root) == []


def test_a_result_without_values_stays_too(store):
    store.put(KEY, {"value": {}, "seconds": 1.0})
    store.put(KEY, {"value": {}, "seconds": 2.0})
    assert store.get(KEY).seconds == 1.0


# Damage ---------------------------------------------------------------------------------------------------------


def flip(path, bit):
    raw = bytearray(path.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)


def check_flips(store, name, count):
    """Flip one bit at a time, everywhere a few times; what is read is then nothing, or equal to what was put."""
    store.put(KEY, BODY, some_tensors())
    path = store.folder(KEY) / name
    whole = path.read_bytes()
    draw = random.Random(0)
    missed = 0
    for bit in [0, 8 * len(whole) - 1, *draw.sample(range(8 * len(whole)), count)]:
        flip(path, bit)
        result = store.get(KEY)
        if result is None:
            assert KEY in store.damaged
        else:
            missed += 1
            assert dict(result) == BODY["value"] and result.seconds == 1.5
        path.write_bytes(whole)
        store.damaged.clear()
        assert store.get(KEY) is not None and not store.damaged
    return missed


def test_a_flipped_bit_of_the_tensors_is_found(store):
    assert check_flips(store, "tensors.safetensors", 200) == 0


def test_a_flipped_bit_of_the_record_is_found_or_changes_nothing(store):
    assert check_flips(store, "record.json", 300) <= 3  # as 1e-05 and 1E-05, which are one number


@pytest.mark.parametrize("name", ["record.json", "tensors.safetensors"])
def test_a_truncated_file_is_found(store, name):
    store.put(KEY, BODY, some_tensors())
    path = store.folder(KEY) / name
    whole = path.read_bytes()
    for length in {0, 1, 8, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        store.damaged.clear()
        assert store.get(KEY) is None and store.damaged == {KEY}
    path.unlink()
    assert Store(store.root).get(KEY) is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{}",
        '{"body": {}}',
        '{"body": [], "sha256": ""}',
        '{"sha256": 1, "body": {"value": {}}}',
        "\xff",
    ],
)
def test_a_record_of_another_kind_is_damage_not_an_error(store, text):
    store.put(KEY, BODY)
    (store.folder(KEY) / "record.json").write_text(text, encoding="latin-1")
    assert store.get(KEY) is None and store.damaged == {KEY}


def test_tensors_of_another_result_are_found(store):
    store.put(KEY, BODY, some_tensors(0))
    store.put(key(1), BODY, some_tensors(1))
    shutil.copy(store.folder(key(1)) / "tensors.safetensors", store.folder(KEY))
    assert store.get(KEY) is None and store.get(key(1)) is not None


@pytest.mark.parametrize("name", ["record.json", "tensors.safetensors"])
def test_putting_replaces_what_is_damaged(store, name):
    store.put(KEY, BODY, some_tensors())
    flip(store.folder(KEY) / name, 40)
    store.put(KEY, BODY, some_tensors())
    assert dict(store.get(KEY)) == BODY["value"] and store.get(KEY).tensors
    assert not list((store.root / "tmp").iterdir())


def test_leftovers_of_killed_writers_do_no_harm(store):
    leftover = store.root / "tmp" / "1-aa"
    leftover.mkdir(parents=True)
    (leftover / "record.json").write_text("{")
    store.put(KEY, BODY)
    assert store.get(KEY) is not None
    store.folder(key(1)).mkdir(parents=True)  # an empty folder under a key, as a file system check may leave
    assert store.get(key(1)) is None
    store.put(key(1), BODY)
    assert store.get(key(1)) is not None


# Writers that die -----------------------------------------------------------------------------------------------

WRITER = """
    import os, random, signal, sys, time
    from pathlib import Path
    import torch
    from redraw.workbook import Store, _store as module

    store, kills = Store(sys.argv[1]), int(sys.argv[2])

    def body(n):
        return {"value": {"n": n, "square": n * n, "text": "x" * 2000}, "seconds": 1.0}

    def put(n):
        store.put(f"{n:064x}", body(n), {"t": torch.full((5000,), float(n))})

    def child(work):
        pid = os.fork()
        if not pid:
            try:
                work()
            finally:
                os._exit(3)
        return pid

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    # At random moments of a writer that writes one result after the other.
    draw, done = random.Random(0), 0
    for kill in range(kills):
        def work(first=1000 * kill):
            for n in range(first, first + 1000):
                put(n)
        pid = child(work)
        time.sleep(draw.uniform(0.0, 0.12))
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL

    # And at each of the steps of a single put, before it and halfway through it.
    def half(path, text):
        with open(path, "w") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            die()

    def half_tensors(tensors, path):
        Path(path).write_bytes(b"half")
        die()

    def nth_fsync(count):
        seen, real = [], os.fsync
        def fsync(descriptor):
            seen.append(1)
            if len(seen) == count:
                die()
            real(descriptor)
        return fsync

    steps = [
        (module, "save_file", die), (module, "save_file", half_tensors), (Path, "write_text", die),
        (Path, "write_text", half), (Path, "rename", die), (module.shutil, "rmtree", die),
        *((os, "fsync", nth_fsync(count)) for count in (1, 2, 3)),
    ]
    for number, (owner, name, replacement) in enumerate(steps):
        def work():
            setattr(owner, name, replacement)
            put(900_000 + number)
        assert os.waitpid(child(work), 0)[1] == signal.SIGKILL, (name, number)
    print(len(steps))
"""


@pytest.fixture(scope="module")
def shot_at(tmp_path_factory):
    """A store whose writers were killed 20 times at random and once at every step of a put."""
    root = tmp_path_factory.mktemp("shot") / "trials"
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(root), "20"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return Store(root), int(ran.stdout)


def test_a_writer_killed_at_any_moment_leaves_whole_results_or_none(shot_at):
    store, _ = shot_at
    keys = [folder.name for folder in store.root.glob("??/*")]
    assert len(keys) > 10
    for one in keys:
        result, n = store.get(one), int(one, 16)
        assert result is not None, "a torn result was left under its key"
        assert (result["n"], result["square"]) == (n, n * n)
        assert torch.equal(result.tensors["t"], torch.full((5000,), float(n)))
    assert not store.damaged


def test_what_was_finished_before_the_kill_is_kept(shot_at):
    """A writer goes from one to the next, so of those it finished none may be missing in between."""
    store, steps = shot_at
    written = sorted(int(folder.name, 16) for folder in store.root.glob("??/*"))
    for first in range(0, 20_000, 1000):
        numbers = [n for n in written if first <= n < first + 1000]
        assert numbers == list(range(first, first + len(numbers)))
    # Only a put that was killed after its rename is there: in the last sync, and in removing the temporary folder.
    assert [n - 900_000 for n in written if n >= 900_000] == [5, steps - 1]


def test_a_store_that_was_shot_at_can_be_written_to(shot_at):
    store, steps = shot_at
    assert any((store.root / "tmp").iterdir())
    for n in range(900_000, 900_000 + steps):
        store.put(key(n), BODY, some_tensors())
        assert store.get(key(n)) is not None


def test_two_writers_of_one_key_agree(store):
    """Threads are enough: each writer has its own temporary folder, and the file system decides."""
    for n in range(15):
        barrier, errors = threading.Barrier(4), []

        def write(who, n=n, barrier=barrier, errors=errors):
            try:
                barrier.wait()
                store.put(key(n), {"value": {"who": who}, "seconds": 0.0}, {"who": torch.tensor([who])})
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        result = store.get(key(n))
        assert result["who"] == result.tensors["who"].item()
    assert not store.damaged and not list((store.root / "tmp").iterdir())


def _write_all(root, who):
    store = Store(root)
    for n in random.Random(who).sample(range(40), 40):
        store.put(key(n), {"value": {"who": who}, "seconds": 0.0}, {"who": torch.tensor([who])})


def test_processes_that_write_the_same_keys_in_other_orders_leave_whole_results(store):
    """As on a shared file system, where nothing is locked: every result is one writer's, all of it."""
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_all, args=(store.root, who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    for n in range(40):
        result = store.get(key(n), whole=True)
        assert result["who"] == result.tensors["who"].item()
    assert not store.damaged and not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("other_does", ["removes", "repairs"])
def test_two_writers_may_find_the_same_damage(store, monkeypatch, other_does):
    store.put(KEY, BODY)
    flip(store.folder(KEY) / "record.json", 40)
    rename, repaired = Path.rename, {"value": {"from": "other"}, "seconds": 0.0}

    def late(path, target):
        if path == store.folder(KEY):  # moved out of the way, but the other writer was faster
            monkeypatch.setattr(Path, "rename", rename)
            shutil.rmtree(path)
            if other_does == "repairs":
                Store(store.root).put(KEY, repaired)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    store.put(KEY, BODY)
    assert store.get(KEY) is not None and not list((store.root / "tmp").iterdir())


def test_damage_that_another_writer_repaired_meanwhile_is_left_alone(store, monkeypatch):
    store.put(KEY, BODY)
    flip(store.folder(KEY) / "record.json", 40)
    rename = Path.rename

    def faster(path, target):
        if target == store.folder(KEY):
            monkeypatch.setattr(Path, "rename", rename)
            Store(store.root).put(KEY, {"value": {"from": "other"}, "seconds": 0.0})
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", faster)
    store.put(KEY, BODY)
    assert store.get(KEY)["from"] == "other"


def test_a_file_that_stands_under_a_key_is_replaced(store):
    store.folder(KEY).parent.mkdir(parents=True)
    store.folder(KEY).write_text("no folder")
    store.put(KEY, BODY)
    assert store.get(KEY) is not None and not list((store.root / "tmp").iterdir())


# Disks that are full --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 500, 3000])
def test_a_file_that_cannot_be_written_whole_leaves_nothing(store, limit):
    """The kernel itself cuts the files short, those of the record as those of the tensors."""
    big = {"value": {"text": "x" * 4000}, "seconds": 0.0}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    errors = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        for tensors in ({}, {"t": torch.zeros(5000)}):
            try:
                store.put(KEY, big, tensors)
            except Exception as error:
                errors.append(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(errors) == 2
    assert store.get(KEY) is None and files(store.root) == [] and not list((store.root / "tmp").iterdir())
    store.put(KEY, big, {"t": torch.zeros(5000)})
    assert store.get(KEY)["text"] == "x" * 4000


@pytest.mark.parametrize("step", ["save_file", "write_text", "fsync", "rename", "mkdir"])
def test_a_full_disk_at_any_step_is_told_and_leaves_nothing(store, monkeypatch, step):
    owner = {"save_file": module, "fsync": module.os}.get(step, Path)
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, lambda *a, **k: (_ for _ in ()).throw(full))
        try:
            store.put(KEY, BODY, some_tensors())
        except OSError as error:
            told = error
    assert files(store.root) == [] and store.get(KEY) is None and told is full
    store.put(KEY, BODY, some_tensors())
    assert store.get(KEY) is not None


def test_why_a_rename_failed_is_told(store, monkeypatch):
    def rename(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="No space left"):
        store.put(KEY, BODY)


FULL = """
    import sys, torch
    from redraw.workbook import Store
    store, written, refused = Store(sys.argv[1]), [], 0
    for n in range(100):
        try:
            store.put(f"{n:064x}", {"value": {"n": n}, "seconds": 0.0}, {"t": torch.full((3000,), float(n))})
            written.append(n)
        except Exception:
            refused += 1
    kept = sorted(int(f.name, 16) for f in store.root.glob("??/*"))
    whole = [n for n in kept if store.get(f"{n:064x}").tensors["t"][-1] == n]
    left = list((store.root / "tmp").iterdir())
    print(refused > 0, written == kept == whole, len(written) > 20, left, store.damaged)
"""


def test_a_disk_that_is_really_full(tmp_path):
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}"
    enter = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*enter, mount], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    script = tmp_path.parent / "full.py"
    script.write_text(textwrap.dedent(FULL))
    ran = subprocess.run(
        [*enter, f"{mount} && exec {sys.executable} {script} {tmp_path}/trials"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "True True True [] set()", ran.stderr


def test_the_record_can_be_read_without_this_library(store):
    store.put(KEY, BODY, some_tensors())
    record = json.loads((store.folder(KEY) / "record.json").read_text())
    assert record["body"]["value"] == BODY["value"] and len(record["sha256"]) == 64
