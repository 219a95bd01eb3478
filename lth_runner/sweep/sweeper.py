"""A sweep from its command to its closing table: plan, skip what is finished, launch the rest, say how it ended."""

import sys
from collections import Counter
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.files import write_json
from lth_runner.record.terminal import Terminal, duration
from lth_runner.sweep.ledger import FAILED, OK, SKIPPED, STOPPED, ledger_of
from lth_runner.sweep.needs import needs, register_needs
from lth_runner.sweep.plan import Job, plan
from lth_runner.sweep.progress import KILLED, NOT_RUN, Progress, failures, log_of, outcome_of
from lth_runner.sweep.remote import Remote


class SweepFailedError(LthError):
    """Some jobs of a sweep did not finish; the message says how many."""


def sweep(context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]) -> None:
    """Runs every combination that is not finished yet.

    Raises:
        SweepFailedError: some jobs did not finish; all were tried.
        LthError: the launcher, or the sweep's folder, is refused.
    """
    terminal = Terminal()
    jobs = plan(context.config_loader, config, arguments)
    todo = [job for job in jobs if job.skip() is None]
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    remote = Remote(folder, config.hydra.launcher)
    terminal.say(f"{counted(len(jobs))}, {len(jobs) - len(todo)} finished before; sweep folder: {folder}")
    write_json(folder / "sweep.json", {"command": ["lth-run", *sys.argv[1:]], "launched": [job.varied for job in todo]})
    skipped = [(job.varied, why) for job in jobs if (why := job.skip()) is not None]
    progress = Progress(terminal, ledger_of(folder), [job.varied for job in todo], skipped, remote.refresh)
    try:
        with progress:
            trouble = _launch(context, task, config, todo, remote, terminal) if todo else None
    except (KeyboardInterrupt, SystemExit):  # the keyboard, or SIGTERM from who lends the machine
        _close(terminal, progress, len(skipped), todo, remote, stopped=True)
        raise
    if trouble is not None and not progress.entries:
        reason = " ".join(str(trouble).split()) or type(trouble).__name__
        raise SweepFailedError(f"no job could be started: {reason}") from trouble
    failed = _close(terminal, progress, len(skipped), todo, remote)
    if failed:
        raise SweepFailedError(f"{failed} of {counted(len(jobs))} did not finish; the same command runs those again")


def _launch(
    context: HydraContext, task: TaskFunction, config: DictConfig, todo: list[Job], remote: Remote, terminal: Terminal
) -> Exception | None:
    """Lets the launcher work; gives what it raised, which may be one job's death, once no job works any more."""
    remote.check()
    register_needs(needs(job.config for job in todo))
    try:
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
    except RuntimeError as error:
        raise ConfigError(
            f"hydra.launcher={config.hydra.launcher._target_} is not installed ({error}): "
            "pip install 'lth_runner[cluster]'"
        ) from error
    try:
        launcher.launch([job.overrides for job in todo], initial_job_idx=0)
    except KeyboardInterrupt:
        if hint := remote.stop_hint():
            terminal.say(hint)
        raise
    except Exception as error:
        remote.wait()
        return error
    return None


def _close(
    terminal: Terminal, progress: Progress, skipped: int, todo: list[Job], remote: Remote, stopped: bool = False
) -> int:
    """The closing table and the counts; gives the number of jobs that did not finish."""
    rows = []
    for number, job in enumerate(todo):
        entry = progress.entries.get(number)
        if entry is None or entry.status not in (OK, SKIPPED):
            status, why = outcome_of(entry, remote.ended(number), stopped)
            rows.append((job.varied, status, why, log_of(entry, remote.log(number))))
    if rows:
        terminal.show(failures(rows))
    total = skipped + len(todo)
    skipped += sum(entry.status == SKIPPED for entry in progress.entries.values())
    ended = Counter(status for _, status, _, _ in rows)
    failed = ended[FAILED] + ended[KILLED]
    counts = [f"{total - skipped - len(rows)} finished", f"{skipped} skipped", f"{failed} failed"]
    counts += [f"{ended[status]} {status}" for status in (STOPPED, NOT_RUN) if ended[status]]
    terminal.say(f"{counted(total)}: {', '.join(counts)}, in {duration(progress.elapsed())}")
    return len(rows)


def counted(jobs: int) -> str:
    return f"{jobs} job{'s' * (jobs != 1)}"
