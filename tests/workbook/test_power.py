"""`redraw power`: the number of seeds is the judge's, checked against statsmodels; the words fit the claim's state."""

import json
import math
import re
import types

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from redraw import cli
from redraw.workbook import ParameterError, Samples, power_of
from redraw.workbook._judge import judge_all, outlook
from redraw.workbook._power import _time

VALUES = np.array([0.1, 0.9, -0.4, 0.7, 0.2])


@pytest.fixture
def project(tmp_path, make_card):
    """A project of one card, whose study measures column `x` of its trials for every claim that takes values."""
    asked = []

    def measure(table, **knobs):
        asked.append((len(table), knobs))
        measured = {claim.id: Samples.not_tested("not in this run") for claim in made.claim_list}
        if len(table):
            measured |= {id: Samples.of(table.groupby("seed")["x"].mean()) for id in made.by_value}
        return measured | made.more

    made = types.SimpleNamespace(
        reports=tmp_path / "reports", asked=asked, more={}, by_value=["L2a"], study=make_card()
    )
    made.card = lambda study: made.study
    made.module = lambda study: types.SimpleNamespace(measure=measure)
    return made


@pytest.fixture
def publish(project, make_version):
    """Publish a version whose trials hold these values, one per seed, two trials of 30 s each."""

    def make(values=VALUES, card=None, name="0001-laptop-ab12cd34ef", preset="laptop", level=None, blocked=""):
        project.study = card or project.study
        project.claim_list = project.study.claims
        rows = [
            {"function": "f", "seed": seed, "x": x, "seconds": 30.0, "key": f"{seed}{k}"}
            for seed, x in enumerate(values)
            for k in (0, 1)
        ]
        samples = {claim.id: Samples.not_tested("not in this run") for claim in project.study.claims}
        if len(values):
            samples |= {id: Samples.of(values) for id in project.by_value}
        samples |= project.more
        if blocked:
            samples = {id: Samples.blocked(blocked) if s.missing else s for id, s in samples.items()}
        folder = make_version(project.study, name=name, preset=preset, samples=samples)
        pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
        run = json.loads((folder / "run.json").read_text()) | {"blocked": blocked}
        (folder / "run.json").write_text(json.dumps(run | ({"level": level} if level else {})))
        return folder

    return make


@pytest.fixture
def alone(make_card):
    """A card of one claim, `L2a` with this criterion."""

    def make(bound=0.0, op=">"):
        claim = make_card().claim("L2a").model_dump() | {"main": True, "criterion": {"op": op, "bound": bound}}
        return make_card(claims=[claim])

    return make


def test_the_seeds_are_those_of_statsmodels(project, publish, alone):
    publish(card=alone())
    found = power_of(project, "lottery_ticket", "L2a", cores=4)
    effect = VALUES.mean() / VALUES.std(ddof=1)
    reference = TTestPower()
    needed = math.ceil(reference.solve_power(effect, power=0.8, alpha=0.05, alternative="larger"))
    assert found.seeds_needed == needed and found.more == needed - 5 and found.seeds == 5
    assert found.power == pytest.approx(reference.power(effect, 5, 0.05, alternative="larger"), rel=1e-6)
    assert (found.status, found.outcome, found.towards) == ("open", "inconclusive", "reproduced")
    ruled = json.loads((project.reports / "lottery_ticket" / found.version / "results.json").read_text())
    assert ruled["claims"][0]["strength"]["seeds_needed"] == needed, "the verdict carries the same number"
    assert project.asked == [(10, ruled["parameters"])]


def test_the_cost_is_that_of_the_trials_seen(project, publish, alone):
    publish(card=alone())
    found = power_of(project, "lottery_ticket", "L2a", cores=4)
    assert found.seconds_per_seed == 60.0 and found.core_seconds == 60.0 * found.more
    assert found.wall_seconds == found.core_seconds / 4 and found.cores == 4
    said = " ".join(found.words)
    assert f"{found.seeds_needed} seeds would decide it with a chance of 80%: {found.more} more" in said
    assert _time(found.core_seconds) in said and "60 s a seed" in said and "on the 4 cores here" in said
    assert found.command is None, "this card lists its seeds: there is no number to raise"


