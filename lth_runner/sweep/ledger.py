"""One small file per job of a sweep, written by the job wherever it runs: how the launching process hears of it."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lth_runner.core.files import write_json
from lth_runner.record.folder import Requeued, Terminated, one_line

RUNNING, REQUEUED, OK, SKIPPED, FAILED, STOPPED = "running", "requeued", "ok", "skipped", "failed", "stopped"
ENDED = (OK, SKIPPED, FAILED, STOPPED)


@dataclass
class Entry:
    """One job as its file tells it.

    Attributes:
        number: of the job, among those that were launched.
        status: running, requeued, ok, skipped, failed, or stopped by the keyboard or SIGTERM. A job that was killed
            goes on saying running; one that the cluster will start again says requeued.
        folder: of the run; None before it is known.
        why: it was requeued, skipped, stopped or failed, in one line.
        seconds: it took.
    """

    number: int
    status: str = RUNNING
    folder: str | None = None
    why: str | None = None
    seconds: float | None = None

    def write(self, ledger: Path) -> None:
        """Writes the file of this job, whole."""
        write_json(ledger / f"{self.number}.json", asdict(self))


class Report:
    """A job at work, noted in the ledger: when it has started, and how the `with` block ends."""

    def __init__(self, ledger: Path, number: int) -> None:
        self._ledger = ledger
        self._entry = Entry(number=number)

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = self._entry
        entry.seconds = round(time.monotonic() - self._start, 3)
        if error is not None:
            entry.status, entry.why = _status(error), one_line(error)
        elif entry.status == RUNNING:
            entry.status = OK
        entry.write(self._ledger)

    def started(self, folder: Path | None) -> None:
        """Notes where the run will be found."""
        self._entry.folder = folder and str(folder.absolute())
        self._entry.write(self._ledger)

    def skipped(self, why: str) -> None:
        """Notes that there was nothing to do."""
        self._entry.status, self._entry.why = SKIPPED, why


def _status(error: BaseException) -> str:
    if isinstance(error, Requeued):
        return REQUEUED
    return STOPPED if isinstance(error, KeyboardInterrupt | Terminated) else FAILED


def ledger_of(sweep: Path | str) -> Path:
    """The folder of the jobs' files, inside the folder of the sweep."""
    return Path(sweep).absolute() / "jobs"


def read_entries(ledger: Path, known: dict[int, Entry]) -> dict[int, Entry]:
    """The entries by job number. Those that `known` holds as ended are not read again."""
    entries = dict(known)
    names = os.listdir(ledger) if ledger.is_dir() else []
    for name in names:
        number = name.removesuffix(".json")
        if not number.isdigit() or (int(number) in known and known[int(number)].status in ENDED):
            continue
        entries[int(number)] = Entry(**json.loads((ledger / name).read_text(encoding="utf-8")))
    return entries
