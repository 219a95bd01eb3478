"""The datasets as tensors: on tiny files of the right format, and the real ones whole."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_mnist as tiny
import torch

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data import fashion_mnist, idx, mnist
from lth_runner.data.archive import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES
from lth_runner.data.cifar10 import Cifar10
from lth_runner.data.cifar100 import Cifar100
from lth_runner.data.fashion_mnist import FashionMnist
from lth_runner.data.interface import DataSource, images
from lth_runner.data.kmnist import Kmnist
from lth_runner.data.mnist import Mnist
from lth_runner.data.svhn import Svhn
from lth_runner.data.synthetic import Synthetic

KINDS = [(mnist, Mnist), (fashion_mnist, FashionMnist)]
SMALL = Synthetic(train_count=200, test_count=50, side=6, classes=10, seed=0, noise=0.1)
DIGITS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of each in MNIST's training set


def quiet(line: str) -> None:
    del line


@pytest.fixture
def cache() -> str:
    """The user's own data folder, so that the real files are fetched once and not by every test run."""
    return os.environ.get("LTH_CACHE", os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/lth_runner") + "/data"


def tiny_dataset(
    module: Any, kind: Any, root: Path, monkeypatch: pytest.MonkeyPatch, normalize: bool, pool: int = 1
) -> Any:
    tiny.write(root / module.ARCHIVE.folder / "raw")
    monkeypatch.setattr(module, "ARCHIVE", replace(module.ARCHIVE, checksums=tiny.SHA256, sources=()))
    return kind(root=str(root), normalize=normalize, pool=pool, test_count=None).load(quiet)


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_pixels_become_fractions(module: Any, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_dataset(module, kind, tmp_path, monkeypatch, normalize=False)
    assert data.train_inputs.shape == (7, 1, 28, 28)
    assert data.train_inputs.dtype == torch.float32
    expected = tiny.ARRAYS[TRAIN_IMAGES][:, None].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(data.train_inputs.numpy(), expected)
    assert data.test_labels.dtype == torch.int64
    assert data.test_labels.tolist() == tiny.ARRAYS[TEST_LABELS].tolist()


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_normalised_is_an_affine_map_of_it(
    module: Any, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_dataset(module, kind, tmp_path, monkeypatch, normalize=False)
    normal = tiny_dataset(module, kind, tmp_path, monkeypatch, normalize=True)
    for part in ("train_inputs", "test_inputs"):
        expected = (getattr(plain, part) - kind.MEAN) / kind.STD
        torch.testing.assert_close(getattr(normal, part), expected)
    assert plain.fingerprint() != normal.fingerprint()


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_blocks_of_pixels_become_their_mean(
    module: Any, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_dataset(module, kind, tmp_path, monkeypatch, normalize=False, pool=2)
    pixels = tiny.ARRAYS[TRAIN_IMAGES].astype(np.float64) / 255
    expected = sum(pixels[:, row::2, column::2] for row in (0, 1) for column in (0, 1)) / 4
    assert plain.train_inputs.shape == (7, 1, 14, 14)
    np.testing.assert_allclose(plain.train_inputs[:, 0].numpy(), expected, rtol=1e-6)
    normal = tiny_dataset(module, kind, tmp_path, monkeypatch, normalize=True, pool=2)
    torch.testing.assert_close(normal.test_inputs, (plain.test_inputs - kind.MEAN) / kind.STD)


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
@pytest.mark.parametrize("pool", [0, 3, 1.0, 28.0])
def test_blocks_must_cover_the_image(kind: Any, pool: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.pool must"):
        kind(root="x", normalize=False, pool=pool, test_count=None)


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_the_files_without_a_source_are_refused(module: Any, kind: Any, tmp_path: Path) -> None:
    """The hashes of the real datasets are those that count: tiny files are no MNIST."""
    folder = tiny.write(tmp_path / module.ARCHIVE.folder / "raw")
    with pytest.raises(DataError, match=f"in {folder} is damaged or another version"):
        replace(module.ARCHIVE, sources=()).arrays(tmp_path, quiet)


def test_kuzushiji_is_normalised_by_its_own_training_pixels(tmp_path: Path) -> None:
    tiny.write(tmp_path / "KMNIST" / "raw")
    plain, normal = (
        Kmnist(root=str(tmp_path), normalize=normalize, pool=1, test_count=None).load(quiet)
        for normalize in (False, True)
    )
    pixels = tiny.ARRAYS[TRAIN_IMAGES].astype(np.float64) / 255
    assert plain.name == "kmnist"
    np.testing.assert_array_equal(images(plain.train_inputs)[:, 0], pixels.astype(np.float32))
    expected = (tiny.ARRAYS[TEST_IMAGES] / 255 - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(images(normal.test_inputs)[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (TEST_LABELS, np.array([6, 10, 3], np.uint8), "has the label 10, and labels go from 0 to 9"),
        (TEST_LABELS, np.array([6, 1], np.uint8), r"shape \(2,\), not one integer for each of the 3 images"),
        (TRAIN_IMAGES, np.zeros((7, 14, 14), np.uint8), r"shape \(7, 14, 14\), not bytes of shape \(N, 28, 28\)"),
        (TRAIN_IMAGES, np.zeros((0, 28, 28), np.uint8), "holds no images"),
    ],
)
def test_files_without_a_known_checksum_are_checked_by_structure(
    name: str, array: np.ndarray, message: str, tmp_path: Path
) -> None:
    folder = tiny.write(tmp_path / "KMNIST" / "raw")
    (folder / name).write_bytes(idx.encode(array))
    with pytest.raises(DataError, match=f"KMNIST/raw/{name} .*{message}"):
        Kmnist(root=str(tmp_path), normalize=False, pool=1, test_count=None).load(quiet)


def test_a_cut_file_without_a_known_checksum_is_named(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "KMNIST" / "raw")
    (folder / TRAIN_IMAGES).write_bytes(tiny.FILES[TRAIN_IMAGES][:-1])
    with pytest.raises(DataError, match=rf"{TRAIN_IMAGES} in .* is damaged \(.*\): delete it and it is fetched again"):
        Kmnist(root=str(tmp_path), normalize=False, pool=1, test_count=None).load(quiet)


@pytest.mark.network
def test_the_whole_of_mnist(cache: str) -> None:
    data: Any = Mnist(root=cache, normalize=True, pool=1, test_count=None).load(quiet)
    assert data.name == "mnist"
    assert data.train_inputs.shape == (60000, 1, 28, 28)
    assert data.test_inputs.shape == (10000, 1, 28, 28)
    assert torch.bincount(data.train_labels).tolist() == DIGITS
    assert len(data.test_labels) == 10000
    assert abs(float(data.train_inputs.double().mean())) < 1e-4  # MEAN and STD are those of these images
    assert abs(float(data.train_inputs.double().std()) - 1) < 1e-4


@pytest.mark.network
def test_the_whole_of_fashion_mnist(cache: str) -> None:
    there = fashion_mnist.FOLDER.is_dir() or (Path(cache).expanduser() / "FashionMNIST" / "raw").is_dir()
    if not (there or shutil.which("apt-get")):
        pytest.skip("Fashion-MNIST is neither in the cache nor installed, and there is no apt to fetch it with")
    data: Any = FashionMnist(root=cache, normalize=True, pool=1, test_count=None).load(quiet)
    assert data.train_inputs.shape == (60000, 1, 28, 28)
    assert torch.bincount(data.train_labels).tolist() == [6000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert abs(float(data.train_inputs.double().mean())) < 1e-4
    assert abs(float(data.train_inputs.double().std()) - 1) < 1e-4


def test_synthetic_data_depends_on_its_arguments_alone() -> None:
    assert SMALL.load(quiet).fingerprint() == SMALL.load(quiet).fingerprint()
    assert SMALL.load(quiet).fingerprint() != replace(SMALL, seed=1).load(quiet).fingerprint()
    assert SMALL.load(quiet).fingerprint() != replace(SMALL, noise=0.2).load(quiet).fingerprint()


def test_synthetic_training_and_test_images_are_different_draws() -> None:
    data: Any = replace(SMALL, classes=1).load(quiet)
    assert not (data.train_inputs[:50] == data.test_inputs).all(dim=(1, 2, 3)).any()


def test_synthetic_images_lie_around_their_class_in_both_parts() -> None:
    """The nearest class mean of the training images names every test image: 10 prototypes are 36 pixels apart."""
    data: Any = SMALL.load(quiet)
    assert float(data.train_inputs.min()) >= 0
    assert float(data.train_inputs.max()) <= 1
    flat = data.train_inputs.flatten(1)
    means = torch.stack([flat[data.train_labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(data.test_inputs.flatten(1), means).argmin(1)
    assert torch.equal(nearest, data.test_labels)


def test_the_fingerprint_sees_one_label_and_one_pixel() -> None:
    data: Any = SMALL.load(quiet)
    before = data.fingerprint()
    data.test_labels[0] += 1
    between = data.fingerprint()
    data.train_inputs[0, 0, 0, 0] += 1
    assert len({before, between, data.fingerprint()}) == 3


@pytest.mark.parametrize(
    "source",
    [
        SMALL,
        Mnist(root="x", normalize=False, pool=1, test_count=None),
        FashionMnist(root="x", normalize=False, pool=1, test_count=None),
        Kmnist(root="x", normalize=False, pool=1, test_count=None),
        Cifar10(root="x", normalize=False),
        Cifar100(root="x", normalize=False),
        Svhn(root="x", normalize=False),
    ],
)
def test_datasets_keep_to_the_interface(source: object) -> None:
    assert isinstance(source, DataSource)


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"noise": -1.0}, {"side": 2.5}, {"seed": -1}])
def test_impossible_synthetic_data_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"data.{next(iter(wrong))}"):
        replace(SMALL, **wrong)
