"""Verdicts: a claim and its samples in, an outcome with its scope and strength out. Computed, never typed.

The rule. A claim says that a quantity lies in a region: beyond a bound, or within a margin of a reference.
Two one-sided nulls stand against each other: "the claim is false" (rejected: **reproduced**) and "the claim
is true" (rejected: **contradicted**); where neither is rejected the verdict is **inconclusive**. Each is
tested at alpha = 1 - level, so a false claim is called reproduced, and a true one contradicted, with a
chance of at most alpha each.

- Beyond a bound: one-sided t tests, paired by seed or Welch's.
- Within a margin: two one-sided tests, both at alpha (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15), which
  is the interval of level 1 - 2 alpha lying inside; contradicted when it lies outside at alpha / 2 per side
  (Hodges and Lehmann 1954, JRSS B 16), so that narrow margins keep the level too.
- Several comparisons or points of a curve at once ("all hold"): intersection-union, each at alpha (Berger
  1982, Technometrics 24); contradicted when one of the k is, at alpha / k (Bonferroni: valid however the
  points hang together, which a max-t quantile estimated from a handful of seeds is not).
- Ratios: on logarithms. Censored values: see `CensoredMean` and `SignMedian`; a budget is never an observed
  stop.

Holm within a study (Holm 1979, Scand. J. Stat. 6): the nulls of a study form two families, "the claim is
false" and "the claim is true", one per way to be wrong; Holm at alpha over each. So the chance of any false
"reproduced" in a study is at most alpha, and that of any false "contradicted" too, whatever the dependence.
Interval and p-value agree: Holm rejects a null exactly when its raw p is at most its step's level alpha_i =
alpha / (claims not yet rejected), and the interval is drawn at that level, with the adjusted p beside it.
For a verdict of reproduced it is the interval of the family that decided; for an inconclusive one the wider
of the two, so that reading the interval against the region always gives the outcome. Its coverage, 1 - 2
alpha_i, is stated with it; the intervals are not simultaneous.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ._claims import Arm, Claim, Comparison, Samples, SamplesError, Scope
from ._judge_stats import Bootstrap, Estimate, censored, difference, mean

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not_tested", "blocked", "paper_error"]
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Strength:
    """How much a verdict rests on: the number of seeds; the interval on the scale of the measurement
    (infinite where open) and its coverage; the Holm-adjusted p of the null that the outcome speaks of; and
    the seeds that would decide an inconclusive claim with power 0.8 at the spread seen so far, or the fewest that
    show a spread where there were too few for one."""

    seeds: int = 0
    interval: tuple[float, float] | None = None
    level: float | None = None
    p_value: float | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Part:
    """One comparison of an ordering or one point of a curve, in the claim's unit: what was measured, its
    interval at the level of the verdict's own, and the region in which this part of the claim holds (ends
    infinite where open)."""

    name: str
    measured: float
    interval: tuple[float, float]
    region: tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """The ruling on one claim. `measured` and `reference` are on the claim's own scale (an ordering
    measures the difference of its least certain comparison); `criterion` is the rule in words; `remarks`
    say what a reader should know: why nothing was decided, each comparison, what the paper left out;
    `parts` holds the comparisons or points where a claim has several."""

    id: str
    outcome: Outcome
    scope: Scope
    strength: Strength
    measured: float | tuple[float, ...] | None
    reference: float | tuple[float, ...] | None
    criterion: str
    remarks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; an open end of an interval or region becomes null, and `parts` is there only where
        a claim has several."""
        plain = asdict(self)
        for record in (plain["strength"], *plain["parts"]):
            for name in ("interval", "region"):
                if record.get(name) is not None:
                    record[name] = [end if math.isfinite(end) else None for end in record[name]]
        if not plain["parts"]:
            del plain["parts"]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}


@dataclass(frozen=True)
class Outlook:
    """What seeds do for a claim, were the truth what was seen: `towards` is the outcome that the estimate
    points at, `power` the chance that `seeds` new seeds, as many as there are, would give it, and `needed`
    the fewest with power 0.8 (None: more than MOST_SEEDS, or no spread was seen). `towards` and `power` are
    None where no interval speaks: an exact claim, too few seeds, nothing measured."""

    verdict: Verdict
    seeds: int
    towards: Literal["reproduced", "contradicted"] | None = None
    power: float | None = None
    needed: int | None = None


