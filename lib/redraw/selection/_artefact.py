"""Scores as files that say what they were computed on and by which weights; checkpoints that prove their epoch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from redraw.selection._examples import SelectionError


@dataclass(frozen=True)
class Scores:
    """Scores of examples, and where they are from.

    values   (N,) float; higher is harder
    ids      (N,) int64, which example each value belongs to: its position in the dataset, whatever order values are in
    method   el2n, grand, ...
    model    the network, in words
    epoch    after how many epochs; 0 is the initialization
    weights  `checkpoint_hash` of each network that was averaged over
    data     `data_hash` of the examples in the order of the ids 0, 1, 2, ...
    dataset  its name
    """

    values: Tensor
    ids: Tensor
    method: str
    model: str = ""
    epoch: int | None = None
    weights: tuple[str, ...] = ()
    data: str = ""
    dataset: str = ""

    def __post_init__(self):
        if self.values.ndim != 1 or self.values.shape != self.ids.shape or not len(self.values):
            raise SelectionError("ids: must be one per value, (N,)")
        if self.ids.dtype != torch.int64 or len(self.ids.unique()) < len(self.ids) or self.ids.min() < 0:
            raise SelectionError("ids: must be different integers from 0")
        if not self.values.isfinite().all():
            raise SelectionError("values: must be finite numbers")

    def of(self, ids: Tensor) -> Tensor:
        """The values of the examples `ids` (M,), in their order. Raises SelectionError for one without a score."""
        place = torch.full((int(max(self.ids.max(), ids.max())) + 1,), -1)
        place[self.ids] = torch.arange(len(self.ids))
        found = torch.where(ids < 0, -1, place[ids])
        if (found < 0).any():
            raise SelectionError(f"ids: example {int(ids[found < 0][0])} has no score")
        return self.values[found]

    def check(self, x: Tensor, y: Tensor) -> None:
        """Raises SelectionError unless the scores were computed on these examples in this order."""
        if data_hash(x, y) != self.data:
            raise SelectionError("data: other examples, labels or order than the scores were computed on")


def save_scores(scores: Scores, path: str | Path) -> None:
    """Write a safetensors file: `values` and `ids`, the rest as metadata, with a sum over all of it."""
    tensors = {"values": scores.values.contiguous(), "ids": scores.ids.contiguous()}
    about = {name: getattr(scores, name) for name in _ABOUT}
    try:
        save_file(tensors, path, {"redraw_scores": json.dumps(about), "sha256": _sum(tensors, about)})
    except (OSError, SafetensorError) as error:
        raise SelectionError(f"{path}: cannot be written ({error})") from None


def load_scores(path: str | Path) -> Scores:
    """Read what `save_scores` wrote. Raises SelectionError for a file that is missing, damaged or something else."""
    tensors, metadata = _read(path)
    try:
        about = json.loads(metadata["redraw_scores"])
        tensors = {name: tensors[name] for name in ("values", "ids")}
        whole = _sum(tensors, about) == metadata["sha256"]
        scores = Scores(**tensors, **(about | {"weights": tuple(about["weights"])}))
    except (KeyError, ValueError, TypeError):
        raise SelectionError(f"{path}: must be a file of scores that redraw wrote") from None
    if not whole:
        raise SelectionError(f"{path}: is damaged: its contents do not match its sum")
    return scores


_ABOUT = ("method", "model", "epoch", "weights", "data", "dataset")


# Checkpoints ----------------------------------------------------------------------------------------------------


def checkpoint_hash(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over the names, types, shapes and bytes of a network's state."""
    return _sum(weights.state_dict() if isinstance(weights, nn.Module) else weights)


def data_hash(x: Tensor, y: Tensor) -> str:
    """SHA-256 (hex) over inputs x (N, ...) and labels y (N,), in their order."""
    return _sum({"x": x, "y": y})


def save_checkpoint(folder: str | Path, epoch: int, model: nn.Module) -> str:
    """Write the state of `model` after `epoch` epochs (0: the initialization); returns its `checkpoint_hash`."""
    state = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    found = checkpoint_hash(state)
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(state, _checkpoint(folder, epoch), {"epoch": str(epoch), "sha256": found})
    return found


def load_checkpoint(folder: str | Path, model: nn.Module, epoch: int | None = None) -> tuple[int, str]:
    """Load the state after `epoch` epochs into `model`, or the latest where none is asked for.

    Returns the epoch and the hash of what `model` holds now, so that a score can say what it was computed with. Epoch 0
    is the initialization, not a missing number: the published scores "at initialization" came from a loader that
    took a step of 0 for none and loaded the last checkpoint. Raises SelectionError for an epoch that is not there,
    or a file that is not what it says.
    """
    if epoch is None:
        there = sorted(int(path.stem.removeprefix("epoch-")) for path in Path(folder).glob("epoch-*.safetensors"))
        if not there:
            raise SelectionError(f"epoch: {folder} holds no checkpoint")
        epoch = there[-1]
    path = _checkpoint(folder, epoch)
    state, metadata = _read(path)
    model.load_state_dict(state)
    found = checkpoint_hash(model)
    if metadata.get("epoch") != str(epoch) or metadata.get("sha256") != found:
        raise SelectionError(f"{path}: is not the checkpoint of epoch {epoch} that was written")
    return epoch, found


def _checkpoint(folder: str | Path, epoch: int) -> Path:
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        raise SelectionError(f"epoch: must be an integer from 0, got {epoch!r}")
    return Path(folder) / f"epoch-{epoch:05d}.safetensors"


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except FileNotFoundError:
        raise SelectionError(f"{path}: is not there") from None
    except (OSError, SafetensorError) as error:
        raise SelectionError(f"{path}: cannot be read ({error})") from None


def _sum(tensors: Mapping[str, Tensor], about: Mapping | None = None) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
