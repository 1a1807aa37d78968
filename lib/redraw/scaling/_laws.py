"""Published laws of the optimal learning rate and batch size, in stated units, with the range each was fitted
on."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from redraw.scaling._errors import ScalingError, ScalingWarning, scalar
from redraw.scaling._powerlaw import PowerLaw

Rule = Callable[[float, float, float | None], float]


@dataclass(frozen=True)
class Law:
    """One published law. lr, batch (tokens): rules of (N, D, loss), or None where the source defines none.

    N: parameters without vocabulary; D: training tokens; loss: nats per token. ranges: quantity ("N", "D",
    "C") to the (low, high) it was fitted on. lr_covariance, batch_covariance: of the logs of
    (coefficient, exponents), where the authors released their bootstraps; logs: the quantities those
    exponents act on. rests_on: where the numbers come from, and where that differs from the comparison table
    of the Step Law paper. needs_loss: the rule asks for a loss.
    """

    name: str
    source: str
    lr_formula: str
    batch_formula: str
    lr: Rule | None
    batch: Rule | None
    ranges: dict[str, tuple[float, float]]
    rests_on: str
    needs_loss: bool = False
    lr_covariance: np.ndarray | None = field(default=None, repr=False)
    batch_covariance: np.ndarray | None = field(default=None, repr=False)


# Spread of the 1,000 bootstraps the Step Law authors released (github.com/step-law/steplaw, the file
# 1004_fitted_lr_bs_scaling_model_parameters.csv): covariance of (intercept, N, D) and (intercept, D). They
# drew runs, not cells, so the intervals are those the authors would give, and too narrow; `fit_step_law`
# gives the cell-clustered ones.
_STEP_LR = np.array([
    [3.8906e-1, -1.35589e-2, -5.1325e-3],
    [-1.35589e-2, 8.91486e-4, -1.74332e-4],
    [-5.1325e-3, -1.74332e-4, 3.66312e-4],
])  # fmt: skip
_STEP_BATCH = np.array([[1.9117964e-1, -8.151572e-3], [-8.151572e-3, 3.48518e-4]])

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(
            "step",
            "Li et al. 2025, Predictable Scale Part I: Step Law, arXiv 2503.04715",
            "1.79 N^-0.713 D^0.307",
            "0.58 D^0.571",
            lambda N, D, L: 1.79 * N**-0.713 * D**0.307,
            lambda N, D, L: 0.58 * D**0.571,
            {"N": (2.1e8, 1.1e9), "D": (4e9, 1e11)},
            "Formula as printed and equal to the means of the authors' released bootstraps; range: their "
            "released dense runs. Peak learning rate of AdamW, 2,000 warm-up steps, cosine to a fixed 1e-5.",
            lr_covariance=_STEP_LR,
            batch_covariance=_STEP_BATCH,
        ),
        Law(
            "openai",
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361, eq. 1.4 and appendix D",
            "0.003239 - 0.0001395 ln N",
            "2e8 L^(-1/0.21)",
            lambda N, D, L: 0.003239 - 0.0001395 * np.log(N),
            lambda N, D, L: 2e8 * L ** (-1 / 0.21),
            {"N": (768, 1.5e9), "D": (2.2e7, 2.3e10)},
            "Batch: eq. 1.4, read in copies of the paper: B* = 2e8 tokens. The Step Law table prints 2e18, "
            "which gives 1e16 tokens a step at a loss of 3: a misprint. It is the critical batch size, not "
            "the best one. Learning rate: as quoted there; the logarithm is natural, which its figure "
            "confirms.",
            needs_loss=True,
        ),
        Law(
            "microsoft",
            "Bjorck et al. 2025, Scaling Optimal LR Across Token Horizons, arXiv 2409.19913",
            "1.55e-3 (N/1e9)^-0.23 (D/1e9)^-0.32",
            "none",
            lambda N, D, L: 1.55e-3 * (N / 1e9) ** -0.23 * (D / 1e9) ** -0.32,
            None,
            {"N": (5e7, 2.7e9), "D": (2.5e10, 8e11)},
            "Units from a second source (N and D in billions), confirmed by arithmetic: the 1.3192e-5 "
            "N^-0.23 D^-0.32 of the Step Law table is 1.55e-3 / 1e9^0.23 to five digits, the conversion of "
            "N applied the wrong way round and that of D not at all. Fitted at a batch of 0.5M tokens. "
            "Range recalled from the paper, not re-read.",
        ),
        Law(
            "deepseek",
            "DeepSeek-AI 2024, DeepSeek LLM, arXiv 2401.02954, eq. 1",
            "0.3118 C^-0.1250",
            "0.2920 C^0.3271",
            lambda N, D, L: 0.3118 * (6 * N * D) ** -0.1250,
            lambda N, D, L: 0.2920 * (6 * N * D) ** 0.3271,
            {"C": (1e17, 2e19)},
            "Read in copies of the paper; batch in tokens. The Step Law table prints 0.3188 for 0.3118. The "
            "paper's C is M D with M the non-embedding FLOP per token including attention; here C = 6 N D.",
        ),
        Law(
            "porian",
            "Porian et al. 2024, Resolving Discrepancies in Compute-Optimal Scaling, arXiv 2406.19146",
            "3.7 N^-0.36",
            "0.7576 N^0.703",
            lambda N, D, L: 3.7 * N**-0.36,
            lambda N, D, L: 0.7576 * N**0.703,
            {"N": (5e6, 9.01e8)},
            "As in the Step Law table; a second source gives the batch as 3.7e-4 N^0.703 sequences of 2,048 "
            "tokens, which is the same. Fitted along compute-optimal training (D about 20 N); their N "
            "includes the output head.",
        ),
        Law(
            "minicpm",
            "Hu et al. 2024, MiniCPM, arXiv 2404.06395, 3.2",
            "none",
            "1.21e9 L^-6.24",
            None,
            lambda N, D, L: 1.21e9 * L**-6.24,
            {"N": (9e6, 1.7e8)},
            "Read in copies of the paper: tokens, L the loss on C4. The Step Law table prints 2e18 for "
            "1.21e9. The learning rate is a constant 0.01 under the maximal update parametrisation and no "
            "law in N or D.",
            needs_loss=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Hyperparameters:
    """A prediction. lr: peak learning rate; batch: tokens per step; each None where the law defines none.

    lr_interval, batch_interval: the law's own uncertainty at this point at the level, None where the source
    gives none (it covers the fitted mean, not the plateau of equally good values). law: name; notes: what to
    distrust.
    """

    lr: float | None
    batch: float | None
    lr_interval: tuple[float, float] | None
    batch_interval: tuple[float, float] | None
    law: str
    level: float
    notes: tuple[str, ...]

    def sequences(self, length: int = 2048) -> float | None:
        """The batch in sequences of `length` tokens."""
        return None if self.batch is None else self.batch / scalar("length", length)


def optimal_hyperparameters(
    N, D, *, law: str = "step", loss: float | None = None, level: float = 0.95
) -> Hyperparameters:
    """Learning rate and batch size (tokens) for N non-vocabulary parameters and D tokens, by a published law.

    law: "step", "openai", "microsoft", "deepseek", "porian" or "minicpm" (see `LAWS` for formula, source and
    what each rests on). loss: expected final loss in nats per token, which the batch sizes of openai and
    minicpm need; without it that batch is None, with a note. level: of the intervals.

    Warns (ScalingWarning) when N, D or their compute lie outside the range the law was fitted on. Raises
    ScalingError on an unknown law, non-positive N, D or loss, or a law that gives no positive and finite value there.
    """
    if law not in LAWS:
        raise ScalingError(f"law: must be one of {', '.join(LAWS)}, not {law!r}")
    N, D, level = scalar("N", N), scalar("D", D), scalar("level", level, 0, 1)
    L = None if loss is None else scalar("loss", loss)
    chosen = LAWS[law]
    notes = []
    for name, value in {"N": N, "D": D, "C": 6 * N * D}.items():
        low, high = chosen.ranges.get(name, (0.0, np.inf))
        if not low <= value <= high:
            notes.append(f"{name} = {value:.3g} is outside {low:.3g} to {high:.3g}, on which the {law} law was fitted")
    if notes:
        warnings.warn("; ".join(notes), ScalingWarning, stacklevel=2)
    if chosen.batch is not None and chosen.needs_loss and L is None:
        notes.append(f"the batch size of the {law} law is a function of the final loss; give loss")
    defined = {"learning rate": chosen.lr, "batch": None if chosen.needs_loss and L is None else chosen.batch}
    found = {what: None if rule is None else _value(rule, N, D, L) for what, rule in defined.items()}
    lr, batch = found["learning rate"], found["batch"]
    if lr is not None and lr < 0:
        raise ScalingError(f"N: must be below the {law} law's limit, its learning rate at N = {N:.3g} is not positive")
    for what, value in found.items():
        if value is not None and not 0 < value < np.inf:
            where = f"the {law} law gives a {what} above 0 and finite, not {value:g}"
            raise ScalingError(f"N, D, loss: must be where {where}")
    z = stats.norm.ppf((1 + level) / 2)
    return Hyperparameters(
        lr, batch,
        _interval(lr, [1.0, np.log(N), np.log(D)], chosen.lr_covariance, z),
        _interval(batch, [1.0, np.log(D)], chosen.batch_covariance, z),
        law, level, tuple(notes),
    )  # fmt: skip


def _value(rule: Rule, N: float, D: float, loss: float | None) -> float:
    try:
        return float(rule(N, D, loss))
    except OverflowError:
        return np.inf


def _interval(centre, design, covariance, z):
    if centre is None or covariance is None:
        return None
    x = np.array(design)
    half = z * np.sqrt(x @ covariance @ x)
    return float(centre * np.exp(-half)), float(centre * np.exp(half))


def rule_from_fit(lr: PowerLaw, batch: PowerLaw):
    """The rule (N, D, loss) -> (lr, batch) of two power laws fitted on N and D, for `law_regret`."""

    def rule(N, D, loss):
        point = {"N": N, "D": D}
        return float(lr.predict(point)), float(batch.predict(point))

    return rule
