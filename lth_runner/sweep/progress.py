"""What a person sees of a sweep: a line for each job that ends, and a table of those that failed."""

import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from lth_runner.record.terminal import Terminal, duration
from lth_runner.sweep.ledger import ENDED, FAILED, OK, REQUEUED, RUNNING, SKIPPED, STOPPED, Entry, read_entries

POLL_S = 0.2
REFRESH_EVERY = 25  # polls
KILLED, NOT_RUN = "killed", "not run"  # of jobs that could not say so themselves
KEY = "accuracy"  # the numbers of a summary that a line shows


class Progress:
    """Watches the ledger from a thread of its own while a launcher works; used as a context.

    Args:
        jobs: what tells each launched job from the others, by number.
        skipped: the same of those that were finished before, and why they are left out.
        refresh: called now and then, to ask those who know better than the ledger.
    """

    def __init__(
        self,
        terminal: Terminal,
        ledger: Path,
        jobs: list[str],
        skipped: list[tuple[str, str]],
        refresh: Callable[[], None],
    ) -> None:
        self._terminal, self._ledger, self._jobs, self._refresh = terminal, ledger, jobs, refresh
        self._total = len(jobs) + len(skipped)
        self.entries: dict[int, Entry] = {}
        self._told = 0
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep", daemon=True)
        for varied, why in skipped:
            self._say(SKIPPED, varied, [why])

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._read()  # in this thread: whatever became of the other, what the jobs said last counts

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def _watch(self) -> None:
        for turn in itertools.count(1):
            if self._ended.wait(POLL_S):
                break
            self._read()
            if turn % REFRESH_EVERY == 0:
                self._refresh()

    def _read(self) -> None:
        before = self.entries
        self.entries = read_entries(self._ledger, before)
        for number, entry in sorted(self.entries.items()):
            old = before[number].status if number in before else RUNNING
            if entry.status in ENDED and old not in ENDED:
                self._tell(entry)
            elif entry.status == REQUEUED and old == RUNNING:
                self._terminal.say(f"{REQUEUED}  {self._jobs[number]}  {entry.why}")

    def _tell(self, entry: Entry) -> None:
        details = [entry.why] if entry.why else numbers(entry.folder)
        took = [duration(entry.seconds)] if entry.seconds is not None else []
        self._say(entry.status, self._jobs[entry.number], [*details, *took, *self._left()])

    def _say(self, status: str, varied: str, details: list[str]) -> None:
        self._told += 1
        count = f"{self._told:>{len(str(self._total))}}/{self._total} {status:<7}"
        self._terminal.say("  ".join(part for part in [count, varied, *details] if part))

    def _left(self) -> list[str]:
        """The time left, if the jobs to come take as long as those that were run."""
        left = self._total - self._told - 1
        worked = sum(entry.status in (OK, FAILED) for entry in self.entries.values())
        return [f"{duration(self.elapsed() / worked * left)} left"] if left and worked else []


def numbers(folder: str | None) -> list[str]:
    """`accuracy: target 97.19 %, closest 97.19 %` out of a run's summary."""
    summary = _summary(folder)
    found = {name.removesuffix(f"/{KEY}"): value for name, value in summary.items() if name.endswith(f"/{KEY}")}
    shown = [f"{name} {100 * value:.2f} %" for name, value in found.items() if isinstance(value, float | int)]
    return [f"{KEY}: {', '.join(shown)}"] if shown else []


def failures(rows: list[tuple[str, str, str, str]]) -> Table:
    """The jobs that did not end well: settings, status, why, and where to read on."""
    table = Table(title="jobs that did not finish", title_justify="left")
    for heading in ("job", "status"):
        table.add_column(heading)
    for heading in ("why", "log"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def log_of(entry: Entry | None, remote: Path | None) -> str:
    """Where to read what happened: the cluster's log, the traceback, or the run's own log."""
    folder = Path(entry.folder) if entry and entry.folder else None
    candidates = [remote, *([folder / "traceback.txt", folder / "log.txt"] if folder else [])]
    found = next((path for path in candidates if path and path.exists()), None)
    return os.path.relpath(found) if found else ""


def outcome_of(entry: Entry | None, state: str | None, stopped: bool) -> tuple[str, str]:
    """Status and reason of a job that did not end well.

    Args:
        state: the cluster's word for how it ended; None where there is no cluster.
        stopped: whether the whole sweep was stopped, and with it the jobs at work.
    """
    if entry is not None and entry.status in (FAILED, STOPPED):
        return entry.status, entry.why or ""
    if entry is None:
        return (KILLED, f"the cluster says {state}") if state else (NOT_RUN, "the sweep ended before it")
    if stopped and not state:
        return STOPPED, "stopped with the sweep"
    said = f"the cluster says {state}" if state else "its process died: killed, or out of memory"
    return KILLED, said


def _summary(folder: str | None) -> dict[str, Any]:
    try:
        return json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return {}
