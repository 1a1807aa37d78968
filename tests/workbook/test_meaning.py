"""Each test writes a small package, edits it and asks whether the meaning of a function moved."""

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from redraw.workbook import _meaning
from redraw.workbook._meaning import meaning, meaning_of_source

PACKAGE = "meaning_package"


def forget():
    _meaning._walk_once.cache_clear()
    _meaning._libraries.cache_clear()
    _meaning._parse.cache_clear()
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(files) writes them as the package PKG, in which imports are followed, and gives main:trial's meaning."""
    folders = iter(range(100))

    def write(files, **arguments):
        root = tmp_path / str(next(folders))
        for path, source in {"__init__.py": "", **files}.items():
            file = root / PACKAGE / path
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(textwrap.dedent(source).replace("PKG", PACKAGE))
        forget()
        monkeypatch.syspath_prepend(root)
        return meaning(importlib.import_module(f"{PACKAGE}.main").trial, **arguments)

    monkeypatch.setattr(_meaning, "PACKAGE", PACKAGE)
    yield write
    forget()


def moves(package, files, **edited):
    """Whether the meaning of main:trial changes when files are replaced; `edited` by path, or name with __ for /."""
    paths = {name: name if "/" in name or name == "__init__" else name.replace("__", "/") for name in edited}
    changed = {**files, **{f"{paths[name]}.py": source for name, source in edited.items()}}
    assert changed != files
    return package(files) != package(changed)


