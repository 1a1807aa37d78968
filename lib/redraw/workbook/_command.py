"""The command that asks for a run again, as run.json, the report and `redraw power` give it."""

import shlex
from collections.abc import Mapping
from typing import Any

from redraw.workbook._card import Card


def command(
    card: Card,
    preset: str,
    parameters: Mapping[str, Any],
    *,
    looks: Mapping[str, Any] | None = None,
    source: str | None = None,
    batched: bool = False,
) -> str:
    """The `redraw run` of a study at a preset with these parameters, ready for a shell.

    looks: as in run.json, where seeds were added until the claims were decided: it begins with the first number.
    source: the version whose recorded trials it starts from. batched: whether trials run together.
    """
    words = ["redraw", "run", card.study, "--preset", str(preset)]
    if source:
        words += ["--from", str(source)]
    if batched:
        words.append("--batch-seeds")
    until = []
    if looks and looks.get("planned"):
        parameters = {**parameters, "seeds": looks["planned"][0]}
        until = ["--until-decided", "--budget-minutes", _number(looks.get("budget_minutes"))]
    for name, value in overrides(card, preset, parameters).items():
        words += ["-p", f"{name}={shown(value)}"]
    words += until
    return shlex.join(words)


def overrides(card: Card, preset: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are not as in the preset."""
    values = card.presets[preset].values if preset in card.presets else {}
    return {k: v for k, v in parameters.items() if k not in values or values[k] != v}


def shown(value: Any) -> str:
    """A parameter's value as one would type it: `true`, `0.2,0.1`, `1e-3`."""
    if isinstance(value, list | tuple):
        return ",".join(shown(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
