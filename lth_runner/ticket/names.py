"""Stable names for the parts of a ticket file, so that a file never names a class path of this package.

An architecture or a distribution of this package is named by its `kind`. A part from elsewhere can only be named by
where it is imported from, and importing it runs code: that needs the reader's consent.
"""

import functools
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from typing import Any

import torch

from lth_runner.core.errors import DataError
from lth_runner.networks.imported import Imported
from lth_runner.networks.instance import Instance
from lth_runner.networks.trusted import check_builder, is_listed, is_trusted
from lth_runner.ticket.plain import KIND

OWN = "lth_runner"
PACKAGES = ("lth_runner.networks", "lth_runner.distributions")


def recipe(part: Any) -> dict[str, Any]:
    """The settings of a dataclass as plain values, nested parts included, with its name.

    A setting with a default came after the first files of its class, and is left out where it has that value: files of
    before stay readable, and equal parts have equal files.
    """
    named = [
        field.name for field in fields(part) if field.default is MISSING or getattr(part, field.name) != field.default
    ]
    return {KIND: kind_of(type(part)), **{name: _plain(getattr(part, name)) for name in named}}


def kind_of(found: type) -> str:
    """The stable name of a class: its `kind`, or of one without, "module:Class" elsewhere and the file's name here."""
    if found.__module__.split(".")[0] != OWN:
        return _path(found)
    kind = found.__dict__.get("kind")
    return kind if isinstance(kind, str) else found.__module__.rpartition(".")[2]


def foreign(settings: Any) -> set[str]:
    """Top-level packages outside this one whose parts a recipe names: only who trusts them can read it."""
    if isinstance(settings, Mapping):
        name = str(settings.get(KIND, ""))
        own = {name.partition(":")[0].partition(".")[0]} if ":" in name else set()
        if name == Imported.kind and not is_listed(settings["builder"], settings["arguments"]):
            own = {str(settings["builder"]).partition(".")[0].partition(":")[0]}
        return own.union(*(foreign(value) for value in settings.values()))
    if isinstance(settings, list | tuple):
        return set().union(*(foreign(value) for value in settings))
    return set()


def built(settings: Mapping[str, Any], trust: Collection[str], module: torch.nn.Module | None = None) -> Any:
    """The part of a recipe.

    Args:
        trust: top-level packages whose code may run.
        module: what stands for a module that only existed in memory.

    Raises:
        DataError: a name that is not known, or not trusted, or a module that is missing.
    """
    found = class_of(str(settings[KIND]), trust)
    values = {key: _built(value, trust, module) for key, value in settings.items() if key != KIND}
    if found is Imported:  # building it will run the builder
        check_builder(values["builder"], values["arguments"], trust)
    part = found(**values)
    if isinstance(part, Instance):
        if module is None:
            raise DataError(
                "this ticket was made from a module in memory: give it, or one alike, as module=... in Python"
            )
        return part.bound(module)
    return part


def class_of(kind: str, trust: Collection[str]) -> type:
    """The class of a name; only classes of architectures and distributions."""
    if ":" not in kind:
        if kind not in _own_classes():
            raise DataError(f"{kind} is not a network or distribution of this package")
        return _own_classes()[kind]
    module, _, name = kind.partition(":")
    package = module.partition(".")[0]
    if not is_trusted(package, trust) or package == OWN:
        raise DataError(
            f"{kind} is not a network or distribution of this package; reading it runs the code of {package}: "
            f'if you trust that, add --trust {package} (trust=["{package}"] in Python)'
        )
    return dataclass_at(module, name)


def dataclass_at(module: str, name: str) -> type:
    """The dataclass of that name in a module of a trusted package; importing it runs code.

    Raises:
        DataError: there is none.
    """
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"{module}:{name} cannot be imported ({error}): install it, or add its folder to PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and is_dataclass(found)):
        raise DataError(f"{module}:{name} is not a network, distribution or dataset: it is no dataclass")
    return found


@functools.cache
def _own_classes() -> dict[str, type]:
    return {str(found.__dict__["kind"]): found for found in own_parts()}


def own_parts() -> Iterator[type]:
    """Every named class of this package's architectures and distributions."""
    for package in PACKAGES:
        for entry in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            for found in vars(import_module(entry.name)).values():
                if isinstance(found, type) and found.__module__ == entry.name and "kind" in found.__dict__:
                    yield found


def _path(found: type) -> str:
    return f"{found.__module__}:{found.__qualname__}"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return recipe(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _built(value: Any, trust: Collection[str], module: torch.nn.Module | None) -> Any:
    if isinstance(value, Mapping):
        if KIND in value:
            return built(value, trust, module)
        return {key: _built(item, trust, module) for key, item in value.items()}
    return [_built(item, trust, module) for item in value] if isinstance(value, list) else value
