"""What the tensors hold: counts, labels, normalization, splits; and the generator of one-dimensional digits."""

import inspect
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from redraw import data
from redraw.data import Arrays, Source, _cifar10, _load, _mnist1d

from .conftest import tar_of

# name: (training examples, validation, test, shape of one example)
SIZES = {
    "digits": (1200, 237, 360, (64,)),
    "mnist1d": (3500, 500, 1000, (40,)),
    "mnist": (55_000, 5_000, 10_000, (1, 28, 28)),
    "fashion_mnist": (55_000, 5_000, 10_000, (1, 28, 28)),
    "cifar10": (45_000, 5_000, 10_000, (3, 32, 32)),
    "cifar10_jpeg": (45_000, 5_000, 10_000, (3, 32, 32)),
}


def available_or_skip(name):
    if name in ("cifar10", "cifar10_jpeg") and not data.available(name):
        pytest.skip(f"{name} is not on this machine (too big to fetch for a test)")
    try:
        data.locate(name)
    except data.DataUnavailable as reason:
        pytest.skip(str(reason).splitlines()[0])


def test_the_catalog_knows_shape_and_number_of_all_examples():
    """Those that are too big to fetch for a test too, from the sizes above."""
    entries = [data.describe(name) for name in data.names()]
    found = {e.name: (e.examples - e.validation, e.validation, e.shape) for e in entries if e.kind == "examples"}
    assert found == {name: (train, validation, shape) for name, (train, validation, _, shape) in SIZES.items()}
    assert all((e.examples, e.shape) == (0, ()) for e in entries if e.kind != "examples")


@pytest.mark.parametrize("name", SIZES)
def test_counts_shapes_types_labels_and_normalization(name):
    available_or_skip(name)
    dataset = data.load(name, seed=3)
    train, validation, test, shape = SIZES[name]
    assert (data.describe(name).shape, data.describe(name).examples) == (shape, train + validation)
    assert dataset.name == name and dataset.classes == 10
    for part, count in (("train", train), ("validation", validation), ("test", test)):
        x, y = getattr(dataset, f"{part}_x"), getattr(dataset, f"{part}_y")
        assert x.shape == (count, *shape) and y.shape == (count,)
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        assert y.min() == 0 and y.max() == 9
    # The constants are of all that may be trained on: both parts together.
    total = train + validation
    mean = (dataset.train_x.mean(dtype=torch.float64) * train + dataset.validation_x.mean() * validation) / total
    square = (
        dataset.train_x.square().mean(dtype=torch.float64) * train + dataset.validation_x.square().mean() * validation
    ) / total
    assert abs(mean) < 2e-3
    # Compression smooths the pictures a little, and cifar10_jpeg is normalized as CIFAR-10 is.
    assert abs(square.sqrt() - 1) < (1e-2 if name == "cifar10_jpeg" else 1e-3)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar10_jpeg"])
