"""Files that appear whole or not at all."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lth_runner.core.errors import DataError, RunBusyError
from lth_runner.core.marker import MarkerLock, has_flock

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what the system says of a full disk, or of one at its limit


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns a refusal of the file system to write `path` into one sentence."""
    try:
        yield
    except OSError as error:
        remedy = "free some space or choose another folder" if error.errno in FULL else "choose another folder"
        raise DataError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    except UnicodeEncodeError as error:  # contents are UTF-8 everywhere, so it is the name
        raise DataError(
            f"cannot write {path}: this locale has no such letters in names of files; set LC_ALL=C.UTF-8"
        ) from error


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there becomes `path` only when the block succeeds.

    Raises:
        DataError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        with refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all; NaN and infinity are refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Holds the lock file `path` against other processes; a crashed holder's lock is released by the kernel.

    On a file system without flock a `MarkerLock` beside it does the same: the crashed holder is noticed by who waits.
    The thread that holds it may take it again, so that "is it finished? then skip, else run" can be one held step.

    Args:
        on_wait: called once where another process holds it, before waiting for that, with the file that says so; None:
            not to wait.

    Raises:
        RunBusyError: another process holds it, and nobody wants to wait.
        DataError: the folder cannot be made or written.
    """
    with refusals(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.resolve()
        lock = _lock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout as held:
            if on_wait is None:
                message = f"another process is working on {path.parent}: wait for it, or choose another folder"
                raise RunBusyError(message) from None
            on_wait(held.lock_file)
            lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> FileLock | MarkerLock:
    """The only maker of locks. A marker has a file of its own: that of a flock stays behind, and says nothing."""
    if has_flock(path.parent):
        return FileLock(path, is_singleton=True)
    return MarkerLock(path.with_name(f"{path.name}.held"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
