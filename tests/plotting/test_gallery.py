"""Every kind of figure looks as it did when it was last looked at.

`REDRAW_PICTURES=write pytest tests/plotting/test_gallery.py` stores the pictures anew; look at them before they are
committed.
"""

import importlib.util
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redraw import plotting

HERE = Path(__file__).parent
STORED = HERE / "gallery"
MOST = 3.0
"""Of 255 levels, root mean square: letters a pixel off pass, a line in another place does not."""


def _gallery():
    spec = importlib.util.spec_from_file_location("gallery_of_figures", HERE / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GALLERY = _gallery()


def drawn(kind):
    with plotting.figure() as (fig, ax):
        GALLERY.KINDS[kind](ax)
        picture = io.BytesIO()
        fig.savefig(picture, format="png", dpi=50)
    return Image.open(picture).convert("RGB")


def apart(a, b):
    """The root mean square difference of two pictures, on the ground that both cover; 255 where sizes differ much."""
    if max(abs(a.width - b.width), abs(a.height - b.height)) > 4:
        return 255.0
    size = min(a.width, b.width), min(a.height, b.height)
    pair = [np.asarray(picture.crop((0, 0, *size)).reduce(2), float) for picture in (a, b)]
    return float(np.sqrt(np.mean((pair[0] - pair[1]) ** 2)))


@pytest.mark.parametrize("kind", GALLERY.KINDS)
def test_a_figure_looks_as_it_did(kind):
    now, path = drawn(kind), STORED / f"{kind}.png"
    if os.environ.get("REDRAW_PICTURES") == "write":
        STORED.mkdir(exist_ok=True)
        now.quantize(64).save(path, optimize=True)
    then = Image.open(path).convert("RGB")
    assert apart(now, then) < MOST


def test_another_look_is_noticed():
    now = drawn("forest")
    with plotting.figure() as (fig, ax):
        GALLERY.KINDS["forest"](ax)
        ax.lines[-1].set_xdata([0.47])
        ax.collections[0].set_color("red")
        ax.set_xlim(0.40, 0.58)
        picture = io.BytesIO()
        fig.savefig(picture, format="png", dpi=50)
    assert apart(now, Image.open(picture).convert("RGB")) > MOST


def test_every_kind_of_figure_is_in_the_gallery():
    known = {*GALLERY.KINDS, *GALLERY.DRAWN_WITH_ANOTHER, *GALLERY.NO_FIGURES}
    assert sorted(set(plotting.__all__) - known) == [], "draw it in tests/plotting/gallery.py"
    assert set(GALLERY.DRAWN_WITH_ANOTHER.values()) <= set(GALLERY.KINDS)
    assert known <= set(plotting.__all__)


def test_colours_are_told_apart_by_everyone():
    """The cycle is that of Okabe and Ito; neighbours in it differ in luminance or come with another marker."""
    import matplotlib.pyplot as plt

    from redraw.plotting._intervals import MARKERS

    with plotting.figure():
        colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    okabe_ito = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"}
    assert {f"#{colour.removeprefix('#').upper()}" for colour in colours} <= okabe_ito
    assert len(MARKERS) == len(set(MARKERS)) == len(colours)
