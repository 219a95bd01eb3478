"""Images and labels of somebody's own, out of one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lth_runner.core import checks
from lth_runner.core.errors import DataError
from lth_runner.data import pixels
from lth_runner.data.interface import Dataset
from lth_runner.data.tensors import class_labels, read_tensors

PARTS = ("train_images", "train_labels", "test_images", "test_labels")
WHOLE = ("images", "labels")
CHANNELS = (1, 2, 3, 4)

Part = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The images and labels of a .npz or .safetensors file.

    It holds train_images, train_labels, test_images and test_labels; or images and labels, of which the last
    `test_count` are the test part. Images are (N, C, H, W), or (N, H, W) with one channel: bytes, which become
    pixels/255, or floating numbers, which are taken as they are, as float32. Labels are (N,) integers from 0; the
    classes are those of the training labels.

    Attributes:
        path: of the file.
        test_count: images of the test part; null where the file names its parts.
        normalize: subtract the training pixels' mean and divide by their standard deviation, channel by channel, worked
            out in float64.
    """

    path: str
    test_count: int | None
    normalize: bool

    def __post_init__(self) -> None:
        checks.file("data.path", self.path)
        if self.test_count is not None:
            checks.integer("data.test_count", self.test_count, at_least=1)
        checks.boolean("data.normalize", self.normalize)

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log, with the range of the pixels.

        Raises:
            DataError: the file cannot be read, or does not hold such images and labels.
        """
        file, tensors = read_tensors(self.path, "data.path")
        train, test = self._parts(file, tensors)
        _check_agreement(train, test, file)
        train_images, test_images = train[0], test[0]
        say(f"{file}: pixels from {float(train_images.min()):.4g} to {float(train_images.max()):.4g}")
        if self.normalize:
            moments = _moments(train_images)
            train_images, test_images = (pixels.normalised(part, moments, f"{file}") for part in (train[0], test[0]))
        return Dataset(
            name="arrays",
            train_inputs=train_images,
            train_labels=train[1],
            test_inputs=test_images,
            test_labels=test[1],
        )

    def _parts(self, file: Path, tensors: dict[str, torch.Tensor]) -> tuple[Part, Part]:
        """The training and the test part, in this order."""
        names_needed = PARTS if self.test_count is None else WHOLE
        if not set(names_needed) <= set(tensors):
            raise DataError(
                f"{file} holds {', '.join(sorted(tensors))} and not {', '.join(names_needed)}: name its tensors so, or "
                + ("set data.test_count" if self.test_count is None else "set data.test_count=null")
                + f" if it holds {', '.join(WHOLE if self.test_count is None else PARTS)}"
            )
        if self.test_count is None:
            names = (("train_images", "train_labels"), ("test_images", "test_labels"))
            train, test = (_part(tensors, *part, file) for part in names)
            return train, test
        images, labels = _part(tensors, *WHOLE, file)
        if self.test_count >= len(images):
            raise DataError(
                f"data.test_count={self.test_count} leaves nothing of the {len(images)} images of {file} to train on: "
                "set it lower"
            )
        start = len(images) - self.test_count
        return (images[:start], labels[:start]), (images[start:], labels[start:])


def _part(tensors: dict[str, torch.Tensor], images: str, labels: str, file: Path) -> Part:
    found = as_images(tensors[images], f"{file}: {images}")
    return found, class_labels(tensors[labels], len(found), file, labels)


def as_images(tensor: torch.Tensor, what: str) -> torch.Tensor:
    """(N, C, H, W) float32: bytes/255, or floating numbers as they are.

    Raises:
        DataError: another type or shape; `what` names it.
    """
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise DataError(f"{what} is {kind}: save images as uint8, from 0 to 255, or as floating numbers")
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(1)
    if tensor.ndim != 4 or tensor.shape[1] not in CHANNELS:
        raise DataError(
            f"{what} has the shape {tuple(tensor.shape)}: save images as (N, H, W), or (N, C, H, W) with the 1 to 4 "
            "channels before height and width"
        )
    return tensor.to(torch.float32).div(255) if tensor.dtype == torch.uint8 else tensor.to(torch.float32)


def _check_agreement(train: Part, test: Part, file: Path) -> None:
    """Refuses test images of another shape, and test labels that no training image has."""
    shapes = [tuple(images.shape[1:]) for images, _ in (train, test)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{file} has training images of shape {shapes[0]} and test images of {shapes[1]}: make them equal"
        )
    classes, largest = int(train[1].max()) + 1, int(test[1].max())
    if largest >= classes:
        raise DataError(
            f"{file} has the test label {largest}, and the training labels go from 0 to {classes - 1}: correct it"
        )


def _moments(images: torch.Tensor) -> pixels.Moments:
    """Mean and standard deviation of each channel, in float64."""
    channels = images.transpose(0, 1).flatten(1).double()
    return tuple(channels.mean(1).tolist()), tuple(channels.std(1, correction=0).tolist())
