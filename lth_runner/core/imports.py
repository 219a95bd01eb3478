"""Objects by their dotted names, from installed packages or from files in the current directory."""

import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from types import ModuleType
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.torchvision import import_torchvision


def import_object(path: str, setting: str) -> Any:
    """What "package.module.name" or "package.module:name" is.

    Args:
        setting: where the name stands, for messages.

    Raises:
        ConfigError: there is no such thing, or it cannot be imported.
    """
    if not re.fullmatch(r"\w+([.:]\w+)+", path):
        raise ConfigError(f"{setting} must be a dotted name, such as my_lab.nets.Net, got {path!r}")
    where = f"{setting}={path}"
    found, names = _longest_module(path, where)
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            near = checks.nearest(name, _names_in(found))
            raise ConfigError(f"{where}: {_name_of(found)} has no {name}{near}") from None
    return found


def _longest_module(path: str, where: str) -> tuple[Any, list[str]]:
    """The longest part of the path that is a module, and the names that follow: at least the last one."""
    names = path.replace(":", ".").split(".")
    for end in range(len(names) - 1, 0, -1):
        module = _module(".".join(names[:end]), where)
        if module is not None:
            return module, names[end:]
    near = checks.nearest(names[0], [module.name for module in pkgutil.iter_modules()])
    raise ConfigError(f"{where}: there is no package {names[0]}{near}, installed or in {os.getcwd()}")


def _module(name: str, where: str) -> ModuleType | None:
    """The module of that name; None if there is none."""
    _make_current_directory_importable(name.split(".")[0])
    try:
        return _import_repaired(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return None
        raise ConfigError(f"{where}: {name} cannot be imported: {_line(error)}") from error
    except Exception as error:
        raise ConfigError(f"{where}: {name} cannot be imported: {_line(error)}") from error


def _import_repaired(name: str) -> ModuleType:
    """A module, also where it imports a torchvision that does not fit torch."""
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import_torchvision("torchvision")
    return importlib.import_module(name)


def _make_current_directory_importable(package: str) -> None:
    """A console script does not see it. It comes last and only if needed, so that no file there hides a package."""
    if package not in sys.modules and importlib.util.find_spec(package) is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _names_in(found: Any) -> list[str]:
    submodules = pkgutil.iter_modules(found.__path__) if "__path__" in dir(found) else ()
    return [*dir(found), *(module.name for module in submodules)]


def _name_of(found: Any) -> str:
    return getattr(found, "__name__", type(found).__name__)


def _line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
