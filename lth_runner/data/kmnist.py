"""Kuzushiji-MNIST: 60,000 training and 10,000 test images of ten cursive Japanese characters, 28 x 28."""

from collections.abc import Callable
from dataclasses import dataclass

from lth_runner.core import checks
from lth_runner.data import torchvision_download
from lth_runner.data.archive import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    Archive,
    check_pool,
    check_test_count,
    dataset,
)
from lth_runner.data.interface import Dataset

ARCHIVE = Archive(
    name="kmnist",
    folder="KMNIST",
    inner="raw",
    checksums=dict.fromkeys((TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS), ""),
    sources=(torchvision_download.source("KMNIST"),),
    by_hand="copy them from a machine where torchvision.datasets.KMNIST was downloaded",
)


@dataclass(frozen=True, kw_only=True)
class Kmnist:
    """Kuzushiji-MNIST as pixels/255.

    torchvision checks its download by MD5. Files brought by hand are checked by structure alone: headers, sizes, shapes
    and labels. Reference: arXiv:1812.01718.

    Attributes:
        root: the data folder; the files lie in `root`/KMNIST/raw, where torchvision puts them.
        normalize: subtract the training pixels' mean and divide by their standard deviation, worked out in float64.
        pool: side of the blocks of pixels that are averaged: 2 makes images of 14 x 14, for networks a quarter as wide.
        test_count: measure on the first so many test images; None: on all.
    """

    root: str
    normalize: bool
    pool: int
    test_count: int | None

    def __post_init__(self) -> None:
        checks.boolean("data.normalize", self.normalize)
        check_pool(self.pool)
        check_test_count(self.test_count)

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: no source has the files, they are not what they should be, or the data folder cannot be written.
        """
        return dataset(ARCHIVE, self.root, self.normalize, self.pool, self.test_count, None, say)
