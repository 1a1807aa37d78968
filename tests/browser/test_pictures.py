"""The pages look as they did: screenshots against stored ones, coarse enough for another machine's fonts.

`REDRAW_PICTURES=write pytest tests/browser/test_pictures.py` stores them anew; look at them before they are committed.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from .conftest import loaded

STORED = Path(__file__).parent / "pictures"
SIZES = {"desktop": (1280, "screen"), "phone": (390, "screen"), "print": (794, "print")}
PAGES = {
    "board": "index.html",
    "study": "lottery_ticket/index.html",
    "report": "lottery_ticket/0002-laptop-bbbb2222/report.html",
}
WIDTH, MOST = 240, 0.5
"""Pictures are compared at this width, blurred; they may differ by this share of what is on the page at all."""


def _coarse(picture):
    grey = picture.convert("L")
    return grey.resize((WIDTH, round(grey.height * WIDTH / grey.width))).filter(ImageFilter.GaussianBlur(3))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_did(visit, name, size):
    width, media = SIZES[size]
    page = visit(PAGES[name], width=width, height=1100, media=media)
    loaded(page)
    taken = Image.open(io.BytesIO(page.screenshot()))
    path = STORED / f"{name}_{size}.png"
    if os.environ.get("REDRAW_PICTURES") == "write":
        taken.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(path, optimize=True)
    now, then = (np.asarray(_coarse(picture), float) for picture in (taken, Image.open(path)))
    assert now.shape == then.shape
    empty = np.full_like(then, then.max())
    assert np.abs(now - then).mean() < MOST * np.abs(empty - then).mean()
