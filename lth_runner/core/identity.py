"""What a run is: a hash of everything that can change its results, and of nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lth_runner.core.errors import DataError

# Raise this by hand when a change of the code changes the results of a config that stays the same: finished runs are
# then run again. A change that only reformats, speeds up or reports differently leaves it alone.
RESULTS_VERSION = 1

# Settings that say where a run lives, what it is called and who is told of it, but not what comes out.
NEUTRAL = ("name", "cache_dir", "runs_dir", "rerun", "wandb", "data.root", "target.cache")

FILE_KEYS = ("path", "calibration")  # settings, anywhere in a config, that name a file which the results depend on


def identity(config: dict[str, Any]) -> str:
    """Ten hex digits of a hash over the resolved config without its neutral settings, and over the files it names.

    A file given by one of FILE_KEYS anywhere in the config counts by its content, so that new weights under an old
    name are a new run.

    Raises:
        DataError: a file that the config names cannot be read.
    """
    science = _without(config, NEUTRAL)
    content = json.dumps([RESULTS_VERSION, science, _file_digests(science)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def _without(config: dict[str, Any], dropped: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
    return {
        key: _without(value, dropped, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in config.items()
        if prefix + str(key) not in dropped
    }


def _file_digests(node: Any) -> list[str]:
    if not isinstance(node, dict):
        return []
    digests = [digest for value in node.values() for digest in _file_digests(value)]
    paths = [node[key] for key in FILE_KEYS if isinstance(node.get(key), str)]
    return digests + [_digest(Path(path).expanduser()) for path in paths]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; give the path of an existing file") from error
