"""Adding seeds until it is decided: the looks, their level, and that looking often does not decide by itself."""

import json
import math
import types

import numpy as np
import pytest

from redraw.workbook import Batched, ParameterError, Project, until_decided
from redraw.workbook._claims import Claim, Samples
from redraw.workbook._judge import judge_all
from redraw.workbook._sequential import ALPHA, LOOKS, _expected, look, look_level, plan_looks


def make(kind, id="A", **fields):
    base = {"id": id, "statement": "s", "paper": "p", "metric": "m", "main": True, "scope": {"laptop": "reduced"}}
    return Claim.model_validate({**base, "kind": kind, **fields})


BEYOND = make("difference", criterion={"op": ">", "bound": 0.0})
WITHIN = make("absence", criterion={"margin": 0.5})
ORDER = make("ordering", criterion={"all": [{"a": "x", "op": ">", "b": "z"}, {"a": "y", "op": ">", "b": "z"}]})
BELOW = make("threshold", criterion={"op": "<", "bound": 0.0})
FAMILY = [make("difference", id, criterion={"op": ">", "bound": 0.0}) for id in ("A", "B", "C")]


def cut(values, reach):
    """Values of which those beyond `reach` are known to lie there, no more."""
    return Samples.of(np.minimum(values, reach), values > reach)


# each is a study at the very margin of its claims, so that to reproduce or to contradict one is wrong, or nearly:
# (claims, samples of n of a study's draws)
STUDIES = {
    "beyond a bound": ([BEYOND], lambda draws, n: {"A": Samples.of(draws[0, :n])}),
    "within a margin": ([WITHIN], lambda draws, n: {"A": Samples.of(0.5 + 0.3 * draws[0, :n])}),
    "an ordering": (
        [ORDER],
        lambda draws, n: {"A": Samples.many({"x": draws[0, :n], "y": draws[1, :n] + 3, "z": np.zeros(n)})},
    ),
    "censored": ([BELOW], lambda draws, n: {"A": cut(draws[0, :n], 0.7)}),
    "three claims": (FAMILY, lambda draws, n: {id: Samples.of(row[:n]) for id, row in zip("ABC", draws, strict=True)}),
}


def wrong_shares(name, studies, corrected=True, first=4):
    """The shares of studies in which a claim is reproduced, and contradicted, at the look at which the run stops."""
    claims, samples = STUDIES[name]
    seeds = plan_looks(first, math.inf)
    wrong = np.zeros(2)
    rng = np.random.default_rng(list(STUDIES).index(name))
    for _ in range(studies):
        draws, last = rng.normal(size=(3, seeds[-1])), {}

        def verdicts(n, level, draws=draws, last=last):
            ruled = judge_all(claims, samples(draws, n), "laptop", level=level if corrected else 1 - ALPHA)
            last["outcomes"] = [verdict.outcome for verdict in ruled]
            return ruled

        for _ in look(seeds, verdicts, [claim.id for claim in claims]):
            pass
        wrong += [outcome in last["outcomes"] for outcome in ("reproduced", "contradicted")]
    return wrong / studies


