"""What a run asks of the file system: a lock, files that grow by lines, refusals in one sentence."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from lth_runner.core.errors import DataError


class RunBusyError(DataError):
    """Another process is working on this run."""


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Holds a run folder against other processes; a crashed holder's lock is released by the kernel.

    The process that holds it may take it again, so that "is it finished? then skip, else run" can be one held step.

    Args:
        on_wait: called once where another process holds it, before waiting for that; None: not to wait.

    Raises:
        RunBusyError: another process holds it, and nobody wants to wait.
        DataError: the folder cannot be made or written.
    """
    with refusals(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.resolve() / ".lock", timeout=0, is_singleton=True)
        try:
            lock.acquire()
        except Timeout:
            if on_wait is None:
                message = f"another process is working on {path}: wait for it, or choose another folder"
                raise RunBusyError(message) from None
            on_wait()
            lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


class Journal:
    """A text file that grows by whole lines, started afresh; each line is handed to the system at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with refusals(path):
            self._file = path.open("w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a line the disk refused was reported when it was written
            self._file.close()

    def write(self, line: str) -> None:
        with refusals(self._path):
            self._file.write(line + "\n")
            self._file.flush()


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns a refusal of the file system into one sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
