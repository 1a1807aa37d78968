import subprocess
import sys

import redraw.scaling


def test_imports_nothing_of_the_rest():
    code = (
        "import sys, redraw.scaling\n"
        "others = [m for m in sys.modules if m.startswith('redraw.') and not m.startswith('redraw.scaling')]\n"
        "assert not others and 'torch' not in sys.modules, others"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_exist_and_are_documented():
    for name in redraw.scaling.__all__:
        assert getattr(redraw.scaling, name).__doc__ or name == "LAWS"
    assert {"fit_power_law", "fit_loss_surface", "optimal_hyperparameters"} <= set(redraw.scaling.__all__)