def test_class_counts_of_the_real_sets(name):
    available_or_skip(name)
    arrays = data.reader(name)(data.locate(name))
    counts = torch.bincount(arrays.test_y).tolist()
    if name == "mnist":
        assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    else:
        assert counts == [1000] * 10
        assert torch.bincount(arrays.train_y).tolist() == [len(arrays.train_y) // 10] * 10


@pytest.mark.parametrize("name", ["digits", "mnist1d", "mnist", "fashion_mnist", "cifar10"])
def test_stated_normalization_is_the_one_in_force(name):
    """The numbers in the catalog's text are those in the reader's code."""
    stated = set(re.findall(r"0\.\d{4}", data.describe(name).normalization))
    used = set(re.findall(r"0\.\d{4}", inspect.getsource(inspect.getmodule(data.reader(name)))))
    assert stated and stated <= used


# Splits ---------------------------------------------------------------------------------------------------


def test_split_is_a_partition_that_the_seed_decides():
    ids = torch.arange(1000)
    arrays = Arrays(ids.float()[:, None], ids % 10, ids[:100].float()[:, None], ids[:100] % 10)
    first, again, other = (data.split("ids", arrays, 200, seed) for seed in (1, 1, 2))
    assert torch.equal(first.validation_x, again.validation_x) and torch.equal(first.train_x, again.train_x)
    assert not torch.equal(first.validation_x, other.validation_x)
    held, kept = set(first.validation_x.flatten().tolist()), set(first.train_x.flatten().tolist())
    assert len(held) == 200 and len(kept) == 800 and not held & kept
    assert torch.equal(first.train_x.squeeze(1).long() % 10, first.train_y)
    assert torch.equal(first.validation_x.squeeze(1).long() % 10, first.validation_y)
    assert torch.equal(other.test_x, arrays.test_x)


def test_load_splits_by_seed_and_never_touches_the_test_set():
    first, again, other = (data.load("digits", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.train_x, again.train_x)
    assert not torch.equal(first.train_x, other.train_x)
    assert torch.equal(first.test_x, other.test_x) and torch.equal(first.test_y, other.test_y)
    assert len(data.load("digits", validation=100).validation_x) == 100


@pytest.mark.parametrize("validation", [0, -1, 1437])
def test_impossible_validation_is_refused(validation):
    with pytest.raises(ValueError, match=r"^validation: must be from 1 to 1436"):
        data.load("digits", validation=validation)


def test_loading_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    data.load("digits")
    data.load("mnist1d")
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_digits_are_scikit_learns_each_once():
    dataset = data.load("digits")
    parts = [(dataset.train_x, dataset.train_y), (dataset.validation_x, dataset.validation_y)]
    parts += [(dataset.test_x, dataset.test_y)]
    x, y = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    ours = np.column_stack([np.rint((x * 0.3760 + 0.3053) * 16), y])
    theirs = np.column_stack(load_digits(return_X_y=True))
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert torch.bincount(dataset.test_y).tolist() == [36] * 10


# Tables ---------------------------------------------------------------------------------------------------


def test_tables(cache, entry, tmp_path, monkeypatch):
    entry("steplaw", {"a.csv": b"N,D\n1,2\n3,4\n"})
    (tmp_path / "a.csv").write_bytes(b"N,D\n1,2\n3,4\n")
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path))
    (table,) = data.tables("steplaw").values()
    assert table.to_dict("list") == {"N": [1, 3], "D": [2, 4]}
    with pytest.raises(ValueError, match="^dataset: steplaw holds tables"):
        data.load("steplaw")
    with pytest.raises(ValueError, match="^dataset: mnist holds examples"):
        data.tables("mnist")


@pytest.mark.parametrize("name, rows", [("steplaw", [1911, 708, 1000]), ("chinchilla", [245])])
def test_real_tables(name, rows):
    if not data.available(name):
        pytest.skip(f"{name} is not on this machine")
    assert [len(table) for table in data.tables(name).values()] == rows


# CIFAR-10 -------------------------------------------------------------------------------------------------

MEAN = np.array([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
STD = np.array([0.2470, 0.2435, 0.2616]).reshape(3, 1, 1)


def pixels_of(x: torch.Tensor) -> np.ndarray:
    return np.rint((x.double().numpy() * STD + MEAN) * 255).astype(np.uint8)


def test_cifar10_from_a_server(cache, entry, server, cifar):
    archive, labels, pixels = cifar
    entry(
        "cifar10",
        {"cifar-10-binary.tar.gz": archive},
        Source("https", server.address + "/kriz/{name}"),
        read="redraw.data._cifar10:read_cifar10",
        validation=25,
    )
    server.pages["/kriz/cifar-10-binary.tar.gz"] = archive
    dataset = data.load("cifar10", seed=1)
    assert dataset.train_x.shape == (75, 3, 32, 32) and dataset.validation_x.shape == (25, 3, 32, 32)
    assert np.array_equal(pixels_of(dataset.test_x), pixels["test_batch.bin"])
    assert np.array_equal(dataset.test_y.numpy(), labels["test_batch.bin"])
    files = data.locate("cifar10")
    assert files == {"cifar-10-binary.tar.gz": cache / "cifar10" / "cifar-10-binary.tar.gz"}
    arrays = data.reader("cifar10")(files)
    batches = [f"data_batch_{i}.bin" for i in range(1, 6)]
    assert np.array_equal(pixels_of(arrays.train_x), np.concatenate([pixels[name] for name in batches]))
    assert np.array_equal(arrays.train_y.numpy(), np.concatenate([labels[name] for name in batches]))
    assert server.asked == ["/kriz/cifar-10-binary.tar.gz"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda files: files.pop("b/test_batch.bin"), "no test_batch.bin in the archive"),
        (lambda files: files.update({"b/data_batch_2.bin": bytes(3072)}), "data_batch_2.bin: 3072 bytes"),
    ],
)
def test_cifar10_archive_with_other_contents_is_refused(tmp_path, change, message):
    files = {f"b/{name}.bin": bytes(3073) for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]}
    change(files)
    (tmp_path / "a.tar.gz").write_bytes(tar_of(files))
    with pytest.raises(ValueError, match=message):
        _cifar10.read_cifar10({"a.tar.gz": tmp_path / "a.tar.gz"})


