"""CIFAR-100: 50,000 training and 10,000 test photographs of a hundred kinds of things, 32 x 32 in colour."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lth_runner.core import checks
from lth_runner.data import torchvision_download
from lth_runner.data.archive import Archive
from lth_runner.data.cifar import Cifar
from lth_runner.data.interface import Dataset
from lth_runner.data.pixels import Moments

FOLDER = "cifar-100-python"
FILES = Cifar(
    archive=Archive(
        name="cifar100",
        folder=FOLDER,
        inner="",
        checksums={  # as torchvision publishes them
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        sources=(torchvision_download.source("CIFAR100", FOLDER, megabytes=169),),
        by_hand="unpack cifar-100-python.tar.gz, or cifar-100-binary.tar.gz, in the data folder",
    ),
    binary="cifar-100-binary",
    train={"train": 50_000},
    test={"test": 10_000},
    label_bytes=2,  # the coarse label, one of 20, then the fine one
    label_key="fine_labels",
    classes=100,
)


@dataclass(frozen=True, kw_only=True)
class Cifar100:
    """CIFAR-100 with its fine labels as pixels/255, (N, 3, 32, 32).

    Attributes:
        root: the data folder; the files lie in `root`/cifar-100-binary, the binary version, or else in
            `root`/cifar-100-python, where torchvision puts them.
        normalize: subtract the training pixels' mean and divide by their standard deviation, channel by channel.
    """

    MOMENTS: ClassVar[Moments] = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))  # as usually published

    root: str
    normalize: bool

    def __post_init__(self) -> None:
        checks.boolean("data.normalize", self.normalize)

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: the files cannot be found or fetched, or are not what they should be.
        """
        return FILES.load(Path(self.root).expanduser(), self.MOMENTS if self.normalize else None, say)
