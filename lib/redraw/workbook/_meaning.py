"""The meaning of a function: a hash of its code and of every definition of this package that it can reach; and the
versions of the other libraries that those definitions import.

A trial's result is stored under this hash, so that changing code that could change the result gives a new
key, and changing anything else (another function of the same file, a comment, a docstring) does not. So it is with
libraries: those that the code reaches count, and no others.
"""

import ast
import hashlib
import importlib.util
import pkgutil
import symtable
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, version
from pathlib import Path

PACKAGE = "redraw"

# Data enter a trial's key by fingerprint: the checksums of the files and the meaning of their reader. How the
# bytes were found or fetched cannot change them, so the code that does it stays out.
FINGERPRINTED = ("redraw.data",)

# Libraries that are in every trial's key, so that `libraries` need not find them.
EVERYWHERE = ("numpy", "torch")

# What a library computes with and imports by itself, which no import of ours tells.
BEHIND = {"optuna": ("cmaes",)}

# Conditions whose statements an import does not carry out.
NOT_AT_IMPORT = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# The sources as this process loaded them: this package's now, those of other modules when they are first asked for.
# An edit made later changes neither the code that runs here nor the keys that are made here.
_LOADED: dict[Path, str] = {path: _read(path) for path in Path(__file__).resolve().parents[1].rglob("*.py")}


def meaning(function: Callable | str, *, outside: tuple[str, ...] = FINGERPRINTED, now: bool = False) -> str:
    """SHA-256 (hex) of the definitions reachable from `function`, packages in `outside` left unfollowed.

    A function given as "module:name" is not imported for it.

    Reachability is static. Every global name that a definition mentions is followed through its module's own
    definitions and its imports from this package; a module or package that is imported as a whole counts whole; a name
    that a package's `__getattr__` provides is looked for in all modules of the package. What importing does counts too:
    of the modules reached, their parent packages and all that they import, those statements that do more than bind
    a name (calls, loops, conditions, items and attributes set), and the definitions that something of this package
    decorates or is the base of, since it may register them.

    Not seen are names that are computed, such as `getattr` with a variable; what the call in `name = call()` does
    besides giving the name its value; and what a function outside this package uses from outside its own module.

    now: by the files as they stand, not as they were when this process loaded its code.
    """
    module, name = _place(function)
    if now and any(not path.exists() or _read(path) != text for path, text in _LOADED.items()):
        return _walk(module, name, outside, _read)[0]
    return _walk_once(module, name, outside)[0]


def libraries(function: Callable | str, *, outside: tuple[str, ...] = FINGERPRINTED) -> dict[str, str]:
    """{name: version} of the installed distributions from which the definitions that `meaning` hashes import something.

    An import counts wherever it stands, at the top of a module or in a function, if one of the definitions mentions
    what it binds or holds it. Left out are `EVERYWHERE`, the standard library, and modules that no distribution
    installed. What one library uses of another is not seen, but for `BEHIND`.
    """
    return dict(_libraries(*_place(function), outside))


def _place(function: Callable | str) -> tuple[str, str]:
    """The module and the name in it that a function, or "module:name", is reached by."""
    if isinstance(function, str):
        module, _, name = function.partition(":")
        return module, name
    return function.__module__, function.__qualname__.split(".")[0]


def meaning_of_source(source: str, *, outside: tuple[str, ...] = (*FINGERPRINTED, "redraw.workbook")) -> str:
    """As `meaning`, for a piece of code such as a notebook's cells: itself and all it imports from this package."""
    tree, walk = ast.parse(source), _Walk(outside)
    _strip(tree)
    walk.found["", ""] = ast.unparse(tree)
    _follow_imports(tree, "", walk)
    return walk.digest()


@cache
def _walk_once(module: str, name: str, outside: tuple[str, ...]) -> tuple[str, frozenset[str]]:
    return _walk(module, name, outside, _loaded)


