"""Trial functions for tests of engines, in a module that workers elsewhere can import."""

import os
import signal
import time
import uuid
from pathlib import Path

import torch

from redraw.seeds import generator


def number(*, seed, n):
    """Values and a tensor that depend on the seed."""
    x = torch.randn(64, 64, generator=generator(seed, n))
    return {"n": n, "sum": (x @ x).sum().item(), "threads": torch.get_num_threads(), "tensors": {"x": x}}


def add(*, seed, left, right):
    return {"sum": left["sum"] + right["sum"], "tensors": {"both": left.tensors["x"] + right.tensors["x"]}}


def on_digits(*, seed, dataset):
    from redraw import data

    return {"examples": len(data.load(dataset, seed=seed).train_x)}


def waits(*, seed, folder):
    """Says in a file of its own where it runs, and goes on when there is a file `go`."""
    (Path(folder) / f"{seed}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return {"done": seed}


def dies(*, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(*, seed):
    raise ValueError("lr: must be positive\nand more")


def large(*, seed, megabytes):
    return {"tensors": {"x": torch.full((megabytes, 1 << 18), float(seed))}}


def tiny(*, seed):
    return {"seed": seed}


def sleeps(*, seed, seconds):
    time.sleep(seconds)
    return {"seed": seed}


def walks(*, seed, steps, folder, signals=(), checkpoint):
    """A random walk that keeps its middle: at step i it sends itself the signals {i: name}, each once."""
    g, start, x = generator(seed, "walk"), 0, torch.zeros(8, dtype=torch.float64)
    if kept := checkpoint.load():
        start, x = kept[0]["step"], kept[1]["x"]
        g.set_state(kept[1]["generator"])
    with open(Path(folder) / f"began-{seed}", "a") as file:
        file.write(f"{start}\n")
    for step in range(start, steps):
        x = x + torch.randn(8, dtype=torch.float64, generator=g)
        for at, name in signals:
            once = Path(folder) / f"{seed}-{at}"
            if at == step and not once.exists():
                once.touch()
                os.kill(os.getpid(), getattr(signal, name))
        if checkpoint.due:
            checkpoint.save({"step": step + 1}, {"x": x, "generator": g.get_state()})
    return {"end": x.tolist()}
