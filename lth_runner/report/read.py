"""Run folders, read: what was asked and what came out, without torch and without the methods that made them."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lth_runner.core.errors import DataError
from lth_runner.core.files import read_text
from lth_runner.core.finished import SUMMARY, damaged_files
from lth_runner.report.points import FIGURES

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is several times faster, where it was built


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        folder: where it lies.
        config: the resolved config, flattened: {"network.hidden": 500, ...}; lists stay lists.
        summary: summary.json as it is; its status is ok, failed, interrupted, or running (still, or killed).
    """

    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def ok(self) -> bool:
        return self.summary["status"] == "ok"

    @property
    def draws_itself(self) -> bool:
        """Whether its folder holds what its own figures are drawn from; folders of before 0.2 do not."""
        return (self.folder / FIGURES).exists()

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line torn by a crash is left out.

        Raises:
            DataError: a line before the last is damaged.
        """
        path = self.folder / "metrics.jsonl"
        lines = read_text(path).splitlines() if path.exists() else []
        parsed = []
        for number, line in enumerate(lines, start=1):
            values = _parsed(line)
            if values is not None:
                parsed.append(values)
            elif number < len(lines):
                raise DataError(f"line {number} of {path} is damaged: run it again, or delete the folder")
        return parsed


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


@dataclass(frozen=True)
class Damaged:
    """A run folder that cannot be read, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """Everything below some folders: nothing is dropped, what is damaged is listed."""

    runs: list[Run]
    damaged: list[Damaged]

    def ok(self) -> list[Run]:
        """The runs that ended well."""
        return [run for run in self.runs if run.ok]

    def not_ok(self) -> list[Run]:
        """The runs that failed, were interrupted, or have no end yet."""
        return [run for run in self.runs if not run.ok]

    def caption(self) -> str:
        """`12 runs, 10 ok, 1 failed, 1 damaged`: what every table and figure says about its rows."""
        status = [run.summary["status"] for run in self.runs] + ["damaged"] * len(self.damaged)
        counts = [f"{status.count(name)} {name}" for name in sorted(set(status), key=lambda name: (name != "ok", name))]
        return ", ".join([f"{len(status)} run{'s' * (len(status) != 1)}", *counts])


def read_runs(folders: Iterable[Path | str]) -> Found:
    """All runs at or below `folders`, each once, in the order of their paths.

    Raises:
        DataError: one of `folders` does not exist.
    """
    found = Found([], [])
    for folder in run_folders(folders):
        try:
            found.runs.append(read_run(folder))
        except (DataError, OSError) as error:
            found.damaged.append(Damaged(folder, str(error)))
    return found


def read_run(folder: Path) -> Run:
    """One run folder.

    Raises:
        DataError: its summary or config is missing or damaged, or it ended well and a file of its results is not whole.
    """
    try:
        summary = json.loads(read_text(folder / SUMMARY))
        config = yaml.load(read_text(folder / "config.yaml"), Loader=Loader)
        json.dumps(config)
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:  # dates, circles: nothing of ours
        raise DataError(f"{folder} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(summary, dict) or not isinstance(summary.get("status"), str):
        raise DataError(f"{folder} cannot be read: summary.json has no status")
    if not isinstance(config, dict):
        raise DataError(f"{folder} cannot be read: config.yaml is not a mapping")
    if summary["status"] == "ok" and (lost := damaged_files(folder)):
        raise DataError(f"{folder} is not whole: {', '.join(lost)} is gone or damaged; run it again")
    return Run(folder, flattened(config), summary)


def flattened(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat.update(flattened(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def run_folders(tops: Iterable[Path | str]) -> list[Path]:
    """The folders with a summary.json at or below `tops`, each once, in the order of their paths.

    Raises:
        DataError: one of `tops` does not exist.
    """
    return sorted({path for top in tops for path, is_run in _holders(Path(top)) if is_run})


def figure_folders(tops: Iterable[Path | str]) -> list[Path]:
    """The folders that are no runs and hold points and figures.json, as those of published figures do.

    Raises:
        DataError: one of `tops` does not exist.
    """
    return sorted({path for top in tops for path, is_run in _holders(Path(top)) if not is_run})


def _holders(top: Path) -> Iterator[tuple[Path, bool]]:
    """Folders of runs (True) and of figures alone; what lies inside a run (W&B's copy, figures) is not searched."""
    if not top.is_dir():
        raise DataError(f"there is no folder {top}: name one that holds runs")
    for path, folders, files in os.walk(top.resolve()):
        if SUMMARY in files:
            folders.clear()
            yield Path(path), True
        elif FIGURES in files:
            yield Path(path), False
        folders[:] = [name for name in folders if not name.startswith(".")]
