"""One job of a sweep, in the process that the launcher gave it."""

from pathlib import Path
from typing import Any

from lth_runner.record.terminal import Terminal
from lth_runner.run import run
from lth_runner.sweep.ledger import Report, ledger_of
from lth_runner.sweep.plan import folder_of
from lth_runner.sweep.time_limit import on_cluster, time_limit


def run_job(config: dict[str, Any], sweep: Path, number: int) -> None:
    """Runs the job and reports to the sweep's ledger; its runs share one group in W&B, and each has an id of its own.

    Its terminal is quiet, because jobs share one with each other, except where its output goes to a log of its own.

    Raises:
        Exception: whatever the run raises; the ledger says so, too.
        Requeued: the job's time is up and the cluster starts it again, which goes on from its checkpoint.
    """
    group = config["wandb"]["group"] or sweep.name
    config = {**config, "wandb": {**config["wandb"], "group": group, "id": None}}  # an id would be that of all jobs
    with Report(ledger_of(sweep), number) as report, time_limit():
        report.started(folder_of(config))
        skipped = run(config, Terminal(quiet=not on_cluster()), Terminal())
        if skipped:
            report.skipped(skipped)
