"""The copy of a run in Weights & Biases. Nothing reads it back, and no trouble with it may fail or hold up a run.

All of wandb runs in one thread of its own, fed by a queue: the run never waits for it, except at its end and then only
for a bounded time. What went wrong, if anything, is told in one line at that end.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

MODES = ("offline", "online", "disabled")
DEFAULT_AXIS = "n"
# seconds that the end of a run waits for its copy; starting wandb alone takes one or two, more on a busy machine
WAIT_S = {"offline": 8.0, "online": 20.0}
INIT_TIMEOUT_S = 8.0  # of a server that does not answer, before the copy goes offline


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


class NoCopy:
    """Where nobody wants a copy."""

    def metrics(self, line: Mapping[str, Any]) -> None: ...

    def figure(self, name: str, png: Path) -> None: ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """Where the copy goes.

    Attributes:
        mode: offline (into the run folder; no account, no network), online (offline where no server answers), disabled.
        project: that runs are filed under.
        entity: team or user; None for the account's default.
        group: that runs of one sweep share; None for none.
        tags: to find the run by.
    """

    mode: str
    project: str
    entity: str | None
    group: str | None
    tags: list[str]

    def __post_init__(self) -> None:
        checks.choice("wandb.mode", self.mode, MODES)
        for name, value in (("project", self.project), ("entity", self.entity), ("group", self.group)):
            if not (isinstance(value, str) and value) and (value is not None or name == "project"):
                raise ConfigError(f"wandb.{name} must be a non-empty string, got {value!r}")
        if not isinstance(self.tags, list) or not all(isinstance(tag, str) for tag in self.tags):
            raise ConfigError(f"wandb.tags must be a list of strings, got {self.tags!r}")

    def start(self, folder: Path, config_yaml: str) -> Copy:
        """A copy of the run in `folder`, under way in its own thread; with mode=disabled wandb is not even imported."""
        return NoCopy() if self.mode == "disabled" else _WandbCopy(self, folder, config_yaml)


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


class _WandbCopy:
    """A thread that owns the wandb run. Work is a function of that run; after the first failure all work is dropped."""

    def __init__(self, wanted: Wandb, folder: Path, config_yaml: str) -> None:
        self._wanted, self._folder, self._config_yaml = wanted, folder, config_yaml
        self._curves: set[str] = set()
        self._work: queue.SimpleQueue[Callable[[Any], None] | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._live, name="wandb", daemon=True)
        self._thread.start()

    def metrics(self, line: Mapping[str, Any]) -> None:
        row, curve, axis = history_row(line)

        def log(run: Any) -> None:
            if curve and axis and curve not in self._curves:
                run.define_metric(f"{curve}/*", step_metric=axis)
                self._curves.add(curve)
            run.log(row)

        self._work.put(log)

    def figure(self, name: str, png: Path) -> None:
        def log(run: Any) -> None:
            import wandb

            run.log({name: wandb.Image(str(png))})

        self._work.put(log)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        headings: list[str | int] = list(columns)
        data = [list(row) for row in rows]

        def log(run: Any) -> None:
            import wandb

            run.log({name: wandb.Table(columns=headings, data=data)})

        self._work.put(log)

    def finish(self, summary: Mapping[str, Any], failed: bool) -> str | None:
        values = dict(summary)
        self._failed = failed
        self._work.put(lambda run: run.summary.update(values))
        self._work.put(None)
        wait = WAIT_S[self._wanted.mode]
        self._thread.join(wait)
        if self._thread.is_alive():
            return f"W&B did not finish within {wait:g} s: its copy of this run is incomplete"
        return self._problem

    def _live(self) -> None:
        run = None
        try:
            run = self._open()
            while (work := self._work.get()) is not None:
                work(run)
        except Exception as error:  # whatever a third party raises: the copy is lost, the run is not
            self._problem = f"the copy in W&B is incomplete: {_brief(error)}"
        try:
            if run is not None:
                run.finish(exit_code=int(self._failed or self._problem is not None))
        except Exception as error:
            self._problem = self._problem or f"the copy in W&B is incomplete: {_brief(error)}"

    def _open(self) -> Any:
        import wandb

        wandb.setup(_settings(wandb, self._wanted.mode))
        if self._wanted.mode == "online":
            started = time.monotonic()
            try:
                return self._init(wandb, "online")
            except Exception as error:
                waited = f"in {time.monotonic() - started:.0f} s"
                self._problem = (
                    f"W&B did not start online {waited}, its copy is offline in the run folder: {_brief(error)}"
                )
        return self._init(wandb, "offline")

    def _init(self, wandb: Any, mode: str) -> Any:
        wanted = self._wanted
        import yaml

        return wandb.init(
            mode=mode,
            dir=str(self._folder),
            project=wanted.project,
            entity=wanted.entity,
            group=wanted.group,
            tags=wanted.tags,
            name=self._folder.name,
            config=yaml.load(self._config_yaml, Loader=yaml.SafeLoader) or {},
            reinit="create_new",  # several runs of one process are several runs
            settings=_settings(wandb, mode),
        )


def _settings(wandb: Any, mode: str) -> Any:
    """Silent, without looking at code or machine; only those settings that the installed wandb knows."""
    wished = {
        "silent": True,
        "quiet": True,
        "console": "off",
        "disable_git": True,
        "disable_code": True,
        "x_disable_stats": True,
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": WAIT_S[mode],
    }
    return wandb.Settings(**{name: value for name, value in wished.items() if name in wandb.Settings.model_fields})


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
