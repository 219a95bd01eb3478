"""What a solver prints beneath Python, where no option of it stops that: taken out of the standard output."""

import contextlib
import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator

STDOUT = 1  # the number of the file, whatever Python has put on top of it
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def dropped(pattern: bytes) -> Iterator[None]:
    """Leaves out of the standard output what matches the pattern and is written inside the `with` block.

    Everything else, of any thread, comes out when the block ends, in its order: a block should be short. A program
    that another thread starts meanwhile writes to where nobody reads.
    """
    with _one_at_a_time, contextlib.ExitStack() as stack:
        flush = ctypes.CDLL(None).fflush  # C keeps what it prints, to a pipe until the program ends
        try:
            real = os.dup(STDOUT)
        except OSError:  # the program was started without one
            yield
            return
        stack.callback(os.close, real)
        caught = stack.enter_context(tempfile.TemporaryFile())
        flush(None)
        os.dup2(caught.fileno(), STDOUT)
        try:
            yield
        finally:
            flush(None)
            os.dup2(real, STDOUT)
            caught.seek(0)
            _write(real, re.sub(pattern, b"", caught.read()))


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
