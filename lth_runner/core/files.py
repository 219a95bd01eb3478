"""Files that appear whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lth_runner.core.errors import DataError


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there becomes `path` only when the block succeeds.

    Raises:
        DataError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all; NaN and infinity are refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replace_file(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Holds the lock file `path` for the block; where another process holds it, calls `on_wait` once and waits.

    Raises:
        DataError: the lock file cannot be made.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to") from error
    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
