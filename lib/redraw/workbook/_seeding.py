"""Where a run's trials came from, when it may start from those that a version recorded (`redraw run --from VERSION`).

A record serves where its key is that of a trial: the same code, parameters, seed, data and libraries. It has no
tensors: a trial that had some is computed again where another one needs them, and whether it came to the same is
told. Nothing is copied into the store, so that runs which do not ask for the records never see them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from redraw.workbook._digest import sha256_file
from redraw.workbook._records import read_records
from redraw.workbook._store import Result, Store, canonical
from redraw.workbook._trials import Trial


def bodies(trials: Iterable[Trial], results: Iterable[Result], store: Store) -> dict[str, dict]:
    """The results' bodies and those of what the trials need, as far as it is stored, by key: what is put on record."""
    found = {result.key: result for result in results}
    found |= {trial.key: store.get(trial.key) for trial in _with_needs(trials) if trial.key not in found}
    return {key: _plain(result.body) for key, result in found.items() if result is not None}


def account(trials: Sequence[Trial], results: Sequence[Result], store: Store, stored: Iterable[str]) -> dict[str, Any]:
    """Where a run's trials came from; `stored` are the keys that the store had when the run began.

    source: the name of the version that the run started from, or None.
    counts: {"total", "reused", "computed"}, and "seeded" for a run from a version.
    origins: [{"origin", "function", "seeds", "trials"}], where the origin is "computed", "store" or the version.
    seeded_from: None, or {"version", "manifest", "recorded", "disagreeing"}: the version and its manifest's SHA-256,
      how many trials it has on record, and the labels of those whose result here is not the same, bit for bit.
    """
    before, groups = set(stored), {}
    for trial, result in {trial.key: (trial, result) for trial, result in zip(trials, results, strict=True)}.values():
        origin = result.body.get("recorded_in") or ("store" if trial.key in before else "computed")
        groups.setdefault((origin, trial.function.partition(":")[2]), []).append(trial.seed)
    origins = [
        {"origin": origin, "function": function, "seeds": sorted(set(seeds)), "trials": len(seeds)}
        for (origin, function), seeds in groups.items()
    ]
    reused = sum(group["trials"] for group in origins if group["origin"] == "store")
    counts = {"total": len(trials), "reused": reused, "computed": len(trials) - reused}
    seeded_from = None
    if store.records:
        counts["seeded"] = sum(group["trials"] for group in origins if group["origin"] == store.source)
        counts["computed"] -= counts["seeded"]
        seeded_from = {
            "version": store.source,
            "manifest": sha256_file(store.records.with_name("MANIFEST.sha256")),
            "recorded": len(read_records(store.records)),
            "disagreeing": _disagreeing(trials, store),
        }
    return {"counts": counts, "origins": origins, "source": store.source, "seeded_from": seeded_from}


def told(came: dict[str, Any]) -> str:
    """One line on what a run took from the version it started from."""
    counts, odd = came["counts"], came["seeded_from"]["disagreeing"]
    words = f"{counts['seeded']} of {counts['total']} trials are taken from {came['source']}"
    if odd:
        words += f"; computed here, {len(odd)} others differ from what it recorded: {', '.join(odd)}"
    return words


def _disagreeing(trials: Iterable[Trial], store: Store) -> list[str]:
    """Labels of the trials, and of those they need, whose result here is not, bit for bit, the one on record."""
    recorded = read_records(store.records)
    both = [(trial, store.own(trial.key)) for trial in _with_needs(trials) if trial.key in recorded]
    return [
        trial.label for trial, own in both if own is not None and _outcome(own.body) != _outcome(recorded[trial.key])
    ]


def _with_needs(trials: Iterable[Trial]) -> list[Trial]:
    """The trials and all that they need, each once."""
    found, waiting = {}, list(trials)
    while waiting:
        trial = waiting.pop()
        if trial.key not in found:
            found[trial.key] = trial
            waiting += trial.needs.values()
    return list(found.values())


def _plain(body: dict) -> dict:
    """A body without where it was found: versions that pass it on keep it as it was."""
    return {name: part for name, part in body.items() if name != "recorded_in"}


def _outcome(body: dict) -> tuple[str, str | None]:
    """What a trial returned: its values as text and the checksum of its tensors. Its seconds may differ."""
    return canonical(body["value"]), body["tensors"]
