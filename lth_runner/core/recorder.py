"""Where a run reports what happens: progress, metrics, lines of log, and where checkpoints may lie."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """One bar, or one line now and then where there is no terminal."""

    def advance(self, amount: int, note: str = "") -> None:
        """Adds `amount` finished units and shows `note` beside the bar."""
        ...


Bars = Callable[[str, int], contextlib.AbstractContextManager[Progress]]  # `Recorder.progress`, where no more is needed


class _Silent:
    def advance(self, amount: int, note: str = "") -> None:
        del amount, note


@contextlib.contextmanager
def no_bars(label: str, total: int) -> Iterator[Progress]:
    """Shows nothing."""
    del label, total
    yield _Silent()


@runtime_checkable
class Recorder(Protocol):
    """Where a run reports what happens. Methods never print, and write no file but at the path of `checkpoint`."""

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        """A progress bar over `total` units."""
        ...

    def metrics(self, **values: float | int | str) -> None:
        """One line of metrics, appended and forwarded to W&B."""
        ...

    def say(self, line: str) -> None:
        """One line of log for a person."""
        ...

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        """Where a method may keep how far it has come: a later attempt at this run finds it there, until one ends well.

        Args:
            name: of the file without ending; different for everything that one run may have to take up.
            shared: another part of the run may go on from it, so that it outlives the part that wrote it.
        """
        ...


class Named:
    """A recorder whose bars and lines begin with the name of a part of the work.

    Args:
        name: "level 3".
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder, self._name = recorder, name
        self.metrics, self.checkpoint = recorder.metrics, recorder.checkpoint

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        return self._recorder.progress(f"{self._name}: {label}", total)

    def say(self, line: str) -> None:
        self._recorder.say(f"{self._name}: {line}")
