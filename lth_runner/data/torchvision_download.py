"""torchvision's download of a dataset, run as a program of its own so that it can be given a time limit.

    python -m lth_runner.data.torchvision_download MNIST FOLDER [SPLIT...]

A process apart also keeps the repair below, the socket's time-out and torchvision's bars and warnings out of the run.
"""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lth_runner.core.errors import DataError
from lth_runner.core.torchvision import import_torchvision
from lth_runner.data.archive import Source

CONNECT_TIMEOUT_S = 10
WHOLE_TIMEOUT_S = 180  # 30 MB on a slow line
MEGABYTES = 30


def source(dataset: str, folder: str | None = None, splits: Sequence[str] = (), megabytes: float = MEGABYTES) -> Source:
    """torchvision's class `dataset` as a source of files.

    Args:
        folder: where it puts them, below the folder it is given; None: where MNIST and its relatives do.
        splits: those it downloads one by one; none for a class that fetches everything at once.
        megabytes: of the download, which gets time in proportion.
    """

    def fetch(scratch: Path) -> Path:
        command = [sys.executable, "-m", "lth_runner.data.torchvision_download", dataset, str(scratch)]
        limit = WHOLE_TIMEOUT_S * max(1, megabytes / MEGABYTES)
        try:
            done = subprocess.run(
                [*command, *splits], capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"not finished within {limit:g} s") from None
        if done.returncode != 0:
            raise DataError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        return scratch / (f"{dataset}/raw" if folder is None else folder)

    return Source(label="torchvision's download", fetch=fetch)


def main(dataset: str, root: str, *splits: str) -> int:
    """Downloads; on failure writes the reason as one line on stderr."""
    socket.setdefaulttimeout(CONNECT_TIMEOUT_S)
    try:
        found = getattr(import_torchvision(), dataset)
        for chosen in [{"split": split} for split in splits] or [{}]:
            found(root, download=True, **chosen)
    except Exception as error:  # whatever it was, this source is out and the next is tried
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