MAIN = """
    import math

    SCALE = 2
    UNUSED = 3

    def trial(seed):
        return helper(seed) * SCALE

    def helper(x):
        return math.sqrt(x)

    def neighbour(x):
        return UNUSED
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* SCALE", "+ SCALE"),
        ("SCALE = 2", "SCALE = 4"),
        ("math.sqrt(x)", "math.cbrt(x)"),
        ("def helper(x)", "def helper(x, y=1)"),
        ("import math", "import cmath as math"),
        ("    def helper", "    @print\n    def helper"),
        ("def helper(x):", "torch.set_default_dtype(1) if False else None\n    def helper(x):"),
        ("def helper(x):", "SCALE += 1\n    def helper(x):"),
        ("def helper(x):", "if SCALE:\n        SCALE = 9\n    def helper(x):"),
        ("def helper(x):", "try:\n        SCALE = 9\n    finally:\n        pass\n    def helper(x):"),
        ("def helper(x):", "(SCALE, other) = 1, 2\n    def helper(x):"),
    ],
)
def test_what_could_change_the_result_counts(package, old, new):
    changed = MAIN.replace(old, new)
    if "@print" in new:
        changed = changed.replace("@print", "@staticmethod")
    assert moves(package, {"main.py": MAIN}, main=changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return UNUSED", "return 0"),
        ("UNUSED = 3", "UNUSED = 4"),
        ("import math", "import math\n    import json"),
        ("import math", "import math, json"),
        ("def helper(x):", 'def helper(x):\n        """What it does."""'),
        ("def helper(x):", "def helper(x: float) -> 'float':  # a comment"),
        ("return math.sqrt(x)", "return (\n            math.sqrt(  x  )\n        )"),
        ("    import math", '    """The module."""\n    import math'),
        ("def neighbour", "def another(x):\n        return helper(x)\n\n    def neighbour"),
    ],
)
def test_what_could_not_does_not(package, old, new):
    assert old in MAIN
    assert not moves(package, {"main.py": MAIN}, main=MAIN.replace(old, new, 1))


def test_the_annotations_of_a_record_count():
    source = """
        from dataclasses import dataclass

        @dataclass
        class Record:
            '''A record.'''
            value: int = 1

            def method(self, x: int) -> int:
                return x

        def trial(seed):
            return Record()
    """
    edits = {"value: int": "value: float", "return x": "return -x", "value: int = 1": "value: int = 2"}
    for old, new in edits.items():
        assert _changed(source, old, new)
    for old, new in {"x: int) -> int": "x)", "'''A record.'''": ""}.items():
        assert not _changed(source, old, new)


def _changed(source, old, new):
    """For one module without imports, `_strip` and `unparse` decide."""
    import ast

    texts = []
    for text in (source, source.replace(old, new)):
        assert old in source
        tree = ast.parse(textwrap.dedent(text))
        _meaning._strip(tree)
        texts.append(ast.unparse(tree))
    return texts[0] != texts[1]


LIBRARY = {
    "library.py": "def used():\n    return inner()\n\ndef inner():\n    return 1\n\ndef spare():\n    return 1\n"
}
DEEPER = LIBRARY["library.py"].replace("def inner():\n    return 1", "def inner():\n    return 2")
SPARE = LIBRARY["library.py"].replace("def spare():\n    return 1", "def spare():\n    return 2")

IMPORTS = {
    "from": "from PKG.library import used\ndef trial(seed):\n    return used()\n",
    "from_as": "from PKG.library import used as other\ndef trial(seed):\n    return other()\n",
    "relative": "from .library import used\ndef trial(seed):\n    return used()\n",
    "nested": "def trial(seed):\n    from PKG.library import used\n    return used()\n",
    "nested_relative": "def trial(seed):\n    if seed:\n        from .library import used\n    return used()\n",
    "under_try": (
        "try:\n    from PKG.library import used\nexcept ImportError:\n"
        "    used = None\ndef trial(s):\n    return used()\n"
    ),
    "registry": "from PKG.library import used\nTABLE = {'a': used}\ndef trial(seed):\n    return TABLE['a']()\n",
    "registry_filled": (
        "from .library import used\nTABLE = {}\nTABLE['a'] = used\ndef trial(s):\n    return TABLE['a']()\n"
    ),
    "default": "from PKG.library import used\ndef trial(seed, f=used):\n    return f()\n",
    "decorator": (
        "from PKG.library import used\n\ndef mark(f):\n    used()\n"
        "    return f\n@mark\ndef trial(seed):\n    return 1\n"
    ),
    "class": (
        "from PKG.library import used\nclass A:\n    def f(self):\n"
        "        return used()\ndef trial(seed):\n    return A().f()\n"
    ),
}


@pytest.mark.parametrize("style", IMPORTS)
def test_imports_are_followed_to_the_definitions_that_are_used(package, style):
    files = {**LIBRARY, "main.py": IMPORTS[style]}
    assert moves(package, files, library=DEEPER)
    assert not moves(package, files, library=SPARE)


MODULES = {
    "import": "import PKG.library\ndef trial(seed):\n    return PKG.library.used()\n",
    "import_as": "import PKG.library as lib\ndef trial(seed):\n    return lib.used()\n",
    "from_package": "from PKG import library\ndef trial(seed):\n    return library.used()\n",
    "from_here": "from . import library\ndef trial(seed):\n    return library.used()\n",
    "nested": "def trial(seed):\n    import PKG.library as lib\n    return lib.used()\n",
}


@pytest.mark.parametrize("style", MODULES)
def test_a_module_that_is_imported_counts_whole(package, style):
    files = {**LIBRARY, "main.py": MODULES[style]}
    assert moves(package, files, library=DEEPER)
    assert moves(package, files, library=SPARE)


def test_a_reexport_is_followed_through_the_packages_that_pass_it_on(package):
    files = {
        "main.py": "from PKG.outer import used\ndef trial(seed):\n    return used()\n",
        "outer/__init__.py": "from .inner import renamed as used\nfrom .inner import spare\n",
        "outer/inner/__init__.py": "from ._code import renamed, spare\n",
        "outer/inner/_code.py": (
            "from ...base import BASE\ndef renamed():\n    return BASE\ndef spare():\n    return 1\n"
        ),
        "base.py": "BASE = 1\n",
    }
    assert moves(package, files, base="BASE = 2\n")
    assert moves(
        package,
        files,
        outer__inner___code=files["outer/inner/_code.py"].replace("return BASE", "return -BASE"),
    )
    assert not moves(package, files, outer__inner___code=files["outer/inner/_code.py"].replace("return 1", "return 2"))


def test_what_a_reached_module_does_when_imported_counts(package):
    files = {**LIBRARY, "main.py": IMPORTS["from"]}
    assert moves(package, files, library=LIBRARY["library.py"] + "print(spare())\n")
    assert moves(package, files, library=LIBRARY["library.py"] + "used.attribute = 1\n")
    files["library.py"] += "print(spare())\n"
    assert moves(
        package,
        files,
        library=files["library.py"].replace("def spare():\n    return 1", "def spare():\n    return 2"),
    )


def test_modules_nobody_reaches_and_other_packages_do_not_count(package):
    files = {
        **LIBRARY,
        "other.py": "x = 1\n",
        "main.py": "import json\n" + IMPORTS["from"] + "    return json.dumps(1)\n",
    }
    assert not moves(package, files, other="x = 2\n")


SHADOWS = {
    "variable": "    used = seed\n    return used\n",
    "loop": "    for used in range(seed):\n        pass\n",
    "comprehension": "    return [used for used in range(seed)]\n",
    "inner": "    def used():\n        return 1\n    return used()\n",
    "lambda": "    return (lambda used: used)(seed)\n",
    "attribute": "    return seed.used(used=1)\n",
}


@pytest.mark.parametrize("shadow", SHADOWS)
def test_a_local_name_is_not_the_modules(package, shadow):
    main = "from PKG.library import used\ndef trial(seed):\n" + SHADOWS[shadow]
    assert not moves(package, {**LIBRARY, "main.py": main}, library=DEEPER)


SEEN_THROUGH = {
    "argument": "def trial(seed):\n    def inner(used):\n        return used\n    return inner(used)\n",
    "closure": "def trial(seed):\n    def inner():\n        return used()\n    return inner()\n",
    "declared": "def trial(seed):\n    global used\n    return used()\n",
    "class": "class trial:\n    used = used\n",
    "method": "class trial:\n    used = 1\n    def go(self):\n        return used()\n",
    "default": "trial = lambda seed, used=used: used()\ntrial.__qualname__ = 'trial'\n",
}


@pytest.mark.parametrize("way", SEEN_THROUGH)
def test_a_global_name_is_seen_beside_a_local_one(package, way):
    assert moves(package, {**LIBRARY, "main.py": "from PKG.library import used\n" + SEEN_THROUGH[way]}, library=DEEPER)


def test_a_name_that_is_bound_twice_is_followed_both_ways(package):
    twice = (
        "from PKG.library import used\nif True:\n    def used():\n"
        "        return 5\ndef trial(seed):\n    return used()\n"
    )
    files = {**LIBRARY, "main.py": twice}
    assert moves(package, files, library=DEEPER) and moves(package, files, main=twice.replace("5", "6"))


def test_functions_that_call_each_other_end(package):
    files = {
        "main.py": (
            "from PKG.library import ping\ndef trial(seed):\n    return ping(seed)\ndef back(n):\n    return 1\n"
        ),
        "library.py": (
            "def ping(n):\n    from PKG.main import back\n    return pong(n) or back(n)\n"
            "def pong(n):\n    return ping(n)\n"
        ),
    }
    assert moves(package, files, main=files["main.py"].replace("return 1", "return 2"))


def test_packages_left_outside_are_not_followed(package):
    files = {**LIBRARY, "main.py": IMPORTS["from"]}
    changed = {**files, "library.py": DEEPER}
    assert package(files, outside=(f"{PACKAGE}.library",)) == package(changed, outside=(f"{PACKAGE}.library",))
    assert package(files, outside=(f"{PACKAGE}.lib",)) != package(changed, outside=(f"{PACKAGE}.lib",))


def test_a_module_whose_name_is_a_prefix_of_one_left_outside(package):
    files = {**LIBRARY, "main.py": IMPORTS["from"], "library_more.py": ""}
    assert package(files, outside=(f"{PACKAGE}.library_more",)) != package(
        {**files, "library.py": DEEPER}, outside=(f"{PACKAGE}.library_more",)
    )


def test_a_function_is_known_by_where_it_is_too(package):
    package({"main.py": "def trial(seed):\n    return 1\ndef other(seed):\n    return 1\n"})
    main = importlib.import_module(f"{PACKAGE}.main")
    assert meaning(main.trial) == meaning(main.trial) != meaning(main.other)


def test_a_method_means_its_class(package):
    source = "class trial:\n    def first(self):\n        return 1\n    def second(self):\n        return 2\n"
    package({"main.py": source})
    trial = importlib.import_module(f"{PACKAGE}.main").trial
    assert meaning(trial) == meaning(trial.first) == meaning(trial.second)


def test_a_cell_means_itself_and_what_it_imports(package):
    cell = f"from {PACKAGE}.library import used\nused()  # now\n"
    package({**LIBRARY, "main.py": IMPORTS["from"]})
    first = meaning_of_source(cell)
    assert first == meaning_of_source(cell.replace("  # now", ""))
    assert first != meaning_of_source(cell.replace("used()", "used(1)"))
    package({"library.py": SPARE, "main.py": IMPORTS["from"]})
    assert meaning_of_source(cell) == first
    package({"library.py": DEEPER, "main.py": IMPORTS["from"]})
    assert meaning_of_source(cell) != first
    assert meaning_of_source(cell, outside=(PACKAGE,)) == meaning_of_source(cell, outside=(f"{PACKAGE}.library",))


def test_the_studies_own_trials_reach_their_method_and_leave_data_to_its_fingerprint():
    walk = _meaning._Walk(_meaning.FINGERPRINTED)
    _meaning._reach("redraw.studies.lottery_ticket", "ticket", walk)
    modules = {module for module, _ in walk.found}
    assert {
        "redraw.pruning._magnitude",
        "redraw.pruning._masks",
        "redraw.training._loop",
        "redraw.seeds",
    } <= modules
    assert not any(module.startswith("redraw.data.") or module == "redraw.data" for module in modules)
    reached = {(module, name) for module, name in walk.found if module.startswith("redraw.studies") and name}
    assert ("redraw.studies.lottery_ticket", "_prune") in reached
    assert not reached & {("redraw.studies.lottery_ticket", name) for name in ("measure", "plan", "arms", "settings")}
    assert {name for module, name in walk.found if module.startswith("redraw.workbook")} <= {""}


# Roundabout ways to reach code ----------------------------------------------------------------------------------


STARS = {
    "main": {"main.py": "from PKG.library import *\ndef trial(seed):\n    return used()\n"},
    "package": {
        "main.py": "from PKG.outer import used\ndef trial(seed):\n    return used()\n",
        "outer/__init__.py": "from ..library import *\n",
    },
    "chain": {
        "main.py": "from PKG.one import *\ndef trial(seed):\n    return used()\n",
        "one.py": "from .two import *\nother = 1\n",
        "two.py": "from .library import *\n",
    },
    "circle": {
        "main.py": "from PKG.one import *\ndef trial(seed):\n    return used()\n",
        "one.py": "from .library import *\nfrom .two import *\n",
        "two.py": "from .one import *\n",
    },
    "under_try": {
        "main.py": (
            "try:\n    from PKG.library import *\nexcept ImportError:\n    used = None\n"
            "def trial(seed):\n    return used()\n"
        ),
    },
}


@pytest.mark.parametrize("way", STARS)
def test_a_star_import_is_followed(package, way):
    files = {**LIBRARY, **STARS[way]}
    assert moves(package, files, library=DEEPER)
    assert moves(package, files, library=SPARE) is (way == "under_try")  # what happens at import counts whole


def test_a_star_import_from_another_package_counts(package):
    main = "from math import *\ndef trial(seed):\n    return sqrt(seed)\n"
    assert moves(package, {"main.py": main}, main=main.replace("math", "cmath"))


REGISTRY = """
    {before}

    TABLE = {{}}

    def register(function):
        TABLE[function.__name__] = function
        return function

    class Base:
        def __init_subclass__(cls):
            TABLE[cls.__name__] = cls

    def value():
        return 1

    {entry}

    def trial(seed):
        return TABLE["entry"]
