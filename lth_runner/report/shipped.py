"""The config files that come with the package, put together as Hydra does and without it: what reads runs is light."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lth_runner.report.read import Loader, flattened

Nested = dict[str, Any]
Chosen = dict[str, str | None]  # by package ("compare.closest"), the file that a part is made of
ROOT = "config"  # the file that every run begins with
NOT_SETTINGS = ("defaults", "hydra")
INTERPOLATION = re.compile(r"\$\{([\w.]+)\}")
ENTRY = re.compile(r"(?P<override>override )?(?P<absolute>/?)(?P<group>[^@]+)(?:@(?P<package>.+))?")


@dataclass(frozen=True)
class Entry:
    """A line of a defaults list that chooses a part.

    Attributes:
        group: folder of the files to choose from, "method/solver".
        package: where the part goes, "compare.closest", within the package of the file that has the list.
        choice: name of the file, None for none.
        override: whether the part stands in another list, and keeps its place there.
    """

    group: str
    package: str
    choice: str | None
    override: bool

    @classmethod
    def read(cls, key: str, choice: str | None, folder: str) -> "Entry":
        """`override /method/solver@compare.closest.solver: milp` and its like, in a file of `folder`."""
        match = ENTRY.fullmatch(key)
        assert match is not None, f"a defaults list of ours has an entry {key!r}"
        group = match["group"] if match["absolute"] or not folder else f"{folder}/{match['group']}"
        package = match["package"] or match["group"].replace("/", ".")
        return cls(group, package, choice, match["override"] is not None)


@cache
def experiment(name: str) -> dict[str, Any]:
    """The settings of an experiment, flattened, as `lth-run experiment=NAME` has them; interpolations stay as written.

    Those of a run without an experiment where there is none of that name.
    """
    file = f"experiment/{name}"
    chosen = _overrides(file) if file in _files() else {}
    settings = _applied({}, ROOT, "", chosen)
    return flattened(_applied(settings, file, "", chosen) if file in _files() else settings)


@cache
def parts() -> dict[str, dict[str, Any]]:
    """The settings of every file that a part can be made of, flattened, by its path as "method/pensia"."""
    grouped = [file for file in _files() if "/" in file and not file.startswith("experiment/")]
    settings = {file: flattened(_applied({}, file, "", {})) for file in grouped}
    return {file: own for file, own in settings.items() if "_target_" in own}


def resolved(settings: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Flattened settings with their interpolations replaced by the values of a config, as far as it has them."""
    return {key: each for name, value in settings.items() for key, each in _resolved(name, value, config).items()}


def _resolved(key: str, value: Any, config: dict[str, Any]) -> dict[str, Any]:
    """One setting; an interpolation of a whole part gives all that is inside."""
    while isinstance(value, str) and (inner := INTERPOLATION.search(value)):
        name, whole = inner[1], inner[0] == value
        inside = {other: each for other, each in config.items() if other.startswith(f"{name}.")} if whole else {}
        if inside:
            return {key + other.removeprefix(name): each for other, each in inside.items()}
        value = config.get(name) if whole else value.replace(inner[0], str(config.get(name)))
    return {key: value}


@cache
def _files() -> dict[str, Nested]:
    top = Path(str(resources.files("lth_runner.configs")))
    return {
        path.relative_to(top).with_suffix("").as_posix(): yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
        for path in sorted(top.rglob("*.yaml"))
        if path.relative_to(top).parts[0] != "hydra"
    }


def _applied(settings: Nested, file: str, package: str, chosen: Chosen) -> Nested:
    """The settings of a package after a file: each entry of its defaults list in turn, and then what it sets itself."""
    content = {key: value for key, value in _files()[file].items() if key not in NOT_SETTINGS}
    for entry in _entries(file):
        if isinstance(entry, str):
            settings = _applied(settings, entry, package, chosen)
        elif not entry.override:
            inner = ".".join(filter(None, [package, entry.package]))
            choice = chosen.get(inner, entry.choice)
            part = None if choice is None else _applied({}, f"{entry.group}/{choice}", inner, chosen)
            settings = _replaced(settings, entry.package.split("."), part)
    return merged(settings, content)


def _overrides(file: str) -> Chosen:
    """What a file, and before it those that it stands on, choose for parts that stand in lists elsewhere."""
    found: Chosen = {}
    for entry in _entries(file):
        if isinstance(entry, str):
            found |= _overrides(entry)
        elif entry.override:
            found[entry.package] = entry.choice
    return found


def _entries(file: str) -> list["str | Entry"]:
    """The defaults list of a file: files to stand on, and parts; without what is Hydra's own."""
    folder = file.rpartition("/")[0]
    found: list[str | Entry] = []
    for entry in _files()[file].get("defaults", []):
        if isinstance(entry, str):
            found += [base for base in [f"{folder}/{entry}"] if base in _files()]
        else:
            found += [Entry.read(key, choice, folder) for key, choice in entry.items() if "hydra" not in key]
    return [entry for entry in found if isinstance(entry, str) or entry.package != "experiment"]


def _replaced(settings: Nested, path: list[str], part: Any) -> Nested:
    first, *rest = path
    inner = settings.get(first)
    return {**settings, first: _replaced(inner if isinstance(inner, dict) else {}, rest, part) if rest else part}


def merged(below: Nested, above: Mapping[str, Any]) -> Nested:
    """Two nested mappings as one; where both have a value, that of the second."""
    both = {
        key: merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}
