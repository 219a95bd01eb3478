"""The points of a figure, each found once: a run that is killed goes on after the last of them."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lth_runner.core.checkpoint import Checkpoint, load, save
from lth_runner.core.recorder import Progress, Recorder

Point = dict[str, Any]  # a line of metrics; None where a column has no meaning


def mean(points: Sequence[Point], column: str) -> float:
    """Of one column."""
    return sum(point[column] for point in points) / len(points)


def summary(rows: Sequence[Mapping[str, Any]], name: str, measures: Sequence[str]) -> dict[str, Any]:
    """The measures of rows that a curve and a `name` tell apart, flat, for a run's summary."""
    return {f"{row['curve']}/{row[name]}/{measure}": row[measure] for row in rows for measure in measures}


class Points:
    """What a study has measured so far, kept in one checkpoint.

    Args:
        key: everything that determines the points, as text.
    """

    def __init__(self, recorder: Recorder, key: str) -> None:
        self._recorder, self._key = recorder, key
        self._path = recorder.checkpoint(f"points-{hashlib.sha256(key.encode()).hexdigest()[:16]}")
        kept = load(self._path, key, recorder.say)
        self._parts: dict[str, Any] = dict(kept.history[0]) if kept else {}
        self._shared: set[Path] = set()
        if self._parts:
            recorder.say(f"going on: {len(self._parts)} parts of this study were finished before")

    def get(self, part: str, find: Callable[[Recorder], list[Point]]) -> list[Point]:
        """The points of one part of the study, found now unless an earlier attempt at this run has.

        They are recorded as metrics, after those that were recorded while they were found.

        Args:
            part: its name, different for each.
            find: is given the recorder to work with; what it checkpoints there is removed once its points are kept, and
                what it shares with other parts when these are done too.
        """
        if part not in self._parts:
            work = _Work(self._recorder, part)
            points = find(work)
            self._parts[part] = {"lines": work.lines, "points": points}
            save(self._path, self._key, Checkpoint(tensors={}, history=[self._parts]))
            self._shared |= work.shared
            _remove(work.own)
        known = self._parts[part]
        for line in [*known["lines"], *known["points"]]:
            self._recorder.metrics(**{key: value for key, value in line.items() if value is not None})
        return known["points"]

    def forget_shared(self) -> None:
        """Removes what parts shared; to be called when no part that is still to come can go on from it."""
        _remove(self._shared)
        self._shared.clear()


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


class _Work:
    """The recorder of one part: it puts the part's name before what is said, and remembers metrics and checkpoints."""

    def __init__(self, recorder: Recorder, part: str) -> None:
        self._recorder, self._part = recorder, part
        self.lines: list[Point] = []
        self.own: set[Path] = set()
        self.shared: set[Path] = set()

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        return self._recorder.progress(f"{self._part}: {label}", total)

    def metrics(self, **values: float | int | str) -> None:
        self.lines.append({"part": self._part, **values})

    def say(self, line: str) -> None:
        self._recorder.say(f"{self._part}: {line}")

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        path = self._recorder.checkpoint(name, shared=shared)
        (self.shared if shared else self.own).add(path)
        return path