@cache
def _libraries(module: str, name: str, outside: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for foreign in _walk_once(module, name, outside)[1]:
        found |= _owners(foreign)
    for behind in [behind for name in found for behind in BEHIND.get(name, ())]:
        found[behind] = version(behind)
    return dict(sorted(found.items()))


def _walk(module: str, name: str, outside: tuple[str, ...], read: Callable[[Path], str]) -> tuple[str, frozenset[str]]:
    """The hash of what is reached, and the top-level modules that it imports from outside this package."""
    walk = _Walk(outside, read)
    _reach(module, name, walk)
    return walk.digest(), frozenset(walk.foreign)


def _loaded(path: Path) -> str:
    if path not in _LOADED:
        _LOADED[path] = _read(path)
    return _LOADED[path]


@dataclass
class _Walk:
    """One search: what it has found, source by (module, name), under "" what importing the module does; and the
    top-level modules that this imports from outside the package."""

    outside: tuple[str, ...]
    read: Callable[[Path], str] = _loaded
    found: dict[tuple[str, str], str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)

    def source(self, module: str) -> "_Source":
        return _parse(module, self.read(_path(module)))

    def leaves_out(self, module: str) -> bool:
        return any(f"{module}.".startswith(f"{package}.") for package in self.outside)

    def digest(self) -> str:
        parts = [f"# {module}:{name}\n{code}" for (module, name), code in sorted(self.found.items()) if code]
        return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()


def _reach(module: str, name: str, walk: _Walk) -> None:
    """Reach what `from module import name` gives."""
    if walk.leaves_out(module):
        return
    homes = _homes(module, name, walk)
    for home in homes:
        _define(home, name, walk)
    if homes or not _is_package(module):
        return
    if _is_module(f"{module}.{name}"):
        _reach_whole(f"{module}.{name}", walk)
    elif "__getattr__" in walk.source(module).bound:
        _define(module, "__getattr__", walk)
        homes = [inner for inner in _modules_in(module) if name in walk.source(inner).bound]
        for home in homes:
            _define(home, name, walk)
        if not homes:
            _reach_whole(module, walk)


def _homes(module: str, name: str, walk: _Walk, trail: tuple[str, ...] = ()) -> list[str]:
    """The modules in which `name`, seen from `module`, may be bound: itself and those it imports * from."""
    if module in trail or walk.leaves_out(module):
        return []
    source = walk.source(module)
    homes = [module] if name in source.bound else []
    return homes + [home for star in source.stars for home in _homes(star, name, walk, (*trail, module))]


def _define(module: str, name: str, walk: _Walk) -> None:
    """Reach the statements of `module` that bind `name`."""
    if (module, name) in walk.found or walk.leaves_out(module):
        return
    statements = walk.source(module).bound[name]
    walk.found[module, name] = "\n".join(map(_text, statements))
    _import(module, walk)
    for statement in statements:
        _follow(statement, module, walk)


def _import(module: str, walk: _Walk) -> None:
    """Reach what importing `module` does besides binding names."""
    if (module, "") in walk.found or walk.leaves_out(module):
        return
    source = walk.source(module)
    walk.found[module, ""] = "\n".join(map(_text, source.acts))
    parent = module.rpartition(".")[0]
    for imported in ([parent] if _in_package(parent) else []) + source.imports:
        _import(imported, walk)
    for statement in source.acts:
        _follow(statement, module, walk)


def _reach_whole(module: str, walk: _Walk) -> None:
    """Reach all definitions of a module, of those it imports * from, and of the modules inside if it is a package."""
    if module in walk.whole or walk.leaves_out(module):
        return
    walk.whole.add(module)
    _import(module, walk)
    source = walk.source(module)
    for name in source.bound:
        _define(module, name, walk)
    for inner in [*source.stars, *(_modules_in(module) if _is_package(module) else [])]:
        _reach_whole(inner, walk)


def _follow(statement: ast.stmt, module: str, walk: _Walk) -> None:
    """Reach everything that a statement of `module` mentions."""
    for name in _mentioned(statement):
        for home in _homes(module, name, walk):
            _define(home, name, walk)
    _follow_imports(statement, module, walk)


def _follow_imports(tree: ast.AST, module: str, walk: _Walk) -> None:
    for node in _import_statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _in_package(alias.name):
                    _reach_whole(alias.name, walk)
                else:
                    walk.foreign.add(alias.name.partition(".")[0])
        elif not _in_package(source := _source_of(node, module)):
            walk.foreign.add(source.partition(".")[0])
        else:
            for alias in node.names:
                if alias.name == "*":
                    _reach_whole(source, walk)
                else:
                    _reach(source, alias.name, walk)


@cache
def _import_statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


# One module ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """A module's statements: by the global name they bind, and those that act when it is imported; the modules of this
    package that it imports then, and those of them it imports * from."""

    bound: dict[str, list[ast.stmt]]
    acts: list[ast.stmt]
    imports: list[str]
    stars: list[str]


@cache
def _parse(module: str, text: str) -> _Source:
    tree = ast.parse(text)
    tree.body = [inner for s in tree.body for inner in (s.orelse if _is_left_out(s) else [s])]
    _strip(tree)
    bound, imports, stars = defaultdict(list), {}, {}
    for statement in tree.body:
        for part in _parts(statement):
            for name in _binds(part):
                bound[name].append(part)
        for node in _at_import(statement):
            for imported, alias in _imported(node, module):
                imports[imported] = None
                if alias == "*":
                    stars[imported] = None
    ours = {name for name, statements in bound.items() if not all(map(_is_foreign, statements))}
    acts = [s for s in tree.body if _acts(s, lambda name: name in ours or bool(stars) and name not in bound)]
    return _Source(dict(bound), acts, list(imports), list(stars))


def _is_left_out(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in NOT_AT_IMPORT


def _strip(tree: ast.Module) -> None:
    """Remove what does not change results: docstrings and the annotations of functions."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            match node.body:
                case [ast.Expr(ast.Constant(str())), *rest]:
                    node.body = rest or ([] if isinstance(node, ast.Module) else [ast.Pass()])


def _parts(statement: ast.stmt) -> list[ast.stmt]:
    """An import as one statement per name, so that unused neighbours do not count; anything else as it is."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return [statement]
    return [type(statement)(**{**vars(statement), "names": [alias]}) for alias in statement.names]


@cache
def _text(statement: ast.stmt) -> str:
    return ast.unparse(statement)


@cache
def _mentioned(statement: ast.stmt) -> list[str]:
    return sorted(_globals(_table(statement)))


def _table(statement: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(_text(statement), "statement", "exec")


def _binds(statement: ast.stmt) -> set[str]:
    """The module's names that a top-level statement binds, or its functions when they are called."""
    if isinstance(statement, Function) and not any(isinstance(node, ast.Global) for node in ast.walk(statement)):
        return {statement.name}  # as the table would say, which takes long to make
    top = _table(statement)
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    inner = (symbol for table in _inside(top) for symbol in table.get_symbols())
    return names | {symbol.get_name() for symbol in inner if symbol.is_declared_global() and symbol.is_assigned()}


def _globals(table: symtable.SymbolTable) -> set[str]:
    """The module's names that a top-level statement mentions: not the arguments and variables of its functions."""
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    for inner in _inside(table):
        for symbol in inner.get_symbols():  # a class may read a global under a name that it binds afterwards
            if symbol.is_global() or inner.get_type() == "class" and symbol.is_referenced():
                names.add(symbol.get_name())
    return names


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inside(child)


def _acts(statement: ast.stmt, is_ours: Callable[[str], bool]) -> bool:
    """Whether a statement, when its module is imported, may do more than bind names."""

    def ours(*expressions: ast.AST) -> bool:
        return any(isinstance(n, ast.Name) and is_ours(n.id) for e in expressions for n in ast.walk(e))

    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return ours(*statement.decorator_list)
        case ast.ClassDef():
            above = ours(*statement.decorator_list, *statement.bases, *statement.keywords)
            return above or any(_acts(inner, is_ours) for inner in statement.body)
        case ast.Import():
            return False
        case ast.ImportFrom():
            return statement.names[0].name == "*" and _is_foreign(statement)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            stored = [n for n in ast.walk(statement) if isinstance(n, ast.Subscript | ast.Attribute)]
            return any(isinstance(node.ctx, ast.Store) for node in stored)
        case ast.Expr():
            return not isinstance(statement.value, ast.Constant)
    return not isinstance(statement, ast.Pass)


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement, without the bodies of its functions."""
    yield tree
    if not isinstance(tree, Function | ast.Lambda):
        for child in ast.iter_child_nodes(tree):
            yield from _at_import(child)


def _imported(node: ast.AST, module: str) -> Iterator[tuple[str, str]]:
    """(module of this package, alias) of what an import statement imports; nothing for another node."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names if _in_package(alias.name))
    elif isinstance(node, ast.ImportFrom) and _in_package(source := _source_of(node, module)):
        for alias in node.names:
            yield source, alias.name
            if alias.name != "*" and _is_package(source) and _is_module(f"{source}.{alias.name}"):
                yield f"{source}.{alias.name}", ""


def _is_foreign(statement: ast.stmt) -> bool:
    """Whether a statement imports from outside this package."""
    if isinstance(statement, ast.Import):
        return not any(_in_package(alias.name) for alias in statement.names)
    return isinstance(statement, ast.ImportFrom) and not statement.level and not _in_package(statement.module)


# Where modules are -----------------------------------------------------------------------------------------------


def _in_package(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _source_of(node: ast.ImportFrom, module: str) -> str:
    if not node.level or not module:
        return node.module or ""
    package = module if _is_package(module) else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def _path(module: str) -> Path:
    spec = _spec(module)
    if spec is None or not spec.origin:
        raise ValueError(f"{module}: has no source file to hash")
    return _resolved(spec.origin)


@cache
def _resolved(origin: str) -> Path:
    return Path(origin).resolve()


def _is_package(module: str) -> bool:
    return _path(module).name == "__init__.py"


def _modules_in(package: str) -> list[str]:
    return [f"{package}.{inner.name}" for inner in pkgutil.iter_modules([str(_path(package).parent)])]


def _is_module(name: str) -> bool:
    return _spec(name) is not None


def _spec(name: str) -> ModuleSpec | None:
    """As `importlib.util.find_spec`, without importing the packages that the module is in: some draw, and are slow."""
    if name in sys.modules or "." not in name:
        return importlib.util.find_spec(name)
    package = _spec(name.rpartition(".")[0])
    if package is None or package.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, package.submodule_search_locations)


# Whose modules are -----------------------------------------------------------------------------------------------


@cache
def _owners(module: str) -> dict[str, str]:
    """{name: version} of the distributions but `EVERYWHERE` that installed a top-level module; none for one of the
    standard library.

    As `importlib.metadata.packages_distributions` has it, which takes longer than all keys of a study: most modules
    belong to a distribution of their own name.
    """
    if module in EVERYWHERE or module in sys.stdlib_module_names:
        return {}
    try:
        found = [own] if _installed(module, own := distribution(module)) else []
    except PackageNotFoundError:
        found = []
    found = found or [other for other in distributions() if _installed(module, other)]
    about = [one.metadata for one in reversed(found)]  # of two copies the first on the path is imported: it comes last
    return {one["Name"]: one["Version"] for one in about if one["Name"] not in EVERYWHERE}


def _installed(module: str, by: Distribution) -> bool:
    if declared := (by.read_text("top_level.txt") or "").split():
        return module in declared
    spec = _spec(module)
    if spec is None:
        return False
    first = f"{module}/" if spec.submodule_search_locations else f"{Path(spec.origin or '').name},"
    record = by.read_text("RECORD") or ""
    return record.startswith(first) or f"\n{first}" in record
