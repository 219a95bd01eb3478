"""Images as bytes and what becomes of them: checks that name the file, fractions, and colours normalised."""

import numpy as np
import torch

from lth_runner.core.errors import DataError
from lth_runner.data.interface import Dataset

Part = tuple[np.ndarray, np.ndarray]  # (N, C, H, W) uint8 and (N,) labels
Moments = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of pixels/255, per channel


def check_images(images: np.ndarray, shape: tuple[int, ...], file: str) -> None:
    """Refuses anything but one image or more, uint8, each of the given shape.

    Raises:
        DataError: with the file's name.
    """
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise DataError(
            f"{file} holds {images.dtype} of shape {images.shape}, not bytes of shape (N, "
            f"{', '.join(map(str, shape))}): fetch it again"
        )
    if not len(images):
        raise DataError(f"{file} holds no images: fetch it again")


def check_labels(labels: np.ndarray, count: int, classes: int, file: str) -> None:
    """Refuses anything but `count` integers from 0 to `classes` - 1.

    Raises:
        DataError: with the file's name.
    """
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{file} holds labels of type {labels.dtype} and shape {labels.shape}, not one integer for each of the "
            f"{count} images: make them fit"
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise DataError(f"{file} has the label {wrong[0]}, and labels go from 0 to {classes - 1}: correct it")


def moments(images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of all bytes/255, in float64: exact, from the counts of the 256 values."""
    counts = np.bincount(images.reshape(-1), minlength=256)
    values = np.arange(256) / 255
    mean = float(counts @ values / counts.sum())
    return mean, float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


def channel_moments(images: np.ndarray) -> Moments:
    """`moments` of each channel of (N, C, H, W) bytes."""
    found = [moments(images[:, channel]) for channel in range(images.shape[1])]
    return tuple(mean for mean, _ in found), tuple(std for _, std in found)


def normalised(images: torch.Tensor, found: Moments, file: str) -> torch.Tensor:
    """(N, C, H, W) images, each channel less its mean and divided by its standard deviation.

    Raises:
        DataError: a channel has the same value everywhere.
    """
    mean, std = (torch.tensor(values, dtype=images.dtype).view(1, -1, 1, 1) for values in found)
    if not bool((std > 0).all()):
        raise DataError(f"a channel of the training images of {file} is constant: set data.normalize=false")
    return (images - mean) / std


def colour_dataset(name: str, train: Part, test: Part, found: Moments | None, file: str) -> Dataset:
    """Bytes as a dataset of (N, C, H, W) float32 pixels/255 and int64 labels, normalised where moments are given."""

    def images(part: Part) -> torch.Tensor:
        fractions = torch.from_numpy(part[0].astype(np.float32)).div_(255)
        return fractions if found is None else normalised(fractions, found, file)

    return Dataset(
        name=name,
        train_inputs=images(train),
        train_labels=torch.from_numpy(train[1].astype(np.int64)),
        test_inputs=images(test),
        test_labels=torch.from_numpy(test[1].astype(np.int64)),
    )