"""

ENTRIES = {
    "decorator": "@register\n    def entry():\n        return value()",
    "decorator_call": "@(lambda name: register)('entry')\n    def entry():\n        return value()",
    "decorated_class": "@register\n    class entry:\n        def f(self):\n            return value()",
    "subclass": "class entry(Base):\n        def f(self):\n            return value()",
    "class_body": "class other:\n        TABLE['entry'] = value()",
    "class_call": "class other:\n        TABLE.update(entry=value())",
    "loop": "for n in range(3):\n        TABLE[n] = value()",
    "while": "while not TABLE:\n        TABLE['entry'] = value()",
    "if": "if True:\n        name = 'entry'\n        TABLE[name] = value()",
    "with": "with open('/dev/null') as file:\n        TABLE['entry'] = value()",
    "try": "try:\n        TABLE['entry'] = value()\n    except KeyError as error:\n        pass",
    "match": "match 1:\n        case x:\n            TABLE['entry'] = value()",
    "item": "TABLE['entry'] = value()",
    "two_targets": "last = TABLE['entry'] = value()",
    "attribute": "register.entry = value()",
    "delete": "TABLE['other'] = value()\n    del TABLE['other']",
    "else": "if TYPE_CHECKING:\n        pass\n    else:\n        TABLE['entry'] = value()",
    "global": "def fill():\n        global TABLE\n        TABLE = {'entry': value()}\n    fill()",
}


@pytest.mark.parametrize("way", ENTRIES)
def test_a_table_that_is_filled_at_import(package, way):
    source = REGISTRY.format(entry=ENTRIES[way], before="from typing import TYPE_CHECKING")
    assert moves(package, {"main.py": source}, main=source.replace("return 1", "return 2"))
    away = "from PKG.tables import TABLE\ndef trial(seed):\n    return TABLE['entry']\n"
    files = {"main.py": away, "tables.py": source}
    assert moves(package, files, tables=source.replace("return 1", "return 2"))


QUIET = {
    "foreign_decorator": "@functools.cache\n    def entry():\n        return value()",
    "foreign_base": "class entry(dict):\n        def f(self):\n            return value()",
    "record": "@dataclass\n    class entry:\n        number: int = 1\n        text: str = str(value())",
    "assignment": "entry = value()",
    "type_checking": "if TYPE_CHECKING:\n        TABLE['entry'] = value()",
    "script": "if __name__ == '__main__':\n        TABLE['entry'] = value()",
}


@pytest.mark.parametrize("way", QUIET)
def test_what_only_binds_a_name_counts_only_where_it_is_named(package, way):
    before = "import functools\n    from dataclasses import dataclass\n    from typing import TYPE_CHECKING"
    source = REGISTRY.format(entry=QUIET[way], before=before)
    assert not moves(package, {"main.py": source}, main=source.replace("return 1", "return 2"))
    if way not in ("type_checking", "script"):
        named = source.replace('TABLE["entry"]', "entry")
        assert moves(package, {"main.py": named}, main=named.replace("return 1", "return 2"))


def test_what_a_parent_package_does_when_imported(package):
    files = {**LIBRARY, "main.py": IMPORTS["from"], "__init__.py": "STATE = []\nSTATE.append(1)\n"}
    assert moves(package, files, __init__="STATE = []\nSTATE.append(2)\n")
    assert not moves(package, files, __init__=files["__init__.py"] + "OTHER = 1\n")


def test_what_a_module_does_that_is_imported_for_something_else(package):
    files = {
        **LIBRARY,
        "main.py": "from . import plugins\n" + IMPORTS["from"],
        "plugins/__init__.py": "from ._one import spare\n",
        "plugins/_one.py": "from ..library import used\nspare = 1\nused.option = 1\n",
    }
    assert moves(package, files, plugins___one=files["plugins/_one.py"].replace("option = 1", "option = 2"))
    assert not moves(package, files, plugins___one=files["plugins/_one.py"].replace("spare = 1", "spare = 2"))
    assert not moves(package, files, main=files["main.py"] + "from .library import spare\n")


LAZY = """
    from importlib import import_module

    HOME = {"used": "_code", "LEVEL": "_code"}

    def __getattr__(name):
        name = name.lower()
        return getattr(import_module(f"{__name__}.{HOME[name]}"), name)
