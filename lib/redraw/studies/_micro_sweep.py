"""A sweep of our own for the Step Law study: tiny transformers on text over N x D x learning rate x batch x floor."""

import sys
from itertools import product
from math import isfinite
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from redraw import data
from redraw.models import count_parameters, initialize_transformer, transformer
from redraw.schedules import cosine, floored, warmup
from redraw.seeds import generator
from redraw.workbook import Trial, run_trials, trial_table

# The sweep: every combination with seed 0, and the best of every cell with more seeds.
GRID = {
    "width": (24, 40, 64),  # N = 13,944, 38,600 and 98,624
    "tokens": (2**16, 2**17, 2**18),  # characters
    "batch": (64, 128, 256, 512),  # characters
    "lr": tuple(2.0**k for k in range(-9, -3)),
    "floor": ("fixed", "tenth"),
}
TEXT = "world_english_bible"
BEST, MORE_SEEDS = 2, (1, 2, 3)
COLUMNS = ("width", "N", "D", "lr", "batch", "floor", "seed", "loss", "smooth", "steps", "diverged")

CONTEXT = 32
LAYERS, HEADS = 2, 2
WARMUP = 0.1  # of the steps
FLOORS = {"fixed": 1e-5, "tenth": None}  # the last learning rate; None: a tenth of the peak
HELD_OUT = 1024  # windows of CONTEXT characters