def jpeg(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((32, 32)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.fixture
def jpegs(cache, entry, tmp_path, monkeypatch):
    """A dataset cifar10_jpeg of two classes, in the order that an archive should not be relied upon for."""
    contents = {
        f"{part}/{label}/{i:04}.jpg": jpeg(1000 * len(part) + 10 * len(label) + i)
        for part, count in (("train", 5), ("test", 2))
        for label in ("zebra", "ant")
        for i in reversed(range(count))
    }
    archive = tar_of({"./README": b"no image", **contents}, "w:xz")
    (tmp_path / "a.tar.xz").write_bytes(archive)
    monkeypatch.setenv("REDRAW_DATA", str(tmp_path))
    entry("cifar10_jpeg", {"a.tar.xz": archive}, read="redraw.data._cifar10:read_cifar10_jpeg", validation=4)
    return contents


def test_cifar10_jpeg_decodes_as_pillow_does_in_order_of_class_and_name(jpegs):
    arrays = data.reader("cifar10_jpeg")(data.locate("cifar10_jpeg"))
    assert arrays.train_y.tolist() == [0] * 5 + [1] * 5 and arrays.test_y.tolist() == [0, 0, 1, 1]
    for part, x in (("train", arrays.train_x), ("test", arrays.test_x)):
        names = sorted(name for name in jpegs if name.startswith(part))
        expected = [np.asarray(Image.open(io.BytesIO(jpegs[name]))).transpose(2, 0, 1) for name in names]
        assert np.array_equal(pixels_of(x), np.stack(expected))


def test_cifar10_jpeg_decodes_once_and_again_when_the_kept_pixels_are_damaged(jpegs, cache, monkeypatch, capsys):
    monkeypatch.setattr(_load, "_KEPT_BYTES", 0)  # read from disk every time
    first = data.load("cifar10_jpeg")
    (kept,) = (cache / "cifar10_jpeg").iterdir()
    decoded = []
    decode = _cifar10._decode
    monkeypatch.setattr(_cifar10, "_decode", lambda path: decoded.append(path) or decode(path))
    assert torch.equal(data.load("cifar10_jpeg").train_x, first.train_x)
    assert decoded == []
    whole = bytearray(kept.read_bytes())
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damage in (whole[: len(whole) // 2], flipped, b""):
        kept.write_bytes(damage)
        assert torch.equal(data.load("cifar10_jpeg").train_x, first.train_x)
        assert "is damaged" in capsys.readouterr().err
        assert kept.read_bytes() == whole
    assert len(decoded) == 3


def test_cifar10_jpeg_needs_no_writable_cache(jpegs, cache, capsys):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert len(data.load("cifar10_jpeg").train_x) == 6
    assert "not kept" in capsys.readouterr().err


def test_cifar10_jpeg_is_only_found_through_redraw_data(cache):
    assert data.describe("cifar10_jpeg").sources == ()
    with pytest.raises(data.DataUnavailable, match="REDRAW_DATA: not set"):
        data.load("cifar10_jpeg")


# One-dimensional digits -----------------------------------------------------------------------------------

STILL = dict(padding=(0, 0), scale=0, shear=0, translation=0, correlated_noise=0, noise=0)


def test_untransformed_signals_are_the_templates():
    signals, digits = data.make_mnist1d(50, **STILL, length=12)
    np.testing.assert_allclose(signals, _mnist1d.TEMPLATES[digits], atol=1e-15)
    assert np.bincount(digits).tolist() == [5] * 10
    templates = _mnist1d.TEMPLATES
    apart = np.abs(templates[:, None] - templates[None]).max(axis=2) + 9 * np.eye(10)
    assert apart.min() > 0.2


def test_padding_and_translation_move_the_template_around_the_circle():
    signals, digits = data.make_mnist1d(200, **STILL | {"padding": (36, 36), "translation": 47}, length=48)
    shifts = set()
    for signal, digit in zip(signals, digits, strict=True):
        still = np.pad(_mnist1d.TEMPLATES[digit], (0, 36))
        (shift,) = [k for k in range(48) if np.allclose(np.roll(still, k), signal, atol=1e-12)]
        shifts.add(shift)
    assert len(shifts) > 40 and min(shifts) < 3 and max(shifts) > 44


def test_scale_and_shear_stay_within_their_ranges_and_fill_them():
    signals, digits = data.make_mnist1d(1000, **STILL | {"scale": 0.4}, length=12)
    peak = np.abs(_mnist1d.TEMPLATES[digits]).max(axis=1)
    factors = np.abs(signals).max(axis=1) / peak
    assert 0.8 <= factors.min() < 0.81 and 1.19 < factors.max() <= 1.2

    signals, digits = data.make_mnist1d(1000, **STILL | {"shear": 0.75}, length=12)
    slants = signals - _mnist1d.TEMPLATES[digits]
    np.testing.assert_allclose(np.diff(slants, 2), 0, atol=1e-12)  # straight lines
    np.testing.assert_allclose(slants.mean(axis=1), 0, atol=1e-12)  # around the middle
    slopes = slants[:, -1] - slants[:, 0]
    assert np.abs(slopes).max() <= 0.375 and slopes.min() < -0.37 and slopes.max() > 0.37


def test_correlated_noise_has_the_variance_and_correlation_of_gaussian_smoothing():
    """White noise smoothed by a Gaussian of width s: variance 1 / (2 s sqrt(pi)), correlation exp(-k^2 / 4 s^2)."""
    size = 400
    still, _ = data.make_mnist1d(size, **STILL | {"padding": (100, 100)}, length=112)
    noisy, _ = data.make_mnist1d(size, **STILL | {"padding": (100, 100), "correlated_noise": 0.25}, length=112)
    assert not np.allclose(noisy, still)
    noise = noisy[:, 20:] - still[:, 20:]  # both are zero there but for the noise
    assert np.abs(still[:, 20:]).max() == 0
    inner = noise[:, :-10]  # away from the ends, which the smoothing reflects
    assert inner.var() == pytest.approx(0.25**2 / (2 * 2 * np.sqrt(np.pi)), rel=0.03)
    for lag in (1, 3):
        correlation = (inner[:, lag:] * inner[:, :-lag]).mean() / inner.var()
        assert correlation == pytest.approx(np.exp(-(lag**2) / 16), abs=0.02)


def test_white_noise():
    signals, _ = data.make_mnist1d(400, **STILL | {"padding": (100, 100), "noise": 0.02}, length=112)
    noise = signals[:, 12:]
    assert noise.std() == pytest.approx(0.02, rel=0.02)
    assert abs((noise[:, 1:] * noise[:, :-1]).mean() / noise.var()) < 0.02


def test_generator_is_deterministic_and_its_version_stands_for_its_defaults():
    first, again, other = (data.make_mnist1d(100, seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])

    defaults = inspect.signature(data.make_mnist1d).parameters.values()
    stated = " ".join(f"{one.name}={one.default}" for one in defaults)
    version = data.checksums("mnist1d")["generator"]
    assert version == f"mnist1d 1: {stated}"
    # A generator that gives other signals needs another version. (Sums, for other machines' last digits.)
    signals, digits = data.make_mnist1d()
    assert digits[:10].tolist() == [3, 2, 6, 7, 1, 0, 5, 7, 4, 4]
    assert signals.sum() == pytest.approx(441.81803, abs=1e-3)
    assert np.abs(signals).sum() == pytest.approx(27825.79397, abs=1e-3)


@pytest.mark.parametrize(
    "name, value",
    [("examples", 15), ("examples", 0), ("padding", (5, 3)), ("translation", -1), ("length", 1)],
)
def test_generator_refuses_senseless_parameters(name, value):
    with pytest.raises(ValueError, match=f"^{name}: must be "):
        data.make_mnist1d(**{name: value})


def test_mnist1d_is_learnable_but_not_by_a_line():
    """The paper's Table 1: logistic regression 32 %, far above chance and far below a network's 68 % and more."""
    dataset = data.load("mnist1d")
    model = LogisticRegression(max_iter=1000).fit(dataset.train_x.numpy(), dataset.train_y.numpy())
    accuracy = model.score(dataset.test_x.numpy(), dataset.test_y.numpy())
    assert 0.25 < accuracy < 0.45
