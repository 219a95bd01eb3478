"""Files that grow by lines."""

import contextlib
from pathlib import Path
from typing import Self

from lth_runner.core.files import refusals


class Journal:
    """A text file that grows by whole lines, started afresh; each line is handed to the system at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with refusals(path):
            self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a line the disk refused was reported when it was written
            self._file.close()

    def write(self, line: str) -> None:
        with refusals(self._path):
            self._file.write(line + "\n")
            self._file.flush()
