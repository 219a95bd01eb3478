"""A sweep from its command to its closing table: plan, skip what is finished, launch the rest, say how it ended.

A sweep that was detached is launched by one command and closed by a later one.
"""

import sys
from collections import Counter
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.finished import is_finished
from lth_runner.forecast.dry_run import Planned, plan_lines, time_line
from lth_runner.record.terminal import Terminal, duration
from lth_runner.sweep.detached import Detached, detached_sweeps, note, submit, take_detach
from lth_runner.sweep.ledger import FAILED, OK, SKIPPED, STOPPED, ledger_of
from lth_runner.sweep.needs import needs, register_needs
from lth_runner.sweep.plan import Job, plan, waves
from lth_runner.sweep.progress import KILLED, NOT_RUN, Progress, failures, log_of, outcome_of
from lth_runner.sweep.remote import Remote, on_slurm


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
    if any(job.config["dry_run"] for job in jobs):
        for line in plan_lines([_planned(job) for job in jobs], context.config_loader):
            terminal.say(line)
        return
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    detach = take_detach(config)
    failed = total = 0
    for earlier in detached_sweeps(folder.parent) if on_slurm(config.hydra.launcher) else []:
        if any(earlier.has(job.folder) for job in jobs):
            failed += _collect(earlier, Remote(earlier.folder, config.hydra.launcher), terminal, wait=not detach)
            total += len(earlier.launched)
            jobs = [job for job in jobs if not earlier.has(job.folder)]
    if jobs:
        failed += _run(context, task, config, jobs, terminal, detach)
    if failed:
        raise SweepFailedError(
            f"{failed} of {counted(total + len(jobs))} did not finish; the same command runs those again"
        )


def _run(
    context: HydraContext, task: TaskFunction, config: DictConfig, jobs: list[Job], terminal: Terminal, detach: bool
) -> int:
    """Launches the jobs that are not finished; gives the number of those that then did not finish either."""
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    reasons = [(job, job.skip()) for wave in waves(jobs) for job in wave]
    todo = [job for job, why in reasons if why is None]
    skipped = [(job.varied, why) for job, why in reasons if why is not None]
    launched = [job.varied for job in todo]
    remote = Remote(folder, config.hydra.launcher)
    terminal.say(f"{counted(len(jobs))}, {len(skipped)} finished before; sweep folder: {folder}")
    if line := time_line([_planned(job) for job in todo], context.config_loader):
        terminal.say(line)
    this = note(folder, ["lth-run", *sys.argv[1:]], launched, [job.folder for job in todo], detach and bool(todo))
    progress = Progress(terminal, ledger_of(folder), launched, skipped, remote.refresh)
    try:
        with progress:
            trouble = _launch(context, task, config, todo, remote, terminal, detach) if todo else None
    except (KeyboardInterrupt, SystemExit):  # the keyboard, or SIGTERM from who lends the machine
        _close(terminal, progress, len(skipped), launched, remote, stopped=True)
        raise
    if trouble is not None and not progress.entries:
        this.close()
        reason = " ".join(str(trouble).split()) or type(trouble).__name__
        raise SweepFailedError(f"no job could be started: {reason}") from trouble
    if detach and todo:
        terminal.say(f"{counted(len(todo))} handed to Slurm; {_later(remote)}")
        return 0
    return _close(terminal, progress, len(skipped), launched, remote)


def _collect(earlier: Detached, remote: Remote, terminal: Terminal, wait: bool) -> int:
    """Says how far a detached sweep is; once none of its jobs is left, closes it and gives how many did not finish."""
    remote.check()
    terminal.say(f"{counted(len(earlier.launched))} handed to Slurm before; sweep folder: {earlier.folder}")
    with Progress(terminal, ledger_of(earlier.folder), earlier.launched, [], remote.refresh) as progress:
        if wait:
            remote.wait()
        left = remote.under_way()
    if left:
        terminal.say(f"{counted(len(left))} waiting or running; {_later(remote)}")
        return 0
    earlier.close()
    return _close(terminal, progress, 0, earlier.launched, remote)


def _planned(job: Job) -> Planned:
    return Planned(label=job.varied, words=job.overrides, config=job.config)


def _later(remote: Remote) -> str:
    return "; ".join(["the same command says how far they are", *([hint] if (hint := remote.stop_hint()) else [])])


def _launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    todo: list[Job],
    remote: Remote,
    terminal: Terminal,
    detach: bool,
) -> Exception | None:
    """Lets the launcher work; gives what it raised, which may be one job's death, once no job works any more.

    A wave is launched once all jobs of the wave before have ended well. With `detach` all are only handed over, to a
    cluster that lets each wave wait.

    Args:
        todo: wave after wave.
    """
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
        if detach:
            submit(launcher, [[job.overrides for job in wave] for wave in waves(todo)])
            return None
        started = 0
        for wave in waves(todo):
            launcher.launch([job.overrides for job in wave], initial_job_idx=started)
            started += len(wave)
            if started < len(todo) and any(job.folder is None or not is_finished(job.folder) for job in wave):
                break  # what comes after could not go on from them
    except KeyboardInterrupt:
        if hint := remote.stop_hint():
            terminal.say(hint)
        raise
    except Exception as error:
        remote.wait()
        return error
    return None


def _close(
    terminal: Terminal,
    progress: Progress,
    skipped: int,
    launched: list[str],
    remote: Remote,
    stopped: bool = False,
) -> int:
    """The closing table and the counts; gives the number of jobs that did not finish."""
    rows = []
    for number, varied in enumerate(launched):
        entry = progress.entries.get(number)
        if entry is None or entry.status not in (OK, SKIPPED):
            status, why = outcome_of(entry, remote.ended(number), stopped)
            rows.append((varied, status, why, log_of(entry, remote.log(number))))
    if rows:
        terminal.show(failures(rows))
    total = skipped + len(launched)
    skipped += sum(entry.status == SKIPPED for entry in progress.entries.values())
    ended = Counter(status for _, status, _, _ in rows)
    failed = ended[FAILED] + ended[KILLED]
    counts = [f"{total - skipped - len(rows)} finished", f"{skipped} skipped", f"{failed} failed"]
    counts += [f"{ended[status]} {status}" for status in (STOPPED, NOT_RUN) if ended[status]]
    terminal.say(f"{counted(total)}: {', '.join(counts)}, in {duration(progress.elapsed())}")
    return len(rows)


def counted(jobs: int) -> str:
    return f"{jobs} job{'s' * (jobs != 1)}"
