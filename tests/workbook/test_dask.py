"""Trials on a Dask cluster whose scheduler and workers are processes of their own: the good days and the bad."""

import os
import re
import shutil
import signal
import sys
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed")
sys.path.insert(0, str(Path(__file__).parent))

from distributed import Client
from engine_tools import LIB, Cluster, diamond, kept, trial, until, walks_in_rounds

from redraw.workbook import ParameterError, Store, TrialError, run_trials
from redraw.workbook import _dask as module
from redraw.workbook._admission import ticket
from redraw.workbook._batched import batched
from redraw.workbook._engines import engine_of
from redraw.workbook._trials import _keep


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and three workers, two of them under a nanny that starts them again."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.worker()
    made.worker()
    made.worker("--no-nanny")
    yield made
    made.close()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def on(cluster, store, trials, said=None):
    engine = engine_of(f"dask:{cluster.address}", None, say=(said if said is not None else []).append).engine
    return run_trials(trials, store=store, engine=engine)


def in_background(*arguments):
    """A run in a thread: (the thread, where its results or its error will be)."""
    found = {}

    def run():
        try:
            found["results"] = on(*arguments)
        except Exception as error:
            found["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


def pids(folder):
    return [int(path.name.split("-")[1]) for path in folder.iterdir() if path.name.count("-") == 2]


def test_the_records_are_those_of_a_run_here_bit_for_bit(cluster, store, tmp_path):
    trials, said = [*map(diamond, range(3)), trial("on_digits", dataset="digits")], []
    results = on(cluster, store, trials, said)
    here = Store(tmp_path / "here")
    run_trials(trials, store=here, jobs=1)
    assert kept(store) == kept(here) and len(kept(here)) == 10
    assert [result.key for result in results] == [one.key for one in trials]
    assert store.get(diamond(0).needs["left"].key)["threads"] == 1
    link = re.search(r"dashboard (http\S+)$", said[0])[1]
    with urllib.request.urlopen(link, timeout=20) as page:
        assert page.status == 200 and b"Dask" in page.read()
    assert not list((store.root / "tokens").iterdir())


def test_a_failure_is_one_line_and_what_finished_is_kept(cluster, store):
    good = trial("number", n=1)
    with pytest.raises(TrialError, match=r"^fails \(seed 0\): ValueError: lr: must be positive$") as caught:
        on(cluster, store, [good, trial("fails")])
    assert "in fails" in caught.value.details and caught.value.outcome == "failed"


def test_tensors_go_to_the_store_and_not_to_the_scheduler(cluster, store):
    scheduler = psutil.Process(cluster.scheduler.pid)
    before = scheduler.memory_info().rss
    results = on(cluster, store, [trial("large", seed, megabytes=16) for seed in range(12)])
    assert scheduler.memory_info().rss - before < 40 << 20  # of 192 MB
    assert [result.tensors["x"][0, 0].item() for result in results] == list(range(12))


def test_trials_that_run_together_are_divided_among_the_workers(cluster, store, tmp_path):
    there = len(set(workers(cluster)))
    trials = walks_in_rounds(2 * there)
    results = on(cluster, store, trials)
    here = Store(tmp_path / "here")
    run_trials(trials, store=here, jobs=1)
    assert kept(store) == kept(here) and len(kept(here)) == 4 * there
    assert {store.get(one.needs["before"].key).body["batched"]["members"] for one in trials} == {2}
    assert all(result.body["batched"]["device"] == "cpu" for result in results)


def test_a_group_that_fails_is_one_line(cluster, store):
    group = batched([trial("tiny", seed) for seed in range(9)], "cpu")
    with pytest.raises(TrialError, match=r"^tiny \(seed \d\)( and \d beside it)?: ValueError: lr: must be positive$"):
        on(cluster, store, group)


def test_what_a_killed_worker_ran_is_run_again_elsewhere_and_stored_once(cluster, store, tmp_path):
    folder = tmp_path / "ran"
    folder.mkdir()
    trials = [trial("waits", seed, folder=str(folder)) for seed in range(2)]
    thread, found = in_background(cluster, store, trials)
    until(lambda: len(pids(folder)) == 2)
    os.kill(pids(folder)[0], signal.SIGKILL)
    until(lambda: len(pids(folder)) == 3)
    (folder / "go").touch()
    thread.join(60)
    assert [result["done"] for result in found["results"]] == [0, 1]
    assert len(list(store.root.glob("??/*"))) == 2 and not store.damaged


def test_a_group_whose_worker_is_killed_runs_elsewhere_less_what_is_stored(alone, store, tmp_path):
    folder = tmp_path / "ran"
    folder.mkdir()
    for _ in range(2):
        alone.worker("--no-nanny")
    group = batched([trial("waited_for", seed, folder=str(folder)) for seed in range(3)], "cpu")
    with ticket(group, store) as wanted, Client(alone.address, set_as_default=False) as client:
        done = client.submit(module.attempt, group, store, wanted, pure=False)
        (first,) = until(lambda: pids(folder))
        _keep(group[1], {"done": 1}, 0.0, 0.0, store)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(pids(folder)) == 2)
        (folder / "go").touch()
        assert done.result(timeout=60) is None
    assert {path.name.split("-")[0] for path in folder.iterdir()} == {"0+1+2", "0+2", "go"}
    assert [store.get(one.key)["done"] for one in group] == [0, 1, 2]
    assert store.get(group[0].key).body["batched"]["members"] == 2


