"""Cards, trials, claims and verdicts, the notebook runner and its reports. Knows no method."""

from redraw.workbook._store import Result, Store
from redraw.workbook._trials import Progress, Trial, TrialError, run_trials

__all__ = ["Progress", "Result", "Store", "Trial", "TrialError", "run_trials"]
