"""The libraries in a trial's key: each test installs made-up ones, gives them another version and asks what moved."""

import ast
import hashlib
import importlib
import pickle
import re
import shutil
import sys
import textwrap
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from redraw.workbook import Store, Trial, TrialError, _meaning, run_trials
from redraw.workbook._batched import Batched
from redraw.workbook._meaning import libraries, meaning
from redraw.workbook._store import canonical
from redraw.workbook._trials import execute, numeric_stack

PROJECT = "libraries_project"
SOLVE = "def solve(x):\n    return x\n"


@pytest.fixture
def forget():
    """Forget what was read of sources and installed libraries, as a new process would have to read it."""

    def now():
        importlib.invalidate_caches()
        for kept in vars(_meaning).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] in (PROJECT, "solver", "spare", "local")]:
            del sys.modules[name]

    yield now
    now()


@pytest.fixture
def install(tmp_path, monkeypatch, forget):
    """install(distribution, version, files, declared) replaces what the distribution was; `declared` are the modules
    that its top_level.txt lists, which newer build tools do not write."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def make(distribution, version, files, declared=()):
        for old in site.glob(f"{distribution.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(old)
        about = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nWords.\n")
        for path, source in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(source)
        (about / "RECORD").write_text("".join(f"{path},,\n" for path in [f"{about.name}/METADATA", *files]))
        if declared:
            (about / "top_level.txt").write_text("\n".join(declared))
        forget()

    return make


@pytest.fixture
def trial(tmp_path, monkeypatch, forget):
    """trial(files) writes the project's package, in which imports are followed, and gives a trial of main:trial."""
    monkeypatch.setattr(_meaning, "PACKAGE", PROJECT)
    folders = iter(range(100))

    def make(files, **fields):
        root = tmp_path / f"project{next(folders)}"
        for path, source in {"__init__.py": "", **files}.items():
            file = root / PROJECT / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(root)
        forget()
        return Trial(f"{PROJECT}.main:trial", {}, 0, **fields)

    return make


def again(one):
    """The trial with its key yet to be made."""
    return Trial(one.function, one.parameters, one.seed, one.needs, one.batched)


FILES = {"solver/__init__.py": "from solver.inner import solve\n", "solver/inner.py": SOLVE}

REACHED = {
    "module": {"main.py": "import solver\ndef trial(*, seed):\n    return {'x': solver.solve(seed)}\n"},
    "renamed": {"main.py": "from solver import solve as f\ndef trial(*, seed):\n    return {'x': f(seed)}\n"},
    "submodule": {"main.py": "import solver.inner as s\ndef trial(*, seed):\n    return {'x': s.solve(seed)}\n"},
    "function": {"main.py": "def trial(*, seed):\n    from solver.inner import solve\n    return {'x': solve(seed)}\n"},
    "function_whole": {"main.py": "def trial(*, seed):\n    import solver\n    return {'x': solver.solve(seed)}\n"},
    "helper": {
        "main.py": "from .helper import helped\ndef trial(*, seed):\n    return {'x': helped(seed)}\n",
        "helper.py": "import solver\ndef helped(x):\n    return solver.solve(x)\n",
    },
    "helper_function": {
        "main.py": f"def trial(*, seed):\n    from {PROJECT}.helper import helped\n    return {{'x': helped(seed)}}\n",
        "helper.py": "def helped(x):\n    from solver import solve\n    return solve(x)\n",
    },
    "method": {
        "main.py": "from .helper import Helper\ndef trial(*, seed):\n    return {'x': Helper().go(seed)}\n",
        "helper.py": "class Helper:\n    def go(self, x):\n        import solver\n        return solver.solve(x)\n",
    },
    "star": {"main.py": "from solver import *\ndef trial(*, seed):\n    return {'x': solve(seed)}\n"},
    "at_import": {"main.py": "import solver\nsolver.solve(1)\ndef trial(*, seed):\n    return {'x': seed}\n"},
}