def test_trials_of_a_device_go_where_there_is_one(alone, store):
    """The cluster is asked whether all its workers have one; one that has none refuses such trials."""
    has_cuda = engine_of(f"dask:{alone.address}", None).has_cuda
    assert not has_cuda()  # nobody is there
    alone.worker("--no-nanny")
    until(lambda: workers(alone))
    assert not has_cuda()
    for trials in (walks_in_rounds(1, "cuda"), [trial("tiny", device="cuda")]):
        with pytest.raises(TrialError, match=r"it has no CUDA device; finished trials are kept"):
            on(alone, store, trials)
    assert not kept(store)


def test_a_cluster_all_of_whose_workers_have_cuda(alone, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import torch\ntorch.cuda.is_available = lambda: True\n")
    alone.worker("--no-nanny", PYTHONPATH=os.pathsep.join([str(tmp_path), str(LIB), str(Path(__file__).parent)]))
    until(lambda: workers(alone))
    assert module.all_have_cuda(alone.address)
    alone.worker("--no-nanny")
    until(lambda: len(workers(alone)) == 2)
    assert not module.all_have_cuda(alone.address)


def test_a_worker_that_joins_late_takes_its_share(cluster, store, tmp_path):
    folder = tmp_path / "ran"
    folder.mkdir()
    trials = [trial("waits", seed, folder=str(folder)) for seed in range(len(workers(cluster)) + 2)]
    thread, found = in_background(cluster, store, trials)  # one too many even if a nanny is starting a worker again
    until(lambda: pids(folder))
    late = cluster.worker("--no-nanny")
    until(lambda: late.pid in pids(folder))
    (folder / "go").touch()
    thread.join(60)
    assert len(found["results"]) == len(trials)


def workers(cluster):
    with Client(cluster.address, set_as_default=False) as client:
        return list(client.scheduler_info()["workers"])


def test_a_trial_that_kills_its_worker_each_time_fails_the_run_with_one_line(tmp_path):
    """On a cluster of this machine's own, whose workers start again."""
    import dask

    engine = engine_of("dask", 1).engine
    store = Store(tmp_path / "trials")
    with pytest.raises(
        TrialError, match=r"^dies \(seed 0\): killed 2 workers \(out of memory\?\); finished "
    ) as caught:
        with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
            run_trials([trial("tiny"), trial("dies")], store=store, jobs=1, engine=engine)
    assert caught.value.outcome == "killed" and store.get(trial("tiny").key)


@pytest.fixture
def other(tmp_path):
    """A checkout whose random numbers are others."""
    shutil.copytree(LIB / "redraw", tmp_path / "lib" / "redraw", ignore=shutil.ignore_patterns("__pycache__"))
    seeds = tmp_path / "lib" / "redraw" / "seeds.py"
    seeds.write_text(
        seeds.read_text()
        .replace("def generator(", "ANOTHER = 1\n\n\ndef generator(")
        .replace("torch.Generator()", "torch.Generator() if ANOTHER else None")
    )
    assert "if ANOTHER" in seeds.read_text()
    return tmp_path / "lib"


@pytest.fixture
def alone(tmp_path):
    """A scheduler of a test's own."""
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.close()


def test_workers_that_differ_are_refused_before_they_compute(alone, other, store, tmp_path):
    """One by other code, one by its threads, one because it has no such package; a good one does it all."""
    here = str(Path(__file__).parent)
    alone.worker("--no-nanny", PYTHONPATH=os.pathsep.join([str(other), here]))
    alone.worker("--no-nanny", "--nthreads", "2")
    (tmp_path / "stranger" / "redraw").mkdir(parents=True)
    (tmp_path / "stranger" / "redraw" / "__init__.py").touch()
    alone.worker("--no-nanny", PYTHONPATH=str(tmp_path / "stranger"))
    alone.worker("--no-nanny")
    until(lambda: len(workers(alone)) == 4)
    said = []
    results = on(alone, store, [trial("number", seed, n=1) for seed in range(12)], said)
    assert len(results) == 12 and len(said) == 4
    assert sum("the code of engine_trials:number is another version" in line for line in said) == 1
    assert sum("it has 2 threads: start it with --nthreads 1" in line for line in said) == 1
    assert sum("it has no such redraw" in line for line in said) == 1
    assert all(re.match(r"worker tcp://127.0.0.1:\d+ is refused: ", line) for line in said[1:])


def test_a_worker_of_another_store_or_other_data_is_refused(store, tmp_path, monkeypatch):
    """As the worker finds it; without a cluster."""
    from redraw import data
    from redraw.workbook import _admission as admission

    monkeypatch.setattr(admission, "VISIBLE_SECONDS", 0)
    with admission.ticket([trial("on_digits", dataset="digits")], store) as wanted:
        assert admission.differences(wanted) == ()
        with monkeypatch.context() as patch:
            patch.setattr(data, "checksums", lambda name: {"generator": "0"})
            (line,) = admission.differences(wanted)
            assert line == "dataset digits has other checksums or another reader"
        with monkeypatch.context() as patch:
            patch.setattr(admission.data, "fetch", lambda names: (_ for _ in ()).throw(data.DataUnavailable("gone\n1")))
            assert admission.differences(wanted) == ("gone",)
        with monkeypatch.context() as patch:
            patch.setattr(admission, "numeric_stack", lambda: wanted.stack | {"torch": "1.0"})
            assert admission.differences(wanted) == (f"torch is 1.0, not {wanted.stack['torch']}",)
        with monkeypatch.context() as patch:
            patch.setattr(admission, "version", lambda name: "0.1")
            here = f"scikit-learn is 0.1, not {wanted.stack['scikit-learn']}"
            assert admission.differences(wanted) == (here,)
    (line,) = admission.differences(wanted)
    assert line == f"it does not see the run's store {store.root}"


def test_a_scheduler_that_is_lost_fails_the_run_with_the_truth_and_the_run_resumes(alone, store, tmp_path):
    folder = tmp_path / "ran"
    folder.mkdir()
    alone.worker("--no-nanny")
    quick, slow = trial("number", n=1), trial("waits", folder=str(folder))
    thread, found = in_background(alone, store, [quick, slow])
    until(lambda: pids(folder) or found)
    address = alone.address
    alone.scheduler.kill()
    thread.join(60)
    error = found["error"]
    assert str(error).startswith(f"the Dask scheduler at {address} was lost; finished trials are kept")
    assert error.outcome == "killed" and store.get(quick.key) and not store.get(slow.key)
    with pytest.raises(ParameterError, match=f"^engine: no Dask scheduler answers at {address} "):
        engine_of(f"dask:{address}", None)
    (folder / "go").touch()
    assert len(run_trials([quick, slow], store=store, jobs=1)) == 2


def test_a_cluster_without_workers_is_given_up(alone, store, monkeypatch):
    monkeypatch.setattr(module, "NO_WORKERS_SECONDS", 0.5)
    with pytest.raises(TrialError, match=r"^the Dask cluster has had no worker for 0.5 s; finished trials are kept"):
        on(alone, store, [trial("tiny")])


@pytest.mark.long
def test_when_all_workers_are_refused_the_run_fails_with_the_reason(alone, store):
    alone.worker("--no-nanny", "--nthreads", "2")
    until(lambda: workers(alone))
    with pytest.raises(
        TrialError, match=r"^no worker is left: worker tcp://127.0.0.1:\d+ is refused: it has 2 threads"
    ):
        on(alone, store, [trial("tiny")])
