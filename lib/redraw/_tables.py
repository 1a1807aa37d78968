"""What `redraw power`, `redraw diff` and `redraw board --history` print: rich tables of plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

_MOST = 12


def difference(found: Mapping[str, Any], marks: Mapping[str, str]) -> Group:
    """The data of `redraw.workbook._diff.diff`: a table per section with differences, the verdicts last."""
    parts: list[Any] = [f"[bold]{found['study']}[/]: {' → '.join(found['versions'])}"]
    sections = {"setting": "setting", "parameters": "parameter", "code": "code", "data": "data", "libraries": "library"}
    for name, title in sections.items():
        if found[name]:
            parts.append(_pairs(title, found["versions"], found[name]))
    if any(trial["a"] != trial["same"] or trial["b"] != trial["same"] for trial in found["trials"].values()):
        parts.append(_trials(found))
    drift = {f"{id}: {field}": pair for id, fields in found["claims"].items() for field, pair in fields.items()}
    if drift:
        parts.append(_pairs("claim drift", found["versions"], drift, most=1000))
    if len(parts) == 1:
        parts.append("Nothing that was recorded differs.")
    table = Table("claim", *(escape(name) for name in found["versions"]), "moved")
    for row in found["verdicts"]:
        before, after = (_ruling(row[side], marks) for side in "ab")
        table.add_row(row["id"], before, after, "[bold]moved[/]" if row["moved"] else "")
    moved = [row["id"] for row in found["verdicts"] if row["moved"]]
    closing = f"Verdicts that moved: {', '.join(moved)}" if moved else "No verdict moved."
    return Group(*parts, table, closing)


def histories(rows: Sequence[Mapping[str, Any]], drawn: Sequence[Sequence[str]], marks: Mapping[str, str]) -> Group:
    """The data of `redraw.workbook._history.history`, with the drawing of each step: a line per version."""
    parts: list[Any] = []
    for row, bars in zip(rows, drawn, strict=True):
        parts.append(f"\n[bold]{row['study']} {row['id']}[/] {escape(row['statement'])}")
        if not row["steps"]:
            parts.append("never ruled on")
            continue
        table = Table.grid(padding=(0, 2))
        for step, bar in zip(row["steps"], bars, strict=True):
            number, preset, _ = step["version"].split("-")
            seeds = f"n={step['seeds']}" if step["seeds"] else ""
            table.add_row(number, preset, marks[step["outcome"]], seeds, _measured(step), f"[blue]{bar}[/]")
        parts.append(table)
        for step in row["steps"]:
            notes = ["by another criterion than now"] if step["drifted"] else []
            if words := "; ".join(notes + step["because"]):
                parts.append(f"[dim]  {step['version'].split('-')[0]}: {escape(words)}[/]")
    return Group(*parts)


def _pairs(title: str, versions: Sequence[str], pairs: Mapping[str, Sequence], most: int = _MOST) -> Table:
    table = Table(title, *map(escape, versions))
    for name, (before, after) in list(pairs.items())[:most]:
        table.add_row(escape(name), _said(before), _said(after))
    if len(pairs) > most:
        table.add_row(f"and {len(pairs) - most} more", "", "")
    return table


def _trials(found: Mapping[str, Any]) -> Table:
    reasons = list(dict.fromkeys(trial["why"] for trial in found["trials"].values() if trial["why"]))
    caption = f"Keys differ because of {escape('; '.join(reasons))}" if reasons else None
    table = Table("trials", *map(escape, found["versions"]), "with the same key", caption=caption)
    for name, trial in found["trials"].items():
        table.add_row(escape(name), str(trial["a"]), str(trial["b"]), str(trial["same"]))
    return table


def _ruling(side: Mapping[str, Any] | None, marks: Mapping[str, str]) -> str:
    if side is None:
        return "absent"
    return f"{marks[side['outcome']]}\n{_measured(side)}".rstrip()


def _measured(side: Mapping[str, Any]) -> str:
    """`0.62 [0.55, 0.7]`; the vectors of exact claims are shortened."""
    value = side["measured"]
    if value is None:
        return ""
    if isinstance(value, list):
        return f"{len(value)} numbers: {value[0]:.4g} …"
    if not side["interval"]:
        return f"{value:.5g}"
    low, high = ("∞" if end is None else f"{end:.4g}" for end in side["interval"])
    return f"{value:.4g} \\[{'-' if low == '∞' else ''}{low}, {high}]"


def _said(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:12] if re.fullmatch("[0-9a-f]{40,64}", text) else escape(text)
