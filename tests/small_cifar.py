"""Files of CIFAR's formats and of no size."""

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lth_runner.data.cifar import Cifar

COUNT = 4  # images in a file


def batch(name: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(COUNT, 3, 32, 32) bytes and labels, others for each file; the largest label is there."""
    random = np.random.default_rng(list(name.encode()))
    labels = random.integers(classes, size=COUNT)
    labels[0] = classes - 1
    return random.integers(256, size=(COUNT, 3, 32, 32), dtype=np.uint8), labels


PurePickler: Any = pickle._Pickler  # pyright: ignore[reportAttributeAccessIssue]


class Python2Pickler(PurePickler):
    """Writes text and bytes as Python 2 did: both as byte strings."""

    def save_string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    dispatch: ClassVar[Any] = {**PurePickler.dispatch, str: save_string, bytes: save_string}


def pickled(content: Any) -> bytes:
    """As the published files were: protocol 2 of Python 2, arrays by the name their constructor had then."""
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def published(images: np.ndarray, labels: np.ndarray, key: str) -> dict[str, Any]:
    rows, other = images.reshape(COUNT, -1), "coarse_labels" if key == "fine_labels" else "batch_label"
    return {"data": rows, key: labels.tolist(), other: [0] * COUNT, "filenames": ["x.png"] * COUNT}


def write_pickles(root: Path, files: Cifar, dump: Callable[[Any], bytes] = pickled) -> Cifar:
    """Writes the pickled batches; gives the dataset whose checksums are theirs."""
    folder = root / files.archive.folder
    folder.mkdir()
    checksums = {}
    for name in files.archive.checksums:
        content = dump(published(*batch(name, files.classes), files.label_key))
        (folder / name).write_bytes(content)
        checksums[name] = hashlib.md5(content).hexdigest()
    return small(replace(files, archive=replace(files.archive, checksums=checksums)))


def write_binary(root: Path, files: Cifar) -> Cifar:
    """Writes the binary version, coarse labels of another value than the fine ones."""
    (root / files.binary).mkdir()
    for name in (*files.train, *files.test):
        records = b""
        for image, label in zip(*batch(name, files.classes), strict=True):
            records += bytes([7] * (files.label_bytes - 1) + [label]) + image.tobytes()
        (root / files.binary / f"{name}.bin").write_bytes(records)
    return small(files)


def small(files: Cifar) -> Cifar:
    train, test = dict.fromkeys(files.train, COUNT), dict.fromkeys(files.test, COUNT)
    return replace(files, archive=replace(files.archive, sources=()), train=train, test=test)
