"""Work that is done many times over the same tensors, recorded once as a CUDA graph and replayed."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

WARM_UP = 3  # calls that run as they are, so that what libraries set up at first use is there when it is recorded


def replayed(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """`work` itself; on CUDA a function that runs it the first times, then records and from then on replays it.

    Between calls `work` may rely on nothing but tensors, which it changes in place, and may not wait for the device.
    A network that cannot be recorded goes on unrecorded, with a warning.
    """
    if device.type != "cuda":
        return work
    calls, graph, side = 0, None, torch.cuda.Stream(device)

    def call() -> None:
        nonlocal calls, graph
        calls += 1
        if graph is not None:
            graph.replay()
        elif calls == WARM_UP + 1 and (graph := _record(work)) is not None:
            graph.replay()
        else:
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                work()
            torch.cuda.current_stream(device).wait_stream(side)

    return call


def _record(work: Callable[[], None]) -> "torch.cuda.CUDAGraph | None":
    """The graph of `work`, which is recorded and not run; None, with a warning, where that cannot be."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            work()
    except RuntimeError as error:
        for reason in (error, error.__context__):  # what a recording that broke off ends in may hide it
            if isinstance(reason, torch.OutOfMemoryError):
                raise reason from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"this network trains without a CUDA graph: {reason}", stacklevel=2)
        return None
    return graph


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """On CUDA: convolutions in full float32 and by deterministic kernels, as on a CPU; products are so by default."""
    if device.type != "cuda":
        yield
        return
    with (
        torch.cuda.device(device),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "This instance was constructed with capturable")  # it is captured later
        yield
