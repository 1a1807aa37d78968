"""The house rules that hold the parts together: three files a study, one set of versions, arrows that point one way."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from redraw.workbook import Project, _meaning

ROOT = Path(__file__).resolve().parents[1]
PROJECT = Project(ROOT)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8")


# A study is three files -----------------------------------------------------------------------------------------


def stems(folder, ending):
    return {path.stem for path in (ROOT / folder).glob(f"*{ending}") if not path.name.startswith("_")}


def test_there_is_a_study():
    assert "lottery_ticket" in PROJECT.studies()


def test_every_card_has_its_module_and_its_notebook_and_no_module_is_alone():
    notebooks = {name for name in stems("notebooks", ".ipynb") if not re.match(r"\d\d_", name)}  # 00_start_here
    assert set(PROJECT.studies()) == stems("lib/redraw/studies", ".py") == notebooks


@pytest.mark.parametrize("study", PROJECT.studies())
def test_a_study_is_whole(study):
    card, module = PROJECT.card(study), PROJECT.module(study)
    assert card.study == study and PROJECT.notebook(study)
    for preset in card.presets:
        assert module.plan(**card.resolve(preset)), preset
    assert callable(module.measure) and module.__doc__


# One set of versions --------------------------------------------------------------------------------------------


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirement):
    return normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0])


def pins():
    lines = [line.partition("#")[0].strip() for line in CONSTRAINTS.splitlines()]
    return [tuple(line.split("==")) for line in lines if line]


def requirements():
    extras = [name for extra in EXTRAS.values() for name in extra if not name.startswith("redraw[")]
    return [*PYPROJECT["project"]["dependencies"], *extras]


def test_every_constraint_is_one_exact_version():
    names = [normal(name) for name, _ in pins()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[0-9][0-9A-Za-z.!+]*", version) for _, version in pins())


def test_every_dependency_is_pinned_once():
    names = [normal(name) for name, _ in pins()]
    assert [name for name in map(declared, requirements()) if names.count(name) != 1] == []


def test_what_the_library_imports_is_declared():
    """What another package happens to bring along may be gone tomorrow."""
    known = packages_distributions()
    wanted = {}
    for path in (ROOT / "lib" / "redraw").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            wanted |= {name.split(".")[0]: path.name for name in names}
    foreign = wanted.keys() - sys.stdlib_module_names - {"redraw"}
    have = set(map(declared, [*PYPROJECT["project"]["dependencies"], *EXTRAS["dask"], *EXTRAS["slurm"]]))
    lost = {name: wanted[name] for name in foreign if not {normal(d) for d in known.get(name, [name])} & have}
    assert lost == {}


def test_what_is_optional_is_imported_where_it_is_asked_for_only():
    """Each extra has one module, which nothing imports when it is loaded itself."""
    homes = {"distributed": "_dask.py", "submitit": "_slurm.py"}
    found = set()
    for path in (ROOT / "lib" / "redraw").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        found |= {(node.module.split(".")[0], path.name) for node in imports if node.module.split(".")[0] in homes}
        loaded = [node.module for node in imports if node in tree.body]
        assert not {"redraw.workbook._dask", "redraw.workbook._slurm"}.intersection(loaded), path
    assert found == set(homes.items())


def test_torch_is_the_same_everywhere():
    import torch

    assert dict(pins())["torch"] == "2.13.0" == torch.__version__.partition("+")[0]
    assert "torch==2.13.0" in PYPROJECT["project"]["dependencies"]


def test_conda_installs_from_the_same_constraints():
    from ruamel.yaml import YAML

    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text("utf-8"))
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip[0] == "-c constraints.txt" and "-e .[dev]" in pip
    others = {declared(item): item for item in [*environment["dependencies"], *pip[1:]] if isinstance(item, str)}
    pinned = {name: item for name, item in others.items() if "=" in item and name != "python"}
    assert pinned.keys() <= {normal(name) for name, _ in pins()}
    for name, item in pinned.items():
        assert re.split("=+", item)[1] == dict(pins())[name]
    if others.get("torch", "torch") != "torch":
        assert others["torch"] == "torch==2.13.0"


def test_the_oldest_python_is_the_same_everywhere():
    (oldest,) = re.fullmatch(r">=(3\.\d+)", PYPROJECT["project"]["requires-python"]).groups()
    assert f"python={oldest}" in (ROOT / "environment.yml").read_text("utf-8")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text("utf-8")
    assert sys.version_info >= tuple(map(int, oldest.split(".")))


def test_make_installs_from_the_constraints():
    lines = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "pip install" in line]
    assert lines and all("-c constraints.txt" in line for line in lines)


# Arrows point one way -------------------------------------------------------------------------------------------


def lint_imports(folder):
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=path_of(folder))


def path_of(folder):
    import os

    return {**os.environ, "PYTHONPATH": str(folder / "lib"), "NO_COLOR": "1"}


def test_the_import_contracts_hold():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 kept, 0 broken" in done.stdout


FORBIDDEN = {
    "pruning/_masks.py": "import redraw.workbook",
    "workbook/_store.py": "import redraw.pruning",
    "workbook/_claims.py": "import redraw.training",
    "plotting/_style.py": "import redraw.studies",
    "scaling/_laws.py": "import redraw.seeds",
    "data/_load.py": "import redraw.models",
    "training/_loop.py": "import redraw.pruning",
    "studies/tiny.py": "import redraw.cli",
}


@pytest.mark.parametrize("file", FORBIDDEN)
def test_an_arrow_that_points_the_wrong_way_is_found(checkout, file):
    (checkout.root / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    path = checkout.root / "lib" / "redraw" / file
    path.write_text(path.read_text() + f"\n\ndef late():\n    {FORBIDDEN[file]}\n")
    done = lint_imports(checkout.root)
    assert done.returncode == 1 and "BROKEN" in done.stdout, done.stdout[-2000:]


# What is loaded is never code -----------------------------------------------------------------------------------


def unpickling(tree):
    """The lines of a module that could run code out of a file."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {name.partition(".")[0] for name in names} & {
            "pickle",
            "cloudpickle",
            "dill",
            "joblib",
            "shelve",
            "marshal",
        }:
            yield node.lineno
        if isinstance(node, ast.Call):
            options = {option.arg: getattr(option.value, "value", None) for option in node.keywords}
            if ast.unparse(node.func) == "torch.load" and options.get("weights_only") is not True:
                yield node.lineno
            if options.get("allow_pickle") or ast.unparse(node.func).endswith("read_pickle"):
                yield node.lineno


