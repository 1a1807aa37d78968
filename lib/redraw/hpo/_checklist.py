"""The checklist of a fair comparison, held by a machine: seeds apart, budgets equal, nothing picked on the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from redraw.hpo._checks import SearchError, count, number, one_of

if TYPE_CHECKING:
    import pandas as pd

REPORTS = {"mean": np.mean, "median": np.median, "best": np.min}


class ComparisonError(SearchError):
    """A comparison that would mislead; the message gives every reason."""


@dataclass(frozen=True)
class Comparison:
    """What is compared and how, declared before it is looked at.

    tuning_seeds, test_seeds: what configurations were chosen on, and what the chosen ones are judged on. budgets: what
    each competitor could spend on its search, in one unit. selected_on: "tuning" or "test", where each competitor's
    configuration was chosen. report: "mean" or "median" over the test seeds, or "best".

    `reasons()` says what is wrong with it; `compare` refuses to go on with any. Source: the checklist of Eimer,
    Lindauer and Raileanu 2023 (arXiv 2306.01324), known from notes on it. Raises SearchError for a declaration that is
    not one: no seeds, repeated ones, fewer than two competitors, a budget that is not positive, another word.
    """

    tuning_seeds: Sequence[int]
    test_seeds: Sequence[int]
    budgets: Mapping[str, float]
    selected_on: str = "tuning"
    report: str = "mean"

    def __post_init__(self):
        for name in ("tuning_seeds", "test_seeds"):
            seeds = [count(name, seed, 0) for seed in getattr(self, name)]
            if not seeds or len(set(seeds)) < len(seeds):
                raise SearchError(f"{name}: must be different and at least one, not {seeds}")
        if len(self.budgets) < 2:
            raise SearchError(f"budgets: must have at least two competitors, not {len(self.budgets)}")
        for name, budget in self.budgets.items():
            number(f"budgets: {name}", budget, 0, ends="(]")
        one_of("selected_on", self.selected_on, ("tuning", "test"))
        one_of("report", self.report, tuple(REPORTS))

    def reasons(self) -> list[str]:
        """Why the comparison would mislead, a sentence each; none if it is fair."""
        out = []
        if shared := sorted(set(self.tuning_seeds) & set(self.test_seeds)):
            out.append(f"it tests on seeds that it tuned on: {', '.join(map(str, shared))}")
        if max(self.budgets.values()) > min(self.budgets.values()) * (1 + 1e-9):
            told = ", ".join(f"{name} {budget:g}" for name, budget in self.budgets.items())
            out.append(f"its competitors have unequal budgets: {told}")
        if self.selected_on == "test":
            out.append("it chooses configurations by their test scores")
        if self.report == "best":
            out.append("it reports the best of the test seeds")
        return out


@dataclass(frozen=True)
class Compared:
    """The outcome of a comparison; `reasons` are those for which it had to be forced, none if it is fair.

    scores: a row a competitor, best first, with columns competitor, score, low, high (the range over test seeds),
    budget and forced (the reasons in one text, empty for none), so that a table made of it tells them too.
    """

    scores: "pd.DataFrame"
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        head = "".join(f"FORCED: {reason}\n" for reason in self.reasons)
        return head + self.scores.drop(columns="forced").to_string(index=False)


def compare(
    comparison: Comparison, results: Mapping[str, Mapping[int, float]], *, maximize: bool = False, force: bool = False
) -> Compared:
    """The test scores of each competitor's chosen configuration, put in order; or a refusal that says why.

    results: {competitor: {test seed: score}}, lower is better unless `maximize`. force: go on in spite of the reasons;
    the outcome carries them.

    Raises ComparisonError: the comparison would mislead, and is not forced. Raises SearchError: results for other
    competitors or seeds than were declared, or a score that is no finite number.
    """
    if set(results) != set(comparison.budgets):
        raise SearchError(f"results: must be of {', '.join(comparison.budgets)}, not of {', '.join(results) or 'none'}")
    for name, scores in results.items():
        if set(scores) != set(comparison.test_seeds):
            told = ", ".join(map(str, comparison.test_seeds))
            raise SearchError(
                f"results: {name} must have a score for each test seed ({told}), not for {sorted(scores)}"
            )
        for seed, score in scores.items():
            number(f"results: {name}, seed {seed}", score)
    reasons = comparison.reasons()
    if reasons and not force:
        raise ComparisonError(f"comparison: refused, {'; '.join(reasons)}")
    import pandas as pd

    summary = np.max if comparison.report == "best" and maximize else REPORTS[comparison.report]
    rows = [
        (name, float(summary(values)), min(values), max(values), comparison.budgets[name], "; ".join(reasons))
        for name, values in ((name, list(scores.values())) for name, scores in results.items())
    ]
    frame = pd.DataFrame(rows, columns=["competitor", "score", "low", "high", "budget", "forced"])
    return Compared(
        frame.sort_values("score", ascending=not maximize, kind="stable", ignore_index=True), tuple(reasons)
    )