"""
LAZY_CODE = "from ..library import inner\nLEVEL = 1\ndef used():\n    return inner()\ndef other():\n    return 1\n"


def test_a_name_that_a_package_provides_when_asked(package):
    files = {
        **LIBRARY,
        "main.py": "from PKG.lazy import used\ndef trial(seed):\n    return used()\n",
        "lazy/__init__.py": LAZY,
        "lazy/_code.py": LAZY_CODE,
        "lazy/_more.py": "x = 1\n",
    }
    assert moves(package, files, library=DEEPER)
    assert moves(package, files, **{"lazy/__init__": LAZY.replace('LEVEL": "_code"', 'LEVEL": "_more"')})
    assert not moves(package, files, lazy___code=LAZY_CODE.replace("return 1", "return 2"))
    assert not moves(package, files, lazy___more="x = 2\n")
    renamed = {**files, "main.py": files["main.py"].replace("import used", "import Used as used")}
    assert moves(package, renamed, lazy___more="x = 2\n")  # found nowhere, so that all of the package counts


def test_a_package_that_is_imported_whole_counts_with_its_modules(package):
    files = {
        **LIBRARY,
        "main.py": "from PKG import outer\ndef trial(seed):\n    return outer.inner.code.used()\n",
        "outer/__init__.py": "",
        "outer/inner/code.py": "def used():\n    return 1\n",
    }
    assert moves(package, files, outer__inner__code="def used():\n    return 2\n")
    assert not moves(package, files, library=DEEPER)


def test_an_edit_is_seen_in_the_files_and_not_in_what_was_loaded(package):
    files = {**LIBRARY, "main.py": IMPORTS["from"]}
    first = package(files)
    trial = importlib.import_module(f"{PACKAGE}.main").trial
    library = Path(importlib.import_module(f"{PACKAGE}.library").__file__)
    assert meaning(trial) == meaning(trial, now=True) == first
    library.write_text(DEEPER)
    assert meaning(trial) == first != meaning(trial, now=True)
    library.write_text("# a comment\n" + LIBRARY["library.py"])
    assert meaning(trial) == meaning(trial, now=True) == first
    library.write_text(SPARE)
    assert meaning(trial, now=True) == first
