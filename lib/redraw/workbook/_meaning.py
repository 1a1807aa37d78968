"""The meaning of a function: a hash of its code and of every definition of this package that it can reach.

A trial's result is stored under this hash, so that changing code that could change the result gives a new
key, and changing anything else (another function of the same file, a comment, a docstring) does not.
"""

import ast
import hashlib
import importlib.util
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

PACKAGE = "redraw"

# Data enter a trial's key by fingerprint: the checksums of the files and the meaning of their reader. How the
# bytes were found or fetched cannot change them, so the code that does it stays out.
FINGERPRINTED = ("redraw.data",)

Found = dict[tuple[str, str], str]


def meaning(function: Callable, *, outside: tuple[str, ...] = FINGERPRINTED) -> str:
    """SHA-256 (hex) of the definitions reachable from `function`, packages in `outside` left unfollowed.

    Reachability is static: every name a definition mentions is followed through its module's own definitions
    and its imports from this package; statements of a reached module that bind no name (calls made at import
    time) count too. A name that is computed, such as `getattr` with a variable, is not seen.
    """
    return _hash(function.__module__, function.__qualname__.split(".")[0], outside)


def meaning_of_source(source: str, *, outside: tuple[str, ...] = (*FINGERPRINTED, "redraw.workbook")) -> str:
    """As `meaning`, for a piece of code such as a notebook's cells: itself and all it imports from this package."""
    tree = ast.parse(source)
    _strip(tree)
    found: Found = {("", ""): ast.unparse(tree)}
    _follow(tree, "", {}, outside, found)
    return _digest(found)


@cache
def _hash(module: str, name: str, outside: tuple[str, ...]) -> str:
    found: Found = {}
    _reach(module, name, outside, found)
    return _digest(found)


def _digest(found: Found) -> str:
    text = "\n\n".join(f"# {module}:{name}\n{code}" for (module, name), code in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _reach(module: str, name: str, outside: tuple[str, ...], found: Found) -> None:
    if (module, name) in found or any(f"{module}.".startswith(f"{package}.") for package in outside):
        return
    bound = _definitions(module)
    if name not in bound:  # a builtin, or a module imported as `from package import module`
        if _is_module(f"{module}.{name}"):
            _reach_all(f"{module}.{name}", outside, found)
        return
    found[module, name] = "\n".join(ast.unparse(statement) for statement in bound[name])
    if "" in bound:
        _reach(module, "", outside, found)
    for statement in bound[name]:
        _follow(statement, module, bound, outside, found)


def _follow(tree: ast.AST, module: str, bound: dict, outside: tuple[str, ...], found: Found) -> None:
    """Reach everything that a statement of `module` mentions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in bound:
            _reach(module, node.id, outside, found)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    _reach_all(alias.name, outside, found)
        elif isinstance(node, ast.ImportFrom) and _source(node, module).split(".")[0] == PACKAGE:
            for alias in node.names:
                if alias.name == "*":
                    _reach_all(_source(node, module), outside, found)
                else:
                    _reach(_source(node, module), alias.name, outside, found)


def _reach_all(module: str, outside: tuple[str, ...], found: Found) -> None:
    for name in _definitions(module):
        _reach(module, name, outside, found)


@cache
def _definitions(module: str) -> dict[str, list[ast.stmt]]:
    """Top-level statements by the name they bind, stripped; under "" those that bind none."""
    tree = ast.parse(_path(module).read_text())
    _strip(tree)
    bound = defaultdict(list)
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:  # one name each, so that unused neighbours do not count
                single = type(statement)(**{**vars(statement), "names": [alias]})
                bound[alias.asname or alias.name.split(".")[0]].append(single)
            continue
        for name in _names_bound(statement) or {""}:
            bound[name].append(statement)
    return dict(bound)


def _names_bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
    return names


def _strip(tree: ast.Module) -> None:
    """Remove what does not change results: docstrings and the annotations of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])


def _source(node: ast.ImportFrom, module: str) -> str:
    if not node.level or not module:
        return node.module or ""
    package = module if _path(module).name == "__init__.py" else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def _path(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise ValueError(f"{module}: has no source file to hash")
    return Path(spec.origin)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
