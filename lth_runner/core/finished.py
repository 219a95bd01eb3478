"""How a run folder stands, from its files alone: whether it ended well, and whether its results are all there."""

import json
from pathlib import Path
from typing import Any

from lth_runner.core.files import read_text

SUMMARY = "summary.json"
FILES = "files.json"  # the sizes of the files of results, written when all are whole
LOCK = ".lock"  # held by the process that works on the run


def read_summary(path: Path | str) -> dict[str, Any] | None:
    """The summary of a run folder; None if there is none or it is damaged."""
    return _read_dict(Path(path) / SUMMARY)


def is_finished(path: Path | str) -> bool:
    """Whether this run ended well and its files of results are all there: only then need it not run again."""
    summary = read_summary(path)
    return summary is not None and summary.get("status") == "ok" and not damaged_files(path)


def damaged_files(path: Path | str) -> list[str]:
    """Names of the files of results that are gone or have another size than when the run ended.

    Figures do not count: they are drawn again from the others. A run of an earlier version has no list of its files,
    so none is missed there.
    """
    listed = Path(path) / FILES
    if not listed.exists():
        return []
    sizes = _read_dict(listed)
    if sizes is None or any(Path(name).name != name for name in sizes):
        return [FILES]
    return [name for name, size in sizes.items() if _size(listed.with_name(name)) != size]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _read_dict(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
