"""Ctrl-C, pressed once or more often: one line, the usual exit code, and never a traceback."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130  # the exit code of a command that was stopped from the keyboard
SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar has hidden


@contextlib.contextmanager
def interruptible(line: str) -> Iterator[None]:
    """The first Ctrl-C unwinds the block, so that what was done is recorded; a second one ends the process at once.

    A run that is ended at once is like a killed one: the same command takes it up again.

    Args:
        line: what is said, once, however often the key is pressed.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler

    def unwind(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda number, frame: _leave(f"{line}\n"))
        raise KeyboardInterrupt

    try:
        if ours:
            signal.signal(signal.SIGINT, unwind)
        yield
    except KeyboardInterrupt:
        if ours:  # the interpreter still waits for threads
            signal.signal(signal.SIGINT, lambda number, frame: _leave(""))
        sys.stderr.write(f"{line}\n")
        sys.exit(INTERRUPTED)
    finally:
        if ours and signal.getsignal(signal.SIGINT) is unwind:
            signal.signal(signal.SIGINT, before)


def _leave(line: str) -> None:
    """Ends the process as it is: nothing may wait, and no file of ours is half written."""
    with contextlib.suppress(Exception):  # the stream may be at work
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, line.encode() + (SHOW_CURSOR if os.isatty(2) else b""))
    os._exit(INTERRUPTED)
