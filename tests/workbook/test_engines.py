"""The choice of an engine: what is refused, and that every engine publishes the same version."""

import json
import re
import sys

import pytest

from redraw.workbook import ParameterError, Store, find_project, run_study
from redraw.workbook import _engines as module
from redraw.workbook._engines import engine_of, slurm_options


@pytest.mark.parametrize(
    ("engine", "more", "says"),
    [
        ("ray", [], "engine: must be processes, serial, dask, dask:ADDRESS or slurm, got 'ray'"),
        ("", [], "engine: must be processes, serial, dask, dask:ADDRESS or slurm, got ''"),
        ("dask:", [], "engine: must be processes, serial, dask, dask:ADDRESS or slurm, got 'dask:'"),
        ("serial:1", [], "engine: must be processes, serial, dask, dask:ADDRESS or slurm, got 'serial:1'"),
        ("dask:here", [], "engine: must be dask:HOST:PORT or dask:SCHEME://HOST:PORT with a scheme of tcp, tls, ws"),
        ("dask:tcp://h:port", [], "engine: must be dask:HOST:PORT or "),
        ("dask:127.0.0.1:1", [], "engine: no Dask scheduler answers at tcp://127.0.0.1:1 (Connection refused)"),
        ("dask:127.0.0.1:1", ["--jobs", "2"], "jobs: counts processes of this machine, so it cannot be given with"),
        ("slurm", ["--jobs", "2"], "jobs: counts processes of this machine, so it cannot be given with --engine slurm"),
        ("serial", ["--jobs", "2"], "jobs: must be 1 with --engine serial, got 2"),
        ("processes", ["--slurm", "time=1"], "slurm: must be given with --engine slurm, and only then"),
        ("slurm", ["--slurm", "tim=1"], "slurm: must be KEY=VALUE with a key of partition, account, qos, constraint"),
        ("slurm", ["--slurm", "cluster=local", "--slurm", "cluster=local"], "slurm cluster: must be given once"),
        ("dask", ["--script"], "script: must be given with --engine slurm and one study"),
        ("ray", ["--dry-run"], "engine: must be processes, serial, dask, dask:ADDRESS or slurm, got 'ray'"),
        ("dask:127.0.0.1:1", ["--dry-run"], "engine: no Dask scheduler answers at tcp://127.0.0.1:1"),
        ("serial", ["--jobs", "2", "--dry-run"], "jobs: must be 1 with --engine serial, got 2"),
        ("processes", ["--slurm", "time=1", "--dry-run"], "slurm: must be given with --engine slurm, and only then"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_starts(checkout, engine, more, says):
    before = checkout.files()
    ran = checkout.redraw("run", "tiny", "--engine", engine, *more)
    assert ran.code == 2 and ran.line.startswith(f"redraw: {says}")
    assert checkout.files() == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("time=0", "slurm time: must be an integer from 1 (minutes) or H:MM:SS, got '0'"),
        ("time=1:30", "slurm time: must be an integer from 1 (minutes) or H:MM:SS, got '1:30'"),
        ("mem=much", "slurm mem: must be a number from 0.1 (gigabytes), got 'much'"),
        ("gpus=-1", "slurm gpus: must be an integer from 0, got '-1'"),
        ("per_job=1.5", "slurm per_job: must be an integer from 1, got '1.5'"),
        ("cluster=aws", "slurm cluster: must be one of slurm, local, debug, got 'aws'"),
        ("partition=", "slurm: must be KEY=VALUE with a key of"),
    ],
)
def test_a_wrong_option_of_slurm_is_named(given, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        slurm_options([given])


@pytest.mark.parametrize(("engine", "package"), [("dask", "distributed"), ("slurm", "submitit")])
def test_without_its_library_an_engine_says_what_to_install(monkeypatch, engine, package):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError) as caught:
        engine_of(engine, None)
    assert str(caught.value) == f"engine: {engine} needs the package {package}: pip install 'redraw[{engine}]'"


def test_slurm_is_asked_for_where_it_is(monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ParameterError, match="^engine: slurm needs sbatch and srun, which are not on this machine"):
        engine_of("slurm", None)


def test_an_engine_is_loaded_when_it_is_needed_and_started_when_it_is_opened(monkeypatch):
    assert engine_of("processes", None)[:2] == (None, None) and engine_of("processes", 3)[:2] == (None, 3)
    assert engine_of("serial", None)[:2] == (None, 1)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: True)
    for name in ("redraw.workbook._dask", "redraw.workbook._slurm"):  # importing one of them would fail
        monkeypatch.setitem(sys.modules, name, None)
    assert callable(engine_of("dask", 2).engine) and callable(engine_of("slurm", None, ["cluster=debug"]).engine)


def results(checkout):
    """results.json without its times."""
    found = json.loads((checkout.version() / "results.json").read_text())
    return json.dumps({name: part for name, part in found.items() if name not in ("started", "seconds")})


ENGINES = {
    "processes": ["--jobs", "2"],
    "serial": [],
    "dask": ["--jobs", "1"],
    "slurm": ["--slurm", "cluster=debug", "--slurm", "per_job=2"],
}


@pytest.mark.long
def test_results_are_the_same_bit_for_bit_whichever_engine_ran(make_checkout, tmp_path):
    pytest.importorskip("distributed"), pytest.importorskip("submitit")
    found = {}
    for engine, more in ENGINES.items():
        (tmp_path / engine).mkdir()
        checkout = make_checkout(tmp_path / engine)
        ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--engine", engine, *more)
        assert ran.code == 0, ran.err
        found[engine] = results(checkout), checkout.version().name
    assert len(found) == 4 and len(set(found.values())) == 1


def test_results_of_slurm_are_those_of_processes_bit_for_bit(make_checkout, tmp_path, enter, unexecuted):
    """The sample of the above that needs no process of its own; the notebook is not executed."""
    pytest.importorskip("submitit")

    found = []
    for name, given in (("serial", []), ("slurm", ["cluster=debug", "per_job=2"])):
        (tmp_path / name).mkdir()
        checkout = make_checkout(tmp_path / name)
        enter(checkout)
        engine, jobs, _ = engine_of(name, None, given)
        options = {"preset": "smoke", "store": Store(tmp_path / name / "trials"), "execute": unexecuted}
        run_study(find_project(checkout.root), "tiny", engine=engine, jobs=jobs, **options)
        found.append((results(checkout), checkout.version().name))
    assert found[0] == found[1]
