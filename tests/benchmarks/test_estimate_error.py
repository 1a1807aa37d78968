"""By what factor `redraw run --dry-run` would have been off on the trials of each published version of a study.

A version is left out with every trial that it shares with others, so that what remains differs in its parameters. Then
each of three guesses is asked for the seconds of its trials: they are those that `redraw.workbook._predict` names.
"""

import json
import math
from collections import defaultdict
from pathlib import Path
from statistics import mean

from redraw.workbook import Project, versions
from redraw.workbook._past import _recorded, names_of
from redraw.workbook._predict import Recorded, features, predictor

PROJECT = Project(Path(__file__).parents[2])


def by_mean(records):
    average = mean(record.amount for record in records)
    return lambda parameters: average


def by_nearest(records):
    points = [(features(record.parameters), record.amount) for record in records]

    def apart(one, other):
        numbers = sum(min(abs(one[0].get(n, 0) - other[0].get(n, 0)), 5) for n in one[0].keys() | other[0].keys())
        return numbers + 3 * sum(one[1].get(n) != other[1].get(n) for n in one[1].keys() | other[1].keys())

    def guess(parameters):
        here = features(parameters)
        away = [apart(here, point) for point, _ in points]
        near = min(away) + 1e-9
        return mean(amount for (_, amount), far in zip(points, away, strict=True) if far <= near)

    return guess


GUESSES = {"mean": by_mean, "nearest": by_nearest, "line": predictor}


def left_out(study):
    """For each version of a study that others tell something of: (name, {guess: factor over the time it took})."""
    planned = [trial for preset in ("smoke", "laptop", "paper") for trial in plan(study, preset)]
    names, there = names_of(planned), versions(PROJECT.reports, study)
    recorded = {version: dict(_recorded(version, None, names)) for version in there}
    for version, trials in recorded.items():
        records = defaultdict(dict)
        for other in there:
            for key, ran in recorded[other].items():
                if key not in trials:
                    records[ran.function][key] = Recorded(ran.parameters, ran.seconds)
        asked = [ran for ran in trials.values() if ran.function in records]
        took = sum(ran.seconds for ran in asked)
        if took > 10:  # the rest says nothing of the time
            yield version.name, {name: _sum(guess, records, asked) / took for name, guess in GUESSES.items()}


def plan(study, preset):
    return PROJECT.module(study).plan(**PROJECT.card(study).resolve(preset))


def _sum(guess, records, asked):
    made = {function: guess(list(found.values())) for function, found in records.items()}
    known = {}
    for ran in asked:
        key = ran.function, repr(ran.parameters)
        known[key] = known[key] if key in known else made[ran.function](ran.parameters)
    return sum(known[ran.function, repr(ran.parameters)] for ran in asked)


def test_leaving_one_version_out(record_ratio):
    found = {f"{study} {name[:4]}": error for study in PROJECT.studies() for name, error in left_out(study)}
    off = {guess: [max(error[guess], 1 / error[guess]) for error in found.values()] for guess in GUESSES}
    print()
    for name, error in found.items():
        print(f"{name:<28}", "  ".join(f"{guess} {factor:.2f}" for guess, factor in error.items()))
    print("on average off by", {guess: round(math.exp(mean(map(math.log, fs))), 2) for guess, fs in off.items()})
    what = (
        "seconds of a version's trials foretold without it, over those recorded (or the inverse); one value a version"
    )
    for guess, factors in off.items():
        limit = 2.5 if guess == "line" else None
        record_ratio(f"estimate by {guess} / recorded time", factors, limit=limit, what=what)


def foretold(study):
    """By what factor the newest run of a study's laptop preset as it stands that foretold its time was off, as its
    run.json says; None where there is no such run."""
    usual = PROJECT.card(study).resolve("laptop")
    for version in reversed(versions(PROJECT.reports, study)):
        run = json.loads((version.path / "run.json").read_text())
        told = run.get("estimate") or {}
        known = told.get("trials") and told.get("seconds") and not told.get("unknown")
        if version.preset == "laptop" and run.get("parameters") == usual and known:
            return max(told["took"] / told["seconds"], told["seconds"] / told["took"])
    return None


def test_what_laptop_runs_foretold(record_ratio):
    found = {study: off for study in PROJECT.studies() if (off := foretold(study))}
    assert found.keys() == set(PROJECT.studies())
    print("", *(f"{study:<22} off by {off:.2f}" for study, off in found.items()), sep="\n")
    what = (
        "time that the newest recorded run of a study took over what it had foretold (or the inverse), the worst study"
    )
    record_ratio("laptop runs, time / foretold", max(found.values()), limit=1.5, what=what)
