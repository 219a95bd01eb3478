"""CIFAR-10: 50,000 training and 10,000 test photographs of ten kinds of things, 32 x 32 in colour."""

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

FOLDER = "cifar-10-batches-py"
FILES = Cifar(
    archive=Archive(
        name="cifar10",
        folder=FOLDER,
        inner="",
        checksums={  # as torchvision publishes them
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
        sources=(torchvision_download.source("CIFAR10", FOLDER, megabytes=170),),
        by_hand="unpack cifar-10-python.tar.gz, or cifar-10-binary.tar.gz, in the data folder",
    ),
    binary="cifar-10-batches-bin",
    train={f"data_batch_{number}": 10_000 for number in range(1, 6)},
    test={"test_batch": 10_000},
    label_bytes=1,
    label_key="labels",
    classes=10,
)


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """CIFAR-10 as pixels/255, (N, 3, 32, 32).

    Attributes:
        root: the data folder; the files lie in `root`/cifar-10-batches-bin, the binary version, or else in
            `root`/cifar-10-batches-py, where torchvision puts them.
        normalize: subtract the training pixels' mean and divide by their standard deviation, channel by channel.
    """

    MOMENTS: ClassVar[Moments] = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))  # as usually published

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
