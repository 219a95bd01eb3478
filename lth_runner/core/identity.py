"""What a run is: a hash of everything that can change its results, and of nothing else."""

import contextlib
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from lth_runner.core.errors import DataError

# Raise this by hand when a change of the code changes the results of a config that stays the same: finished runs are
# then run again. A change that only reformats, speeds up or reports differently leaves it alone.
RESULTS_VERSION = 1

# Settings of where a run is kept, what it is called and where it is reported: none changes what comes out.
NEUTRAL = ("name", "cache_dir", "runs_dir", "dry_run", "rerun", "wandb", "data.root", "target.cache")

# Settings of a part of a ticket: a whole one is the same from however many parts it was put together.
OF_PARTS = ("parts", "part", "layer")

# Settings that name a file: it is the same run wherever the file lies and however its path is written. `names` may
# hold the names themselves, and elsewhere (network.arguments) a `path` may be anything.
ALWAYS_FILES = ("data.path", "data.calibration", "target.path", "target.calibration")
FILES = ("path", "calibration", "names")
LARGE = 1 << 26  # bytes: takes a tenth of a second to read, and longer to write than clocks of file systems tick


def identity(config: dict[str, Any]) -> str:
    """Ten hex digits of a hash over the resolved config without its neutral settings, and over the files it names.

    A file counts by its content alone: new weights under an old name are a new run, one file under two paths is one.

    Raises:
        DataError: a file that the config names cannot be read.
    """
    whole = config.get("part") is None
    science, digests = _contents(_without(config, (*NEUTRAL, *OF_PARTS) if whole else NEUTRAL))
    content = json.dumps([RESULTS_VERSION, science, digests], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def _without(config: dict[str, Any], dropped: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
    return {
        key: _without(value, dropped, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in config.items()
        if prefix + str(key) not in dropped
    }


def _contents(node: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], list[list[str]]]:
    """The settings without those that name a file, and for each of these its dotted key and the file's digest."""
    left: dict[str, Any] = {}
    digests: list[list[str]] = []
    for key, value in node.items():
        if isinstance(value, dict):
            left[key], inner = _contents(value, f"{prefix}{key}.")
            digests += inner
        elif _names_file(f"{prefix}{key}", value):
            digests.append([f"{prefix}{key}", _digest(Path(value).expanduser())])
        else:
            left[key] = value
    return left, sorted(digests)


def _names_file(key: str, value: Any) -> bool:
    if key.rpartition(".")[2] not in FILES or not isinstance(value, str):
        return False
    return key in ALWAYS_FILES or Path(value).expanduser().is_file()


def _digest(path: Path) -> str:
    """Of a file's content; of a large one only once, while its size and time stay as they are."""
    with contextlib.suppress(OSError):
        about = path.stat()
        if about.st_size >= LARGE:
            return _digest_kept(path, about.st_size, about.st_mtime_ns)
    return _digest_now(path)


@lru_cache
def _digest_kept(path: Path, size: int, changed: int) -> str:
    del size, changed
    return _digest_now(path)


def _digest_now(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"cannot read {path}: it is no file; give the path of an existing file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; give the path of an existing file") from error
