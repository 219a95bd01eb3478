"""Where the four files of an MNIST-like dataset come from: the data folder, or else the first source that has them."""

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
from lth_runner.data import idx
from lth_runner.data.interface import Dataset

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SIDE = 28  # pixels of an image

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place the files can come from.

    Attributes:
        label: for the log.
        fetch: given an empty scratch folder, returns the folder that holds the four files, plain or as .gz.
            Raises DataError with the reason where this source has nothing.
    """

    label: str
    fetch: Callable[[Path], Path]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The four files of one dataset, in torchvision's layout: `root`/`folder`/raw/.

    Attributes:
        name: of the dataset, as in the configs.
        folder: torchvision's name of the dataset.
        sha256: of each unpacked file, by name; nothing else is ever handed out.
        sources: tried in this order when the data folder does not have the files.
        by_hand: the end of the sentence "to bring the files by hand, ...".
    """

    name: str
    folder: str
    sha256: Mapping[str, str]
    sources: tuple[Source, ...]
    by_hand: str

    def arrays(self, root: Path, say: Say) -> dict[str, np.ndarray]:
        """The four arrays, read from the data folder, and fetched into it first where that is needed.

        Raises:
            DataError: no source has the files, or the data folder cannot be written.
        """
        raw = root / self.folder / "raw"
        try:
            return self._read(raw)
        except DataError as reason:
            say(f"{self.name}: {reason}")
        with locked(raw.with_suffix(".lock"), on_wait=lambda: say(f"{self.name}: waiting for another run's download")):
            try:
                return self._read(raw)  # the other run may have fetched them
            except DataError as reason:
                contents = self._fetch(raw, say, [str(reason)])
            for name, content in contents.items():
                with replace_file(raw / name) as temporary:
                    temporary.write_bytes(content)
        say(f"{self.name}: the files are now in {raw}")
        return {name: idx.decode(content) for name, content in contents.items()}

    def _read(self, folder: Path) -> dict[str, np.ndarray]:
        return {name: idx.decode(content) for name, content in self._verified(folder).items()}

    def _verified(self, folder: Path) -> dict[str, bytes]:
        contents = {name: idx.read_bytes(folder, name) for name in self.sha256}
        for name, content in contents.items():
            if hashlib.sha256(content).hexdigest() != self.sha256[name]:
                raise DataError(f"{name} in {folder} is damaged or another version: its SHA-256 is not the known one")
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
            f"and put {', '.join(self.sha256)} (plain or .gz) into {raw}"
        )


def check_pool(pool: int) -> None:
    """Refuses blocks that do not cover an image of 28 x 28."""
    checks.integer("data.pool", pool, at_least=1)
    if SIDE % pool:
        raise ConfigError(f"data.pool must divide the {SIDE} pixels of an image's side, got {pool}: set 1, 2, 4 or 7")


def dataset(archive: Archive, root: str, normalize: bool, pool: int, mean: float, std: float, say: Say) -> Dataset:
    """The archive as tensors: (N, 1, H, W) float32 pixels/255, or (pixels/255 - mean) / std, and int64 labels.

    Args:
        pool: side of the square blocks of pixels whose mean is one pixel of the result; taken before normalising, with
            the mean and the standard deviation of single pixels.
    """
    arrays = archive.arrays(Path(root).expanduser(), say)

    def images(name: str) -> torch.Tensor:
        pixels = torch.from_numpy(arrays[name].astype(np.float32)).unsqueeze(1).div_(255)
        if pool > 1:
            pixels = torch.nn.functional.avg_pool2d(pixels, pool)
        return pixels.sub_(mean).div_(std) if normalize else pixels

    def labels(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name].astype(np.int64))

    return Dataset(
        name=archive.name,
        train_inputs=images(TRAIN_IMAGES),
        train_labels=labels(TRAIN_LABELS),
        test_inputs=images(TEST_IMAGES),
        test_labels=labels(TEST_LABELS),
    )


def _scratch(raw: Path) -> AbstractContextManager[str]:
    """Beside the files, since a dataset may not fit the system's temporary folder."""
    return tempfile.TemporaryDirectory(dir=raw.parent, prefix="fetch-")
