"""SVHN: 73,257 training and 26,032 test photographs of the digits of house numbers, 32 x 32 in colour."""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import DataError
from lth_runner.data import pixels, torchvision_download
from lth_runner.data.archive import Archive
from lth_runner.data.interface import Dataset

TRAIN, TEST = "train_32x32.mat", "test_32x32.mat"
IMAGE = (3, 32, 32)
CLASSES = 10
# what loadmat raises where the bytes are something else, besides its own error; which one depends on the scipy
DAMAGE = (OSError, EOFError, ValueError, TypeError, LookupError, NotImplementedError, zlib.error)
ARCHIVE = Archive(
    name="svhn",
    folder="SVHN",
    inner="",
    checksums={  # as torchvision publishes them
        TRAIN: "e26dedcc434d2e4c54c9b2d4a06d8373",
        TEST: "eb5a983be6a315427106f1b164d9cef3",
    },
    sources=(torchvision_download.source("SVHN", "", splits=("train", "test"), megabytes=246),),
    by_hand="copy them from a machine where torchvision.datasets.SVHN was downloaded",
)


@dataclass(frozen=True, kw_only=True)
class Svhn:
    """SVHN, cropped digits without the extra set, as pixels/255, (N, 3, 32, 32); the digit 0 has the label 0.

    Attributes:
        root: the data folder; the two files lie in `root`/SVHN.
        normalize: subtract the training pixels' mean and divide by their standard deviation, channel by channel, worked
            out in float64.
    """

    root: str
    normalize: bool

    def __post_init__(self) -> None:
        checks.boolean("data.normalize", self.normalize)

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: the files cannot be found or fetched, or are not what they should be.
        """
        root = Path(self.root).expanduser()
        contents, folder = ARCHIVE.contents(root, say), root / ARCHIVE.folder
        train, test = (decode(contents[name], f"{folder / name}") for name in (TRAIN, TEST))
        moments = pixels.channel_moments(train[0]) if self.normalize else None
        return pixels.colour_dataset(ARCHIVE.name, train, test, moments, str(folder))


def decode(content: bytes, file: str) -> pixels.Part:
    """Images and labels of a MATLAB file with X (32, 32, 3, N) and y (N, 1), in which the digit 0 is 10.

    Raises:
        DataError: it holds something else.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(io.BytesIO(content), variable_names=["X", "y"])
        images, labels = np.ascontiguousarray(found["X"].transpose(3, 2, 0, 1)), found["y"].reshape(-1)
    except (MatReadError, *DAMAGE) as error:
        raise DataError(f"{file} is no MATLAB file of SVHN ({error}): fetch it again") from error
    pixels.check_images(images, IMAGE, file)
    labels = np.where(labels == CLASSES, 0, labels)
    pixels.check_labels(labels, len(images), CLASSES, file)
    return images, labels
