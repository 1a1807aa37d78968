"""Every kind of figure from fixed data: a function per kind, which draws on the axes it is given."""

import numpy as np
import pandas as pd

from redraw import plotting

RANDOM = np.random.default_rng(0)
SEEDS = pd.DataFrame(
    [
        {
            "remaining": 100 * 0.8**round,
            "accuracy": 97 + lift * (round < 9) - 0.02 * (round - 5) ** 2 + noise,
            "arm": arm,
        }
        for arm, lift in (("ticket", 0.8), ("reinitialized", 0.1))
        for round in range(0, 16, 3)
        for noise in (-0.1, 0.02, 0.13)
    ]
)


def curves(ax):
    plotting.curves(ax, SEEDS, "remaining", "accuracy", by="arm")
    plotting.remaining_axis(ax, SEEDS["remaining"])
    paper = pd.DataFrame({"remaining": [51.3, 21.1], "accuracy": [97.6, 97.2], "arm": ["ticket", "reinitialized"]})
    plotting.paper_points(ax, paper, "remaining", "accuracy", by="arm")
    ax.set(title="Curves with intervals, the paper's points", ylabel="test accuracy (%)")


def broaden(ax):
    step = np.arange(10)
    frame = pd.DataFrame({"step": step, "Q": 1 - np.exp(-step / 3)})
    plotting.curves(ax, pd.concat([frame.assign(way=way) for way in ("one", "other")]), "step", "Q", by="way")
    plotting.broaden(ax, "one")
    ax.set(title="Two curves in one place", ylabel="Q")


def forest(ax):
    frame = pd.DataFrame(
        {
            "label": ["printed", "refitted", "ours", "exact"],
            "estimate": [0.46, 0.51, 0.52, 0.5],
            "low": [0.45, 0.47, 0.48, np.nan],
            "high": [0.47, 0.55, 0.56, np.nan],
            "who": ["paper", "reanalysis", "ours", "ours"],
        }
    )
    plotting.forest(ax, frame, by="who")
    ax.set(title="Estimates with intervals", xlabel="exponent a")


def against_limits(ax):
    frame = pd.DataFrame(
        {
            "label": ["steps", "runs", "memory"],
            "median": [0.4, 0.95, 1.1],
            "low": [0.35, 0.9, 1.05],
            "high": [0.5, 1.02, 1.2],
            "held": [True, True, False],
        }
    )
    plotting.against_limits(ax, frame)


def bands(ax):
    grid = np.linspace(18, 24, 7)
    parts = [
        pd.DataFrame(
            {"compute": grid, "middle": a * grid, "low": a * grid - width, "high": a * grid + width, "law": law}
        )
        for law, a, width in (("first", 0.5, 0.6), ("second", 0.46, 0.0))
    ]
    plotting.bands(ax, pd.concat(parts), "compute", by="law")
    ax.set(title="Laws with bands", xlabel="compute (log10 FLOP)", ylabel="parameters (log10)")


def profiles(ax):
    grid = np.linspace(-1, 1, 21)
    frame = pd.DataFrame({"parameter": "alpha", "value": 0.34 + 0.1 * grid, "ratio": 6 * grid**2})
    plotting.profiles([ax], frame.assign(estimate=0.34, low=0.26, high=0.42, limit=3.84))
    ax.set_title("Profile likelihood")


def heat_map(ax):
    cells = [(x, y, 0.1 * (x**2 + y**2 + 0.5 * x * y)) for x in range(-4, 5) for y in range(-3, 4) if (x, y) != (4, 3)]
    frame = pd.DataFrame(cells, columns=["rate", "batch", "excess"])
    plotting.heat_map(ax, frame, "rate", "batch", "excess", plateau=0.25, label="excess loss (%)")
    ax.set(title="A bowl and its plateau", xlabel="learning rate (octaves)", ylabel="batch (octaves)")


def picture_wall(ax):
    x, y = np.meshgrid(np.arange(12), np.arange(12))
    pictures = [[np.sin((k + 1) * (x + r * y) / 6) for k in range(6)] for r in range(3)]
    plotting.picture_wall(ax, pictures, ["easy", "medium", "hard"])
    ax.set_title("Pictures in rows")


def marked_histogram(ax):
    edges = np.arange(0, 1.4, 0.1)
    parts = [
        pd.DataFrame({"score": edges, "width": 0.1, "count": (1000 * np.exp(-((edges - at) ** 2) / 0.1)).astype(int)})
        for at in (0.2, 0.9)
    ]
    frame = pd.concat([part.assign(what=what) for part, what in zip(parts, ("clean", "mislabelled"), strict=True)])
    plotting.marked_histogram(ax, frame, "score", by="what")
    ax.set(title="Shares of groups", xlabel="EL2N score", ylabel="share (%)")


