"""Tables for the scaling tests: synthetic ones, and the released ones where REDRAW_DATA has them."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redraw.scaling import LossSurface, sweep_table, training_flops

TRUE = LossSurface(1.8, 480.0, 2000.0, 0.348, 0.366)


def _released(name: str) -> pd.DataFrame:
    for folder in os.environ.get("REDRAW_DATA", "").split(os.pathsep):
        for path in sorted(Path(folder).rglob(name)) if folder else []:
            return pd.read_csv(path)
    pytest.skip(f"{name} is not under REDRAW_DATA; it has no licence and is not part of the project")


@pytest.fixture(scope="session")
def released():
    """Function from a file name to the released table, skipping where it is absent."""
    return _released


@pytest.fixture(scope="session")
def chinchilla():
    """(N, D, loss) of the 240 points of the reanalysis: the 5 highest losses of the 245 extracted are dropped."""
    frame = _released("svg_extracted_data.csv").sort_values("loss").iloc[:240]
    N, C = frame["Model Size"].to_numpy(), frame["Training FLOP"].to_numpy()
    return N, C / (6 * N), frame["loss"].to_numpy()


@pytest.fixture(scope="session")
def true_surface():
    return TRUE


@pytest.fixture(scope="session")
def draw_runs():
    """Function from a seed to (N, D, loss) of 240 noisy runs of the true surface, spread as the real ones are."""

    def draw(seed: int, noise: float = 0.006, runs: int = 240):
        rng = np.random.default_rng(seed)
        N = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), runs))
        C = np.exp(rng.uniform(np.log(1e18), np.log(1e22), runs))
        D = C / training_flops(N, np.ones_like(N))
        return N, D, TRUE(N, D) * np.exp(noise * rng.standard_normal(runs))

    return draw


@pytest.fixture(scope="session")
def bowl_sweep():
    """Function to a sweep whose optimum follows lr = 2 N^-0.7 D^0.3, batch = 0.5 D^0.6 in an exact quadratic bowl."""

    def make(noise: float = 0.0, seed: int = 0, octave: float = 0.5) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        lrs = 2.0 ** np.arange(-14, -4, octave)
        batches = 2.0 ** np.arange(14, 24, octave)
        parts = []
        for N in (1e8, 3e8, 9e8):
            for D in (3e9, 1e10, 3e10, 1e11):
                lr, batch = (a.ravel() for a in np.meshgrid(lrs, batches))
                u = np.log(lr / (2 * N**-0.7 * D**0.3))
                v = np.log(batch / (0.5 * D**0.6))
                loss = TRUE(N, D) * np.exp(0.01 * u**2 + 0.008 * v**2 - 0.004 * u * v)
                loss = loss * np.exp(noise * rng.standard_normal(len(loss)))
                parts.append(pd.DataFrame({"N": N, "D": D, "lr": lr, "batch": batch, "loss": loss}))
        t = pd.concat(parts, ignore_index=True)
        cell = t["N"].map("{:.3g}".format) + "/" + t["D"].map("{:.3g}".format)
        return sweep_table(cell, t["N"], t["D"], t["lr"], t["batch"], t["loss"])

    return make
