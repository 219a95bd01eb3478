"""What went wrong, as one sentence for a person: what was refused and what to do."""

import re
import shlex
import traceback
from collections.abc import Iterator
from typing import Any

import hydra
import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, LthError, lacks_memory
from lth_runner.core.files import refused

CONFIGS = "lth_runner.configs"


def explain(error: BaseException, arguments: list[str]) -> str:
    """One sentence for a person: what was refused and what to do."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, LthError):
            return str(cause)
    for cause in chain:
        if sentence := _sentence(cause, arguments):
            return sentence
    if theirs := [cause for cause in chain if _is_theirs(cause)]:
        return f"{_first_line(theirs[-1]).rstrip('.')}; lth-run --help lists every choice and setting"
    what = f"{type(chain[-1]).__name__}: {_first_line(chain[-1])}"
    return f"{what} (not foreseen; HYDRA_FULL_ERROR=1 shows where)"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")


def _is_theirs(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf refuses something, be it by an error that has no name of its own."""
    if isinstance(error, HydraException | OmegaConfBaseException | ConfigCompositionException):
        return True
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, ValueError) and bool(frames) and frames[-1].partition(".")[0] in ("hydra", "omegaconf")


def is_misuse(error: BaseException) -> bool:
    """Whether what was typed, or stands in a config file, cannot be done: not that something was found to be wrong."""
    chain = list(_causes(error))
    ours = next((cause for cause in chain if isinstance(cause, LthError)), None)
    if ours is not None:
        return isinstance(ours, ConfigError)
    return any(isinstance(cause, yaml.YAMLError) or _is_theirs(cause) for cause in chain)


def _sentence(cause: BaseException, arguments: list[str]) -> str | None:
    """What an error of Hydra, OmegaConf or YAML means; None for any other."""
    if isinstance(cause, OverrideParseException):
        return unreadable(str(cause.override))
    if isinstance(cause, MissingConfigException):
        return _unknown_choice(cause)
    if lacks_memory(cause):
        return "there is not enough memory for this: choose a smaller network or n, or a machine with more memory"
    if isinstance(cause, yaml.YAMLError):
        return _bad_yaml(cause)
    if match := re.search(r"Could not override '([^']+)'", str(cause)):
        return unknown_key(match[1], _known_keys(arguments))
    if match := re.search(r"Ambiguous value for argument '([^'=]+)=([^']*)'", str(cause)):
        key, value = match.groups()
        return f"{key}={value} gives several values: add -m to run each of them, or write {key}=[{value}] for a list"
    if "Config group override must be a string or a list" in str(cause):
        wrong = next((word for word in arguments if re.fullmatch(r"[\w/@]*=(null|\d*)", word)), "one of the choices")
        return f"{wrong} names no file of configs, and this group needs one; lth-run --help lists them"
    if isinstance(cause, ConfigKeyError) and (match := re.search(r"Key '([^']+)' not in", str(cause))):
        return unknown_key(str(cause.full_key or match[1]), _known_keys([]))
    if isinstance(cause, ValidationError):
        return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    if isinstance(cause, OSError) and (cause.filename is not None or isinstance(cause, FileNotFoundError)):
        return refused(cause)
    return None


def unknown_key(key: str, known: list[str]) -> str:
    """The refusal of a key that is not a setting, with the nearest one that is."""
    known = [other for other in known if other != key]  # an experiment may set it for another part
    near = checks.nearest(key, known)
    if not near:  # the last part may be right in a neighbouring branch: method.epsilonn -> epsilon
        near = checks.nearest(key.rsplit(".", 1)[-1], known)
    return f"{key} is not a setting{near}; lth-run --cfg job lists them all"


def unreadable(override: str) -> str:
    """The refusal of a word that Hydra cannot read, with one that it can, as it is typed in a shell."""
    if re.fullmatch(r"\w+", override):
        return f"{override} is no override; an override reads key=value: lth-run experiment={override}"
    key, equals, value = override.partition("=")
    if any("\ud800" <= sign <= "\udfff" for sign in override):
        return f"this locale cannot read {override!r}: set LC_ALL=C.UTF-8"
    if not equals or not re.fullmatch(r"[\w.@/+~:]+", key, re.ASCII):
        return f"{override!r} is no override; an override reads key=value"
    if value.startswith(("[", "{")):
        return f"the value of {override!r} cannot be read: write '{key}=[1, 2]' or '{key}={{name: 1}}', in quotes"
    escaped = value.replace('"', '\\"')
    quoted = shlex.quote(f'{key}="{escaped}"')
    return f"the value of {override!r} has signs of Hydra's own, so it needs two pairs of quotes: write {quoted}"


def _bad_yaml(error: yaml.YAMLError) -> str:
    """Where a config file cannot be read."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a config file"
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{place} is no YAML ({problem}): correct it"


def _unknown_choice(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file or "")
    match = re.search(r"Could not find '([^']+)/([^'/]*)'", str(error))
    if not match:
        return f"{_first_line(error).rstrip('.')}; give --config-dir the folder that holds {missing or 'it'}"
    group, option = match.groups()
    options = list(error.options or ())
    if not options:
        return f"{group}={option} does not exist, nor any other choice of {group}; lth-run --help lists them all"
    more = "; more come with pip install 'lth_runner[cluster]'" if group == "hydra/launcher" else ""
    return (
        f"{group}={option} does not exist{checks.nearest(option, options)}; choose one of: {', '.join(options)}{more}"
    )


def _known_keys(arguments: list[str]) -> list[str]:
    """Dotted keys of the config with the group choices among `arguments`, or of the plain root if those fail."""
    choices = [word for word in arguments if re.fullmatch(r"[\w/@.]+=[\w/]+", word) and "." not in word.split("=")[0]]
    for overrides in (choices, [word for word in choices if word.startswith("experiment=")], []):
        try:
            with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
                cfg = hydra.compose("config", overrides=overrides)
            return _dotted(OmegaConf.to_container(cfg, resolve=False))
        except HydraException:
            continue
    return []


def _dotted(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [name for key, value in node.items() for name in (prefix + str(key), *_dotted(value, f"{prefix}{key}."))]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
