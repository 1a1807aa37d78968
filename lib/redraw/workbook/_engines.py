"""Who computes the trials: processes here, a Dask cluster, or jobs that SLURM runs. Checked before anything starts.

Nothing heavy is imported here: an engine's library loads when the first trial has to be computed.
"""

import importlib.util
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redraw.workbook._card import ParameterError

ENGINES = ("processes", "serial", "dask", "slurm")
SCHEMES = ("tcp", "tls", "ws", "wss")
CLUSTERS = ("slurm", "local", "debug")
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class SlurmOptions:
    """What SLURM is asked for per job, and how trials are spread over jobs.

    partition, account, qos, constraint: as sbatch takes them. time: minutes a job may run; a longer trial that keeps
    a checkpoint goes on in the same job, requeued. mem: gigabytes. gpus, cpus: per job. array: jobs at the same time.
    per_job: trials, or groups of those that run together, that a job computes one after another. timeouts: how often a
    job may run into its time limit.
    cluster: slurm, or the same jobs on this machine: local (processes) or debug (here).
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int = 60
    mem: float = 4.0
    gpus: int = 0
    cpus: int = 1
    array: int = 100
    per_job: int = 1
    timeouts: int = 20
    cluster: str = "slurm"


class Computing(NamedTuple):
    """What computes a run's trials.

    engine: as `run_trials` takes it, None where it needs none. jobs: local processes that were asked for, or None.
    has_cuda: tells whether trials are computed where there are CUDA devices; it may ask a cluster.
    """

    engine: Callable[..., Any] | None
    jobs: int | None
    has_cuda: Callable[[], bool]


def engine_of(
    name: str,
    jobs: int | None,
    slurm: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Computing:
    """What the command line asks for; nothing is started.

    name: processes, serial, dask (a cluster of this machine), dask:ADDRESS or slurm. jobs: asked for, or None.
    slurm: KEY=VALUE, the fields of `SlurmOptions`.
    Raises ParameterError, naming the option and what is allowed.
    """
    kind, colon, address = name.partition(":")
    if kind not in ENGINES or bool(colon) and (kind != "dask" or not address):
        raise ParameterError(f"engine: must be processes, serial, dask, dask:ADDRESS or slurm, got {name!r}")
    if slurm and kind != "slurm":
        raise ParameterError("slurm: must be given with --engine slurm, and only then")
    if jobs is not None and (address or kind == "slurm"):
        raise ParameterError(f"jobs: counts processes of this machine, so it cannot be given with --engine {name}")
    if kind == "serial":
        if jobs not in (None, 1):
            raise ParameterError(f"jobs: must be 1 with --engine serial, got {jobs}")
        return Computing(None, 1, _cuda_here)
    if kind == "dask":
        _installed("distributed", "dask")
        where = _answering(address) if address else None

        def dask(*asked):
            from redraw.workbook._dask import dask_engine

            return dask_engine(where, *asked, say=say)

        def all_have_cuda():
            from redraw.workbook._dask import all_have_cuda

            return all_have_cuda(where)

        return Computing(dask, jobs, all_have_cuda if where else _cuda_here)
    if kind == "slurm":
        options = slurm_options(slurm, installed=True)
        if options.cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            where = "run this on a login node of the cluster, or try it here with --slurm cluster=local"
            raise ParameterError(f"engine: slurm needs sbatch and srun, which are not on this machine: {where}")

        def submitted(*asked):
            from redraw.workbook._slurm import slurm_engine

            return slurm_engine(options, *asked, say=say)

        return Computing(submitted, jobs, lambda: options.gpus > 0)
    return Computing(None, jobs, _cuda_here)


def _cuda_here() -> bool:
    import torch

    return torch.cuda.is_available()


def slurm_options(given: Sequence[str], *, installed: bool = False) -> SlurmOptions:
    """The options of KEY=VALUE texts. Raises ParameterError for a key or a value that is none, or without submitit
    where it has to be `installed`."""
    found: dict[str, Any] = {}
    kinds: Mapping[str, Any] = {name: field.type for name, field in SlurmOptions.__dataclass_fields__.items()}
    for text in given:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value or key not in kinds:
            raise ParameterError(f"slurm: must be KEY=VALUE with a key of {', '.join(kinds)}, got {text!r}")
        if key in found:
            raise ParameterError(f"slurm {key}: must be given once")
        found[key] = _value(key, value, kinds[key])
    if installed:
        _installed("submitit", "slurm")
    return SlurmOptions(**found)


def _value(key: str, text: str, kind: Any) -> Any:
    if key == "cluster" and text not in CLUSTERS:
        raise ParameterError(f"slurm cluster: must be one of {', '.join(CLUSTERS)}, got {text!r}")
    if kind not in (int, float):
        return text
    least = 0 if key in ("gpus", "timeouts") else 1 if kind is int else 0.1
    what = f"{'an integer' if kind is int else 'a number'} from {least}"
    what += {"time": " (minutes) or H:MM:SS", "mem": " (gigabytes)"}.get(key, "")
    try:
        number = _minutes(text) if key == "time" and ":" in text else kind(text.removesuffix("G"))
    except ValueError:
        number = least - 1
    if not least <= number < 1e6:
        raise ParameterError(f"slurm {key}: must be {what}, got {text!r}")
    return number


def _minutes(text: str) -> int:
    """Whole minutes, rounded up, of [days-]hours:minutes:seconds."""
    days, _, clock = text.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)


def _installed(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ParameterError(f"engine: {extra} needs the package {module}: pip install 'redraw[{extra}]'")


def _answering(address: str) -> str:
    """A scheduler's address in full. Raises ParameterError when it is none or nobody answers there."""
    full = address if "://" in address else f"tcp://{address}"
    try:
        parts = urlsplit(full)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in SCHEMES:
        allowed = f"must be dask:HOST:PORT or dask:SCHEME://HOST:PORT with a scheme of {', '.join(SCHEMES)}"
        raise ParameterError(f"engine: {allowed}, got {address!r}")
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise ParameterError(f"engine: no Dask scheduler answers at {full} ({error.strerror or error})") from None
    return full
