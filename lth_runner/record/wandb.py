"""The copy of a run in Weights & Biases. Nothing reads it back, and no trouble with it may fail or hold up a run.

All of wandb runs in a process of its own. A run never waits for it, except at its end, and then only for a bounded
time. What went wrong, if anything, is reported in one line at that end.
"""

import atexit
import contextlib
import json
import os
import queue
import secrets
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.files import replace_file
from lth_runner.record.wandb_environment import NAMES

MODES = ("offline", "online", "disabled")
DEFAULT_AXIS = "n"
# seconds that the end of a run waits for its copy; starting wandb alone takes one or two, more on a busy machine
WAIT_S = {"offline": 8.0, "online": 20.0}
END_S = 2.0  # and that the end of the program waits for wandb to close its files
SETTINGS = {  # silent, and without looking at code or machine; an older wandb is given those it knows
    "silent": True,
    "quiet": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "init_timeout": 8.0,  # seconds for a server that does not answer, before the copy goes offline
}
ID = "wandb_id.txt"  # in the run folder
PROCESS = Path(__file__).with_name("wandb_process.py")


class Copy(Protocol):
    """Somewhere a record is shown again. No method of it raises."""

    def metrics(self, line: Mapping[str, Any]) -> None:
        """One line of metrics."""
        ...

    def figure(self, name: str, png: Path) -> None:
        """A finished figure."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A finished table."""
        ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> str | None:
        """Waits for what is still under way, for a bounded time; gives what went wrong, in one line."""
        ...


