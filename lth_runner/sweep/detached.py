"""Sweeps that were handed to a cluster and left alone: how they are handed over, and found again."""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from lth_runner.core import checks
from lth_runner.core.files import write_json

FILE = "sweep.json"  # what a sweep's folder says of it


@dataclass(frozen=True, kw_only=True)
class Detached:
    """A sweep whose end nobody has seen.

    Attributes:
        folder: of the sweep.
        launched: what tells each of its jobs from the others, by number.
        runs: their run folders, absolute.
    """

    folder: Path
    launched: list[str]
    runs: list[str]

    def has(self, run: Path | None) -> bool:
        """Whether this run is one of its jobs."""
        return run is not None and str(run.absolute()) in self.runs

    def close(self) -> None:
        """Notes that its end was seen."""
        path = self.folder / FILE
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"detached": False})


def take_detach(config: DictConfig) -> bool:
    """Whether `hydra.launcher.detach` is set; the key is taken out, since Hydra's launcher does not know it.

    Raises:
        ConfigError: its value is neither true nor false.
    """
    if "detach" not in config.hydra.launcher:
        return False
    with open_dict(config):
        detach = config.hydra.launcher.pop("detach")
    checks.boolean("hydra.launcher.detach", detach)
    return detach


def note(
    folder: Path, command: Sequence[str], launched: Sequence[str], runs: Iterable[Path | None], detached: bool
) -> Detached:
    """Writes what is launched into the sweep's folder."""
    this = Detached(
        folder=folder, launched=list(launched), runs=["" if run is None else str(run.absolute()) for run in runs]
    )
    content = {"command": list(command), "launched": this.launched, "runs": this.runs, "detached": detached}
    write_json(folder / FILE, content)
    return this


def detached_sweeps(sweeps: Path) -> list[Detached]:
    """Those in a folder of sweeps, oldest first; damaged files are none."""
    found = []
    for path in sorted(sweeps.glob(f"*/{FILE}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("detached") is True:
            found.append(Detached(folder=path.parent, launched=content["launched"], runs=content["runs"]))
    return found


def submit(launcher: Any, waves: Sequence[Sequence[Sequence[str]]]) -> None:
    """Hands the jobs over as one array for each wave, as `launcher.launch` does, which then would wait for results.

    A wave begins when all jobs of the wave before have ended, however: those that lack something say so and end.

    Args:
        launcher: Hydra's SlurmLauncher; it is what runs in each job.
        waves: overrides of each job.
    """
    from hydra.core.singleton import Singleton
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit import AutoExecutor

    settings = dict(launcher.params)
    folder, limits = settings.pop("submitit_folder"), settings.pop("max_num_timeout")
    executor = AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=limits)
    common = BaseQueueConf.__dataclass_fields__
    executor.update_parameters(**{key if key in common else f"slurm_{key}": value for key, value in settings.items()})
    state, number = Singleton.get_state(), itertools.count()
    for jobs in waves:
        numbered = [(list(words), next(number)) for words in jobs]
        calls = [(words, "hydra.sweep.dir", i, f"job_id_for_{i}", state) for words, i in numbered]
        handed = executor.map_array(launcher, *zip(*calls, strict=True))
        array = handed[0].job_id.partition("_")[0]
        others = {**settings.get("additional_parameters", {}), "dependency": f"afterany:{array}"}
        executor.update_parameters(slurm_additional_parameters=others)