@pytest.mark.parametrize(
    "seconds, said", [(1.2, "2 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_times_read_well(seconds, said):
    assert _time(seconds) == said


def test_a_sequential_version_is_planned_at_its_own_level(project, publish, alone):
    publish(card=alone(), level=0.99)
    effect = VALUES.mean() / VALUES.std(ddof=1)
    strict = TTestPower().solve_power(effect, power=0.8, alpha=0.01, alternative="larger")
    assert power_of(project, "lottery_ticket", "L2a").seeds_needed == math.ceil(strict)


def test_the_family_of_the_study_counts(make_card):
    claims = [make_card().claim("L2a"), make_card().claim("L2a").model_copy(update={"id": "X"})]
    samples = {"L2a": Samples.of(0.3 + VALUES), "X": Samples.of(0.3 + 2 * VALUES)}
    together = outlook(claims, samples, "laptop", "L2a")
    by_itself = outlook(claims[:1], samples, "laptop", "L2a") if samples.pop("X") else None
    assert together.needed > by_itself.needed and together.power < by_itself.power, "Holm asks for more of each"


def test_the_power_of_an_ordering_counts_every_miss(make_card):
    claim = make_card().claim("L3")
    noise = np.random.default_rng(1).normal(size=(3, 6))
    samples = {"L3": Samples.many({"dense": 98 + noise[0], "reinit": 97 + noise[1], "ticket": 98.9 + noise[2]})}
    found = outlook([claim], samples, "laptop", "L3")
    assert found.towards == "reproduced" and found.verdict.outcome == "inconclusive"
    a, b = (samples["L3"].arms[name].values for name in ("reinit", "dense"))
    c = samples["L3"].arms["ticket"].values

    def single(values):
        effect = values.mean() / values.std(ddof=1)
        return TTestPower().power(effect, 6, 0.05, alternative="larger")

    expected = 1 - (1 - single(b - a)) - (1 - single(c - b + 0.1))
    assert found.power == pytest.approx(max(expected, 0), rel=1e-6)
    (verdict,) = judge_all([claim], samples, "laptop")
    assert found.needed == verdict.strength.seeds_needed


def test_a_decided_claim_says_with_how_few_it_would_have_been(project, publish, alone):
    publish(5 + VALUES, card=alone())
    found = power_of(project, "lottery_ticket", "L2a")
    assert (found.status, found.outcome, found.more) == ("decided", "reproduced", 0)
    assert 2 <= found.seeds_needed < 5
    assert found.words[0] == "The claim is decided: reproduced with 5 seeds." and found.power > 0.99
    publish(VALUES - 5, name="0002-laptop-ab12cd34ef")
    found = power_of(project, "lottery_ticket", "L2a")
    assert (found.outcome, found.towards) == ("contradicted", "contradicted") and found.power > 0.99


def test_an_effect_at_the_margin_has_no_number(project, publish, alone):
    publish(card=alone(bound=0.3))
    found = power_of(project, "lottery_ticket", "L2a")
    assert (found.status, found.seeds_needed, found.more) == ("at_the_margin", None, None)
    assert "sits at the margin: more than 1000 seeds" in found.words[-1]


def test_one_seed_shows_no_spread(project, publish, alone):
    publish(VALUES[:1], card=alone())
    found = power_of(project, "lottery_ticket", "L2a")
    assert (found.status, found.seeds_needed, found.more, found.power) == ("open", 3, 2, None)
    assert "1 seed shows no spread" in found.words[0] and "fewest that show a spread: 2 more" in found.words[1]


def test_exact_blocked_and_never_tested(project, publish):
    project.more = {"L0": Samples.exact([51.3, 21.07, 13.52, 6.95, 3.58, 2.87, 1.85]), "L5": Samples.exact(2261184)}
    publish(blocked="cifar10 could not be reached")
    assert power_of(project, "lottery_ticket", "L0").status == "exact"
    found = power_of(project, "lottery_ticket", "L5")
    assert (found.status, found.outcome) == ("exact", "paper_error") and "no seed changes" in found.words[0]
    found = power_of(project, "lottery_ticket", "L6")
    assert found.status == "blocked" and "cifar10 could not be reached" in found.words[0]
    never = power_of(project, "lottery_ticket", "L2a", preset="paper")
    assert (never.status, never.version, never.power) == ("never_tested", None, None)
    assert never.command == "redraw run lottery_ticket --preset paper" and never.command in never.words[1]


def test_a_preset_that_cannot_decide_says_which_can(project, publish, make_card):
    claim = make_card().claim("L2a").model_dump() | {"main": True, "scope": {"paper": "same"}}
    publish(card=make_card(claims=[claim]))
    found = power_of(project, "lottery_ticket", "L2a", preset="laptop")
    assert found.status == "never_tested" and "laptop preset cannot decide it; it takes paper" in found.words[-1]


def test_the_strongest_preset_that_tested_it_is_taken(project, publish, alone):
    publish(card=alone())
    publish(VALUES + 0.1, name="0002-paper-ab12cd34ef", preset="paper")
    publish(VALUES + 0.2, name="0003-laptop-ab12cd34ef")
    assert power_of(project, "lottery_ticket", "L2a").version == "0002-paper-ab12cd34ef"
    assert power_of(project, "lottery_ticket", "L2a", preset="laptop").version == "0003-laptop-ab12cd34ef"


def test_a_margin_that_moved_is_said(project, publish, alone):
    publish(card=alone())
    before = power_of(project, "lottery_ticket", "L2a")
    project.study = alone(bound=-0.1)
    after = power_of(project, "lottery_ticket", "L2a")
    assert "has changed in the card" in after.words[-1] and after.words[-1] not in before.words
    assert after.seeds_needed < before.seeds_needed


def test_the_command_raises_the_number_of_seeds(project, publish, make_card):
    card = make_card()
    parameters = {name: parameter.model_dump() for name, parameter in card.parameters.items()}
    parameters["seeds"] |= {"type": "int", "range": [1, 1000]}
    presets = {
        name: {"help": preset.help, "values": preset.values | {"seeds": 5}} for name, preset in card.presets.items()
    }
    claim = card.claim("L2a").model_dump() | {"main": True, "criterion": {"op": ">", "bound": 0.0}}
    publish(card=make_card(claims=[claim], parameters=parameters, presets=presets))
    found = power_of(project, "lottery_ticket", "L2a")
    assert found.command == f"redraw run lottery_ticket --preset laptop -p seeds={found.seeds_needed}"


def test_a_claim_over_tasks_is_not_told_to_take_more_seeds(project, publish, make_card):
    card = make_card()
    claim = card.claim("L2a").model_dump() | {"criterion": {"op": ">", "bound": 0.0}, "over": "tasks", "main": True}
    publish(card=make_card(claims=[claim]))
    found = power_of(project, "lottery_ticket", "L2a")
    words = " ".join(found.words)
    assert found.over == "tasks" and found.seeds_needed and found.more and found.command is found.core_seconds is None
    assert f"{found.seeds_needed} tasks would decide it" in words and "how many tasks there are: `redraw show" in words
    assert re.search(r"open at \d+ tasks", words) and not re.search(r"\d seeds", words)


def test_a_run_that_left_the_claim_out_does_not_unsay_the_one_that_tested_it(project, publish, alone):
    publish(5 + VALUES, card=alone())
    publish((), name="0002-laptop-ab12cd34ef")
    found = power_of(project, "lottery_ticket", "L2a")
    assert (found.status, found.version) == ("decided", "0001-laptop-ab12cd34ef")
    assert found == power_of(project, "lottery_ticket", "L2a", preset="laptop")
    assert power_of(project, "lottery_ticket", "L2a", preset="paper").status == "never_tested"


def test_a_preset_that_was_run_as_it_is_and_left_the_claim_out_is_not_advised(project, publish, alone):
    publish((), card=alone())
    found = power_of(project, "lottery_ticket", "L2a")
    assert found.status == "never_tested" and "never tested (not in this run)" in found.words[0]
    assert found.command == "redraw run lottery_ticket --preset paper", "the laptop preset was run"
    found = power_of(project, "lottery_ticket", "L2a", preset="laptop")
    assert found.command is None and "laptop preset as it is does not test it" in found.words[1]


@pytest.mark.parametrize(
    "claim, preset, said", [("L2", None, "L2a"), ("L2a", "labtop", "laptop"), ("nothing", None, "L2a")]
)
def test_an_unknown_claim_or_preset_is_one_line_that_helps(project, publish, claim, preset, said):
    publish()
    with pytest.raises(ParameterError, match=said) as caught:
        power_of(project, "lottery_ticket", claim, preset=preset)
    assert "\n" not in str(caught.value)


def test_the_command_line(project, publish, alone, monkeypatch, capsys):
    publish(card=alone())
    monkeypatch.setattr(cli, "find_project", lambda: project)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["redraw", *arguments])
        code = cli._exit_code()
        return code, capsys.readouterr()

    code, said = run("power", "lottery_ticket", "L2a", "--json")
    plain = json.loads(said.out)
    assert code == 0 and plain["seeds_needed"] == power_of(project, "lottery_ticket", "L2a").seeds_needed
    code, said = run("power", "lottery_ticket", "L2a")
    assert code == 0 and "The claim is open at 5 seeds." in said.out
    code, said = run("power", "lottery_ticket", "L2b")
    assert code == 2 and said.err.count("\n") == 1 and "did you mean" in said.err
