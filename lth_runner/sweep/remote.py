"""Jobs that submitit runs, in Slurm or beside this process: their logs, and when and how they ended."""

import os
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
    """The jobs of a sweep, by their position in it: of one array, or of one for each wave.

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
        jobs = self._jobs().items()
        return [position for position, job in jobs if not (job.done() if self._slurm else _has_ended(int(job.job_id)))]

    def refresh(self) -> None:
        """Asks the cluster how its jobs are; submitit by itself asks only once a minute, and learns from this.

        Of jobs beside this process there is nobody to ask.
        """
        for job in list(self._jobs().values())[:1] if self._slurm else []:  # one watcher is enough for all
            job.watcher.update()

    def ended(self, position: int) -> str | None:
        """What the cluster says of a job that did not come to its end: a word, and a line of its log."""
        job = self._jobs().get(position) if self._slurm else None
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
        """submitit's objects, found again by the folders it made.

        In Slurm 12_0, 12_1 for an array, 12 for a single job, and higher numbers for later arrays; beside this process
        the numbers of processes, which were started in the order of the jobs.
        """
        if not self._used or not self._folder.is_dir():
            return {}
        from submitit import LocalJob, SlurmJob

        made = [(path.stat().st_mtime_ns, path.parent.name) for path in self._folder.glob("*/*_submitted.pkl")]
        if not self._slurm:
            names = [name for _, name in sorted(made, key=lambda each: (each[0], int(each[1])))]
            return {i: LocalJob(folder=self._folder / "%j", job_id=name) for i, name in enumerate(names)}
        names = sorted((name for _, name in made), key=lambda name: [int(number) for number in name.split("_")])
        return {i: SlurmJob(folder=self._folder / "%j", job_id=name) for i, name in enumerate(names)}


def _has_ended(process: int) -> bool:
    """Whether a process that this one has started is over."""
    try:
        return os.waitpid(process, os.WNOHANG)[0] != 0
    except ChildProcessError:  # and somebody has noticed already
        return True
