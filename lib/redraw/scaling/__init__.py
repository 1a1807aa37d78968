"""Scaling laws: power laws and loss surfaces, their uncertainty, and the published laws of learning rate and
batch.

Usable alone: numpy, scipy, pandas and statsmodels are all it needs.

    from redraw.scaling import fit_loss_surface, compute_optimal
    fit = fit_loss_surface(N, D, loss)
    fit["alpha"], fit.intervals["alpha"], compute_optimal(fit.surface, 1e23).N

Symbols follow the papers: N parameters, D training tokens, C = 6 N D FLOP, L loss in nats per token.
"""

from redraw.scaling._approach2 import Approach2, Misallocation, approach2, isoflop_profiles, misallocation
from redraw.scaling._classic import ClassicFit, hoffmann_starts, lbfgs_grid
from redraw.scaling._errors import ScalingError, ScalingWarning, training_flops
from redraw.scaling._laws import LAWS, Hyperparameters, Law, optimal_hyperparameters, rule_from_fit
from redraw.scaling._powerlaw import PowerLaw, bootstrap_power_law, fit_power_law
from redraw.scaling._relatives import (
    DataConstrainedFit,
    ResponseSurface,
    average_parameter_count,
    effective_amount,
    fit_data_constrained,
    fit_response_surface,
)
from redraw.scaling._resample import Bootstrap, jackknife, resample_counts
from redraw.scaling._steplaw import (
    StepLawFit,
    cell_minima,
    fit_step_law,
    law_regret,
    near_optimal,
    plateau_width,
    regret_table,
    slice_optima,
    snap,
    steplaw_runs,
    sweep_table,
    threshold_sensitivity,
    unimodality,
)
from redraw.scaling._surface import (
    Allocation,
    LossSurface,
    Profile,
    SurfaceFit,
    Test,
    bootstrap_allocation,
    bootstrap_surface,
    compute_optimal,
    fit_loss_surface,
    fit_saturating_power_law,
    huber_log_likelihood,
    likelihood_ratio_test,
    profile_likelihood,
    runs_needed,
    wald_test,
)

__all__ = [
    "LAWS",
    "Allocation",
    "Approach2",
    "Bootstrap",
    "ClassicFit",
    "DataConstrainedFit",
    "Hyperparameters",
    "Law",
    "LossSurface",
    "Misallocation",
    "PowerLaw",
    "Profile",
    "ResponseSurface",
    "ScalingError",
    "ScalingWarning",
    "StepLawFit",
    "SurfaceFit",
    "Test",
    "approach2",
    "average_parameter_count",
    "bootstrap_allocation",
    "bootstrap_power_law",
    "bootstrap_surface",
    "cell_minima",
    "compute_optimal",
    "effective_amount",
    "fit_data_constrained",
    "fit_loss_surface",
    "fit_power_law",
    "fit_response_surface",
    "fit_saturating_power_law",
    "fit_step_law",
    "hoffmann_starts",
    "huber_log_likelihood",
    "isoflop_profiles",
    "jackknife",
    "law_regret",
    "lbfgs_grid",
    "likelihood_ratio_test",
    "misallocation",
    "near_optimal",
    "optimal_hyperparameters",
    "plateau_width",
    "profile_likelihood",
    "regret_table",
    "resample_counts",
    "rule_from_fit",
    "runs_needed",
    "slice_optima",
    "snap",
    "steplaw_runs",
    "sweep_table",
    "threshold_sensitivity",
    "training_flops",
    "unimodality",
    "wald_test",
]
