"""Claims: what a paper says, typed so that a verdict can be computed, and the samples a study answers with.

A claim names its paper and place, the metric it speaks of, the paper's own figure and the criterion that
decides it. Nine kinds, in three shapes of criterion (besides `exact`, which has none but the printed digits):

====================  =======================================  ==========================================
kind                  criterion                                reads
====================  =======================================  ==========================================
exact                 (reference.decimals)                     equal at the paper's printed precision
value                 margin                                   measured within reference +- margin
exponent              margin, or op and bound                  fitted exponent within reference +- margin
curve                 margin                                   every point within reference +- margin
absence               margin                                   a - b within reference (0 if none) +- margin
difference            op and bound, or margin                  a - b beyond bound, or near the reference
threshold             op and bound                             measured beyond bound
ratio                 op and bound, or margin (a factor > 1)   a / b beyond bound, or within the factor
ordering              all: a list of comparisons of arms       every comparison holds
====================  =======================================  ==========================================
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["exact", "value", "difference", "ratio", "ordering", "threshold", "exponent", "curve", "absence"]
Scope = Literal["same", "reimplemented", "reduced"]

_SHAPES = {
    "exact": (),
    "value": ("margin",),
    "curve": ("margin",),
    "absence": ("margin",),
    "exponent": ("margin", "bound"),
    "difference": ("margin", "bound"),
    "ratio": ("margin", "bound"),
    "threshold": ("bound",),
    "ordering": ("all",),
}
_WORDS = ("statement", "place", "notes", "over")


class FieldError(ValueError):
    """A problem of one field: `path` leads to it from the model that was checked."""

    def __init__(self, path: Sequence[str | int], message: str):
        super().__init__(message)
        self.path = tuple(path)


class Record(BaseModel):
    """A strict, frozen record: unknown fields, coercions, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Reference(Record):
    """The paper's own figure.

    `value` is a number, or a list of numbers (a vector of an exact claim, a curve on the grid `x`).
    `spread` is the standard deviation over the paper's `n` runs, where it reports one. `decimals` is the
    number of digits printed after the point (51.3: 1; 1,700,000 printed as 1.7 M: -5): no margin is finer
    than half of the last.
    """

    value: float | list[float] | None = None
    x: list[float] | None = None
    spread: float | None = Field(None, ge=0)
    n: int | None = Field(None, ge=1)
    decimals: int | None = Field(None, ge=-15, le=15)
    source: Literal["reported", "digitised", "author_code", "derived"] = "reported"

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit; 0 when the printed digits are not known."""
        return 0.0 if self.decimals is None else 0.5 * 10.0**-self.decimals


class Comparison(Record):
    """One comparison of two arms, `a op b`: with `>` the mean of a - b is above `margin`; with `>=` ("not
    below") it is above -`margin`; with `=` it lies within +-`margin`. `<` and `<=` mirror these."""

    a: str = Field(min_length=1)
    op: Literal["<", ">", "<=", ">=", "="]
    b: str = Field(min_length=1)
    margin: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _check(self):
        if self.a == self.b:
            raise FieldError(("b",), f"must name another arm than a, got {self.b!r} twice")
        if self.op in ("<=", ">=", "=") and self.margin <= 0:
            raise FieldError(("margin",), f"must be above 0 for {self.op!r} (how far may the arms differ?)")
        return self


class Criterion(Record):
    """What decides the claim: `margin` (near the reference), `op` with `bound` (beyond a bound), or `all`
    (every comparison holds). `basis` says where the margin or the bound comes from."""

    op: Literal["<", ">"] | None = None
    bound: float | None = None
    margin: float | None = Field(None, gt=0)
    all: list[Comparison] | None = Field(None, min_length=1)
    basis: str = ""

    @property
    def shape(self) -> str | None:
        """`margin`, `bound`, `all`, None (nothing given) or `mixed`."""
        given = [name for name in ("margin", "bound", "all") if getattr(self, name) is not None]
        return None if not given else given[0] if len(given) == 1 else "mixed"


class Claim(Record):
    """One claim of a paper.

    `scope` maps each preset that can decide the claim to what a verdict under it is worth: `same` (data and
    protocol), `reimplemented` or `reduced`. A preset that is not named leaves the claim untested. `paired`
    says that the arms share their seeds. `over` names what varies, in the plural: each value of an arm is of another
    seed, or another task, cell, network. `expect: paper_error` declares that an exact value of the paper is
    suspected not to follow from the paper's own definitions; `counted` is then the value that does.
    """

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=40)
    statement: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    place: str = ""
    kind: Kind
    metric: str = Field(min_length=1)
    unit: str = ""
    reference: Reference = Reference()
    criterion: Criterion = Criterion()
    expect: Literal["reproduced", "paper_error"] = "reproduced"
    counted: float | list[float] | None = None
    main: bool = False
    paired: bool = True
    over: str = Field("seeds", pattern=r"^[a-z]+s$")
    scope: dict[Literal["smoke", "laptop", "paper"], Scope] = Field(min_length=1)
    notes: str = ""

    @model_validator(mode="after")
    def _check(self):
        _check_criterion(self)
        _check_reference(self)
        if (self.expect == "paper_error") != (self.counted is not None):
            raise FieldError(("counted",), "must be given when expect is paper_error, and only then")
        if self.expect == "paper_error" and self.kind != "exact":
            raise FieldError(("expect",), f"paper_error needs kind exact, got kind {self.kind}")
        if self.counted is not None and _length(self.counted) != _length(self.reference.value):
            raise FieldError(("counted",), "must have as many numbers as reference.value")
        return self

    def meaning(self) -> dict[str, Any]:
        """The fields that decide a verdict, as plain JSON data; words (statement, place, notes, basis) left
        out."""
        plain = self.model_dump(mode="json", exclude=set(_WORDS))
        plain["criterion"].pop("basis")
        return plain