def most(studies):
    """Three standard errors of the simulation above alpha."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / studies)


@pytest.mark.parametrize("name", STUDIES)
def test_looking_often_keeps_both_errors_at_alpha_sampled(name):
    studies = 100 if name == "censored" else 1000
    assert (wrong_shares(name, studies) <= most(studies)).all()


@pytest.mark.long
@pytest.mark.parametrize("name", STUDIES)
def test_looking_often_keeps_both_errors_at_alpha(name):
    studies = 2000 if name == "censored" else 6000
    assert (wrong_shares(name, studies) <= most(studies)).all()


def test_without_the_correction_it_would_not():
    assert (wrong_shares("beyond a bound", 1000, corrected=False) > most(1000)).all()


def test_looks_are_equal_batches_and_spend_alpha():
    assert plan_looks(5, 1000) == [5, 10, 15, 20, 25] and len(plan_looks(1, math.inf)) == LOOKS
    assert plan_looks(3, 7) == [3, 6] and plan_looks(5, 5) == plan_looks(5, 9) == [5]
    for looks in (1, 2, 5):
        assert looks * (1 - look_level(looks)) == pytest.approx(ALPHA)


def test_it_stops_at_the_first_look_that_leaves_nothing_open():
    values = np.array([0.9, 1.4, 0.9, 1.2, 0.8, 1.1, 1.3, 0.7, 0.6, 1.0])
    asked = []

    def verdicts(n, level):
        asked.append((n, level))
        return judge_all([BEYOND], {"A": Samples.of(values[:n])}, "laptop", level=level)

    taken = list(look([2, 4, 6, 8, 10], verdicts, ["A"]))
    assert [item.seeds for item in taken] == [2, 4] and asked == [(2, 0.99), (4, 0.99)]
    assert [item.open for item in taken] == [("A",), ()]
    assert all(item.level == 0.99 for item in taken)
    assert [item.seeds for item in look([2, 4], verdicts, [])] == [2], "nothing to wait for"


def test_another_batch_is_priced_by_what_its_trials_took():
    took = {"f0": 10.0, "f1": 20.0}
    stored = {key: types.SimpleNamespace(seconds=seconds) for key, seconds in took.items()}
    plain = [{"key": key, "function": key[0]} for key in ("f0", "f1", "f2", "f3", "f3", "g0")]
    trials = [types.SimpleNamespace(**fields, batched=None) for fields in plain]
    store = types.SimpleNamespace(get=stored.get)
    assert _expected(trials, store, jobs=3) == (2 * 15.0 + 15.0) / 3, "two of f, and g like everything that was seen"
    assert _expected(trials[:2], store, jobs=1) == 0.0
    on_cuda = [types.SimpleNamespace(**fields, batched=Batched("m:f", device="cuda")) for fields in plain]
    assert _expected(on_cuda, store, jobs=3) == 3 * 15.0, "those run in one process"


# the run, through the command


ASKED = ("run", "tiny", "--preset", "smoke", "--until-decided", "--budget-minutes")


def test_one_version_that_says_how_many_looks_and_why_it_stopped(checkout):
    done = checkout.redraw(*ASKED, "10", "-p", "seeds=2", "--jobs", "1")
    assert done.code == 0, done.err
    assert "look 1 of at most 5: 2 seeds at level 0.99; open: C1" in done.err
    version = checkout.version()
    run, results = (json.loads((version / f"{name}.json").read_text()) for name in ("run", "results"))
    assert run["command"] == "redraw run tiny --preset smoke -p seeds=2 --until-decided --budget-minutes 10"
    assert run["looks"]["planned"] == [2, 4, 6, 8, 10] and run["level"] == 0.99
    assert run["looks"]["taken"][0] == {"seeds": 2, "level": 0.99, "open": ["C1"]}
    last = run["looks"]["taken"][-1]
    assert last["open"] == [] and last["seeds"] > 2 and "no main claim" in run["looks"]["stopped"]
    assert results["parameters"]["seeds"] == last["seeds"] == len(run["seeds"]) == run["looks"]["trials_computed"]
    (claim,) = results["claims"]
    assert claim["outcome"] == "reproduced"
    assert claim["strength"]["level"] == pytest.approx(1 - 2 * 0.01) and claim["strength"]["p_value"] <= 0.01
    assert "looks of at most 5" in (version / "report.html").read_text()
    notebook = (version / "report.ipynb").read_text()
    low = f"{claim['strength']['interval'][0]:.3g}"
    assert low in notebook, "the notebook rules at the level of the run"
    findings = json.loads(checkout.redraw("check", "--json").out)
    assert not [place for place, *_ in map(dict.values, findings) if place.startswith("reports/")], findings
    again = checkout.redraw(*ASKED, "10", "-p", "seeds=2", "--jobs", "1")
    assert again.code == 0 and "up to date" in again.err and checkout.version() == version


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_trials_of_a_group_are_counted_one_by_one(checkout, enter, unexecuted, device):
    study = checkout.root / "lib" / "redraw" / "studies" / "tiny.py"
    text = study.read_text().replace("import Samples, Trial", "import Batched, Samples, Trial")
    text += "\n\ndef means(calls, device):\n    return [uniform_mean(**call) for call in calls]\n"
    study.write_text(text + '\n\nBATCHED = {"uniform_mean": Batched(f"{__name__}:means")}\n')
    enter(checkout)
    counts = []
    done = until_decided(
        Project(checkout.root),
        "tiny",
        budget_minutes=10,
        preset="smoke",
        overrides={"seeds": 2},
        jobs=1,
        device=device,
        execute=unexecuted,
        on_progress=lambda progress: counts.append(progress.computed),
    )
    run = json.loads((done.version.path / "run.json").read_text())
    assert run["looks"]["trials_computed"] == run["looks"]["taken"][-1]["seeds"] > 2
    assert max(counts) == 2 and (1 in counts) == (device is None), "a batch of two is one group where they run together"


def test_a_budget_that_is_spent_leaves_the_claim_open_and_says_so(checkout):
    done = checkout.redraw(*ASKED, "0.0001", "-p", "seeds=2", "-p", "seconds=0.01", "--jobs", "1")
    assert done.code == 0, done.err
    version = checkout.version()
    run, results = (json.loads((version / f"{name}.json").read_text()) for name in ("run", "results"))
    assert "budget of 0.0001 minutes" in run["looks"]["stopped"] and len(run["looks"]["taken"]) == 1
    assert results["parameters"]["seeds"] == 2 and results["claims"][0]["outcome"] == "inconclusive"
    assert run["level"] == 0.99, "the looks that were not taken keep their share of alpha"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--until-decided",), "budget-minutes: must be given with --until-decided"),
        (("--budget-minutes", "3"), "budget-minutes: must be given with --until-decided"),
        (("--until-decided", "--budget-minutes", "0"), "budget-minutes: must be a number of minutes above 0, got 0"),
        (("--until-decided", "--budget-minutes", "nan"), "must be a number of minutes above 0, got nan"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(checkout, arguments, said):
    before = checkout.files()
    done = checkout.redraw("run", "tiny", "--preset", "smoke", *arguments)
    assert done.code == 2 and said in done.line
    assert checkout.files() == before


def test_a_card_without_a_number_of_seeds_is_refused(make_card):
    project = types.SimpleNamespace(card=lambda study: make_card())  # its seeds are a list
    with pytest.raises(ParameterError, match="a parameter `seeds` of type int"):
        until_decided(project, "lottery_ticket", budget_minutes=1)