@dataclass(frozen=True)
class NoCopy:
    """Where nobody wants a copy, or none can be had: `problem` says why."""

    problem: str | None = None

    def metrics(self, line: Mapping[str, Any]) -> None: ...

    def figure(self, name: str, png: Path) -> None: ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> str | None:
        return self.problem


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """Where the copy goes.

    Attributes:
        mode: offline (into the run folder; no account, no network), online (offline where no server answers), disabled.
        project: that runs are filed under.
        entity: team or user; None for the account's default.
        group: that runs of one sweep share; None for none.
        tags: to find the run by.
        dir: where W&B keeps its files; None for the run folder.
        id: of the run, where its folder has none yet; None for a new one.
    """

    mode: str
    project: str
    entity: str | None
    group: str | None
    tags: list[str]
    dir: str | None
    id: str | None

    def __post_init__(self) -> None:
        checks.choice("wandb.mode", self.mode, MODES)
        for name in ("project", "entity", "group", "dir", "id"):
            value = getattr(self, name)
            if not (isinstance(value, str) and value) and (value is not None or name == "project"):
                raise ConfigError(f"wandb.{name} must be a non-empty string, got {value!r}")
        if not isinstance(self.tags, list) or not all(isinstance(tag, str) for tag in self.tags):
            raise ConfigError(f"wandb.tags must be a list of strings, got {self.tags!r}")

    def start(self, folder: Path, config_yaml: str) -> Copy:
        """A copy of the run in `folder`, under way in its own process; with mode=disabled there is none."""
        if self.mode == "disabled":
            return NoCopy()
        try:
            return _ProcessCopy(self, folder.resolve(), config_yaml)
        except (OSError, ValueError, DataError) as error:  # of the process, the disk, a damaged id
            return NoCopy(f"there is no copy in W&B: {error}")

    def place(self, folder: Path) -> Path:
        """Where W&B keeps its files, made if missing."""
        if self.dir is None:
            return folder
        place = Path(self.dir).expanduser().absolute()
        place.mkdir(parents=True, exist_ok=True)  # W&B would take a temporary folder instead
        return place

    def id_of(self, folder: Path) -> str:
        """The run's name in W&B, which its folder keeps: a run that is run again is the same one there."""
        path = folder / ID
        if not path.exists() or not path.stat().st_size:
            with replace_file(path) as temporary:
                temporary.write_text(f"{self.id or secrets.token_hex(4)}\n", encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()


def history_row(line: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, str | None]:
    """What W&B logs for one line of metrics: the row, the curve it belongs to, and the name of its x axis.

    {curve: "closest", n: 12, accuracy: .97} becomes {n: 12, "closest/accuracy": .97} over n; `axis` names another.
    """
    values = {key: value for key, value in line.items() if key not in ("curve", "axis") and value is not None}
    curve, axis = line.get("curve"), line.get("axis", DEFAULT_AXIS)
    if curve is None:
        return values, None, None
    row = {key if key == axis else f"{curve}/{key}": value for key, value in values.items()}
    return row, str(curve), axis if axis in values else None


class _ProcessCopy:
    """A copy kept by a process of its own, which is killed when it takes too long: nothing of it can hold up a run."""

    def __init__(self, asked: Wandb, folder: Path, config_yaml: str) -> None:
        self._wait = WAIT_S[asked.mode]
        arguments = {"project": asked.project, "entity": asked.entity, "group": asked.group, "tags": asked.tags}
        arguments |= {"dir": str(asked.place(folder)), "name": folder.name, "id": asked.id_of(folder)}
        self._process = next(_idle_processes(), None) or _Process()
        settings = SETTINGS | {"finish_timeout": self._wait}
        self._process.send(do="open", mode=asked.mode, arguments=arguments, config_yaml=config_yaml, settings=settings)

    def metrics(self, line: Mapping[str, Any]) -> None:
        row, curve, axis = history_row(line)
        self._process.send(do="log", row=row, curve=curve, axis=axis)

    def figure(self, name: str, png: Path) -> None:
        self._process.send(do="figure", name=name, png=str(png.resolve()))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._process.send(do="table", name=name, columns=list(columns), rows=[list(row) for row in rows])

    def finish(self, summary: Mapping[str, Any], failed: bool) -> str | None:
        self._process.send(do="finish", summary=dict(summary), failed=failed)
        try:
            problem = self._process.answer(self._wait)
        except (OSError, ValueError) as error:
            self._process.kill()
            return f"the copy in W&B is incomplete: {error}"
        _idle.append(self._process)
        return problem


class _Process:
    """One `wandb_process.py`. Messages go through a queue and a thread, so that a full pipe blocks only that thread."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROCESS)],  # -P: beside that file lies this one, also called wandb
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt from the keyboard is for the run
            env={name: value for name, value in os.environ.items() if name not in NAMES},  # they are settings by now
        )
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="wandb", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, **message: Any) -> None:
        self._messages.put(json.dumps(message) + "\n")

    def answer(self, wait: float) -> str | None:
        """What went wrong with the run just finished, if anything.

        Raises:
            TimeoutError: no answer came in time.
            ValueError: the process has died.
        """
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], wait)[0]:
            raise TimeoutError(f"W&B did not finish within {wait:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ValueError("its process has died")
        return json.loads(line)

    def end(self) -> None:
        """Lets wandb put its last bytes on disk, which it does a moment after it says so, and ends the process."""
        self._messages.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self.kill()

    def kill(self) -> None:
        """Ends the process at once; wandb's own service ends when it sees its parent gone."""
        self._process.kill()
        self._process.wait()
        self._messages.put(None)
        self._thread.join()  # its pipe is broken now, so it cannot be stuck
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # a process that has died is noticed at the end of the run
            while (message := self._messages.get()) is not None:
                pipe.write(message)
                pipe.flush()
            pipe.close()  # the end of the messages


_idle: list[_Process] = []  # starting wandb takes about a second: the runs of a sweep share one process


def _idle_processes() -> Iterator[_Process]:
    while _idle:
        process = _idle.pop()
        if process.owner != os.getpid():  # inherited through a fork: it belongs to the parent
            continue
        if process.running:
            yield process
        else:
            process.kill()


@atexit.register
def _end_idle_processes() -> None:
    for process in _idle_processes():
        process.end()
