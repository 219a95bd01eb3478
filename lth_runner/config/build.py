"""From plain config values to the objects they name, with refusals that name the key."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lth_runner.config.kinds import check_kinds
from lth_runner.config.schema import RunConfig
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.identity import OF_PARTS
from lth_runner.core.imports import import_object
from lth_runner.record.wandb import Wandb

GRIDS = ("published", "reduced")
MOVED = {  # packages of version 0.1 and where their classes are now
    "lth_runner.methods.": ("lth_runner.construct.", "lth_runner.search."),
    "lth_runner.studies.": ("lth_runner.laws.",),
}


def settings(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values.

    Raises:
        ConfigError: a key that Hydra let through with `+` but that is no setting of a run, or an impossible value.
    """
    known = list(RunConfig.__dataclass_fields__)
    for key in cfg:
        if key not in known:
            raise ConfigError(
                f"{key} is not a setting{checks.nearest(str(key), known)}; lth-run --cfg job lists them all"
            )
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    _check_root(config)
    return config


def _check_root(config: dict[str, Any]) -> None:
    """Refuses what no part looks at before its time: a finished run builds none."""
    checks.folder_name("name", config["name"])
    for key in ("runs_dir", "cache_dir"):
        if not config[key].strip():
            raise ConfigError(f"{key} must name a folder, got {config[key]!r}; {key}=. is this one")
    checks.choice("grid", config["grid"], GRIDS)
    checks.integer("seed", config["seed"], at_least=0)
    Wandb(**config["wandb"])
    _check_parts(config)


def _check_parts(config: dict[str, Any]) -> None:
    parts, part, layer = (config[key] for key in OF_PARTS)
    if parts is not None:
        checks.integer("parts", parts, at_least=1)
    if part is not None:
        if parts is None:
            raise ConfigError(f"part={part} is one of several: set parts to how many there are")
        checks.integer("part", part, at_least=0, at_most=parts - 1)
    if layer is not None:
        checks.integer("layer", layer, at_least=0)
        if part is None:
            raise ConfigError("layer is of a run that makes a part: set part, or leave layer out")


def build(config: dict[str, Any], where: str) -> Any:
    """The object that `config["_target_"]` names, built from the other values, nested objects included.

    Args:
        where: the config key of this part, for messages.

    Raises:
        ConfigError: no such class, an unknown or missing setting, or one that the class itself refuses.
    """
    _check_settings(config, where)
    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, LthError):
                raise type(cause)(f"{where}: {cause}") from error
            cause = cause.__cause__
        raise ConfigError(f"{where} cannot be built: {' '.join(str(error).split())}") from error


def built_plainly(found: type, values: Mapping[str, Any], where: str) -> Any:
    """An object of a dataclass whose values are taken as they are: unlike in `build`, none of them can name code.

    Raises:
        ConfigError: an unknown or missing setting, or one that the class itself refuses.
    """
    _check_known(found, list(values), f"{found.__module__}.{found.__qualname__}", where)
    try:
        return found(**values)
    except LthError as error:
        raise type(error)(f"{where}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} cannot be built: {error}") from error


def _check_settings(config: Any, where: str) -> None:
    """Refuses settings that the named dataclass does not have, and names those it lacks."""
    if not isinstance(config, dict) or "_target_" not in config:
        part = where.split(".")[0]
        how = f"method@{where}=NAME, or leave it out with ~{where}" if part == "compare" else f"{part}=NAME"
        raise ConfigError(f"{where} names no _target_: choose a {part.replace('compare', 'method')} with {how}")
    try:
        found = import_object(str(config["_target_"]), f"{where}._target_")
    except ConfigError as error:
        if moved := _moved(str(config["_target_"])):
            raise ConfigError(f"{where}._target_={config['_target_']} has moved: write {moved}") from error
        raise
    given = [key for key in config if key not in ("_target_", "_convert_", "_partial_", "_recursive_")]
    _check_known(found, given, config["_target_"], where)
    check_kinds(found, config, where)
    for key, value in config.items():
        if isinstance(value, dict) and "_target_" in value:
            _check_settings(value, f"{where}.{key}")


def _check_known(found: Any, given: list[str], path: str, where: str) -> None:
    """Refuses settings that a dataclass does not have."""
    known = [field.name for field in fields(found)] if is_dataclass(found) else given
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{where}.{key} is not a setting of {path}{checks.nearest(key, known)}; it has {', '.join(known)}"
            )


def _moved(path: str) -> str | None:
    """The present path of a class that version 0.1 had elsewhere."""
    for old, homes in MOVED.items():
        for home in homes if path.startswith(old) else ():
            now = home + path.removeprefix(old)
            if find_spec(now.rpartition(".")[0]) is not None:
                return now
    return None