@dataclass(frozen=True)
class _Part:
    """One quantity and the region (low, high) it must lie in for the claim to hold, on the working scale."""

    name: str
    estimate: Estimate
    low: float
    high: float

    @property
    def sides(self) -> int:
        return 2 if math.isfinite(self.low) and math.isfinite(self.high) else 1

    def p_false(self) -> float:
        """p-value of "outside the region"."""
        low = self.estimate.above(self.low) if math.isfinite(self.low) else 0.0
        high = self.estimate.below(self.high) if math.isfinite(self.high) else 0.0
        return max(low, high)

    def p_true(self) -> float:
        """p-value of "inside the region"."""
        low = self.estimate.below(self.low) if math.isfinite(self.low) else 1.0
        high = self.estimate.above(self.high) if math.isfinite(self.high) else 1.0
        return min(self.sides * min(low, high), 1.0)


@dataclass(frozen=True)
class _Evidence:
    """The parts of a claim, all of which must hold, and how to show them."""

    parts: tuple[_Part, ...]
    show: Callable[[float], float] = float
    measured: tuple[float, ...] | None = None
    remarks: tuple[str, ...] = ()

    def p_false(self) -> float:
        return max(part.p_false() for part in self.parts)

    def p_true(self) -> float:
        return min(len(self.parts) * min(part.p_true() for part in self.parts), 1.0)


class _NoInterval(NamedTuple):
    """Why no interval can be given; `seeds_needed` where it is that there are too few."""

    reason: str
    seeds_needed: int | None = None


@dataclass(frozen=True)
class _Levels:
    """What Holm grants a claim: adjusted p and step level in the families "claim false" and "claim true"."""

    p_false: float
    p_true: float
    alpha_false: float
    alpha_true: float
    alpha: float


def judge(claim: Claim, samples: Samples, *, scope: Scope, level: float = 0.95) -> Verdict:
    """Rule on one claim alone; see the module for the rule and `judge_all` for a study's claims together.

    `scope` says what a verdict of this run is worth: same, reimplemented or reduced; `level` is 1 - alpha,
    the confidence of each one-sided test. With fewer than two seeds the outcome is inconclusive, never an
    error. Raises SamplesError, one line, when the samples are not of the claim's kind.
    """
    return _judge_family([(claim, samples, scope)], level)[0]


def judge_all(
    claims: Sequence[Claim], samples: Mapping[str, Samples], preset: str, *, level: float = 0.95
) -> list[Verdict]:
    """Rule on a study's claims together, Holm-corrected, in the order of the claims.

    `samples` maps claim ids to what was measured. A claim that the preset cannot decide, or that has no
    samples, is not tested (what was measured is still shown) and takes no part in the correction.
    """
    if unknown := sorted(set(samples) - {claim.id for claim in claims}):
        raise SamplesError(f"samples: given for no claim of the card: {', '.join(unknown)}")
    able = [claim for claim in claims if preset in claim.scope and claim.id in samples]
    ruled = _judge_family([(claim, samples[claim.id], claim.scope[preset]) for claim in able], level)
    verdicts = {verdict.id: verdict for verdict in ruled}
    for claim in claims:
        if claim.id not in verdicts:
            verdicts[claim.id] = _untested(claim, samples.get(claim.id), preset, level)
    return [verdicts[claim.id] for claim in claims]


def _untested(claim: Claim, samples: Samples | None, preset: str, level: float) -> Verdict:
    if preset in claim.scope:
        reason = Samples.not_tested("the study measured nothing for this claim")
        return judge(claim, reason, scope=claim.scope[preset], level=level)
    reason = f"the {preset} preset cannot decide this claim; it takes {' or '.join(claim.scope)}"
    shown = judge(claim, samples or Samples.not_tested(""), scope="reduced", level=level)
    strength = Strength(shown.strength.seeds, shown.strength.interval, shown.strength.level)
    return _verdict(claim, "not_tested", "reduced", strength, shown.measured, (reason,), shown.parts)