PASSED_BY = {
    "not_at_all": {"main.py": "import math\ndef trial(*, seed):\n    return {'x': math.sqrt(seed)}\n"},
    "unused": {"main.py": "import solver\ndef trial(*, seed):\n    return {'x': seed}\n"},
    "neighbour": {
        "main.py": (
            "import solver\ndef trial(*, seed):\n    return {'x': seed}\ndef other(x):\n    return solver.solve(x)\n"
        )
    },
    "helpers_neighbour": {
        "main.py": "from .helper import plain\ndef trial(*, seed):\n    return {'x': plain(seed)}\n",
        "helper.py": "import solver\ndef plain(x):\n    return x\ndef helped(x):\n    return solver.solve(x)\n",
    },
    "annotation": {"main.py": "import solver\ndef trial(*, seed: solver.solve):\n    return {'x': seed}\n"},
    "type_checking": {
        "main.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import solver\n"
            "def trial(*, seed):\n    return {'x': seed}\n"
        )
    },
    "local_name": {"main.py": "import solver\ndef trial(*, seed):\n    solver = seed\n    return {'x': solver}\n"},
    "own_module": {
        "main.py": "from .solver import solve\ndef trial(*, seed):\n    return {'x': solve(seed)}\n",
        "solver.py": SOLVE,
    },
}


@pytest.mark.parametrize("way", [*REACHED, *PASSED_BY])
def test_a_key_moves_with_the_version_of_what_the_code_reaches(trial, install, forget, way):
    install("solver", "1.0", FILES)
    one = trial({**REACHED, **PASSED_BY}[way])
    first, code = one.key, meaning(one.function)
    assert one.libraries == ({"solver": "1.0"} if way in REACHED else {})
    assert again(one).key == first
    install("solver", "1.1", FILES)
    assert (again(one).key != first) is (way in REACHED)
    assert meaning(one.function) == code
    install("solver", "1.0", FILES)
    assert again(one).key == first


DISTRIBUTIONS = {
    "another_name": (("the-solver", FILES, ()),),
    "declared": (("the-solver", FILES, ("solver", "more")),),
    "one_file": (("the-solver", {"solver.py": SOLVE}, ()),),
    "namespace": (("solver-a", {"solver/inner.py": SOLVE}, ()), ("solver-b", {"solver/other.py": SOLVE}, ())),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_a_module_is_known_by_what_installed_it(trial, install, kind):
    for name, files, declared in DISTRIBUTIONS[kind]:
        install(name, "1.0", files, declared)
    install("spare", "1.0", {"spare/__init__.py": ""})
    source = "solver.inner" if kind == "namespace" else "solver"
    one = trial({"main.py": f"from {source} import solve\ndef trial(*, seed):\n    return {{'x': solve(seed)}}\n"})
    first = one.key
    assert one.libraries == {name: "1.0" for name, *_ in DISTRIBUTIONS[kind]}
    install("spare", "2.0", {"spare/__init__.py": ""})
    assert again(one).key == first
    for name, files, declared in DISTRIBUTIONS[kind]:
        install(name, "2.0", files, declared)
        assert again(one).key != first
        install(name, "1.0", files, declared)


def test_modules_that_nothing_installed_add_nothing(trial, install, tmp_path):
    install("local", "1.0", {"local/data.txt": "the distribution has this name, but not the module that is found"})
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "local.py").write_text(SOLVE)
    sys.path.insert(0, str(tmp_path / "here"))
    try:
        main = "import local\nimport not_there\ndef trial(*, seed):\n    return {'x': local.solve(not_there)}\n"
        assert trial({"main.py": main.replace("import not_there", "not_there = 1")}).libraries == {}
        lazy = "def trial(*, seed):\n    import local, not_there\n    return {'x': local.solve(not_there)}\n"
        assert trial({"main.py": lazy}).libraries == {}
    finally:
        sys.path.remove(str(tmp_path / "here"))


NUMERIC = """
    import json, math
    import numpy as np
    import torch
    from torch.nn import functional as F

    def trial(*, seed):
        return json.loads(json.dumps({"x": float(F.relu(torch.tensor(np.float32(math.sqrt(seed)))))}))
"""


def test_a_trial_of_torch_and_numpy_alone_has_the_key_it_always_had(trial, install, monkeypatch):
    for name in ("distribution", "distributions"):
        monkeypatch.setattr(_meaning, name, lambda *_: pytest.fail("looked at what is installed"))
    one = trial({"main.py": NUMERIC})
    material = {"function": one.function, "meaning": meaning(one.function), "parameters": {}, "seed": 0, "data": None}
    material |= {"needs": {}, "stack": numeric_stack()}
    assert one.key == hashlib.sha256(canonical(material).encode()).hexdigest()
    install("solver", "1.0", FILES)
    assert again(one).key == one.key


