"""Masks as files that say where they are from, and what two masks have in common."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from redraw.pruning._masks import Masks


def save_masks(masks: Masks, path: str | Path, provenance: Mapping[str, object]) -> None:
    """Write masks at one bit per weight (safetensors), with their shapes, where they are from, and a sum over it all.

    provenance: whatever says how they came about, as JSON values: method, fraction, seed, the weights' hash, ...
    Raises ValueError for a provenance that is not JSON or a file that cannot be written.
    """
    packed = {name: bits.cpu().contiguous() for name, bits in masks.pack().items()}
    try:
        about = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance: must be JSON values ({error})") from None
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()}, sort_keys=True)
    try:
        save_file(packed, path, {"redraw_masks": shapes, "provenance": about, "sha256": _sum(packed, shapes, about)})
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: cannot be written ({error})") from None


def load_masks(path: str | Path) -> tuple[Masks, dict]:
    """The masks that `save_masks` wrote, and where they are from.

    Raises ValueError, one line, for a file that is missing, damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            packed, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except FileNotFoundError:
        raise ValueError(f"{path}: is not there") from None
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    if not {"redraw_masks", "provenance", "sha256"} <= metadata.keys():
        raise ValueError(f"{path}: must be a file of masks that redraw wrote")
    if _sum(packed, metadata["redraw_masks"], metadata["provenance"]) != metadata["sha256"]:
        raise ValueError(f"{path}: is damaged: its contents do not match its sum")
    shapes = json.loads(metadata["redraw_masks"])
    order = {name: torch.empty(shape) for name, shape in shapes.items()}
    return Masks.unpack(packed, order), json.loads(metadata["provenance"])


def overlap(a: Masks, b: Masks) -> dict[str, dict[str, float]]:
    """How much two masks have in common, layer by layer and, under "", in all.

    shared: of the weights that either keeps, the share that both keep (Jaccard index); 1 where neither keeps any.
    chance: what that would be, to first order, had each mask its survivors in random places of each layer:
      E / (n_a + n_b - E) with E = n_a n_b / n.
    Raises ValueError unless both are of the same layers and shapes.
    """
    if {n: m.shape for n, m in a.items()} != {n: m.shape for n, m in b.items()}:
        raise ValueError("b: must have the layers and shapes of a")
    counts = {}
    for name, mask in a.items():
        other = b[name].to(mask.device)
        ours, theirs = int(mask.sum()), int(other.sum())
        counts[name] = (int((mask & other).sum()), ours * theirs / mask.numel(), ours + theirs)
    counts[""] = tuple(map(sum, zip(*counts.values(), strict=True)))
    return {
        name: {
            "shared": both / (sizes - both) if sizes else 1.0,
            "chance": expected / (sizes - expected) if sizes else 1.0,
        }
        for name, (both, expected, sizes) in counts.items()
    }


def profile(masks: Masks) -> dict[str, float]:
    """The fraction of its weights that each layer keeps."""
    return {name: kept / masks[name].numel() for name, kept in masks.survivors().items()}


def _sum(packed: Mapping[str, torch.Tensor], shapes: str, about: str) -> str:
    digest = hashlib.sha256(f"{shapes}\n{about}\n".encode())
    for name in sorted(packed):
        digest.update(name.encode() + b"\0" + packed[name].numpy().tobytes())
    return digest.hexdigest()