def outlook(
    claims: Sequence[Claim], samples: Mapping[str, Samples], preset: str, id: str, *, level: float = 0.95
) -> Outlook:
    """The `Outlook` of the claim called `id` among a study's claims, at the levels that Holm grants it there.

    Takes what `judge_all` takes. The power is that of `Strength.seeds_needed`: a noncentral t at the estimate
    and spread seen (an estimate itself, and a poor one from a handful of seeds). KeyError for an unknown id.
    """
    verdict = {v.id: v for v in judge_all(claims, samples, preset, level=level)}[id]
    able = [claim for claim in claims if preset in claim.scope and claim.id in samples]
    ruled, levels = _family([(claim, samples[claim.id], claim.scope[preset]) for claim in able], level)
    index = next((i for i, claim in enumerate(able) if claim.id == id), None)
    if index not in levels:
        return Outlook(verdict, verdict.strength.seeds, needed=verdict.strength.seeds_needed)
    parts, granted = ruled[index].parts, levels[index]
    alphas = granted.alpha_false, granted.alpha_true / len(parts)
    seeds = min(part.estimate.n for part in parts)
    needed = verdict.strength.seeds_needed
    if verdict.outcome != "inconclusive":
        needed, _ = _seeds_needed(parts, *alphas, least=1)
    towards, power = _prospect(parts, *alphas)
    return Outlook(verdict, seeds, towards, power(seeds), needed)


def _judge_family(cases: Sequence[tuple[Claim, Samples, Scope]], level: float) -> list[Verdict]:
    ruled, levels = _family(cases, level)
    verdicts = []
    for i, (item, (claim, samples, scope)) in enumerate(zip(ruled, cases, strict=True)):
        if isinstance(item, _Evidence):
            item = _decide(claim, item, scope, levels[i])
        verdicts.append(item if isinstance(item, Verdict) else _no_interval(claim, samples, scope, item))
    return verdicts


def _family(
    cases: Sequence[tuple[Claim, Samples, Scope]], level: float
) -> tuple[list[Verdict | _Evidence | _NoInterval], dict[int, _Levels]]:
    """For each case its verdict where that needs no interval, else its evidence or why there is none; and the
    levels that Holm grants the cases with evidence, by position."""
    if not 0.5 < level < 1:
        raise ValueError(f"level: must be between 0.5 and 1, got {level!r}")
    ruled = [_settled(*case) or _evidence(case[0], case[1]) for case in cases]
    tested = [i for i, item in enumerate(ruled) if isinstance(item, _Evidence)]
    falses = _holm([ruled[i].p_false() for i in tested], 1 - level)
    trues = _holm([ruled[i].p_true() for i in tested], 1 - level)
    levels = {
        i: _Levels(p_false, p_true, alpha_false, alpha_true, 1 - level)
        for i, (p_false, alpha_false), (p_true, alpha_true) in zip(tested, falses, trues, strict=True)
    }
    return ruled, levels


def _holm(p_values: Sequence[float], alpha: float) -> list[tuple[float, float]]:
    """Holm's adjusted p and the level of each one's step: p <= level exactly when adjusted p <= alpha.

    Own code, though statsmodels has it (and the tests compare): that one keeps the steps' levels to itself.
    """
    left, largest, ruled = len(p_values), 0.0, [(0.0, 0.0)] * len(p_values)
    granted = left
    for index in sorted(range(left), key=lambda i: p_values[i]):
        largest = max(largest, min(left * p_values[index], 1.0))
        ruled[index] = largest, alpha / granted
        left -= 1
        granted = left if largest <= alpha else granted  # the first that stands keeps its step for the rest
    return ruled


def _settled(claim: Claim, samples: Samples, scope: Scope) -> Verdict | None:
    """The verdicts that need no interval: nothing measured, or a number that is exact."""
    if samples.missing is not None:
        return _verdict(claim, samples.missing, scope, Strength(), None, (samples.reason,))
    if (samples.number is not None) != (claim.kind == "exact"):
        given = "an exact number" if samples.number is not None else "values by seed"
        raise SamplesError(f"{claim.id}: a claim of kind {claim.kind} is not decided by {given}")
    return _judge_exact(claim, samples, scope) if claim.kind == "exact" else None


