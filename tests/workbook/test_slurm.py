"""Trials as SLURM jobs: by submitit's local and debug executors, and by its SLURM one on commands that stand in."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytest.importorskip("submitit")
sys.path.insert(0, str(Path(__file__).parent))

import submitit
from engine_tools import HERE, diamond, environment, kept, trial, until, walks_in_rounds

from redraw.workbook import Store, TrialError, run_trials
from redraw.workbook import _slurm as module
from redraw.workbook._batched import MOST, device_of
from redraw.workbook._engines import SlurmOptions, engine_of, slurm_options

OFFERED = """

def uniform_means(calls, device):
    return [uniform_mean(**call) for call in calls]


BATCHED = {"uniform_mean": Batched(f"{__name__}:uniform_means")}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A SLURM that is none: the folder where its commands keep their files."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "slurm").mkdir()
    text = f"#!{sys.executable}\n" + (HERE / "fake_slurm.py").read_text()
    for name in ("sbatch", "srun", "sacct", "scancel", "scontrol"):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "slurm"))
    return tmp_path / "slurm"


def by_slurm(store, trials, *options, said=None):
    engine = engine_of("slurm", None, options, (said if said is not None else []).append).engine
    return run_trials(trials, store=store, jobs=2, engine=engine)


def walk(folder, seed=0, **more):
    return trial("walks", seed, steps=40, folder=str(folder), **more)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Where the walk of seed 0 ends when nothing interrupts it."""
    folder = tmp_path_factory.mktemp("straight")
    (result,) = run_trials([walk(folder)], store=Store(folder / "trials"), jobs=1)
    return result["end"]


def test_the_debug_executor_gives_the_records_of_a_run_here(store, tmp_path):
    """Needs before what needs them, two trials a job."""
    trials = [*map(diamond, range(2)), trial("on_digits", dataset="digits")]
    by_slurm(store, trials, "cluster=debug", "per_job=2")
    here = Store(tmp_path / "here")
    run_trials(trials, store=here, jobs=1)
    assert kept(store) == kept(here) and len(kept(here)) == 7
    assert not list((store.root / "jobs").iterdir())


def test_trials_that_run_together_are_divided_among_the_jobs(store, tmp_path):
    trials = walks_in_rounds(5)
    by_slurm(store, trials, "cluster=debug")
    here = Store(tmp_path / "here")
    run_trials(trials, store=here, jobs=1)
    assert kept(store) == kept(here) and len(kept(here)) == 10
    members = [store.get(one.needs["before"].key).body["batched"]["members"] for one in trials]
    assert members == [3, 3, 3, 2, 2]  # two jobs


def test_on_cuda_a_job_has_as_many_as_go_together_and_needs_a_device(store):
    options = ["cluster=debug", "gpus=1"]
    computing = engine_of("slurm", None, options)
    assert computing.has_cuda() and not engine_of("slurm", None, options[:1]).has_cuda()
    trials = walks_in_rounds(MOST + 1, device_of(None, computing.has_cuda))
    with pytest.raises(TrialError, match=r"^worker \S+ is refused: it has no CUDA device$"):
        by_slurm(store, trials, *options)
    assert not kept(store)


def test_a_preempted_job_saves_and_goes_on_to_the_same_end(store, tmp_path, straight):
    """submitit's local jobs: told to go in the middle of one of two trials; a warning alone ends nothing."""
    signals = [[11, "SIGTERM"], [23, "SIGUSR2"]]
    first, second = by_slurm(
        store, [trial("tiny"), walk(tmp_path, signals=signals)], "cluster=local", "per_job=2", "time=5"
    )
    assert first["seed"] == 0 and second["end"] == straight
    assert (tmp_path / "began-0").read_text() == "0\n24\n"
    assert not list((store.root / "checkpoints").iterdir())


