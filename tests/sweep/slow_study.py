"""A study of somebody else's: one search, slowed down so that it outlives a time limit. SLOW=no does without."""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lth_runner.core.digest import checksum
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.problem import Method, Problem
from lth_runner.study import Outcome


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Finds the ticket of the one method, with so many seconds of sleep before each epoch, and reports its masks."""

    seconds: float

    def check(self, methods: Mapping[str, Method]) -> None:
        del methods

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        (method,) = methods.values()
        ticket = method.find(problem, Sleepy(recorder, 0 if os.environ.get("SLOW") == "no" else self.seconds)).ticket
        masks = {name: mask.dense() for name, mask in ticket.masks.items()}
        return Outcome(rows=[], summary={"masks": checksum(masks)})


class Sleepy:
    """A recorder that is slow to open a bar, which a search does once an epoch."""

    def __init__(self, recorder: Recorder, seconds: float) -> None:
        self._recorder, self._seconds = recorder, seconds

    def progress(self, label: str, total: int) -> AbstractContextManager[Progress]:
        time.sleep(self._seconds)
        return self._recorder.progress(label, total)

    def metrics(self, **values: float | int | str) -> None:
        self._recorder.metrics(**values)

    def say(self, line: str) -> None:
        self._recorder.say(line)

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        return self._recorder.checkpoint(name, shared=shared)
