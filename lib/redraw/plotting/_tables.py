"""Tables that look in a notebook as they do in a report."""

from html import escape

import pandas as pd
from IPython.display import HTML

_CELL = "padding:.35rem .9rem .35rem 0;text-align:left;vertical-align:top;border:0;border-bottom:1px solid #d9d9d2"
_TABLE = (
    "border-collapse:collapse;font:13px/1.45 system-ui,'Segoe UI',Roboto,'Noto Sans','Liberation Sans',sans-serif;"
    "font-variant-numeric:tabular-nums;background:#fdfdfb;color:#1d2024;border:0;margin:.4rem 0 0"
)


def table(frame: pd.DataFrame, caption: str = "", digits: int = 3) -> HTML:
    """A table of `frame` without its index, as an IPython display object: hairlines between rows, figures of one
    width; numbers with `digits` that count, and thousands apart. A report sets the same table in its own style."""
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{escape(str(name))}</th>' for name in frame)
    rows = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(_text(value, digits))}</td>' for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    title = f'<caption style="text-align:left;color:#555b64">{escape(caption)}</caption>' if caption else ""
    return HTML(f'<table style="{_TABLE}">{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')


def _text(value, digits: int) -> str:
    if isinstance(value, float):
        if pd.isna(value):
            return "–"
        return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