def micro_run(
    *,
    seed: int,
    width: int,
    tokens: int,
    lr: float,
    batch: int,
    floor: str,
    dataset: str,
) -> dict:
    """Train one transformer of `width` on `tokens` characters of a text, `batch` of them a step.

    As Step Law does: AdamW with beta 0.9 and 0.95, weight decay 0.1 on matrices, gradients clipped to norm 1; the
    learning rate rises over a tenth of the steps to `lr` and falls as a cosine to 1e-5 (floor "fixed") or to a tenth of
    `lr` ("tenth"). Windows of 32 characters are drawn with replacement; `seed` decides them and the initial weights.

    N: parameters without vocabulary. steps: taken, fewer when it diverged. loss: nats a character on 1,024 windows
    spread evenly over the held-out tenth. smooth: mean training loss over the last tenth of the steps. diverged: a
    loss was not finite, and there is no `loss`, or the last one is no better than guessing among the text's symbols.
    Raises ValueError for tokens that are not whole steps or a floor that is neither.
    """
    if floor not in FLOORS:
        raise ValueError(f"floor: must be one of {', '.join(FLOORS)}, got {floor!r}")
    if batch % CONTEXT or tokens % batch:
        raise ValueError(f"batch: must be a multiple of {CONTEXT} that divides {tokens} tokens, got {batch}")
    text = data.text(dataset)
    model = transformer(len(text.symbols), width=width, layers=LAYERS, heads=HEADS, context=CONTEXT)
    initialize_transformer(model, generator(seed, "weights"))
    rates = learning_rates(lr, tokens // batch, floor)
    losses = _train(model, text.train, batch // CONTEXT, rates, generator(seed, "windows"))
    record = {"N": count_parameters(model), "steps": len(losses), "loss": None, "smooth": None, "diverged": True}
    if not isfinite(losses[-1]):
        return record
    loss = held_out_loss(model, text.validation)
    smooth = float(np.mean(losses[-max(len(losses) // 10, 1) :]))
    if not (isfinite(loss) and isfinite(smooth)):
        return record
    return record | {"loss": loss, "smooth": smooth, "diverged": loss >= float(np.log(len(text.symbols)))}


def learning_rates(lr: float, steps: int, floor: str) -> np.ndarray:
    """The rate of each step (steps,): at progress k / steps for step k of 1..steps, so that the last is the floor."""
    final = 0.1 if FLOORS[floor] is None else FLOORS[floor] / lr
    return lr * warmup(floored(cosine, final), WARMUP)(np.arange(1, steps + 1) / steps)


def _train(model, text: Tensor, rows: int, rates: np.ndarray, draws: torch.Generator) -> list[float]:
    """Train in place; the loss of each step (nats a character), up to the first that is not finite."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    gains = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)
    offsets, losses = torch.arange(CONTEXT + 1), []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        starts = torch.randint(len(text) - CONTEXT, (rows, 1), generator=draws)
        windows = text[starts + offsets]
        loss = _loss(model, windows)
        losses.append(loss.item())
        if not isfinite(losses[-1]):
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return losses


def _loss(model, windows: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of every next character in windows (B, CONTEXT + 1)."""
    return F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model, text: Tensor) -> float:
    """Mean loss (nats a character) on `HELD_OUT` windows spread evenly over `text` (m,), the same for every model."""
    starts = torch.linspace(0, len(text) - CONTEXT - 1, HELD_OUT).long()
    windows = text[starts[:, None] + torch.arange(CONTEXT + 1)]
    return float(np.mean([_loss(model, part).item() for part in windows.split(64)]))


# The whole sweep, and its table -------------------------------------------------------------------------------


def micro_trial(seed: int = 0, dataset: str = TEXT, **settings) -> Trial:
    """The trial of one run; settings as in `micro_run`."""
    settings["dataset"] = dataset
    return Trial("redraw.studies._micro_sweep:micro_run", settings, seed)  # __name__ may be __main__


def grid(dataset: str = TEXT) -> list[Trial]:
    """Every combination of `GRID` with seed 0, short runs of small models first."""
    order = ("tokens", "width", "floor", "batch", "lr")
    points = product(*(GRID[name] for name in order))
    return [micro_trial(0, dataset, **dict(zip(order, point, strict=True))) for point in points]


def more_seeds(table: pd.DataFrame, dataset: str = TEXT) -> list[Trial]:
    """The `BEST` runs of seed 0 in every cell (N, D, floor) of a table of runs again, with `MORE_SEEDS`."""
    base = table[(table["seed"] == 0) & table["loss"].notna()]
    best = base.sort_values("loss").groupby(["D", "width", "floor"]).head(BEST)
    best = best.sort_values(["D", "width", "floor", "batch", "lr"])
    return [row_trial(row, seed, dataset) for seed in MORE_SEEDS for row in best.itertuples()]


def row_trial(row, seed: int | None = None, dataset: str = TEXT) -> Trial:
    """The trial that makes a row of the table (a named tuple), with its own seed or another."""
    settings = {"width": row.width, "tokens": row.D, "lr": row.lr, "batch": row.batch, "floor": row.floor}
    return micro_trial(row.seed if seed is None else seed, dataset, **settings)


def micro_table(trials: list[Trial], results: list) -> pd.DataFrame:
    """A row per run: width, N, D, lr, batch, floor, seed, loss, smooth, steps, diverged; see `HEADER`."""
    return trial_table(trials, results).rename(columns={"tokens": "D"})[list(COLUMNS)]


def main(path: str, dataset: str = TEXT) -> None:
    """Train the whole sweep, or what of it is not stored, and write its table: most of an hour on one core.

    dataset: the text; the path of a .txt file of the reader's makes a sweep for `redraw fit --kind sweep`.
    """

    def tell(progress) -> None:
        left = "" if progress.seconds is None else f", {progress.seconds / 60:.0f} min left"
        print(f"{progress.done} of {progress.total} runs{left}", file=sys.stderr, flush=True)

    trials = grid(dataset)
    table = micro_table(trials, run_trials(trials, on_progress=tell))
    again = more_seeds(table, dataset)
    table = pd.concat([table, micro_table(again, run_trials(again, on_progress=tell))], ignore_index=True)
    Path(path).write_text(HEADER.format(text=dataset) + table.to_csv(index=False))


HEADER = """# Small transformers on the text {text}, a token a character (redraw/studies/_micro_sweep.py).
# Made by: python -m redraw.studies._micro_sweep FILE.csv [TEXT]   (torch 2.13.0, x86-64, one thread a run)
# N: parameters without vocabulary. D, batch: characters. lr: its peak. floor: the last lr, 1e-5 or a tenth of the peak.
# loss: held-out, smooth: training; nats a character, empty where it diverged.
# Every setting has seed 0; the best of each N, D and floor by it have more seeds.
"""


if __name__ == "__main__":
    main(*sys.argv[1:])
