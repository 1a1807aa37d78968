"""Cards, trials, claims and verdicts, the notebook runner and its reports. Knows no method.

Names are imported when first used, so that a wrong request is refused before the numerical libraries load.
"""

from importlib import import_module

_HOME = {
    "_batched": ["Batched"],
    "_board": ["show_board"],
    "_card": ["Card", "CardError", "ParameterError", "load_card"],
    "_check": ["check_project"],
    "_claims": ["Claim", "Samples", "SamplesError"],
    "_judge": ["Verdict", "judge", "judge_all"],
    "_power": ["Power", "power_of"],
    "_notebooks": ["NotebookFailed"],
    "_project": ["NotebookError", "Project", "find_project"],
    "_rulings": ["gather", "rule", "verdict_table"],
    "_runner": ["Run", "run_study"],
    "_sequential": ["until_decided"],
    "_store": ["Result", "Store"],
    "_trials": ["Progress", "Trial", "TrialError", "run_trials", "trial_table"],
    "_versions": ["Version", "find_version", "newest_versions", "versions"],
    "_what_if": ["explain", "what_if"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE)


def __getattr__(name: str):
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