def critical_difference(ax):
    names = ["rex", "linear", "cosine", "step", "constant", "exponential", "one cycle"]
    frame = pd.DataFrame({"schedule": names, "rank": [2.1, 2.6, 3.3, 4.9, 5.0, 5.6, 4.5]})
    plotting.critical_difference(ax, frame, 1.4, [(2.1, 3.3), (4.5, 5.6)])
    ax.set_title("Average ranks")


def lines(ax):
    steps = np.arange(11)
    parts = [
        pd.DataFrame({"step": steps, "rate": shape(steps / 10), "schedule": name})
        for name, shape in (
            ("linear", lambda t: 1 - t),
            ("cosine", lambda t: (1 + np.cos(np.pi * t)) / 2),
            ("step", lambda t: np.where(t < 0.5, 1, 0.1)),
        )
    ]
    plotting.lines(ax, pd.concat(parts), "step", "rate", by="schedule")
    plotting.legend_below(ax)
    ax.set(title="Lines by colour and dash", xlabel="progress (%)", ylabel="learning rate")


def log_ticks(ax):
    frame = pd.DataFrame({"budget": [1, 5, 10, 25, 50, 100] * 2, "rank": [3, 2, 2, 3, 3, 2, 1, 3, 4, 2, 1, 1]})
    plotting.lines(ax, frame.assign(by=["a"] * 6 + ["b"] * 6), "budget", "rank", by="by", markers=True)
    plotting.log_ticks(ax.xaxis, [1, 5, 10, 25, 50, 100])
    ax.set(title="A logarithmic axis with plain ticks", xlabel="budget (%)", ylabel="rank")


def lineage(ax):
    losses = {
        (1, 0): 2.0,
        (1, 1): 1.8,
        (1, 2): 2.3,
        (2, 0): 1.6,
        (2, 1): 1.3,
        (2, 2): 1.5,
        (3, 0): 1.1,
        (3, 1): 1.2,
        (3, 2): 0.9,
    }
    source = {(2, 0): 0, (2, 1): 1, (2, 2): 1, (3, 0): 0, (3, 1): 1, (3, 2): 2}
    frame = pd.DataFrame(
        {
            "member": [member for _, member in losses],
            "step": [100 * stop for stop, _ in losses],
            "rate": list(losses.values()),
            "source": [source.get(key) for key in losses],
            "survives": [key in ((1, 1), (2, 2), (3, 2)) for key in losses],
        }
    )
    plotting.lineage(ax, frame, "step", "rate")
    ax.set(title="A population and its lineage", xlabel="steps", ylabel="learning rate")


def slopes(ax):
    plotting.slopes(ax, pd.DataFrame({"1 epoch": range(1, 11), "full": [3, 1, 2, 7, 4, 10, 5, 6, 9, 8]}))
    ax.set(title="Places that cross", ylabel="place")


def spread(ax):
    groups = (("tuned", 2.0), ("default", 2.5))
    parts = [(who, arm, at + 0.1 * arm + d) for who, at in groups for arm in range(4) for d in (-0.04, 0.0, 0.05)]
    plotting.spread(ax, pd.DataFrame(parts, columns=["who", "setting", "loss"]), "loss", by="who", within="setting")
    ax.set(title="Spread within and between groups", ylabel="test loss (nats)")


def ends(ax):
    frame = pd.DataFrame({"x": [0, 1, 2] * 2, "y": [3.0, 2.0, 1.6, 3.1, 2.3, 1.9], "by": ["a"] * 3 + ["b"] * 3})
    plotting.lines(ax, frame, "x", "y", by="by", markers=True)
    points = pd.DataFrame({"x": [2.2, 2.2], "estimate": [1.5, 1.8], "low": [1.4, 1.7], "high": [1.6, 1.95]})
    plotting.ends(ax, points.assign(who=["c", "d"]), "x", by="who")
    ax.set(title="Lines and where others end", xlabel="epochs", ylabel="loss (nats)")
    ax.legend()


def labelled_points(ax):
    frame = pd.DataFrame(
        {
            "cost": [0, 0, 1, 120, 3600],
            "lift": [0.0, -0.4, 0.5, 0.9, 1.6],
            "method": ["random", "none", "snip", "synflow", "imp"],
        }
    )
    frame = frame.assign(low=frame["lift"] - 0.2, high=frame["lift"] + 0.25)
    plotting.labelled_points(ax, frame, "cost", "lift", "method")
    ax.set(title="Cost against worth", xlabel="cost (s)", ylabel="accuracy above random (pp)")


KINDS = {
    function.__name__: function
    for function in (
        *(curves, forest, bands, profiles, heat_map, picture_wall, marked_histogram, critical_difference, lines),
        *(log_ticks, lineage, slopes, spread, ends, labelled_points, against_limits, broaden),
    )
}
DRAWN_WITH_ANOTHER = {"paper_points": "curves", "remaining_axis": "curves", "legend_below": "lines"}
NO_FIGURES = {"figure", "show", "t_interval", "table"}
