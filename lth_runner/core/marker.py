"""A lock for file systems without flock: a file that says who holds it, touched for as long as the holder lives."""

import contextlib
import errno
import os
import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path

from filelock import Timeout

BEAT_S = 15.0  # between two touches
PATIENCE_S = (
    300.0  # a marker that nobody has touched for so long has lost its holder: no step here blocks a beat longer
)
POLL_S = 0.5
LACKING = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # what systems without flock say


def has_flock(folder: Path) -> bool:
    """Whether the file system of a folder takes locks: not all network file systems do."""
    try:
        import fcntl
    except ImportError:  # Windows locks otherwise
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in LACKING:
                return False
            raise
    return True


class MarkerLock:
    """Held while the file stands there and is touched.

    A marker is taken over at once where its process was on this machine and is gone, and else when nobody has touched
    it for `PATIENCE_S`, by the clock of the one who waits: clocks of two machines are never compared. Between looking
    at such a marker and removing it, another process could have taken it over; without locks nothing rules that out,
    and the moment is microseconds long.

    The thread that holds it may take it again.
    """

    _held: dict[tuple[str, int], int] = {}  # noqa: RUF012  (how often each thread of this process holds a marker)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = (str(path), threading.get_ident())
        self._released = threading.Event()

    def acquire(self, timeout: float) -> None:
        """Takes the lock.

        Args:
            timeout: 0 for not to wait, -1 to wait until the other has released it or is gone.

        Raises:
            Timeout: another process holds it, and nobody wants to wait.
        """
        if self._key not in self._held:
            seen, since = b"", time.monotonic()
            while not self._create():
                now = self._look()
                if now != seen:
                    seen, since = now, time.monotonic()
                if self._is_gone(seen) or time.monotonic() - since > PATIENCE_S:
                    self._remove(seen)
                elif timeout == 0:
                    raise Timeout(str(self.path))
                else:
                    time.sleep(POLL_S)
            threading.Thread(target=self._beat, name="marker", daemon=True).start()
        self._held[self._key] = self._held.get(self._key, 0) + 1

    def release(self) -> None:
        """Gives it back as often as it was taken."""
        self._held[self._key] -= 1
        if not self._held[self._key]:
            del self._held[self._key]
            self._released.set()
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            with self.path.open("xb") as file:
                file.write(f"{_machine()} {os.getpid()} {secrets.token_hex(8)}".encode())
        except FileExistsError:
            return False
        return True

    def _beat(self) -> None:
        while not self._released.wait(BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def _look(self) -> bytes:
        """Who holds it and when it was touched: any change shows that the holder lives."""
        try:
            return self.path.read_bytes() + f" {self.path.stat().st_mtime_ns}".encode()
        except FileNotFoundError:
            return b""

    def _is_gone(self, seen: bytes) -> bool:
        """Whether it is the marker of a process of this machine that no longer lives."""
        words = seen.decode(errors="replace").split()
        if len(words) != 4 or words[0] != _machine():
            return False
        try:
            os.kill(int(words[1]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError):
            return False
        return False

    def _remove(self, seen: bytes) -> None:
        if self._look() == seen:
            self.path.unlink(missing_ok=True)


def _machine() -> str:
    """This machine, and where processes are numbered apart, as in containers, this numbering."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{socket.gethostname()}/{numbering}".replace(" ", "")