def test_nothing_is_unpickled():
    """Weights load with safetensors or `weights_only=True`; there is no fallback."""
    for code in ("import pickle", "from joblib import load", "torch.load(f)", "torch.load(f, weights_only=False)"):
        assert list(unpickling(ast.parse(code))) == [1], code
    assert list(unpickling(ast.parse("torch.load(f, weights_only=True); np.load(f, allow_pickle=False)"))) == []
    found = {path.name: list(unpickling(ast.parse(path.read_text("utf-8")))) for path in (ROOT / "lib").rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


# What is committed ----------------------------------------------------------------------------------------------


def committed():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_committed_file_names_a_machines_folders():
    private = re.compile(rf"(?<![\w.~/-])/(?:{'|'.join(('root', 'work', 'home', 'Users'))})/\w")
    found = []
    for path in committed():
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if hit := private.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[max(hit.start() - 20, 0) : hit.end() + 30]}")
    assert found == []


def test_every_module_says_what_it_is():
    silent = []
    for path in sorted((ROOT / "lib" / "redraw").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        if tree.body and not ast.get_docstring(tree):
            silent.append(path.name)
    assert silent == []


def test_public_names_are_there():
    """What others import stays where it is."""
    for package, names in {
        "redraw.pruning": ("Masks", "magnitude", "snip", "grasp", "synflow", "iterative_magnitude_pruning"),
        "redraw.selection": ("el2n", "grand", "forgetting"),
        "redraw.schedules": ("linear", "cosine", "rex", "wsd", "power", "cosine_power", "refine"),
        "redraw.hpo": ("random_search", "successive_halving", "hyperband", "population_based_training"),
        "redraw.scaling": ("fit_power_law", "fit_loss_surface", "optimal_hyperparameters"),
        "redraw.workbook": ("load_card", "run_trials", "judge"),
    }.items():
        module = importlib.import_module(package)
        assert [name for name in names if not hasattr(module, name)] == [], package


def test_trials_do_not_depend_on_how_they_are_run():
    """A trial whose function reaches the workbook's machinery would be computed again after every change of it."""
    for study in PROJECT.studies():
        waiting = PROJECT.module(study).plan(**PROJECT.card(study).resolve("smoke", {}))
        functions = set()
        while waiting:
            trial = waiting.pop()
            functions.add(trial.function)
            waiting += trial.needs.values()
        for function in functions:
            walk = _meaning._Walk(_meaning.FINGERPRINTED)
            _meaning._reach(*function.split(":"), walk)
            assert not [m for m, name in walk.found if name and m.startswith("redraw.workbook._")], function
