"""torchvision's download of a dataset, run as a program of its own so that it can be given a time limit.

    python -m lth_runner.data.torchvision_download MNIST FOLDER

A process apart also keeps the repair below, the socket's time-out and torchvision's bars and warnings out of the run.
"""

import socket
import subprocess
import sys
from pathlib import Path

from lth_runner.core.errors import DataError
from lth_runner.core.torchvision import import_torchvision
from lth_runner.data.archive import Source

CONNECT_TIMEOUT_S = 10
WHOLE_TIMEOUT_S = 180  # 30 MB on a slow line


def source(folder: str) -> Source:
    """torchvision's dataset class `folder` as a source of the four files."""

    def fetch(scratch: Path) -> Path:
        command = [sys.executable, "-m", "lth_runner.data.torchvision_download", folder, str(scratch)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=WHOLE_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"not finished within {WHOLE_TIMEOUT_S} s") from None
        if done.returncode != 0:
            raise DataError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        return scratch / folder / "raw"

    return Source(label="torchvision's download", fetch=fetch)


def main(folder: str, root: str) -> int:
    """Downloads; on failure writes the reason as one line on stderr."""
    socket.setdefaulttimeout(CONNECT_TIMEOUT_S)
    try:
        getattr(import_torchvision(), folder)(root, download=True)
    except Exception as error:  # whatever it was, this source is out and the next is tried
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
