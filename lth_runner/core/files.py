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
REMEDIES = dict.fromkeys(FULL, "free some space or choose another folder") | {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "choose another name",
}


def read_text(path: Path) -> str:
    """The text of a file of ours, UTF-8.

    Raises:
        OSError: there is none; or a pipe or a device is in its place, for which one would wait.
        UnicodeDecodeError: it is something else.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a file", str(path))
    return path.read_text(encoding="utf-8")


def check_file(path: Path | str, remedy: str) -> None:
    """Refuses what is no file to read from, before anybody waits for a pipe.

    Args:
        remedy: what to do, an end of a sentence.

    Raises:
        DataError: nothing is there, or a folder, or something else that is no file.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder: {remedy}")
        if not path.exists():
            raise DataError(f"there is no file {path}: {remedy}")
        if not path.is_file():
            raise DataError(f"{path} is no file: {remedy}")
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise DataError(f"{path} cannot be read ({error.strerror or error}): {remedy}") from error


def refused(error: OSError) -> str:
    """What the file system refused, where nothing more is known."""
    if error.filename is None and isinstance(error, FileNotFoundError):
        return "the folder that this was started in is gone: change to one that is there"
    return f"{error.filename}: {error.strerror or error}; {_remedy(error)}"


def _remedy(error: OSError) -> str:
    return REMEDIES.get(error.errno or 0, "choose another folder")


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns a refusal of the file system to write `path` into one sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; {_remedy(error)}") from error
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
        path = Path(os.path.realpath(path))
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
