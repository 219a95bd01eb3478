"""Files of MNIST's format and of no size."""

import hashlib
from pathlib import Path

import numpy as np

from lth_runner.data import idx
from lth_runner.data.archive import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS

_RANDOM = np.random.default_rng(0)
ARRAYS = {
    TRAIN_IMAGES: _RANDOM.integers(256, size=(7, 28, 28), dtype=np.uint8),
    TRAIN_LABELS: np.array([3, 1, 4, 1, 5, 9, 2], dtype=np.uint8),
    TEST_IMAGES: _RANDOM.integers(256, size=(3, 28, 28), dtype=np.uint8),
    TEST_LABELS: np.array([6, 5, 3], dtype=np.uint8),
}
FILES = {name: idx.encode(array) for name, array in ARRAYS.items()}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def write(folder: Path) -> Path:
    """Writes the four files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder
