"""A recorder that keeps what it is told, for tests of methods and studies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lth_runner.core.recorder import Progress


class Bar:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int, note: str = "") -> None:
        del note
        self.done += amount


class Memory:
    """Implements `Recorder`; with a folder, checkpoints of an earlier one with the same folder are found again."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.lines: list[dict[str, float | int | str]] = []
        self.said: list[str] = []
        self.bars: list[tuple[str, int, Bar]] = []

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Progress]:
        bar = Bar()
        self.bars.append((label, total, bar))
        yield bar

    def metrics(self, **values: float | int | str) -> None:
        self.lines.append(values)

    def say(self, line: str) -> None:
        self.said.append(line)

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        del shared
        assert self._folder is not None, "a test of what keeps checkpoints gives this recorder a folder"
        return self._folder / f"{name}.safetensors"


class Killed(Exception):
    """What `Fragile` dies of."""


class Fragile(Memory):
    """Dies after so many lines of metrics, or when it is asked for the so-manieth bar."""

    def __init__(self, folder: Path, lines: int = 0, bars: int = 0) -> None:
        super().__init__(folder)
        self.left = {"lines": lines, "bars": bars}

    def metrics(self, **values: float | int | str) -> None:
        super().metrics(**values)
        self._count("lines")

    def progress(self, label: str, total: int) -> Any:
        self._count("bars")
        return super().progress(label, total)

    def _count(self, what: str) -> None:
        self.left[what] -= 1
        if not self.left[what]:
            raise Killed
