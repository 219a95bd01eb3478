"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from lth_runner.core import checks
from lth_runner.data import mnist_wheel, torchvision_download
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
    name="mnist",
    folder="MNIST",
    inner="raw",
    checksums={
        TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    sources=(torchvision_download.source("MNIST"), mnist_wheel.SOURCE),
    by_hand="copy them from a machine where torchvision.datasets.MNIST was downloaded",
)


@dataclass(frozen=True, kw_only=True)
class Mnist:
    """MNIST as pixels/255.

    Attributes:
        root: the data folder; the files lie in `root`/MNIST/raw, where torchvision puts them.
        normalize: subtract the training pixels' mean and divide by their standard deviation.
        pool: side of the blocks of pixels that are averaged: 2 makes images of 14 x 14, for networks a quarter as wide.
        test_count: measure on the first so many test images; None: on all.
    """

    MEAN: ClassVar[float] = 0.13066  # of pixels/255 over the whole training set
    STD: ClassVar[float] = 0.30811

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
            DataError: no source has the files, or the data folder cannot be written.
        """
        return dataset(ARCHIVE, self.root, self.normalize, self.pool, self.test_count, (self.MEAN, self.STD), say)
