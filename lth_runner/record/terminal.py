"""What a person sees while a run works: bars on a terminal, plain lines now and then where there is none."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from lth_runner.core.recorder import Progress as ProgressInterface

LINE_EVERY_S = 5.0
ELLIPSIS = "…"  # what rich puts in the place of what it cuts
WIDE = 1000  # columns, more than any line of a bar needs
PLAIN_WIDTH = 160  # columns where nothing tells the width: logs must not squeeze a table into 80


class _Console(Console):
    """A console whose reader may leave: the program goes on, and shows nothing more."""

    def on_broken_pipe(self) -> None:
        self.leave()

    def leave(self) -> None:
        """Shows nothing more, nor what could not be written yet."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):  # streams in memory have no number
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)


class Terminal:
    """The only owner of the console. A quiet terminal shows nothing, nor does one that nobody reads any more.

    Args:
        quiet: show nothing.
        file: where to write; standard output by default.

    Attributes:
        trouble: whether the system refused what was to be shown, as on a full disk; standard error says so.
    """

    def __init__(self, quiet: bool = False, file: IO[str] | None = None) -> None:
        self.console = _Console(quiet=quiet, file=file, highlight=False)
        if not self.console.is_terminal:
            self.console = _Console(quiet=quiet, file=file, highlight=False, width=PLAIN_WIDTH)
        self.trouble = False
        self._bars: Progress | None = None
        self._open_bars = 0
        self.last_line = -math.inf  # when a bar was last seen as a line, on the monotonic clock

    def say(self, line: str) -> None:
        """One line, never wrapped: paths in it can be copied."""
        with self._reader():
            self.console.print(line, markup=False, soft_wrap=True)

    def write(self, text: str) -> None:
        """Text as it is, for other programs."""
        with self._reader():
            if not self.console.quiet:
                self.console.file.write(text)
                self.console.file.flush()

    def show(self, content: RenderableType) -> None:
        """A table, or anything else rich can draw; a table that is too wide to be whole is shown as a list of rows."""
        with self._reader():
            if isinstance(content, Table) and self._cuts(content):
                for line in _listed(content, self.console):
                    self.console.print(Text(line, overflow="fold"))
            else:
                self.console.print(content)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[None]:
        """What is written inside may find nobody to read it; what is recorded elsewhere must not suffer."""
        try:
            yield
        except BrokenPipeError:
            self.console.leave()
        except OSError as error:
            self.trouble = True
            self.console.leave()
            with contextlib.suppress(OSError):
                sys.stderr.write(f"standard output cannot be written ({error.strerror}): nothing more is shown\n")

    def _cuts(self, table: Table) -> bool:
        """Whether rich would leave out characters, for which it shows an ellipsis, or lacks the table's least width."""
        if (table.min_width or 0) > self.console.width:
            return True
        drawn = "".join(segment.text for line in self.console.render_lines(table) for segment in line)
        said = "".join(cell for row in _rows(table, self.console) for cell in row)
        return drawn.count(ELLIPSIS) > said.count(ELLIPSIS)

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


def _rows(table: Table, console: Console) -> list[list[str]]:
    """The texts of a table: its headings, and its rows."""
    columns = [[column.header, *column.cells] for column in table.columns]
    texts = [
        [console.render_str(cell).plain if isinstance(cell, str) else str(cell) for cell in each] for each in columns
    ]
    return [list(row) for row in zip(*texts, strict=True)]


def _listed(table: Table, console: Console) -> Iterator[str]:
    """A table as lines: the first cell of each row, and below it the others behind their headings."""
    headings, *rows = _rows(table, console)
    title, caption = (console.render_str(str(text or "")).plain for text in (table.title, table.caption))
    if title:
        yield f"{title}:"
    for row in rows:
        yield row[0]
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if cell:
                yield f"  {heading}: {cell}" if heading else f"  {cell}"
    if caption:
        yield f"({caption})"


def _width(content: RenderableType, console: Console) -> int:
    """The columns that it would take if there were enough."""
    return Measurement.get(console, console.options.update(width=WIDE), content).maximum


class _Bars(Progress):
    """Bars that give way to their texts, on as many lines as these take, where a terminal is too narrow for both."""

    def get_renderables(self) -> Iterable[RenderableType]:
        table = self.make_tasks_table(self.tasks)
        if not self.tasks or _width(table, self.console) <= self.console.width:
            yield table
            return
        columns = [column for column in self.columns if isinstance(column, ProgressColumn)]
        for task in self.tasks:
            shown = [column(task) for column in columns if not isinstance(column, BarColumn)]
            texts = [Text(text.plain.strip(), style=text.style) for text in shown if isinstance(text, Text)]
            yield Text(" ", overflow="fold").join(text for text in texts if text)


def _new_bars(console: Console) -> Progress:
    return _Bars(
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
    """A bar as lines: one at the start, one every few seconds, one at the end.

    Where bars follow each other quickly, as one for each point of a curve, most of them are not seen at all: the lines
    of all bars of a terminal together are a few seconds apart.
    """

    def __init__(self, terminal: Terminal, label: str, total: int) -> None:
        self._terminal, self._label, self._total = terminal, label, total
        self._done, self._note = 0, ""
        self._start = time.monotonic()
        if self._is_time(self._start):
            self._say(self._start, f"{total} to do")

    def advance(self, amount: int, note: str = "") -> None:
        self._done, self._note = self._done + amount, note
        now = time.monotonic()
        if self._is_time(now) and 0 < self._done < self._total:
            elapsed = now - self._start
            left = elapsed * (self._total - self._done) / self._done
            self._say(now, f"{self._done}/{self._total}, {duration(elapsed)} elapsed, {duration(left)} left")

    def close(self) -> None:
        now = time.monotonic()
        if now - self._start >= LINE_EVERY_S:
            self._say(now, f"{self._done}/{self._total} in {duration(now - self._start)}")

    def _is_time(self, now: float) -> bool:
        return now - self._terminal.last_line >= LINE_EVERY_S

    def _say(self, now: float, state: str) -> None:
        self._terminal.last_line = now
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
