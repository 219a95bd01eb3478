"""The IDX format: what is written is read, and nothing else is."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from lth_runner.core.errors import DataError
from lth_runner.data import idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_an_array_survives() -> None:
    np.testing.assert_array_equal(idx.decode(idx.encode(ARRAY)), ARRAY)


def test_the_header_is_the_formats() -> None:
    assert idx.encode(ARRAY)[:16] == bytes.fromhex("00000803 00000002 00000003 00000004")


@pytest.mark.parametrize("content", [b"", b"\0\0", idx.encode(ARRAY)[:-1], idx.encode(ARRAY) + b"\0"])
def test_a_file_of_another_length_is_refused(content: bytes) -> None:
    with pytest.raises(DataError):
        idx.decode(content)


def test_another_element_type_is_refused() -> None:
    content = bytearray(idx.encode(ARRAY))
    content[2] = 0x0D  # float
    with pytest.raises(DataError, match="unsigned bytes"):
        idx.decode(bytes(content))


def test_plain_and_packed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"one")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"two"))
    assert idx.read_bytes(tmp_path, "plain") == b"one"
    assert idx.read_bytes(tmp_path, "packed") == b"two"


def test_missing_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"two" * 100)[:-9])
    with pytest.raises(DataError, match=r"half in .* cannot be read"):
        idx.read_bytes(tmp_path, "half")
    with pytest.raises(DataError, match="none is not in"):
        idx.read_bytes(tmp_path, "none")
