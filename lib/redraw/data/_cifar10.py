"""CIFAR-10 (Krizhevsky 2009) from its binary archive, and from an archive of JPEG files in class folders."""

import io
import re
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from redraw.data._files import cache_folder, replacing, sha256
from redraw.data._tensors import Arrays

_MEAN = (0.4914, 0.4822, 0.4465)
_STD = (0.2470, 0.2435, 0.2616)
_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes, row by row


def _normalized(pixels: np.ndarray) -> Tensor:
    """uint8 (N, 3, 32, 32) -> float32 (N, 3, 32, 32). In place: a copy more of 50,000 images is 586 MiB."""
    x = torch.from_numpy(pixels).float().div_(255)
    return x.sub_(torch.tensor(_MEAN).view(3, 1, 1)).div_(torch.tensor(_STD).view(3, 1, 1))


def _records(raw: bytes, member: str) -> np.ndarray:
    if not raw or len(raw) % _RECORD:
        raise ValueError(f"{member}: {len(raw)} bytes are not whole records of {_RECORD}")
    return np.frombuffer(raw, np.uint8).reshape(-1, _RECORD)


def read_cifar10(files: Mapping[str, Path]) -> Arrays:
    """Images (N, 3, 32, 32), pixels / 255, then per channel (x - mean) / deviation of the training set.

    `files` has the one archive `cifar-10-binary.tar.gz`: five training batches and a test batch of records of
    3,073 bytes. Raises ValueError when a batch is missing or not made of whole records.
    """
    (path,) = files.values()
    batches = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            if re.fullmatch(r"data_batch_[1-5]\.bin|test_batch\.bin", name):
                batches[name] = _records(archive.extractfile(member).read(), f"{path}: {name}")
    names = [f"data_batch_{i}.bin" for i in range(1, 6)]
    if absent := [name for name in (*names, "test_batch.bin") if name not in batches]:
        raise ValueError(f"{path}: no {', '.join(absent)} in the archive")

    train = np.concatenate([batches.pop(name) for name in names])
    train_y = torch.from_numpy(train[:, 0].astype(np.int64))
    train_x = _normalized(train[:, 1:].reshape(-1, 3, 32, 32))
    del train
    test = batches["test_batch.bin"].copy()  # writable, which torch asks for
    return Arrays(
        train_x,
        train_y,
        _normalized(test[:, 1:].reshape(-1, 3, 32, 32)),
        torch.from_numpy(test[:, 0].astype(np.int64)),
    )


def read_cifar10_jpeg(files: Mapping[str, Path]) -> Arrays:
    """As `read_cifar10`, from one tar archive of train/<class>/*.jpg and test/<class>/*.jpg.

    Labels count the class names in alphabetical order, which is CIFAR-10's own order; images are ordered by
    class and file name. Decoding takes seconds, so the pixels are kept in the user's cache, in a file that is
    named after the archive's checksum and the version of the JPEG decoder, because decoders differ in the
    last bit. Raises ValueError when the archive has other contents.
    """
    (path,) = files.values()
    version = features.version("libjpeg_turbo") or features.version("jpg")
    kept = cache_folder() / "cifar10_jpeg" / f"decoded-{sha256(path)[:16]}-jpeg-{version}.npz"
    pixels = _kept(kept)
    if pixels is None:
        pixels = _decode(path)
        _keep(kept, pixels)
    return Arrays(
        _normalized(pixels.pop("train_x")),
        torch.from_numpy(pixels.pop("train_y")),
        _normalized(pixels.pop("test_x")),
        torch.from_numpy(pixels.pop("test_y")),
    )


def _kept(path: Path) -> dict[str, np.ndarray] | None:
    """The decoded arrays, or None when there are none or they are damaged (the zip format has checksums)."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in Arrays._fields}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        print(f"redraw: {path} is damaged ({error}); decoding again", file=sys.stderr)
        return None


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A cache that cannot be written costs time at the next run, and nothing else."""
    try:
        with replacing(path) as stream:
            np.savez(stream, **arrays)
    except OSError as error:
        print(f"redraw: decoded images not kept in {path}: {error}", file=sys.stderr)


def _decode(path: Path) -> dict[str, np.ndarray]:
    images: dict[tuple[str, str, str], np.ndarray] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            place = re.fullmatch(r"(?:\./)?(train|test)/([^/]+)/([^/]+\.jpe?g)", member.name)
            if not (member.isfile() and place):
                continue
            # From memory: Pillow reads in small pieces, which is slow on a member of an archive.
            with Image.open(io.BytesIO(archive.extractfile(member).read()), formats=["JPEG"]) as image:
                pixels = np.asarray(image.convert("RGB"))
            if pixels.shape != (32, 32, 3):
                raise ValueError(f"{path}: {member.name} is not 32 x 32 pixels")
            images[place.groups()] = pixels
    keys = sorted(images)
    classes = sorted({label for _, label, _ in keys})
    arrays = {}
    for part in ("train", "test"):
        mine = [key for key in keys if key[0] == part]
        if {label for _, label, _ in mine} != set(classes) or not mine:
            raise ValueError(f"{path}: {part}/ must hold a folder with images for each class")
        # Planes first, and contiguous, as in the binary version.
        arrays[f"{part}_x"] = np.stack([images.pop(key).transpose(2, 0, 1) for key in mine])
        arrays[f"{part}_y"] = np.array([classes.index(label) for _, label, _ in mine], np.int64)
    return arrays
