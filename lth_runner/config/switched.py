"""Another part in an experiment: what the experiment had set for its own part is not meant for the one chosen."""

import re
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

PARTS = ("data", "network", "target", "method", "study")
EXPERIMENT = "experiment"
ROOT = "config"  # the name of the package's root config


def switched(loader: ConfigLoader, config: DictConfig, words: Sequence[str], root: str = ROOT) -> DictConfig:
    """The config in which a part that `words` choose, and the experiment has otherwise, is as its own file says.

    Settings of a part that stand among the words are kept; `~target` leaves the target out. The same part as the
    experiment's keeps what the experiment sets.

    Args:
        config: composed of `words`, not resolved; changed in place.
        words: overrides, without those of a sweep.
        root: name of the root config, which may be the user's own (`--config-name`).

    Raises:
        HydraException: a word sets what the chosen part does not have.
    """
    chosen = {part: choice for part in PARTS if (choice := choice_of(words, part)) is not None}
    experiment = choice_of(words, EXPERIMENT)
    if not chosen or not experiment:
        return config
    own = composed_by(loader, [f"{EXPERIMENT}={experiment}"], root).hydra.runtime.choices
    other = {part: choice for part, choice in chosen.items() if choice != own.get(part)}
    if not other:
        return config
    own_words = [word for word in words if any(_concerns(word, part) for part in other)]
    deleted = [word[1:].partition("=")[0] for word in own_words if word.startswith("~") and "." in word]
    plain = composed_by(loader, [word for word in own_words if not (word.startswith("~") and "." in word)], root)
    with open_dict(config):
        for part in other:
            config[part] = plain.get(part)
        for key in deleted:  # it may have been the experiment's alone
            _delete(config, key)
    return config


def _delete(config: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent)
    if node is not None and name in node:
        del node[name]


def choice_of(words: Sequence[str], group: str) -> str | None:
    """The choice of a group among the words, "" for none of them (`~group`); None if no word says."""
    found = None
    for word in words:
        if match := re.fullmatch(rf"\+{{0,2}}{group}=([\w./-]+)", word):
            found = match[1]
        elif word == f"~{group}":
            found = ""
    return found


def key_of(word: str) -> str:
    """The key of an override, without the signs in front of it."""
    return word.lstrip("+~").partition("=")[0]


def _concerns(word: str, part: str) -> bool:
    """Whether a word chooses or sets something of a part: network=, network.hidden=, method/solver=, x@target.y=."""
    key = key_of(word)
    return re.match(rf"{part}\b", key.rpartition("@")[2] if "@" in key else key) is not None


def composed_by(loader: ConfigLoader, overrides: list[str], root: str = ROOT) -> DictConfig:
    """The config of these overrides, Hydra's own part included."""
    return loader.load_configuration(
        config_name=root,
        overrides=overrides,
        run_mode=RunMode.RUN,
        from_shell=False,
        validate_sweep_overrides=False,
    )
