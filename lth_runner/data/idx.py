"""The IDX format of MNIST and its relatives: a big-endian header (type, rank, sizes), then the bytes."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from lth_runner.core.errors import DataError

UNSIGNED_BYTE = 0x08  # the only element type these datasets use


def decode(content: bytes) -> np.ndarray:
    """The uint8 array of an IDX file's bytes, without a copy.

    Raises:
        DataError: the bytes are not a whole IDX file of unsigned bytes.
    """
    if len(content) < 4 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise DataError("it is no IDX file of unsigned bytes")
    rank = content[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) != start + math.prod(shape):
        raise DataError(f"an IDX file of shape {shape} has {start + math.prod(shape)} bytes, not {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def encode(array: np.ndarray) -> bytes:
    """The bytes of an IDX file that holds a uint8 array."""
    assert array.dtype == np.uint8, "IDX files of these datasets hold bytes"
    header = bytes((0, 0, UNSIGNED_BYTE, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def read_bytes(folder: Path, name: str) -> bytes:
    """The bytes of the IDX file `name` in `folder`, unpacked if only `name`.gz is there.

    Raises:
        DataError: there is no such file, or it cannot be read or unpacked.
    """
    plain, packed = folder / name, folder / f"{name}.gz"
    try:
        if plain.is_file():
            return plain.read_bytes()
        if packed.is_file():
            return gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} in {folder} cannot be read ({error})") from error
    raise DataError(f"{name} is not in {folder}")