def _judge_exact(claim: Claim, samples: Samples, scope: Scope) -> Verdict:
    """Equal at the paper's printed precision: |measured - printed| at most half a unit of its last digit."""
    measured = np.atleast_1d(samples.number)
    printed = np.atleast_1d(claim.reference.value)
    if measured.shape != printed.shape:
        raise SamplesError(f"{claim.id}: must be {printed.size} numbers, got {measured.size}")
    half = claim.reference.rounding

    def equal(values: np.ndarray) -> np.ndarray:
        slack = 1e-9 * half + 1e-14 * np.abs(values)
        return np.abs(measured - values) <= half + slack

    same = equal(printed)
    if same.all():
        remarks = ("the card expected a paper error; the count agrees",) if claim.expect == "paper_error" else ()
        return _verdict(claim, "reproduced", scope, Strength(), samples.number, remarks)
    where = int(np.argmin(same))
    remarks = [f"counted {measured[where]:.10g}, printed {printed[where]:.10g}"]
    if printed.size > 1:
        remarks[0] += f" (number {where + 1} of {printed.size}; {int((~same).sum())} differ)"
    if claim.expect == "paper_error":
        if equal(np.atleast_1d(claim.counted)).all():
            remarks.append("the printed number does not follow from the paper's own definitions")
            return _verdict(claim, "paper_error", scope, Strength(), samples.number, tuple(remarks))
        remarks.append("nor does the count agree with the one that the card declares")
    return _verdict(claim, "contradicted", scope, Strength(), samples.number, tuple(remarks))


def _evidence(claim: Claim, samples: Samples) -> _Evidence | _NoInterval:
    """The parts to test, or why no interval can be given."""
    if claim.kind == "ordering":
        return _ordering_evidence(claim, samples)
    if claim.kind == "curve":
        return _curve_evidence(claim, samples)
    low, high, work, show = _region(claim)
    if samples.draws is not None:
        if claim.kind not in ("exponent", "value", "threshold"):
            raise SamplesError(f"{claim.id}: a claim of kind {claim.kind} is not decided by bootstrap draws")
        if samples.seeds < 2:
            return _too_few(samples.seeds)
        estimate = Bootstrap(samples.estimate, samples.draws, samples.seeds)
        remarks = _reference_remarks(claim, estimate)
        return _Evidence((_Part("measured", estimate, low, high),), show, remarks=remarks)
    names = list(samples.arms)
    if names not in (["measured"], ["a", "b"]):
        raise SamplesError(f"{claim.id}: must be given by Samples.of or Samples.pair, got arms {names}")
    if names == ["a", "b"] and claim.kind not in ("difference", "absence", "ratio"):
        raise SamplesError(f"{claim.id}: a claim of kind {claim.kind} takes one arm, got two")
    arms = [_transformed(claim, arm) for arm in samples.arms.values()]
    estimate = _compare(claim, arms[0], arms[1] if len(arms) == 2 else None, _floor(claim))
    if isinstance(estimate, _NoInterval):
        return estimate
    remarks = _reference_remarks(claim, estimate)
    if any(arm.censored.any() for arm in arms):
        remarks += (_censored_remark(arms, estimate),)
    return _Evidence((_Part("measured", estimate, low, high),), show, remarks=remarks)


def _ordering_evidence(claim: Claim, samples: Samples) -> _Evidence | _NoInterval:
    parts = []
    for comparison in claim.criterion.all:
        if missing := [name for name in (comparison.a, comparison.b) if name not in samples.arms]:
            given = ", ".join(samples.arms) or "none"
            raise SamplesError(f"{claim.id}: must have an arm {missing[0]!r}, got {given}")
        arms = samples.arms[comparison.a], samples.arms[comparison.b]
        estimate = _compare(claim, *arms, _floor(claim))
        if isinstance(estimate, _NoInterval):
            return estimate._replace(reason=f"{comparison.a} against {comparison.b}: {estimate.reason}")
        name = f"{comparison.a} - {comparison.b}"
        parts.append(_Part(name, estimate, *_comparison_region(comparison)))
    return _Evidence(tuple(parts))


def _comparison_region(comparison: Comparison) -> tuple[float, float]:
    margin, minus = comparison.margin, 0.0 - comparison.margin  # no -0.0, which would be shown as such
    return {
        ">": (margin, math.inf),
        "<": (-math.inf, minus),
        ">=": (minus, math.inf),
        "<=": (-math.inf, margin),
        "=": (minus, margin),
    }[comparison.op]


