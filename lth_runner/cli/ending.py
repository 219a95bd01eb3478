"""How a command ends: one sentence on standard error for whatever stops it, and the exit code that goes with it."""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from lth_runner.cli.interruptible import interruptible
from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.files import refused

if TYPE_CHECKING:
    from lth_runner.record.terminal import Terminal

WRONG = 1  # the exit code where what was found is wrong: a file, a claim, a run
MISUSED = 2  # where what was typed cannot be done


class Stopped(SystemExit):
    """Ends the process with an exit code; its text is what standard error was told."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said)
        self.code = code


@contextlib.contextmanager
def ending(prog: str, terminal: "Terminal | None" = None) -> Iterator[None]:
    """Answers refusals and Ctrl-C inside by one sentence.

    Args:
        prog: name of the command.
        terminal: on which it shows its results; what could not be shown there makes the command fail.
    """
    open_streams()
    try:
        with interruptible(f"{prog}: interrupted"):
            yield
    except LthError as error:
        stop(prog, str(error), MISUSED if isinstance(error, ConfigError) else WRONG)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not is_read(prog):
            return
        if error.filename is None and not isinstance(error, FileNotFoundError):
            raise
        stop(prog, refused(error), WRONG)
    finally:
        is_read(prog)  # argparse writes, too
    if terminal is not None and terminal.trouble:
        sys.exit(WRONG)


def stop(prog: str, sentence: str, code: int) -> NoReturn:
    """Says why the command ends, on one line whatever names stand in it, and ends it."""
    said = f"{prog}: {' '.join(sentence.split())}"
    with contextlib.suppress(OSError):  # nobody may be listening
        sys.stderr.write(f"{said}\n")
    raise Stopped(said, code)


def is_read(prog: str) -> bool:
    """Writes what standard output holds back; False where nobody reads it any more.

    Where the system refuses it, as on a full disk, the command ends.
    """
    try:
        sys.stdout.flush()
        if _has_reader():
            return True
    except BrokenPipeError:
        pass
    except OSError as error:
        _drop_output()
        stop(prog, f"standard output cannot be written: {error.strerror}; send it elsewhere", WRONG)
    _drop_output()
    return False


def _has_reader() -> bool:
    """False for a pipe whose other end is closed: without buffers (`python -u`) nothing is held back that shows it."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file of the system's
        return True
    asked = select.poll()
    asked.register(number, 0)
    return not any(event & select.POLLERR for _, event in asked.poll(0))


def _drop_output() -> None:
    """Lets what standard output holds back, and all that comes, go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_streams() -> None:
    """Gives closed standard streams somewhere to go, and lets names be shown that the locale has no letters for."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
