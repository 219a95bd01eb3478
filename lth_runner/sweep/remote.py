"""Jobs that submitit runs elsewhere: their logs, and when and how they ended."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lth_runner.core.errors import ConfigError

POLL_S = 1.0


class Remote:
    """The jobs of one array, by their position in it.

    Args:
        sweep: folder of the sweep.
        launcher: its config.
    """

    def __init__(self, sweep: Path, launcher: Mapping[str, Any]) -> None:
        target = str(launcher["_target_"])
        self._slurm = target.endswith(".SlurmLauncher")
        self._used = "hydra_submitit_launcher" in target
        self._folder = sweep / ".submitit"

    def check(self) -> None:
        """Refuses a cluster on which a killed job would be waited for for ever.

        Raises:
            ConfigError: there is no Slurm, or none that keeps accounts.
        """
        if not self._slurm:
            return
        try:
            subprocess.run(["sbatch", "--version"], capture_output=True, check=True)
            subprocess.run(["sacct", "-n", "-X"], capture_output=True, check=True, timeout=60)
        except FileNotFoundError as error:
            raise ConfigError(
                f"hydra/launcher=slurm needs the commands of Slurm, and {error.filename} is not here: run it on a "
                "login node, or take hydra/launcher=joblib"
            ) from error
        except subprocess.SubprocessError as error:
            raise ConfigError(
                "hydra/launcher=slurm needs Slurm's accounting, without which a killed job looks like a running one, "
                "and sacct does not answer: ask for it, or take hydra/launcher=joblib"
            ) from error

    def log(self, position: int) -> Path | None:
        """Where the job's output is; None if it runs in this process or beside it."""
        found = sorted(self._folder.glob(f"*_{position}/*_log.out")) if self._used else []
        return found[-1] if found else None

    def wait(self) -> None:
        """Returns once none of the jobs is waiting or running."""
        jobs = self._jobs()
        while not all(job.done() for job in jobs):
            time.sleep(POLL_S)

    def ended(self, position: int) -> str | None:
        """What the cluster says of a job that did not come to its end."""
        jobs = [job for job in self._jobs() if job.job_id.endswith(f"_{position}")]
        return jobs[0].state if jobs else None

    def stop_hint(self) -> str | None:
        """How to stop what goes on elsewhere after this process has been interrupted."""
        numbers = sorted({job.job_id.split("_")[0] for job in self._jobs() if not job.done()})
        return f"scancel {' '.join(numbers)} stops the jobs in Slurm" if numbers and self._slurm else None

    def _jobs(self) -> list[Any]:
        if not self._used or not self._folder.is_dir():
            return []
        from submitit import LocalJob, SlurmJob

        kind = SlurmJob if self._slurm else LocalJob
        names = sorted(path.name for path in self._folder.iterdir() if path.is_dir())
        return [kind(folder=self._folder / "%j", job_id=name) for name in names]