def _curve_evidence(claim: Claim, samples: Samples) -> _Evidence | _NoInterval:
    if samples.curves is None:
        raise SamplesError(f"{claim.id}: a claim of kind curve is decided by Samples.curve")
    x = np.asarray(claim.reference.x, float)
    if samples.grid.shape != x.shape or not np.allclose(samples.grid, x, rtol=1e-9, atol=1e-12):
        raise SamplesError(f"{claim.id}: must be measured on the grid reference.x ({len(x)} numbers)")
    if len(samples.curves) < 2:
        return _too_few(len(samples.curves))
    margin = max(claim.criterion.margin, claim.reference.rounding)
    parts = tuple(
        _Part(f"at x = {at:g}", mean(column, _floor(claim)), value - margin, value + margin)
        for at, column, value in zip(x, samples.curves.T, claim.reference.value, strict=True)
    )
    measured = tuple(samples.curves.mean(axis=0).tolist())
    return _Evidence(parts, measured=measured, remarks=_reference_remarks(claim, parts[0].estimate))


def _region(claim: Claim) -> tuple[float, float, Callable, Callable]:
    """The region in which the claim holds, on the working scale, and the maps to that scale and back."""
    work, show = (math.log, _exp) if claim.kind == "ratio" else (float, float)
    criterion, reference = claim.criterion, claim.reference
    if criterion.bound is not None:
        bound = work(criterion.bound)
        return (bound, math.inf, work, show) if criterion.op == ">" else (-math.inf, bound, work, show)
    value = 0.0 if reference.value is None else float(reference.value)
    if claim.kind == "ratio":
        factor = max(criterion.margin, 1.0 + reference.rounding / value)
        return work(value / factor), work(value * factor), work, show
    margin = max(criterion.margin, reference.rounding)
    return value - margin, value + margin, work, show


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf


def _floor(claim: Claim) -> float:
    """The spread that stands in for none: that of rounding to the paper's last digit, else of floating
    point."""
    rounding = 2.0 * claim.reference.rounding / math.sqrt(12.0)
    if claim.kind == "ratio" and isinstance(claim.reference.value, int | float):
        rounding /= claim.reference.value
    return rounding or 1e-9


def _transformed(claim: Claim, arm: Arm) -> Arm:
    if claim.kind != "ratio":
        return arm
    if (arm.values <= 0).any():
        raise SamplesError(f"{claim.id}: must be above 0 for a ratio, got {arm.values.min():g}")
    return Arm(np.log(arm.values), arm.censored)


def _compare(claim: Claim, a: Arm, b: Arm | None, floor: float) -> Estimate | _NoInterval:
    """The estimate of a, or of a - b, or why there is none."""
    seeds = len(a.values) if b is None else min(len(a.values), len(b.values))
    if b is not None and claim.paired and len(a.values) != len(b.values):
        raise SamplesError(f"{claim.id}: arms paired by seed must be as many, got {len(a.values)} and {len(b.values)}")
    if seeds < 2:
        return _too_few(seeds)
    if not a.censored.any() and (b is None or not b.censored.any()):
        paper = _paper_variance(claim)
        if b is not None and not claim.paired:
            return difference(a.values, b.values, floor, *paper)
        return mean(a.values if b is None else a.values - b.values, floor, *paper)
    if b is not None and not claim.paired:
        return _NoInterval("values that end at the budget can only be compared paired by seed")
    lows, highs = a.values, np.where(a.censored, np.inf, a.values)
    if b is not None:
        lows, highs = np.where(b.censored, -np.inf, a.values - b.values), highs - b.values
    return censored(lows, highs, floor) or _NoInterval("the budget ended nearly every run: nothing to compare")


def _paper_variance(claim: Claim) -> tuple[float, float]:
    """The paper's own sampling variance of its mean and its degrees of freedom, where it is compared with."""
    reference = claim.reference
    near = claim.criterion.margin is not None and claim.kind in ("value", "difference", "exponent")
    if not near or not reference.spread or (reference.n or 0) < 2:
        return 0.0, math.inf
    return reference.spread**2 / reference.n, reference.n - 1


def _too_few(seeds: int) -> _NoInterval:
    """Fewer than two seeds; three are the fewest that show a spread worth the name."""
    reason = f"{seeds} seed{'s' if seeds != 1 else ''} show{'s' if seeds == 1 else ''} no spread: no interval"
    return _NoInterval(reason, seeds_needed=3)


