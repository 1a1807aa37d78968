"""`redraw diff`: what changed between two versions of a study, and which verdicts moved. Reads committed files only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ._card import ParameterError
from ._claims import Claim
from ._records import RECORDS, read_records
from ._versions import Version, read_trials

_STACK = ("torch", "numpy")
_SHOWN = ("outcome", "scope", "measured", "interval", "level", "seeds", "p_value", "criterion")


def diff(a: Version, b: Version) -> dict[str, Any]:
    """What differs from version `a` to version `b`, as plain JSON data; every pair is [in a, in b].

    parameters, data, libraries and setting (preset, level, Python, hardware, determinism): {name: pair}, only what
      differs, null where absent. code: the pair of commits and of hashes of uncommitted changes, if they differ.
    trials: {function: {a, b, same, why}}, where `same` counts the trials with equal keys and `why` says what a
      changed key can be due to: a key covers code, parameters, data and the libraries that a trial uses, so code is
      what remains. Which libraries those are the versions' records tell.
    claims: {id: {field: pair}} for what decides a verdict (criterion, reference, scope ...), or {"present": pair}.
    verdicts: per claim of either version, {id, moved, a, b} with outcome, scope, measured and interval of both;
      `moved` where the outcome differs.
    Raises ParameterError, one line, when a version's files cannot be read.
    """
    results, runs = ([_read(version, name) for version in (a, b)] for name in ("results.json", "run.json"))
    settings = [_setting(version, run) for version, run in zip((a, b), runs, strict=True)]
    return {
        "study": a.study,
        "versions": [a.name, b.name],
        "setting": _pairs(*settings),
        "parameters": _pairs(*(result["parameters"] for result in results)),
        "code": _pairs(*(run.get("code") or {} for run in runs)),
        "trials": _trials((a, b), results, runs),
        "data": _pairs(*(_flat(run.get("data") or {}) for run in runs)),
        "libraries": _pairs(*(run.get("libraries") or {} for run in runs)),
        "claims": _claims(*runs),
        "verdicts": _verdicts(*results),
    }


def changes(found: Mapping[str, Any], claim: str | None = None) -> list[str]:
    """The differences that can move a verdict, in short words; those of one claim where it is named."""
    words = [f"{name} {_said(x)} → {_said(y)}" for name, (x, y) in found["parameters"].items()]
    words += [f"{name} {_said(x)} → {_said(y)}" for name, (x, y) in found["setting"].items() if name == "level"]
    words += [f"trials of {name} differ: {trial['why']}" for name, trial in found["trials"].items() if trial["why"]]
    words += ["the data changed"] if found["data"] else []
    for id, fields in found["claims"].items():
        if claim in (None, id):
            words += [f"{id}'s {field} {_said(x)} → {_said(y)}" for field, (x, y) in fields.items()]
    return words


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read(version: Version, name: str) -> dict[str, Any]:
    try:
        return json.loads((version.path / name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"{version.name}/{name}: cannot be read ({str(error).splitlines()[0]})") from None


def _setting(version: Version, run: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"preset": version.preset, "level": run.get("level", 0.95), "python": run.get("python")}
    return plain | _flat({name: run.get(name) or {} for name in ("hardware", "determinism")})


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted name."""
    leaves: dict[str, Any] = {}
    for name, value in nested.items():
        path = f"{prefix}{name}"
        leaves |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return leaves


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list]:
    """[in a, in b] of every name whose values differ."""
    return {name: [a.get(name), b.get(name)] for name in {**a, **b} if a.get(name) != b.get(name)}


def _bodies(version: Version) -> Mapping[str, dict]:
    """The records of a version's trials by key; none in versions that were made before there were records."""
    path = version.path / RECORDS
    try:
        return read_records(path) if path.exists() else {}
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ParameterError(f"{version.name}/{RECORDS}: cannot be read ({reason})") from None


def _used(keys: Iterable[str], bodies: Mapping[str, dict]) -> set[str]:
    """The libraries that trials, and those they need, have in their keys, as far as there are records of them."""
    found, waiting, seen = set(), list(keys), set()
    while waiting:
        key = waiting.pop()
        if key in bodies and key not in seen:
            seen.add(key)
            found |= bodies[key].get("stack", {}).keys() - {"machine"}
            waiting += bodies[key].get("needs", {}).values()
    return found


def _trials(both: Sequence[Version], results: Sequence[Mapping], runs: Sequence[Mapping]) -> dict[str, Any]:
    tables = [read_trials(version) for version in both]
    by_function = [dict(list(table.groupby("function"))) if len(table) else {} for table in tables]
    found = {}
    for function in {**by_function[0], **by_function[1]}:
        rows = [parts.get(function, pd.DataFrame({"seed": [], "key": []})) for parts in by_function]
        keys = [set(part["key"]) for part in rows]
        same = len(keys[0] & keys[1])
        found[function] = {"a": len(keys[0]), "b": len(keys[1]), "same": same, "why": ""}
        if not same and all(keys) and set(rows[0]["seed"]) & set(rows[1]["seed"]):
            used = [_used(some, _bodies(version)) for some, version in zip(keys, both, strict=True)]
            found[function]["why"] = _why(results, runs, used)
    return found


def _why(results: Sequence[Mapping], runs: Sequence[Mapping], used: Sequence[set[str]]) -> str:
    """What the changed keys of like trials can be due to, by elimination; `used` are the libraries in them."""
    causes = []
    parameters = _pairs(*(result["parameters"] for result in results))
    if changed := sorted(set(parameters) - {"seeds"}):
        causes.append(f"parameters ({', '.join(changed)})")
    if _pairs(*(_flat(run.get("data") or {}) for run in runs)):
        causes.append("data")
    libraries = [run.get("libraries") or {} for run in runs]
    others = sorted(used[0].union(used[1]).difference(_STACK))
    if moved := [name for name in (*_STACK, *others) if libraries[0].get(name) != libraries[1].get(name)]:
        causes.append(f"libraries ({', '.join(moved)})")
    if held := [name for name in others if name not in moved and (name in used[0]) != (name in used[1])]:
        causes.append(f"which libraries the key holds ({', '.join(held)})")
    systems = [str((run.get("hardware") or {}).get("system", "")).split(" ")[-1] for run in runs]
    if systems[0] != systems[1]:
        causes.append("kind of processor")
    return f"{', '.join(causes)}, and perhaps code" if causes else "code: parameters, data and libraries are the same"


def _claims(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, dict[str, list]]:
    meanings = [{plain["id"]: meaning(plain) for plain in run.get("claims", ())} for run in (a, b)]
    drifted = {}
    for id in {**meanings[0], **meanings[1]}:
        both = [meaning.get(id) for meaning in meanings]
        if None in both:
            drifted[id] = {"present": [both[0] is not None, both[1] is not None]}
        elif pairs := _pairs(*map(_flat, both)):
            drifted[id] = pairs
    return drifted


def meaning(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the claim; all of it where an older or newer release's claims cannot be read."""
    try:
        return Claim.model_validate(plain).meaning()
    except ValidationError:
        return dict(plain)


def _verdicts(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    ruled = [{plain["id"]: ruling(plain) for plain in result["claims"]} for result in (a, b)]
    rows = []
    for id in {**ruled[0], **ruled[1]}:
        before, after = (some.get(id) for some in ruled)
        moved = (before or {}).get("outcome") != (after or {}).get("outcome")
        rows.append({"id": id, "moved": moved, "a": before, "b": after})
    return rows


def ruling(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict of results.json with its strength beside the rest, without remarks and parts."""
    return {name: ({**plain, **plain["strength"]}).get(name) for name in _SHOWN}
