"""Where the files of a dataset come from: the data folder, or else the first source that has them; and MNIST's four."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.files import locked, replace_file
from lth_runner.data import idx, pixels
from lth_runner.data.interface import Dataset

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SIDE = 28  # pixels of an image
CLASSES = 10
MD5_DIGITS = 32

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place the files can come from.

    Attributes:
        label: for the log.
        fetch: given an empty scratch folder, returns the folder that holds the files, plain or as .gz.
            Raises DataError with the reason where this source has nothing.
    """

    label: str
    fetch: Callable[[Path], Path]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of one dataset, in torchvision's layout: `root`/`folder`/`inner`/.

    Attributes:
        name: of the dataset, as in the configs.
        folder: torchvision's name of the dataset, or of its folder.
        inner: folder in that folder; "" where there is none.
        checksums: of each unpacked file, by name: SHA-256, or the MD5 that torchvision publishes, in hexadecimal;
            nothing else is ever handed out. "" where none is known: the reader checks the structure.
        sources: tried in this order when the data folder does not have the files.
        by_hand: the end of the sentence "to bring the files by hand, ...".
    """

    name: str
    folder: str
    inner: str
    checksums: Mapping[str, str]
    sources: tuple[Source, ...]
    by_hand: str

    def arrays(self, root: Path, say: Say) -> dict[str, np.ndarray]:
        """The arrays of files in the IDX format.

        Raises:
            DataError: no source has the files, one of them is no such file, or the data folder cannot be written.
        """
        where = root / self.folder / self.inner
        return {name: _decoded(content, f"{name} in {where}") for name, content in self.contents(root, say).items()}

    def contents(self, root: Path, say: Say) -> dict[str, bytes]:
        """The files' bytes, read from the data folder, and fetched into it first where that is needed.

        Raises:
            DataError: no source has the files, or the data folder cannot be written.
        """
        raw = root / self.folder / self.inner
        try:
            return self._verified(raw)
        except DataError as reason:
            say(f"{self.name}: {reason}")

        def waiting(lock: str) -> None:
            say(f"{self.name}: waiting for another run's download ({lock} is its lock)")

        with locked(raw.with_suffix(".lock"), on_wait=waiting):
            try:
                return self._verified(raw)  # the other run may have fetched them
            except DataError as reason:
                contents = self._fetch(raw, say, [str(reason)])
            for name, content in contents.items():
                with replace_file(raw / name) as temporary:
                    temporary.write_bytes(content)
        say(f"{self.name}: the files are now in {raw}")
        return contents

    def _verified(self, folder: Path) -> dict[str, bytes]:
        contents = {name: idx.read_bytes(folder, name) for name in self.checksums}
        for name, content in contents.items():
            known = self.checksums[name]
            kind = "MD5" if len(known) == MD5_DIGITS else "SHA-256"
            if known and hashlib.new(kind.replace("-", ""), content).hexdigest() != known:
                raise DataError(f"{name} in {folder} is damaged or another version: its {kind} is not the known one")
        return contents

    def _fetch(self, raw: Path, say: Say, tried: list[str]) -> dict[str, bytes]:
        for source in self.sources:
            say(f"{self.name}: trying {source.label}")
            try:
                with _scratch(raw) as scratch:
                    return self._verified(source.fetch(Path(scratch)))
            except (DataError, OSError) as reason:
                tried.append(f"{source.label}: {reason}")
                say(f"{self.name}: {tried[-1]}")
        raise DataError(
            f"{self.name} was found nowhere; tried: {'; '.join(tried)}; to bring the files by hand, {self.by_hand}, "
            f"and put {', '.join(self.checksums)} (plain or .gz) into {raw}"
        )


def _decoded(content: bytes, file: str) -> np.ndarray:
    try:
        return idx.decode(content)
    except DataError as error:
        raise DataError(f"{file} is damaged ({error}): delete it and it is fetched again") from error


def check_pool(pool: int) -> None:
    """Refuses blocks that do not cover an image of 28 x 28."""
    checks.integer("data.pool", pool, at_least=1)
    if SIDE % pool:
        raise ConfigError(f"data.pool must divide the {SIDE} pixels of an image's side, got {pool}: set 1, 2, 4 or 7")


def check_test_count(count: int | None) -> None:
    """Refuses anything but a number of images, or None for all."""
    if count is not None:
        checks.integer("data.test_count", count, at_least=1)


def dataset(
    archive: Archive,
    root: str,
    normalize: bool,
    pool: int,
    test_count: int | None,
    moments: tuple[float, float] | None,
    say: Say,
) -> Dataset:
    """The archive as tensors: (N, 1, H, W) float32 pixels/255, or (pixels/255 - mean) / std, and int64 labels.

    Args:
        pool: side of the square blocks of pixels whose mean is one pixel of the result; taken before normalising, with
            the mean and the standard deviation of single pixels.
        test_count: of the first test images that are measured on; None for all.
        moments: mean and standard deviation of the single pixels/255 of the training set; None: worked out here.

    Raises:
        DataError: no source has the files, or they do not hold such images and labels.
    """
    folder = Path(root).expanduser()
    arrays, raw = archive.arrays(folder, say), folder / archive.folder / archive.inner
    for images_name, labels_name in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        pixels.check_images(arrays[images_name], (SIDE, SIDE), f"{raw / images_name}")
        pixels.check_labels(arrays[labels_name], len(arrays[images_name]), CLASSES, f"{raw / labels_name}")
    mean, std = moments or pixels.moments(arrays[TRAIN_IMAGES])

    def images(name: str) -> torch.Tensor:
        found = torch.from_numpy(arrays[name].astype(np.float32)).unsqueeze(1).div_(255)
        if pool > 1:
            found = torch.nn.functional.avg_pool2d(found, pool)
        return found.sub_(mean).div_(std) if normalize else found

    def labels(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name].astype(np.int64))

    return Dataset(
        name=archive.name,
        train_inputs=images(TRAIN_IMAGES),
        train_labels=labels(TRAIN_LABELS),
        test_inputs=images(TEST_IMAGES)[:test_count],
        test_labels=labels(TEST_LABELS)[:test_count],
    )


def _scratch(raw: Path) -> AbstractContextManager[str]:
    """Beside the files, since a dataset may not fit the system's temporary folder."""
    return tempfile.TemporaryDirectory(dir=raw.parent, prefix="fetch-")
