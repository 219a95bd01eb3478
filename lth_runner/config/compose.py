"""Parts by the names of their config files, with the defaults that stand there: what library and command share."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import hydra

from lth_runner.config import schema
from lth_runner.config.build import build, settings
from lth_runner.core import checks
from lth_runner.core.errors import DataError
from lth_runner.ticket.names import KIND, OWN

CONFIGS = "lth_runner.configs"
ROOT = ("n", "epsilon", "c")  # settings of the root that several parts of a method refer to
GROUPS = {"distribution": "distribution", "scores": "distribution", "solver": "solver"}  # parts of a method, by key


def composed(overrides: Iterable[str]) -> dict[str, Any]:
    """The resolved settings of a run with these overrides."""
    schema.register()
    with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
        return settings(hydra.compose("config", overrides=list(overrides)))


def choices(group: str) -> list[str]:
    """The names of a group's config files: of "method", or "method/solver"."""
    return sorted(path.stem for path in Path(str(resources.files(CONFIGS))).joinpath(group).glob("*.yaml"))


def method_of(method: Any, given: Mapping[str, Any]) -> Any:
    """A method by its name with the defaults of its file, or the method itself; with the given settings.

    Args:
        given: by name; a distribution or a solver by its own name, or as an object.

    Raises:
        ConfigError: no such method, or a setting that it does not have or refuses.
    """
    if not isinstance(method, str):
        return replace(method, **given) if given else method
    checks.choice("method", method, choices("method"))
    overrides = [f"method={method}"]
    for key in GROUPS.keys() & {key for key, value in given.items() if isinstance(value, str)}:
        checks.choice(key, given[key], choices(f"method/{GROUPS[key]}"))
        overrides.append(f"method/{GROUPS[key]}@method.{key}={given[key]}")
    overrides += [f"{key}={given[key]}" for key in ROOT if given.get(key) is not None]
    config = composed(["~data", "~network", "~target", *overrides])["method"]
    known = [key for key in config if key != "_target_"]
    for key, value in given.items():
        checks.choice("setting", key, known)
        if not is_dataclass(value) and not (isinstance(value, str) and key in GROUPS):
            config[key] = {**config[key], **value} if isinstance(value, Mapping) else value
    objects = {key: value for key, value in given.items() if is_dataclass(value)}
    built = build(config, "method")
    return replace(built, **objects) if objects else built


def source_of(recipe: Mapping[str, Any], changes: Mapping[str, Any], trust: Collection[str]) -> Any:
    """The dataset of a recipe, ready to be loaded.

    Args:
        recipe: settings, with the name as "@": of a config file, or "module:Class" of a dataset from elsewhere.
        changes: further settings, as where the files lie.
        trust: top-level packages whose code may run.

    Raises:
        DataError: the recipe names code that is not trusted.
        ConfigError: no such dataset, or settings that it does not have.
    """
    name, given = str(recipe[KIND]), {key: value for key, value in recipe.items() if key != KIND} | dict(changes)
    if ":" in name:
        module, _, found = name.partition(":")
        package = module.partition(".")[0]
        if package not in trust or package == OWN:
            raise DataError(
                f"its dataset is code of {package}: if you trust that, add --trust {package}, or give --data"
            )
        return build({"_target_": f"{module}.{found}", **given}, "data")
    checks.choice("data", name, choices("data"))
    config = composed([f"data={name}", "~network", "~target"])["data"]
    return build({**config, **given}, "data")
