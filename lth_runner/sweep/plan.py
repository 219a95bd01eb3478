"""The jobs of a sweep before anything runs: their settings, their folders, and which of them are finished."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lth_runner.config.build import settings
from lth_runner.config.environment import with_environment
from lth_runner.config.switched import switched
from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.finished import is_finished
from lth_runner.run import place


@dataclass(frozen=True, kw_only=True)
class Job:
    """One combination of the swept values.

    Attributes:
        overrides: that make it, the swept and the fixed ones.
        varied: the overrides that tell it from the others, for people.
        config: resolved.
        folder: of its run; None where the run will be refused.
    """

    overrides: list[str]
    varied: str
    config: dict[str, Any]
    folder: Path | None

    @property
    def wave(self) -> int:
        """Jobs of a higher number go on from what all those of lower ones have made."""
        return self.config["layer"] or 0

    def skip(self) -> str | None:
        """Why there is nothing to do, if there is nothing."""
        if self.folder is None or self.config["rerun"] or not is_finished(self.folder):
            return None
        return f"finished before: {self.folder}"


def plan(loader: ConfigLoader, master: DictConfig, arguments: list[str]) -> list[Job]:
    """Every combination of the values that `arguments` sweep over.

    Raises:
        HydraException: an override cannot be read, or a combination makes no config.
        ConfigError: a combination asks for another launcher, sweep or folder of work than the command.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if master.hydra.job.chdir:  # the jobs would run, and leave their results and reports where nobody looks
        raise ConfigError("hydra.job.chdir=true cannot be used in a sweep: set runs_dir to say where runs are kept")

    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides(arguments)
    combinations = [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    if not combinations:
        raise ConfigError("this sweep has no jobs: one of the lists of values is empty")
    swept = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    configs = _Configs(loader, master, parser)
    jobs = []
    for words in combinations:
        config = with_environment(settings(configs.of(words)), words)
        varied = " ".join(word for word in words if word.split("=", 1)[0] in swept)
        jobs.append(Job(overrides=words, varied=varied, config=config, folder=folder_of(config)))
    return jobs


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs by their waves, in the order in which these are launched."""
    return [[job for job in jobs if job.wave == wave] for wave in sorted({job.wave for job in jobs})]


def folder_of(config: dict[str, Any]) -> Path | None:
    """The run folder of a job; None where the run will be refused, and will say why."""
    try:
        return place(config)
    except LthError:
        return None


class _Configs:
    """Composing takes Hydra a tenth of a second. Jobs that differ in plain values alone are copies of one config."""

    def __init__(self, loader: ConfigLoader, master: DictConfig, parser: OverridesParser) -> None:
        self._loader, self._master, self._parser = loader, master, parser
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._parsed: dict[str, Override] = {}
        self._groups = set(loader.list_groups(""))  # asked once: Hydra copies all it knows for every answer

    def of(self, words: list[str]) -> DictConfig:
        """The config of a job, equal to the one that its launcher will compose."""
        plain = [word for word in words if self._is_plain(word)]
        base = self._base(tuple(word for word in words if word not in plain))
        config = copy.deepcopy(base)
        try:
            for override in map(self._override, plain):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            return self._compose(tuple(words))  # Hydra says it in its own words
        return config

    def _is_plain(self, word: str) -> bool:
        """Whether it sets a value, and chooses no file of configs."""
        override = self._override(word)
        if override.type != OverrideType.CHANGE or override.package is not None:
            return False
        return "/" not in override.key_or_group and override.key_or_group not in self._groups

    def _override(self, word: str) -> Override:
        if word not in self._parsed:
            self._parsed[word] = self._parser.parse_override(word)
        return self._parsed[word]

    def _base(self, words: tuple[str, ...]) -> DictConfig:
        if words not in self._composed:
            self._composed[words] = self._compose(words)
        return self._composed[words]

    def _compose(self, words: tuple[str, ...]) -> DictConfig:
        config = self._loader.load_sweep_config(self._master, list(words))
        self._check_hydra(config, words)
        with open_dict(config):
            del config["hydra"]
        return switched(self._loader, config, words, self._master.hydra.job.config_name)

    def _check_hydra(self, config: DictConfig, words: tuple[str, ...]) -> None:
        """Refuses a job whose files set what only the whole sweep can have, and would be ignored here."""
        job = " ".join(words)
        for part in ("launcher", "sweeper"):
            mine, common = (OmegaConf.to_container(each.hydra[part], resolve=False) for each in (config, self._master))
            if mine != common:
                raise ConfigError(
                    f"{job} sets hydra.{part}, which one job of a sweep cannot: run each such experiment by a command "
                    f"of its own, or set hydra.{part} on the command line"
                )