def test_what_a_library_loads_by_itself_is_told_for_it(trial, install, monkeypatch):
    monkeypatch.setattr(_meaning, "BEHIND", {"solver": ("spare",)})
    install("solver", "1.0", FILES)
    install("spare", "1.0", {"spare/__init__.py": ""})
    one = trial(REACHED["function"])
    assert one.libraries == {"solver": "1.0", "spare": "1.0"}
    install("spare", "2.0", {"spare/__init__.py": ""})
    assert again(one).key != one.key


def test_the_batched_function_and_the_reader_of_the_data_count(trial, install):
    install("solver", "1.0", FILES)
    many = {"side.py": "import solver\ndef many(calls, device):\n    return [{'x': solver.solve(1)} for _ in calls]\n"}
    alone = trial({**PASSED_BY["not_at_all"], **many})
    both = Trial(alone.function, {}, 0, batched=Batched(f"{PROJECT}.side:many"))
    assert alone.libraries == {} and both.libraries == {"solver": "1.0"}
    key = both.key
    install("solver", "2.0", FILES)
    assert again(both).key != key


def test_data_that_a_library_makes_bring_it_along():
    def of(dataset):
        return Trial("redraw.studies.late_rewinding:dense", {"dataset": dataset}, 0).libraries.keys()

    assert of("mnist") == of("cifar10") == set()
    assert of("digits") == {"scikit-learn"} and of("mnist1d") == {"scipy"} and of("cifar10_jpeg") == {"pillow"}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("redraw.studies.lottery_ticket:ticket", set()),
        ("redraw.studies.late_rewinding:ticket", set()),
        ("redraw.studies.pruning_at_init:critical", set()),
        ("redraw.studies.data_diet:trained", set()),
        ("redraw.studies.data_diet:ranked", {"scipy", "scikit-learn"}),
        ("redraw.schedules:auto_lrs", {"scipy", "scikit-learn"}),
        ("redraw.scaling:fit_power_law", {"scipy", "statsmodels"}),
        ("redraw.hpo:model_search", {"optuna", "cmaes"}),
    ],
)
def test_what_is_there_reaches_what_it_computes_with(function, expected):
    found = libraries(function).keys()
    assert expected <= found and (expected or not found)


def test_every_module_that_the_library_imports_belongs_to_what_installed_it():
    trees = [ast.parse(path.read_text("utf-8")) for path in Path(_meaning.__file__).parents[1].rglob("*.py")]
    imports = [node for tree in trees for node in ast.walk(tree)]
    named = {a.name for node in imports if isinstance(node, ast.Import) for a in node.names}
    named |= {node.module for node in imports if isinstance(node, ast.ImportFrom) and not node.level}
    tops = {name.partition(".")[0] for name in named} - {"redraw"}
    installed, outside = packages_distributions(), sys.stdlib_module_names
    expected = {top: set(installed.get(top, ())) - {"torch", "numpy"} for top in tops - outside}
    assert {top: set(_meaning._owners(top)) for top in tops - outside} == expected
    assert {"sklearn", "PIL", "scipy"} <= tops and not any(_meaning._owners(top) for top in tops & outside)


# Running --------------------------------------------------------------------------------------------------------


def test_the_record_names_the_libraries_and_another_version_computes_again(trial, install, tmp_path):
    install("solver", "1.0", FILES)
    store, one = Store(tmp_path / "trials"), trial(REACHED["helper"])
    (result,) = run_trials([one], store=store, jobs=1)
    assert result.body["stack"] == numeric_stack() | {"solver": "1.0"}
    install("solver", "2.0", FILES)
    (other,) = run_trials([again(one)], store=store, jobs=1)
    assert other.key != result.key and other.body["stack"]["solver"] == "2.0"


def test_a_trial_is_refused_where_a_library_has_another_version(trial, install, tmp_path):
    install("solver", "1.0", FILES)
    one = trial(REACHED["function"])
    sent = pickle.dumps((one, one.key, one.libraries))
    install("solver", "2.0", FILES)
    store, (there, key, _) = Store(tmp_path / "trials"), pickle.loads(sent)
    with pytest.raises(TrialError, match=re.escape("trial (seed 0): solver is 2.0 where it is to run, not 1.0")):
        execute(there, store)
    assert store.get(key) is None