def how_many(number: int, over: str) -> str:
    """A number of what a claim varies over, in words: 1 seed, 9 tasks."""
    return f"{number:,} {over.removesuffix('s') if number == 1 else over}"


def told_of(remark: str, over: str) -> str:
    """A remark of the judge, who counts seeds whatever the claim varies over, in the claim's own units."""
    return re.sub(r"\bseeds\b", over, remark)


def _length(value: float | list[float] | None) -> int | None:
    return len(value) if isinstance(value, list) else None


def _check_criterion(claim: Claim) -> None:
    allowed, criterion = _SHAPES[claim.kind], claim.criterion
    if criterion.shape not in (allowed or (None,)):
        texts = {"margin": "a margin", "bound": "op and bound", "all": "a list of comparisons"}
        wanted = " or ".join(texts[shape] for shape in allowed) or "nothing (reference.decimals decides)"
        raise FieldError(("criterion",), f"must give {wanted} for kind {claim.kind}")
    if (criterion.op is None) != (criterion.bound is None):
        raise FieldError(("criterion",), "op and bound must be given together")
    if claim.kind == "ratio":
        if criterion.bound is not None and criterion.bound <= 0:
            raise FieldError(("criterion", "bound"), f"must be above 0 for a ratio, got {criterion.bound:g}")
        if criterion.margin is not None and criterion.margin <= 1:
            raise FieldError(
                ("criterion", "margin"),
                f"must be a factor above 1 for a ratio (1.25: within a quarter), got {criterion.margin:g}",
            )


def _check_reference(claim: Claim) -> None:
    reference = claim.reference
    value, near = reference.value, claim.criterion.margin is not None
    if claim.kind == "exact":
        if value is None or value == []:
            raise FieldError(("reference", "value"), "must be given for kind exact")
        if reference.decimals is None:
            raise FieldError(("reference", "decimals"), "must be given for kind exact")
    elif claim.kind == "curve":
        if not isinstance(value, list) or not isinstance(reference.x, list) or not value:
            raise FieldError(("reference", "value"), "must be a list of numbers on the grid x for kind curve")
        if len(value) != len(reference.x):
            raise FieldError(
                ("reference", "x"),
                f"must have as many numbers as value ({len(value)}), got {len(reference.x)}",
            )
        if sorted(set(reference.x)) != reference.x:
            raise FieldError(("reference", "x"), "must increase from number to number")
    elif isinstance(value, list):
        raise FieldError(("reference", "value"), f"must be one number for kind {claim.kind}")
    elif near and value is None and claim.kind != "absence":
        raise FieldError(("reference", "value"), f"must be given for kind {claim.kind} with a margin")
    if claim.kind == "ratio" and isinstance(value, float | int) and value <= 0:
        raise FieldError(("reference", "value"), f"must be above 0 for a ratio, got {value:g}")


