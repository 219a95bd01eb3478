"""Images and labels of a file, in both formats and both layouts; every mistake is named with its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data.arrays import Arrays
from lth_runner.data.interface import DataSource

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(256, size=(7, 3, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 1])
WHOLE = {"images": IMAGES, "labels": LABELS}
PARTS = {
    "train_images": IMAGES[:5],
    "train_labels": LABELS[:5],
    "test_images": IMAGES[5:],
    "test_labels": LABELS[5:],
}


def quiet(line: str) -> None:
    del line


def written(folder: Path, arrays: dict[str, np.ndarray], suffix: str = ".npz") -> str:
    path = folder / f"mine{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return str(path)


def source(path: str, **changes: Any) -> Arrays:
    return replace(Arrays(path=path, test_count=None, normalize=False), **changes)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(("arrays", "test_count"), [(PARTS, None), (WHOLE, 2)])
def test_four_ways_to_one_dataset(arrays: Any, test_count: int | None, suffix: str, tmp_path: Path) -> None:
    data: Any = source(written(tmp_path, arrays, suffix), test_count=test_count).load(quiet)
    np.testing.assert_array_equal(data.train_inputs.numpy(), IMAGES[:5].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.test_inputs.numpy(), IMAGES[5:].astype(np.float32) / np.float32(255))
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 1, 2, 2, 1], [0, 1])
    assert data.train_labels.dtype == torch.int64
    assert isinstance(source("x.npz"), DataSource)


def test_floating_numbers_are_taken_as_they_are_and_their_range_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    arrays = {"images": np.linspace(-1, 2, 60).reshape(3, 5, 4), "labels": np.array([0, 1, 1])}
    data: Any = source(written(tmp_path, arrays), test_count=1).load(said.append)
    np.testing.assert_array_equal(data.train_inputs[:, 0].numpy(), arrays["images"][:2].astype(np.float32))
    assert data.train_inputs.dtype == torch.float32
    assert said == [f"{tmp_path / 'mine.npz'}: pixels from -1 to 0.9831"]


def test_normalised_by_the_training_pixels_of_each_channel(tmp_path: Path) -> None:
    data: Any = source(written(tmp_path, PARTS), normalize=True).load(quiet)
    train = IMAGES[:5].astype(np.float64)
    mean, std = (f(train, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(data.train_inputs, (train - mean) / std, atol=1e-5)
    np.testing.assert_allclose(data.test_inputs, (IMAGES[5:] - mean) / std, atol=1e-5)


def with_nan() -> np.ndarray:
    images = IMAGES[:5].astype(np.float32)
    images[3, 0, 0, 0] = np.nan
    return images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": with_nan()}, "train_images has NaN, infinite or complex values: replace them"),
        ({"train_images": IMAGES[:5].astype(np.int32)}, "train_images is int32: save images as uint8"),
        ({"test_images": IMAGES[5:].transpose(0, 2, 3, 1)}, r"\(2, 5, 4, 3\): save images as \(N, H, W\), or"),
        ({"test_images": IMAGES[5:].reshape(2, -1)}, r"test_images has the shape \(2, 60\): save images as"),
        ({"test_images": IMAGES[5:, :, :4]}, r"images of shape \(3, 5, 4\) and test images of \(3, 4, 4\)"),
        ({"test_images": IMAGES[:0]}, r"test_images has the shape \(0, 3, 5, 4\): give it at least one sample"),
        ({"test_labels": np.array([0, 3])}, "the test label 3, and the training labels go from 0 to 2: correct it"),
        ({"test_labels": np.array([0, -1])}, "test_labels has the label -1, and labels start at 0: correct it"),
        ({"train_labels": LABELS}, r"train_labels is int64 of shape \(7,\), not one integer for each of 5 samples"),
        ({"train_labels": LABELS[:5] / 1}, r"train_labels is float64 of shape \(5,\)"),
        ({"train_labels": np.array(["a"] * 5, object)}, "cannot be read .*holds more than arrays of numbers"),
        ({"train_labels": np.array(["a"] * 5)}, "cannot be read .*holds more than arrays of numbers"),
        ({"train_images": np.ones((5, 3, 5, 4))}, "a channel of the training images of .* is constant"),
    ],
)
def test_a_mistake_is_named_with_its_file(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, {**PARTS, **changes})
    with pytest.raises(DataError, match=f"mine.npz.*{message}" if "constant" not in message else message):
        source(path, normalize=True).load(quiet)


def test_names_that_do_not_fit_the_setting_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds images, labels and not train_images.*set data\.test_count if it holds"):
        source(written(tmp_path, WHOLE)).load(quiet)
    with pytest.raises(DataError, match=r"not images, labels: name its tensors so, or set data\.test_count=null"):
        source(written(tmp_path, PARTS), test_count=2).load(quiet)
    with pytest.raises(DataError, match=r"data\.test_count=7 leaves nothing of the 7 images"):
        source(written(tmp_path, WHOLE), test_count=7).load(quiet)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"half a file", bytes(100)])
def test_a_damaged_or_missing_file_is_named(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    with pytest.raises(DataError, match=f"there is no file .*mine{suffix}: set data.path to an existing one"):
        source(str(path)).load(quiet)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"mine{suffix} cannot be read") as caught:
        source(str(path)).load(quiet)
    assert "\n" not in str(caught.value)


def test_a_cut_npz_is_named(tmp_path: Path) -> None:
    path = Path(written(tmp_path, PARTS))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"mine.npz cannot be read"):
        source(str(path)).load(quiet)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither .npz nor .safetensors: set data\.path"):
        source(str(tmp_path / "mine.pkl")).load(quiet)


@pytest.mark.parametrize("wrong", [{"test_count": 0}, {"test_count": 1.5}, {"normalize": None}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"data.{next(iter(wrong))}"):
        source("x.npz", **wrong)
