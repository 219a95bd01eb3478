"""CIFAR's two published formats, batches of bytes and pickled batches: images of 32 x 32 pixels in three colours."""

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.data import pixels
from lth_runner.data.archive import Archive
from lth_runner.data.interface import Dataset
from lth_runner.data.mnist_wheel import DAMAGE, ArrayUnpickler

IMAGE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32  # the red plane, then green, then blue, each row by row


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """One of the two datasets, in either format.

    Attributes:
        archive: the pickled batches.
        binary: folder of the binary version, below the data folder.
        train, test: images in every file, by its name; the names of the binary version end in .bin besides.
        label_bytes: before each image of the binary version; the last is the label.
        label_key: of the labels in a pickled batch.
        classes: labels go from 0 to `classes` - 1.
    """

    archive: Archive
    binary: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    label_bytes: int
    label_key: str
    classes: int

    def load(self, root: Path, moments: pixels.Moments | None, say: Callable[[str], None]) -> Dataset:
        """From the binary version if the data folder has it, else from the pickled batches, fetched where needed.

        No checksum of a single file of the binary version is published, so these are checked by size and labels alone.

        Args:
            moments: mean and standard deviation per channel, to normalise by; None: pixels/255 as they are.

        Raises:
            DataError: the files cannot be found or fetched, or are not what they should be.
        """
        folder = root / self.binary
        if folder.is_dir():
            say(f"{self.archive.name}: reading the binary version in {folder}")
            parts = {
                name: decode_binary(read_file(folder / f"{name}.bin"), self.label_bytes, f"{folder / name}.bin")
                for name in (*self.train, *self.test)
            }
        else:
            contents = self.archive.contents(root, say)
            folder = root / self.archive.folder
            parts = {name: decode_pickle(contents[name], self.label_key, f"{folder / name}") for name in contents}
        for name, count in {**self.train, **self.test}.items():
            self._check(parts[name], count, f"{folder / name}")
        train, test = (joined([parts[name] for name in names]) for names in (self.train, self.test))
        return pixels.colour_dataset(self.archive.name, train, test, moments, str(folder))

    def _check(self, part: pixels.Part, count: int, file: str) -> None:
        images, labels = part
        if len(images) != count:
            raise DataError(f"{file} holds {len(images)} images, not {count}: fetch it again")
        pixels.check_images(images, IMAGE, file)
        pixels.check_labels(labels, count, self.classes, file)


def decode_binary(content: bytes, label_bytes: int, file: str) -> pixels.Part:
    """Images and labels of the binary version: for each image its label bytes, of which the last counts, then 3,072.

    Raises:
        DataError: the bytes are not a whole number of images.
    """
    record = label_bytes + IMAGE_BYTES
    if not content or len(content) % record:
        raise DataError(f"{file} has {len(content)} bytes, no multiple of the {record} of an image: fetch it again")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, label_bytes:].reshape(-1, *IMAGE), rows[:, label_bytes - 1]


def decode_pickle(content: bytes, label_key: str, file: str) -> pixels.Part:
    """Images and labels of a pickled batch; nothing in it but arrays and plain containers is ever unpickled.

    Raises:
        DataError: it holds something else.
    """
    try:
        batch = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        named = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        return named["data"].reshape(-1, *IMAGE), np.array(named[label_key])
    except (*DAMAGE, pickle.UnpicklingError, IndexError) as error:
        raise DataError(f"{file} is no pickled batch of CIFAR ({error}): fetch it again") from error


def joined(parts: list[pixels.Part]) -> pixels.Part:
    """Several files as one."""
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): put the whole dataset into its folder") from error
