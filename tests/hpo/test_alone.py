import subprocess
import sys

import redraw.hpo


def test_imports_nothing_of_the_rest_and_nothing_heavy():
    code = (
        "import sys, redraw.hpo\n"
        "others = [m for m in sys.modules if m.startswith('redraw.') and not m.startswith('redraw.hpo')]\n"
        "heavy = {'torch', 'optuna', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not others and not heavy, (others, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_exist_and_are_documented():
    stated = {name for name in redraw.hpo.__all__ if callable(getattr(redraw.hpo, name)) and name != "Config"}
    assert [name for name in stated if not getattr(redraw.hpo, name).__doc__] == []
    public = {"random_search", "successive_halving", "hyperband", "population_based_training"}
    assert public <= set(redraw.hpo.__all__)