def _reference_remarks(claim: Claim, estimate: Estimate) -> tuple[str, ...]:
    reference, remarks = claim.reference, []
    if claim.criterion.margin is None or reference.value is None:
        return ()
    if not getattr(estimate, "fixed", 0.0):
        remarks.append("the paper's figure is taken as it stands: no spread of it is known or used")
    if claim.kind != "ratio" and reference.rounding > claim.criterion.margin:
        remarks.append(f"the margin is widened to the printed rounding, {reference.rounding:g}")
    return tuple(remarks)


def _censored_remark(arms: Sequence[Arm], estimate: Estimate) -> str:
    count, total = sum(int(arm.censored.sum()) for arm in arms), sum(len(arm.values) for arm in arms)
    how = {"SignMedian": "sign test on the median", "CensoredMean": "censored normal likelihood"}
    method = how.get(type(estimate).__name__, "t test on the others")
    silent = len(arms[0].values) - estimate.n
    left_out = f"; {silent} seeds tell nothing" if silent else ""
    return f"{count} of {total} values are lower bounds: {method}{left_out}"


def _decide(claim: Claim, evidence: _Evidence, scope: Scope, levels: _Levels) -> Verdict:
    parts, alpha, needed = evidence.parts, levels.alpha, None
    weakest = max(parts, key=lambda part: (part.p_false(), -part.p_true()))
    worst = min(parts, key=lambda part: (part.p_true(), -part.p_false()))
    remarks = evidence.remarks
    alpha_out = levels.alpha_true / len(parts)
    if levels.p_false <= alpha:
        outcome, part, step, p_value = "reproduced", weakest, levels.alpha_false, levels.p_false
    elif levels.p_true <= alpha:
        outcome, part, step, p_value = "contradicted", worst, alpha_out / worst.sides, levels.p_true
    else:
        outcome, part, p_value = "inconclusive", weakest, levels.p_false
        step = min(levels.alpha_false, alpha_out / weakest.sides)
        needed, why = _seeds_needed(parts, levels.alpha_false, alpha_out)
        remarks += (why,) if why else ()
    interval = part.estimate.limits(step)
    if len(parts) > 1:
        remarks = _part_remarks(claim, parts, part, step) + remarks
    if any(isinstance(end, float) and math.isinf(end) for end in interval):
        remarks += (f"{part.estimate.n} seeds are too few to close the interval at this level",)
    strength = Strength(
        part.estimate.n, tuple(evidence.show(end) for end in interval), round(1 - 2 * step, 12), p_value, needed
    )
    measured = evidence.measured or evidence.show(part.estimate.estimate)
    shown = tuple(Part(p.name, p.estimate.estimate, p.estimate.limits(step), (p.low, p.high)) for p in parts)
    return _verdict(claim, outcome, scope, strength, measured, remarks, shown if len(parts) > 1 else ())


def _part_remarks(claim: Claim, parts: Sequence[_Part], shown: _Part, alpha: float) -> tuple[str, ...]:
    lines = [f"the interval is that of {shown.name}, the least certain of {len(parts)}"]
    if claim.kind == "ordering":
        for part in parts:
            low, high = part.estimate.limits(alpha)
            lines.append(f"{part.name} = {part.estimate.estimate:.4g} [{low:.4g}, {high:.4g}] {claim.unit}".rstrip())
    return tuple(lines)


def _seeds_needed(
    parts: Sequence[_Part], alpha_false: float, alpha_out: float, least: int | None = None
) -> tuple[int | None, str]:
    """The fewest seeds above `least` (default: those there are) that would decide the claim with power 0.8, were
    the truth what was seen; where MOST_SEEDS do not, None and why."""
    _, power = _prospect(parts, alpha_false, alpha_out)
    if power(MOST_SEEDS) < POWER:
        return None, f"more than {MOST_SEEDS} seeds would be needed: the effect seen lies too near the margin"
    low = min(part.estimate.n for part in parts) if least is None else least  # taken not to suffice
    high = MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high, ""


def _prospect(
    parts: Sequence[_Part], alpha_false: float, alpha_out: float
) -> tuple[Literal["reproduced", "contradicted"], Callable[[int], float]]:
    """The outcome that the estimates point at, and the power for it at a number of seeds.

    Towards "reproduced" when every part is seen to hold: the chance that all do together is at least one less
    the sum of their misses. Else towards "contradicted", on the part that fails soonest.
    """
    if failing := [p for p in parts if not p.low < p.estimate.estimate < p.high]:
        return "contradicted", lambda n: max(_power_outside(part, alpha_out, n) for part in failing)
    return "reproduced", lambda n: max(1 - sum(1 - _power_inside(part, alpha_false, n) for part in parts), 0.0)