def claims_hash(claims: Sequence[Claim]) -> str:
    """SHA-256 (hex) over the canonical JSON of what the claims mean, in the order of their ids.

    Words may be mended without changing it; a margin, bound, reference, preset or kind that moves changes it.
    """
    meanings = sorted((claim.meaning() for claim in claims), key=lambda plain: plain["id"])
    text = json.dumps(meanings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class SamplesError(ValueError):
    """Samples that do not fit their claim: one line naming what is wrong."""


@dataclass(frozen=True)
class Arm:
    """One condition: `values` (n,) one number per seed in seed order; `censored` (n,) marks the values that
    are only a lower bound (the run ended before the event: an early stop at the iteration budget)."""

    values: np.ndarray
    censored: np.ndarray


@dataclass(frozen=True)
class Samples:
    """What a study measured for one claim. Build it with one of the constructors below.

    Exactly one of these is filled: `arms` (per-seed values, one arm per condition), `number` (an exact
    count), `grid` with `curves` (n seeds, len(grid)), `estimate` with `draws` (bootstrap), or `missing`
    with `reason`.
    """

    arms: Mapping[str, Arm] = field(default_factory=dict)
    number: float | tuple[float, ...] | None = None
    grid: np.ndarray | None = None
    curves: np.ndarray | None = None
    estimate: float | None = None
    draws: np.ndarray | None = None
    seeds: int | None = None
    missing: Literal["blocked", "not_tested"] | None = None
    reason: str = ""

    @classmethod
    def of(cls, values, censored=None) -> Samples:
        """One number per seed: the metric itself, or a difference or ratio already taken seed by seed."""
        return cls.many({"measured": values}, {"measured": censored})

    @classmethod
    def pair(cls, a, b, a_censored=None, b_censored=None) -> Samples:
        """Two arms in seed order; the claim reads a - b, or a / b for a ratio."""
        return cls.many({"a": a, "b": b}, {"a": a_censored, "b": b_censored})

    @classmethod
    def many(cls, arms: Mapping[str, Any], censored: Mapping[str, Any] | None = None) -> Samples:
        """Named arms, for the comparisons of an ordering; `censored` may flag the values of some arms."""
        flags = censored or {}
        if unknown := set(flags) - set(arms):
            raise SamplesError(f"censored: names no arm: {', '.join(sorted(unknown))}")
        return cls(arms={name: _arm(name, values, flags.get(name)) for name, values in arms.items()})

    @classmethod
    def exact(cls, number: float | Sequence[float]) -> Samples:
        """A number, or a list of numbers, that was computed exactly: no seeds, no spread."""
        array = _finite("number", number)
        return cls(number=float(array) if array.ndim == 0 else tuple(array.ravel().tolist()))

    @classmethod
    def curve(cls, x, values) -> Samples:
        """A curve per seed: `x` (G,), `values` (n seeds, G)."""
        grid, curves = _finite("x", x), _finite("values", values)
        if grid.ndim != 1 or curves.ndim != 2 or curves.shape[1] != len(grid):
            raise SamplesError(f"curve: values must be (seeds, {grid.size}) for {grid.size} x, got {curves.shape}")
        return cls(grid=grid, curves=curves)

    @classmethod
    def bootstrap(cls, estimate: float, draws, seeds: int) -> Samples:
        """An estimate with its bootstrap draws; `seeds` is the number of units that were resampled."""
        array = _finite("draws", draws)
        if array.ndim != 1 or array.size < 200:
            raise SamplesError(f"draws: must be at least 200 bootstrap draws, got {array.size}")
        return cls(estimate=float(_finite("estimate", estimate)), draws=np.sort(array), seeds=int(seeds))

    @classmethod
    def blocked(cls, reason: str) -> Samples:
        """Nothing could be measured, and not by choice (data that could not be reached)."""
        return cls(missing="blocked", reason=reason)

    @classmethod
    def not_tested(cls, reason: str) -> Samples:
        """Nothing was measured, by choice (this run leaves the claim out)."""
        return cls(missing="not_tested", reason=reason)


def _finite(name: str, values) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise SamplesError(f"{name}: must be numbers") from None
    if not np.isfinite(array).all():
        raise SamplesError(f"{name}: must be finite numbers (a run that diverged needs a value or its own claim)")
    return array


def _arm(name: str, values, censored) -> Arm:
    array = _finite(name, values)
    flags = np.zeros(array.shape, bool) if censored is None else np.asarray(censored)
    if array.ndim != 1 or flags.shape != array.shape or flags.dtype != bool:
        raise SamplesError(f"{name}: must be one number per seed, with one censored flag (bool) each")
    return Arm(array, flags)
