"""The `lth-run` command: Hydra in, exit code out, and every refusal as one sentence."""

import os
import sys
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from hydra_plugins.lth_runner import ResumableSweeper  # pyright: ignore[reportMissingImports] (mapped by pyproject.toml)
from omegaconf import DictConfig

from lth_runner.cli.ending import MISUSED, WRONG, ending, is_read, open_streams, stop
from lth_runner.cli.interruptible import interruptible
from lth_runner.config import schema
from lth_runner.config.build import settings
from lth_runner.config.environment import with_environment
from lth_runner.config.explain import CONFIGS, explain, is_misuse
from lth_runner.config.switched import switched
from lth_runner.forecast.header import parse
from lth_runner.record.terminal import Terminal

schema.register()
Plugins.instance().register(ResumableSweeper)  # Hydra's own search does not see packages installed as editable
PARTS = ("data", "network", "target", "method", "experiment")  # that a run can do without
METHOD = "method."
SWEEP = {"-m", "--multirun"}
OPEN = ("network.arguments.", "target.names.", "target.optimizer_arguments.")  # settings whose keys are the user's


def main() -> None:
    """Runs `lth-run`; asked for nothing, it prints the menu of experiments."""
    arguments = sys.argv[1:] = for_hydra(sys.argv[1:])
    asks_version = "--version" in arguments
    if asks_version or not set(arguments) - SWEEP:
        with ending("lth-run"):
            sys.stdout.write(f"lth_runner {metadata.version('lth_runner')}\n" if asks_version else menu())
        return
    open_streams()
    check_options(arguments)
    asked = os.environ.get("HYDRA_FULL_ERROR")
    wants_traceback = asked == "1" or "hydra.verbose=true" in arguments
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra must hand errors to us instead of printing them
    try:
        with interruptible("lth-run: interrupted; the same command takes it up again"):
            task()
    except (Exception, RunError) as raised:
        error = raised.error if isinstance(raised, RunError) else raised
        if wants_traceback:
            raise error from None
        if isinstance(error, BrokenPipeError) and not is_read("lth-run"):
            return
        stop("lth-run", explain(error, arguments), MISUSED if is_misuse(error) else WRONG)
    finally:
        is_read("lth-run")  # Hydra writes, too
        os.environ.pop("HYDRA_FULL_ERROR")
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked


def check_options(words: Sequence[str]) -> None:
    """Refuses options that Hydra does not have in one sentence, where it would print its usage first."""
    parser = get_args_parser()

    def error(message: str) -> NoReturn:
        stop("lth-run", f"{message}; lth-run --help lists every choice and setting", MISUSED)

    parser.error = error
    parser.parse_args(words)


class RunError(BaseException):
    """Carries the error of a run past Hydra, which prints a line of its own about any `Exception` of a job."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="config")
def task(cfg: DictConfig) -> None:
    """One job: Hydra calls it once, or once for each job of a sweep."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        from lth_runner.sweep.job import run_job

        return run_job(_settings(cfg), Path(hydra_config.sweep.dir), hydra_config.job.num)
    try:
        run_one(_settings(cfg), list(hydra_config.overrides.task), Terminal())
    except Exception as error:
        raise RunError(error) from error


def run_one(config: dict[str, Any], words: list[str], terminal: Terminal) -> None:
    """One run, or its plan; what it will take is said first."""
    from lth_runner.forecast.dry_run import Planned, plan_lines  # torch is imported only when something runs
    from lth_runner.forecast.times import announcement
    from lth_runner.run import run

    loader = GlobalHydra.instance().config_loader()
    if config["dry_run"]:
        for line in plan_lines([Planned(label="", words=words, config=config)], loader):
            terminal.say(line)
        return
    if line := announcement(config, words, loader):
        terminal.say(line)
    run(config, terminal, Terminal())


def _settings(cfg: DictConfig) -> dict[str, Any]:
    hydra_config = HydraConfig.get()
    words, root = list(hydra_config.overrides.task), str(hydra_config.job.config_name)
    return with_environment(settings(switched(GlobalHydra.instance().config_loader(), cfg, words, root)), words)


def for_hydra(words: Sequence[str]) -> list[str]:
    """The command line as Hydra takes it.

    A key that belongs to somebody else's code stands in no config file, and a part left out is a deletion there.
    """
    theirs = any(word.startswith(f"{METHOD}_target_=") for word in words)  # a method that needs no file
    return [_for_hydra(word, (*OPEN, METHOD) if theirs else OPEN) for word in words]


def _for_hydra(word: str, opened: tuple[str, ...]) -> str:
    part, _, value = word.partition("=")
    if value == "null" and part in PARTS:
        return f"~{part}"
    return f"++{word}" if word.startswith(opened) else word


def menu() -> str:
    """The experiments, each with the first sentence of its file, and how to go on."""
    lines = ["lth-run experiment=NAME [key=value ...]", ""]
    for path in sorted(Path(str(resources.files(CONFIGS))).glob("experiment/*.yaml")):
        lines.append(f"  {path.stem:<22} {parse(path.read_text(encoding='utf-8')).about}")
    lines += [
        "",
        "lth-run --help lists every choice and setting; --cfg job shows a run's settings without running it.",
        "",
    ]
    return "\n".join(lines)
