"""A recorder that keeps what it is told, for tests of methods and studies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

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

    def checkpoint(self, name: str) -> Path:
        assert self._folder is not None, "a test of what keeps checkpoints gives this recorder a folder"
        return self._folder / f"{name}.safetensors"