def _power_inside(part: _Part, alpha: float, n: int) -> float:
    """Power to show both sides; for two of them P(A and B) >= P(A) + P(B) - 1, near-exact when either
    matters."""
    low = part.estimate.power(part.low, alpha, n, True) if math.isfinite(part.low) else 1.0
    high = part.estimate.power(part.high, alpha, n, False) if math.isfinite(part.high) else 1.0
    return max(low + high - 1.0, 0.0)


def _power_outside(part: _Part, alpha: float, n: int) -> float:
    alpha = alpha / part.sides
    low = part.estimate.power(part.low, alpha, n, False) if math.isfinite(part.low) else 0.0
    high = part.estimate.power(part.high, alpha, n, True) if math.isfinite(part.high) else 0.0
    return max(low, high)


def _no_interval(claim: Claim, samples: Samples, scope: Scope, why: _NoInterval) -> Verdict:
    """Inconclusive, with the seeds that would show a spread where they were too few for one."""
    seeds, measured = _single(claim, samples)
    needed, remark = why.seeds_needed, ""
    if needed:
        remark = f"at least {needed} seeds are needed to see a spread; how many decide can be said then"
    return _verdict(claim, "inconclusive", scope, Strength(seeds, seeds_needed=needed), measured, (why.reason, remark))


def _single(claim: Claim, samples: Samples) -> tuple[int, float | tuple[float, ...] | None]:
    if samples.draws is not None:
        return samples.seeds, samples.estimate
    if samples.curves is not None:
        seeds = len(samples.curves)
        return seeds, tuple(samples.curves.mean(axis=0).tolist()) if seeds else None
    arms = list(samples.arms.values())
    seeds = min(len(arm.values) for arm in arms)
    if claim.kind == "ordering" or seeds == 0 or any(arm.censored.any() for arm in arms):
        return seeds, None
    means = [float(_transformed(claim, arm).values.mean()) for arm in arms]
    return seeds, _region(claim)[3](means[0] - means[1] if len(means) == 2 else means[0])


def _verdict(claim, outcome, scope, strength, measured, remarks=(), parts=()) -> Verdict:
    value = claim.reference.value
    reference = tuple(value) if isinstance(value, list) else value
    remarks = tuple(remark for remark in remarks if remark)
    return Verdict(claim.id, outcome, scope, strength, measured, reference, describe(claim), remarks, parts)


def describe(claim: Claim) -> str:
    """The criterion in words: `a / b < 0.8`, `within 0.3 pp of 98.2`."""
    criterion, reference, unit = claim.criterion, claim.reference, f" {claim.unit}".rstrip()
    subject = {"difference": "a - b", "ratio": "a / b", "absence": "a - b"}.get(claim.kind, claim.metric)
    if claim.kind == "exact":
        return f"equal at the printed precision (within {reference.rounding:g}{unit})"
    if claim.kind == "ordering":
        return " and ".join(_describe_comparison(comparison, unit) for comparison in criterion.all)
    unit = "" if claim.kind == "ratio" else unit
    if criterion.bound is not None:
        return f"{subject} {criterion.op} {criterion.bound:g}{unit}"
    if claim.kind == "ratio":
        return f"{subject} within a factor {criterion.margin:g} of {reference.value:g}"
    margin = max(criterion.margin, reference.rounding)
    if claim.kind == "curve":
        return f"{subject} within {margin:g}{unit} of the paper's curve at each of {len(reference.x)} points"
    return f"{subject} within {margin:g}{unit} of {reference.value or 0:g}"


def _describe_comparison(comparison: Comparison, unit: str) -> str:
    text = f"{comparison.a} {comparison.op} {comparison.b}"
    if comparison.op == "=":
        return f"{comparison.a} within {comparison.margin:g}{unit} of {comparison.b}"
    if comparison.op in ("<=", ">="):
        return f"{text} (less than {comparison.margin:g}{unit} {'above' if comparison.op == '<=' else 'below'})"
    return f"{text} by {comparison.margin:g}{unit}" if comparison.margin else text
