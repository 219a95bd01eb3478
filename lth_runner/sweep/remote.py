"""Jobs that submitit runs elsewhere: their logs, and when and how they ended."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lth_runner.core.errors import ConfigError

POLL_S = 5.0
LAST_LINES = 20  # of a log, in which Slurm says why it ended a job


def on_slurm(launcher: Mapping[str, Any]) -> bool:
    """Whether this launcher's jobs run in Slurm."""
    return str(launcher["_target_"]).endswith(".SlurmLauncher")


class Remote:
    """The jobs of one array, by their position in it.

    Args:
        sweep: folder of the sweep.
        launcher: its config.
    """

    def __init__(self, sweep: Path, launcher: Mapping[str, Any]) -> None:
        self._slurm = on_slurm(launcher)
        self._used = "hydra_submitit_launcher" in str(launcher["_target_"])
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
        job = self._jobs().get(position)
        return next(iter(sorted((self._folder / job.job_id).glob("*_log.out"))), None) if job else None

    def wait(self) -> None:
        """Returns once none of the jobs is waiting or running."""
        while self.under_way():
            time.sleep(POLL_S)
            self.refresh()

    def under_way(self) -> list[int]:
        """Positions of the jobs that are waiting or running."""
        return [position for position, job in self._jobs().items() if not job.done()]

    def refresh(self) -> None:
        """Asks the cluster how its jobs are; submitit by itself asks only once a minute, and learns from this."""
        for job in list(self._jobs().values())[:1]:  # one watcher is enough for all
            job.watcher.update()

    def ended(self, position: int) -> str | None:
        """What the cluster says of a job that did not come to its end: a word, and a line of its log."""
        job = self._jobs().get(position)
        if job is None:
            return None
        log = self.log(position)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:] if log else []
        return ": ".join([job.state, *[line.strip() for line in lines if "error:" in line][:1]])

    def stop_hint(self) -> str | None:
        """How to stop what goes on elsewhere after this process has been interrupted."""
        numbers = sorted({job.job_id.split("_")[0] for job in self._jobs().values() if not job.done()})
        return f"scancel {' '.join(numbers)} stops the jobs in Slurm" if numbers and self._slurm else None

    def _jobs(self) -> dict[int, Any]:
        """submitit's objects, found again by the folders it made: 12_0, 12_1 for an array, 12 for a single job."""
        if not self._used or not self._folder.is_dir():
            return {}
        from submitit import LocalJob, SlurmJob

        kind = SlurmJob if self._slurm else LocalJob
        names = [path.parent.name for path in self._folder.glob("*/*_submitted.pkl")]
        return {int(name.partition("_")[2] or 0): kind(folder=self._folder / "%j", job_id=name) for name in names}
