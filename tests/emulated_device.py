"""A CUDA device that is none: tensors that say they are on `cuda:0` and are computed on the CPU, strict about devices.

What CUDA refuses is refused here: operations on tensors of two devices, random numbers on the device from a generator
of the CPU, `numpy()` of what is not on the CPU. So code meant for a GPU can be run, to the same numbers, where there is
none. It says nothing about kernels, memory and streams; of graphs what `taped` does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME, DEVICE = "elsewhere", "elsewhere:0"
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""What takes tensors of two devices: copies, and an index of the CPU into a tensor of the device."""


class OnDevice(torch.Tensor):
    """A tensor that says it is on the device; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        like = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, held.size(), device=DEVICE, **like)

    def __init__(self, held: torch.Tensor):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    def __repr__(self):
        return f"elsewhere {self.held!r}"


class _Device(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


@contextmanager
def emulated_cuda() -> Iterator[None]:
    """While it lasts, `device=DEVICE` is the emulated device."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # `held` does not follow `parameter.data = `
    try:
        with _Device():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def taped(work: Callable[[], None], device: torch.device | None = None) -> Callable[[], None]:
    """In the place of `redraw.training._replay.replayed`: `work`, and after three calls what its fourth computed, again
    and again, as a CUDA graph does it: on the same tensors, with the numbers and by the branches of that call. As there
    it is an error to fetch a number from the device while it is recorded."""
    tape, calls = _Tape(), 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            work()
        elif calls == 4:
            with tape:
                work()
        else:
            tape.replay()

    return call


class _Tape(TorchDispatchMode):
    """The operations of what runs under it, and their repetition."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted while it is recorded: a number is fetched from the device")
        out = function(*args, **(kwargs or {}))
        self.done.append((function, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for function, args, kwargs, out in self.done:
            again = function(*args, **kwargs)
            if any(value.alias_info for value in function._schema.returns):
                continue  # a view, or its own argument
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor):
                    old.copy_(new)


def _run(function, args, kwargs):
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in given if isinstance(tensor, OnDevice)]
    here = [tensor for tensor in given if not isinstance(tensor, OnDevice)]
    asked = kwargs.get("device")
    target = bool(there) if asked is None else torch.device(asked).type == NAME
    if there and here and function not in COPIES | INDEXING and any(tensor.ndim for tensor in here):
        raise RuntimeError(f"Expected all tensors to be on the same device, found two devices ({function})")
    if function in INDEXING and isinstance(args[0], OnDevice) is False and there:
        raise RuntimeError(f"indices should be on the same device as the indexed tensor (cpu) ({function})")
    if target and isinstance(generator := kwargs.get("generator"), torch.Generator) and generator.device.type == "cpu":
        raise RuntimeError(f"Expected a another device type for generator but found 'cpu' ({function})")
    if function is aten.copy_.default:
        target = isinstance(args[0], OnDevice)
    plain_args, plain_kwargs = tree_map_only(OnDevice, lambda tensor: tensor.held, (args, kwargs))
    if asked is not None:
        plain_kwargs = plain_kwargs | {"device": "cpu"}
    out = function(*plain_args, **plain_kwargs)
    if not target:
        return out
    out = tree_map_only(torch.Tensor, OnDevice, out)
    return return_and_correct_aliasing(function, args, kwargs, out) if there else out
