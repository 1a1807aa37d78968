import subprocess
import sys

import redraw.schedules


def test_imports_nothing_of_the_rest():
    code = (
        "import sys, redraw.schedules\n"
        "mine = 'redraw.schedules'\n"
        "others = [m for m in sys.modules if m.startswith('redraw.') and not m.startswith(mine)]\n"
        "assert not others and 'matplotlib' not in sys.modules, others"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_exist_and_are_documented():
    for name in redraw.schedules.__all__:
        assert getattr(redraw.schedules, name).__doc__
    public = {"linear", "cosine", "rex", "wsd", "power", "cosine_power", "refine"}
    assert public <= set(redraw.schedules.__all__)
