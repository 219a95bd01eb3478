"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28; a drop-in for MNIST, and harder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lth_runner.core import checks
from lth_runner.data import debian_package, torchvision_download
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

PACKAGE, FOLDER = "dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")  # Debian's

ARCHIVE = Archive(
    name="fashion_mnist",
    folder="FashionMNIST",
    inner="raw",
    checksums={
        TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    sources=(
        torchvision_download.source("FashionMNIST"),
        debian_package.installed(PACKAGE, FOLDER),
        debian_package.downloaded(PACKAGE, FOLDER),
    ),
    by_hand=f"apt install {PACKAGE}, or copy them from a machine where torchvision downloaded FashionMNIST",
)


@dataclass(frozen=True, kw_only=True)
class FashionMnist:
    """Fashion-MNIST as pixels/255.

    Attributes:
        root: the data folder; the files lie in `root`/FashionMNIST/raw, where torchvision puts them.
        normalize: subtract the training pixels' mean and divide by their standard deviation.
        pool: side of the blocks of pixels that are averaged: 2 makes images of 14 x 14, for networks a quarter as wide.
        test_count: measure on the first so many test images; None: on all.
    """

    MEAN: ClassVar[float] = 0.28604  # of pixels/255 over the whole training set
    STD: ClassVar[float] = 0.35302

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
