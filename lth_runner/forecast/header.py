"""What the comments at the head of an experiment's file say of it: the command they speak of, and the time it took."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from hydra.core.config_loader import ConfigLoader

from lth_runner.config.explain import CONFIGS

UNITS = {"s": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
DURATION = re.compile(r"(?:[\d.]+ to )?([\d.]+) (s|min|h|seconds?|minutes?|hours?)\b")


@dataclass(frozen=True, kw_only=True)
class Header:
    """The head of an experiment's file.

    Attributes:
        about: its first sentence.
        command: the overrides of the command that was timed.
        time: how long that took, and on what; None where nothing is said.
        memory: how much it took, as "1.4 GB"; None where nothing is said.
    """

    about: str
    command: tuple[str, ...]
    time: str | None
    memory: str | None

    @property
    def seconds(self) -> float | None:
        """The time in seconds, the longer of two where a range is given; None where it cannot be read."""
        match = DURATION.search(self.time or "")
        return float(match[1]) * UNITS[match[2].removesuffix("s") or "s"] if match else None


def parse(text: str) -> Header:
    """The head of a file with this text."""
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    said = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    memory = re.search(r"([\d.]+ [MG]B) of memory", text)
    return Header(
        about=next((line for line in lines if not line.startswith("@package")), ""),
        command=tuple(said.get("command", "").split()[1:]),
        time=said["time"].partition(";")[0].rstrip(".") if "time" in said else None,
        memory=memory[1] if memory else None,
    )


def header_of(experiment: str, loader: ConfigLoader) -> Header | None:
    """The head of this experiment's file, wherever Hydra finds that; None where it is no file."""
    return _read(experiment, tuple(folders(loader)))


def folders(loader: ConfigLoader) -> Iterable[Path]:
    """Where Hydra looks for configs, in its order."""
    for element in loader.get_search_path().get_path():
        scheme, _, path = str(element.path).partition("://")
        if scheme == "file":
            yield Path(path)
        elif scheme == "pkg" and path == CONFIGS:
            yield Path(str(resources.files(CONFIGS)))


@lru_cache
def _read(experiment: str, where: Sequence[Path]) -> Header | None:
    files = (folder / "experiment" / f"{experiment}.yaml" for folder in where)
    found = next((file for file in files if file.is_file()), None)
    return parse(found.read_text(encoding="utf-8")) if found else None
