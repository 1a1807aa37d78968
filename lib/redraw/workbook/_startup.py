"""Seconds saved when a process of ours starts: what libraries load and no run here uses, and what can load early.

For processes that exist for a run: the command, its workers, papermill's child and the kernel. Who imports `redraw`
into a process of their own has every library whole.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType


def without_uri_grammar() -> None:
    """Keep jsonschema from building a grammar of URIs, 1 s, when nbformat loads it: no notebook holds one to check.

    It goes on as where that grammar is not installed.
    """
    sys.modules.setdefault("rfc3987_syntax", None)


def without_compiler() -> None:
    """Keep torch from loading its compiler, 2 s, for the first optimizer step: nothing here is compiled.

    Each step asks `torch._dynamo` to break the graph being traced, of which there is none; until something else is
    asked of it, that is all it does. Methods that are to be exempted from tracing are marked as exempted already,
    which is where torch looks first (`torch._compile`).
    """
    import torch

    if "torch._dynamo" in sys.modules:
        return
    sys.modules["torch._dynamo"] = torch._dynamo = _CompilerToCome("torch._dynamo")
    for method in vars(torch.optim.Optimizer).values():
        if hasattr(method, "__wrapped__"):
            setattr(method.__wrapped__, "__dynamo_disable", method.__wrapped__)


class _CompilerToCome(ModuleType):
    """Stands where `torch._dynamo` will be, and gives way to it when asked for anything but a graph break."""

    def graph_break(self, msg: str = "") -> None:
        pass

    def __getattr__(self, name: str):
        import torch

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__], torch._dynamo
        return getattr(import_module(self.__name__), name)


@contextmanager
def importing() -> Iterator[None]:
    """For a block that imports: what it makes stays, and the collector need not walk a million objects to find so.

    It does so many times in the course, and once more when the process ends: a fifth of the time either way.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load(modules: Iterable[str]) -> None:
    """Import modules before they are asked for; one that cannot be is left to who asks."""
    with importing():
        for module in modules:
            with suppress(ImportError):
                import_module(module)
    if "torch" in sys.modules:
        without_compiler()


def settle(folder: str, variables: Mapping[str, str]) -> None:
    """Make a process that was started before its work was known one that was started for it."""
    os.chdir(folder)
    os.environ.update(variables)