def test_arrays_of_slurm_jobs_are_requeued_and_end_with_the_records_of_a_run_here(slurm, store, tmp_path, straight):
    signals, said = [[5, "SIGUSR2"]], []
    trials = [*map(diamond, range(2)), walk(tmp_path, signals=signals)]
    results = by_slurm(store, trials, "per_job=2", "time=10", "mem=2", "gpus=1", "partition=a,b", "array=7", said=said)
    assert results[2]["end"] == straight and (tmp_path / "began-0").read_text() == "0\n6\n"
    here = Store(tmp_path / "here")
    run_trials(trials[:2], store=here, jobs=1)
    assert {key: kept(store)[key] for key in kept(here)} == kept(here)
    scripts = [path.read_text() for path in sorted(slurm.glob("*.sh"))]
    # five trials in an array of three jobs, then the two that needed some of them: one job, or two if a poll parts them
    assert len(scripts) in (2, 3)
    for line in ("partition=a,b", "mem=2048MB", "time=10", "gpus-per-node=1", "requeue", "array=0-2%3"):
        assert f"#SBATCH --{line}\n" in scripts[0]
    assert not [script for script in scripts[1:] if "--array" in script]
    options = SlurmOptions(partition="a,b", time=10, mem=2, gpus=1, per_job=2, array=7)
    printed = module.script(options, store, 5)
    run = Path(re.search(r"from (\S+),", said[0])[1]).name
    assert printed.replace("/RUN/", f"/{run}/").split() == scripts[0].split()


def test_a_job_that_ends_without_a_result_fails_the_run_and_its_logs_are_kept(store):
    good, bad = trial("tiny"), trial("dies")
    with pytest.raises(TrialError, match=r"^dies \(seed 0\): job \d+ ended \(\w+\): it left no result; ") as caught:
        by_slurm(store, [good, bad], "cluster=local")
    assert caught.value.outcome == "killed"
    logs = Path(re.search(r"logs are in (\S+)$", str(caught.value))[1])
    assert logs.parent == store.root / "jobs" and list(logs.rglob("*_log.err"))


def test_a_failing_trial_is_one_line_and_what_runs_is_cancelled(slurm, store, tmp_path):
    slow = trial("waits", folder=str(tmp_path / "ran"))
    (tmp_path / "ran").mkdir()
    with pytest.raises(TrialError, match=r"^fails \(seed 0\): ValueError: lr: must be positive$"):
        by_slurm(store, [slow, trial("fails", needs={})])
    pids = [int(path.read_text()) for path in slurm.glob("*.pid")]
    until(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids))


def test_what_sbatch_refuses_is_told(slurm, store, tmp_path):
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition >&2; exit 1\n")
    with pytest.raises(TrialError, match=r"SLURM took no job: .*invalid partition"):
        by_slurm(store, [trial("tiny")])


def test_a_job_by_other_code_is_refused(store, monkeypatch):
    from redraw.workbook import _admission as admission

    class Other(admission.Ticket):
        pass

    attempts = module.Attempts([trial("tiny")], store, None)
    with admission.ticket([trial("tiny")], store) as wanted:
        attempts.wanted = admission.Ticket(**{**vars(wanted), "code": {**wanted.code, "engine_trials:tiny": "0" * 64}})
        ((line, details),) = attempts()
    assert re.match(r"worker \S+ is refused: the code of engine_trials:tiny is another version$", line)
    assert store.get(trial("tiny").key) is None and details == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], SlurmOptions()),
        (["time=90", "mem=1.5", "gpus=2"], SlurmOptions(time=90, mem=1.5, gpus=2)),
        (["time=1-02:00:30", "mem=8G", "account=a=b"], SlurmOptions(time=1561, mem=8, account="a=b")),
    ],
)
def test_options(given, expected):
    assert slurm_options(given) == expected


def test_the_script_is_printed_for_what_is_missing(checkout):
    ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--engine", "slurm", "--script", "--slurm", "time=7")
    assert ran.code == 0 and ran.out.startswith("#!/bin/bash\n") and "#SBATCH --time=7\n" in ran.out
    assert ran.line == "redraw: tiny: 3 trials to compute, 1 a job, 100 jobs at a time"
    assert subprocess.run(["bash", "-n"], input=ran.out, text=True).returncode == 0
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    study.write_text(study.read_text().replace("import Samples, Trial", "import Batched, Samples, Trial") + OFFERED)
    more = ["--slurm", "gpus=1"], ["--slurm", "array=2", "--batch-seeds"], ["--slurm", "gpus=1", "--no-batch-seeds"]
    for given, says in zip(more, (" in 1 groups", " in 2 groups", ""), strict=True):
        ran = checkout.redraw("run", "tiny", "--preset", "smoke", "--engine", "slurm", "--script", *given)
        assert ran.line.startswith(f"redraw: tiny: 3 trials to compute{says}, 1 a job, ")
        assert ("--array" in ran.out) == (says != " in 1 groups")
    assert not checkout.reports.joinpath("tiny").exists()
