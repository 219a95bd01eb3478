"""Parts by the names of their config files, with the defaults that stand there: what library and command share."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf.errors import OmegaConfBaseException

from lth_runner.config import schema
from lth_runner.config.build import build, built_plainly, settings
from lth_runner.config.explain import CONFIGS, explain
from lth_runner.config.switched import switched
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.identity import NEUTRAL
from lth_runner.data.interface import Dataset, DataSource
from lth_runner.networks.trusted import is_trusted
from lth_runner.ticket.names import OWN, dataclass_at, recipe
from lth_runner.ticket.plain import KIND, check_dataset

GROUPS = {
    "distribution": "distribution",
    "scores": "distribution",
    "solver": "solver",
    "levels": "levels",
    "activation": "activation",
    "training": "training",
    "compensation": "compensation",
}  # parts of a method, by key


def composed(overrides: Iterable[str]) -> dict[str, Any]:
    """The resolved settings of a run with these overrides.

    Raises:
        ConfigError: an override cannot be read, or is none of what there is.
    """
    schema.register()
    words = list(overrides)
    try:
        with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
            config = hydra.compose("config", overrides=words)
            return settings(switched(GlobalHydra.instance().config_loader(), config, words))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, words)) from error


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
    overrides = ["~data", "~network", "~target", f"method={method}"]
    config = composed(overrides)["method"]
    for key in given:
        checks.choice(f"setting of {method}", key, [known for known in config if known != "_target_"])
    named = {key: value for key, value in given.items() if key in GROUPS and isinstance(value, str)}
    if named:
        config = composed([*overrides, *(_chosen(key, value) for key, value in named.items())])["method"]
    objects = {key: value for key, value in given.items() if is_dataclass(value)}
    for key in given.keys() - named.keys() - objects.keys():
        config[key] = {**config[key], **given[key]} if isinstance(given[key], Mapping) else given[key]
    built = build(config, "method")
    return replace(built, **objects) if objects else built


def _chosen(key: str, name: str) -> str:
    """The override that chooses a part of a method by the name of its file."""
    group = GROUPS[key]
    checks.choice(key, name, choices(f"method/{group}"))
    return f"method/{group}={name}" if key == group else f"method/{group}@method.{key}={name}"


def load_data(source: DataSource, say: Callable[[str], None]) -> Dataset:
    """The dataset with the recipe that loads it again: its settings without where its files lie."""
    settings = {key: value for key, value in recipe(source).items() if f"data.{key}" not in NEUTRAL}
    return replace(source.load(say), recipe=settings)


def source_of(made_by: Mapping[str, Any], changes: Mapping[str, Any], trust: Collection[str]) -> Any:
    """The dataset of a recipe, ready to be loaded.

    Args:
        made_by: settings, with the name as "@": of a config file, or "module:Class" of a dataset from elsewhere.
        changes: further settings, as where the files lie.
        trust: top-level packages whose code may run.

    The recipe's values are never handed to Hydra, which would run what they name.

    Raises:
        DataError: the recipe names code that is not trusted, or is none of a dataset.
        ConfigError: no such dataset, or settings that it does not have.
    """
    check_dataset(made_by)
    name, given = made_by[KIND], {key: value for key, value in made_by.items() if key != KIND} | dict(changes)
    if ":" in name:
        module, _, found = name.partition(":")
        package = module.partition(".")[0]
        if not is_trusted(package, trust) or package == OWN:
            raise DataError(
                f"its dataset is code of {package}: if you trust that, add --trust {package}, or give --data"
            )
        return built_plainly(dataclass_at(module, found), given, "data")
    checks.choice("data", name, choices("data"))
    config = composed([f"data={name}", "~network", "~target"])["data"]
    return built_plainly(get_class(config.pop("_target_")), {**config, **given}, "data")
