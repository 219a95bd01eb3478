"""What a person sees while a run works: bars on a terminal, plain lines now and then where there is none."""

import contextlib
import time
from collections.abc import Iterator
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lth_runner.core.recorder import Progress as ProgressInterface

LINE_EVERY_S = 5.0
PLAIN_WIDTH = 160  # columns where nothing tells the width: logs must not squeeze a table into 80


class Terminal:
    """The only owner of the console. A quiet terminal shows nothing.

    Args:
        quiet: show nothing.
        file: where to write; standard output by default.
    """

    def __init__(self, quiet: bool = False, file: IO[str] | None = None) -> None:
        self.console = Console(quiet=quiet, file=file, highlight=False)
        if not self.console.is_terminal:
            self.console = Console(quiet=quiet, file=file, highlight=False, width=PLAIN_WIDTH)
        self._bars: Progress | None = None
        self._open_bars = 0

    def say(self, line: str) -> None:
        """One line, never wrapped: paths in it can be copied."""
        self.console.print(line, markup=False, soft_wrap=True)

    def show(self, content: RenderableType) -> None:
        """A table, or anything else rich can draw."""
        self.console.print(content)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[ProgressInterface]:
        """A progress bar over `total` units; bars may be nested."""
        if self.console.is_terminal and not self.console.quiet:
            with self._bar(label, total) as bar:
                yield bar
        else:
            lines = _Lines(self, label, total)
            yield lines
            lines.close()

    @contextlib.contextmanager
    def _bar(self, label: str, total: int) -> Iterator[ProgressInterface]:
        bars = self._bars
        if bars is None:  # rich allows one live display at a time, so nested bars share it
            bars = self._bars = _new_bars(self.console)
            bars.start()
        self._open_bars += 1
        task = bars.add_task(label, total=total, note="")
        try:
            yield _Bar(bars, task)
        finally:
            self._open_bars -= 1
            if self._open_bars:
                bars.remove_task(task)
            else:
                bars.stop()
                self._bars = None


def _new_bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )


class _Bar:
    """One bar of the live display."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: int, note: str = "") -> None:
        self._bars.update(self._task, advance=amount, note=note)


class _Lines:
    """A bar as lines: one at the start, one every few seconds, one at the end."""

    def __init__(self, terminal: Terminal, label: str, total: int) -> None:
        self._terminal, self._label, self._total = terminal, label, total
        self._done, self._note = 0, ""
        self._start = self._last = time.monotonic()
        terminal.say(f"{label}: {total} to do")

    def advance(self, amount: int, note: str = "") -> None:
        self._done, self._note = self._done + amount, note
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S and 0 < self._done < self._total:
            self._last = now
            elapsed = now - self._start
            left = elapsed * (self._total - self._done) / self._done
            self._say(f"{self._done}/{self._total}, {duration(elapsed)} elapsed, {duration(left)} left")

    def close(self) -> None:
        self._say(f"{self._done}/{self._total} in {duration(time.monotonic() - self._start)}")

    def _say(self, state: str) -> None:
        self._terminal.say(f"{self._label}: {state}" + (f", {self._note}" if self._note else ""))


def duration(seconds: float) -> str:
    """A time for a person: 0.4 s, 12 s, 3 min 20 s, 5 h 02 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
