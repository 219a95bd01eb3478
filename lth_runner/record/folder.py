"""The truth on disk of one run: a folder that says what was asked, where it ran, what came out, and how it ended."""

import contextlib
import json
import math
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from rich.console import RenderableType

from lth_runner.core.errors import DataError, LthError
from lth_runner.core.files import locked, refusals, replace_file, write_json
from lth_runner.core.finished import FILES, LOCK, SUMMARY
from lth_runner.core.recorder import Progress
from lth_runner.record.disk import Journal
from lth_runner.record.environment import environment
from lth_runner.record.terminal import Terminal
from lth_runner.record.wandb import Copy, NoCopy, Wandb

CHECKPOINTS = "checkpoints"
OWN_KEYS = ("status", "error", "started", "wall_time_s")  # of the summary: written here, never by a run

Plain = float | int | str | None


class Terminated(SystemExit):
    """SIGTERM arrived: a cluster takes its machine back."""

    why: ClassVar[str] = "stopped by SIGTERM"  # for the summary


class Requeued(Terminated):
    """The process has to make room, and the cluster starts the same job again later."""

    why: ClassVar[str] = "stopped at its time limit or for another job; the cluster starts it again"


class RunFolder:
    """One attempt at a run, from `with` to its end; implements `Recorder`.

    The folder holds config.yaml, environment.json, metrics.jsonl, log.txt, summary.json and, after an unexpected error,
    traceback.txt. `summary.json` is one flat dict: `status` (running, ok, failed, interrupted), `error` (one line or
    null), `started`, `wall_time_s`, and what `finish` was given. `files.json` has the size in bytes of every file of
    results, written when all are whole. A new attempt starts these files afresh; checkpoints stay until an attempt ends
    well.

    Args:
        path: of the folder; made if missing.
        config_yaml: the resolved config, kept as it is.
        terminal: where a person reads along; a quiet one by default.
        wandb: where a copy goes; nowhere by default.

    Raises:
        RunBusyError: on entering, when another process holds the folder.
        DataError: the folder or the disk refuses a file.
    """

    def __init__(
        self, path: Path | str, config_yaml: str, *, terminal: Terminal | None = None, wandb: Wandb | None = None
    ) -> None:
        self.path = Path(path)
        self.terminal = terminal or Terminal(quiet=True)
        self._config_yaml = config_yaml
        self._wandb = wandb
        self._copy: Copy = NoCopy()
        self._result: dict[str, Plain] | None = None
        self._results: set[str] = set()  # names of the files without which the run is not finished
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            held.enter_context(locked(self.path / LOCK))
            self._started, self._clock = datetime.now().astimezone(), time.monotonic()
            self._result = None
            self._results = {"metrics.jsonl"}
            self._write_summary("running")  # first of all: a folder without a summary is not a run
            self.write_text("config.yaml", self._config_yaml)
            self._write_environment()
            with refusals(self.path):
                for name in ("traceback.txt", FILES):
                    (self.path / name).unlink(missing_ok=True)
            self._metrics = held.enter_context(Journal(self.path / "metrics.jsonl"))
            self._log = held.enter_context(Journal(self.path / "log.txt"))
            held.enter_context(_sigterm_raises())
            self._copy = self._wandb.start(self.path, self._config_yaml) if self._wandb else NoCopy()
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        forgotten = None
        if error is None and self._result is None:
            error = forgotten = AssertionError("a run that ends well must say so by finish(...)")
        with self._held:
            try:
                self._write_end(error)
            finally:
                warning = self._copy.finish(self._summary, failed=self._summary["status"] != "ok")
                if warning:
                    self.terminal.say(f"warning: {warning}")
            self.terminal.say(f"run folder: {self.path}")
        if forgotten:
            raise forgotten

    # what a method sees: core.recorder.Recorder

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        return self.terminal.progress(label, total)

    def metrics(self, **values: Plain) -> None:
        """One line of metrics.jsonl, and of W&B: `curve` prefixes the names there, `axis` names the x axis (or n)."""
        line = {key: plain(value) for key, value in values.items()}
        self._metrics.write(json.dumps(line, allow_nan=False))
        self._copy.metrics(line)

    def say(self, line: str) -> None:
        self.log([line])
        self.terminal.say(line)

    def log(self, lines: Sequence[str]) -> None:
        """Lines of log.txt alone."""
        for line in lines:
            self._log.write(f"{datetime.now():%H:%M:%S} {line}")

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        del shared
        return self.path / CHECKPOINTS / f"{name}.safetensors"

    # what the life of a run adds

    def show(self, content: RenderableType) -> None:
        """A table on the terminal."""
        self.terminal.show(content)

    def write_text(self, name: str, text: str) -> None:
        """A file of the folder, whole or not at all."""
        with replace_file(self.result(name)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def result(self, name: str) -> Path:
        """Where to write a file of results; without it the run is not finished."""
        self._results.add(name)
        return self.path / name

    def add_figure(self, name: str, png: Path) -> None:
        """Copies a figure that lies in the folder to W&B."""
        self._copy.figure(name, png)

    def add_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Plain]]) -> None:
        """Copies a table to W&B."""
        self._copy.table(name, columns, [[plain(value) for value in row] for row in rows])

    def finish(self, **values: Plain) -> None:
        """The result, written with status ok once the `with` block ends."""
        clash = set(values) & set(OWN_KEYS)
        assert not clash, f"the folder itself writes {sorted(clash)} into the summary"
        self._result = {key: plain(value) for key, value in values.items()}

    def _write_end(self, error: BaseException | None) -> None:
        """Writes how the run ended. A disk that refuses even this must not hide why the run failed."""
        try:
            if error is not None and not isinstance(error, LthError | KeyboardInterrupt | Terminated):
                self.write_text("traceback.txt", "".join(traceback.format_exception(error)))
            self._write_environment()  # torch is imported by now: the GPU is known
            if error is None:
                write_json(self.path / FILES, self._sizes())
            self._write_summary(_status(error), one_line(error), self._result if error is None else None)
            if error is None:
                shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)  # what is left over harms nobody
        except DataError as refused:
            if error is None:
                raise
            error.add_note(f"and its end could not be recorded: {refused}")
            self.terminal.say(f"warning: the end of this run could not be recorded: {refused}")

    def _write_summary(self, status: str, error: str | None = None, result: dict[str, Plain] | None = None) -> None:
        elapsed = round(time.monotonic() - self._clock, 3)
        summary: dict[str, Plain] = {
            "status": status,
            "error": error,
            "started": self._started.isoformat(timespec="seconds"),
            "wall_time_s": None if status == "running" else elapsed,
            **(result or {}),
        }
        write_json(self.path / SUMMARY, summary)
        self._summary = summary

    def _sizes(self) -> dict[str, int]:
        with refusals(self.path):
            return {name: (self.path / name).stat().st_size for name in sorted(self._results)}

    def _write_environment(self) -> None:
        write_json(self.path / "environment.json", environment())


def plain(value: Any) -> Plain:
    """A value that JSON can hold: NumPy's numbers as Python's, NaN and infinity (JSON has no such numbers) by name.

    Raises:
        TypeError: neither a number, nor a string, nor None.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, float | int | str):
        return value
    raise TypeError(f"a record holds numbers, strings and None, not {value!r}")


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Lets SIGTERM unwind the run, so that it is recorded. A handler somebody else has installed is left alone."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def unwind(number: int, frame: object) -> None:
        raise Terminated(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _status(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return "interrupted" if isinstance(error, KeyboardInterrupt | Terminated) else "failed"


def one_line(error: BaseException | None) -> str | None:
    """What went wrong, for a summary: our own refusals in their words, others with their type before them."""
    if error is None:
        return None
    text = " ".join(str(error).split())
    if isinstance(error, LthError) and text:
        return text
    if isinstance(error, Terminated):
        return error.why
    if isinstance(error, KeyboardInterrupt):
        return "stopped by the keyboard"
    return f"{type(error).__name__}: {text}".removesuffix(": ")
