"""One look for every figure, and one way to show and keep it."""

import io
import os
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, display
from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("redraw.mplstyle")


@contextmanager
def figure(columns: int = 1, **options):
    """`fig, axes = subplots(1, columns)` in the house style: `with figure(2) as (fig, axes): ...`."""
    with plt.style.context(STYLE):
        width, height = plt.rcParams["figure.figsize"]
        fig, axes = plt.subplots(1, columns, figsize=(width if columns == 1 else 5 * columns, height), **options)
        try:
            yield fig, axes
        finally:
            plt.close(fig)


def show(fig: Figure, name: str, data: pd.DataFrame, alt: str) -> None:
    """Display a figure with its alt text and, in a run, keep it: REDRAW_FIGURES/<name>.svg, .csv (`data`) and .txt.

    Raises ValueError without alt text or data: a figure in a report has both.
    """
    if not alt.strip() or data.empty:
        raise ValueError(f"figure {name}: needs alt text and the data behind it")
    png = io.BytesIO()
    with plt.style.context(STYLE):
        fig.savefig(png, format="png", dpi=150)
        fig.set_layout_engine("none")  # it is laid out by now
        if folder := os.environ.get("REDRAW_FIGURES"):
            path = Path(folder) / name
            fig.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Title": name, "Description": alt})
            data.to_csv(path.with_suffix(".csv"), index=False)
            path.with_suffix(".txt").write_text(alt + "\n")
    display(Image(png.getvalue(), width=int(fig.get_figwidth() * 96), alt=alt, metadata={"figure": name}))
