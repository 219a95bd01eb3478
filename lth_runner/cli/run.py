"""The `lth-run` command: Hydra in, exit code out, and every refusal as one sentence."""

import os
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from hydra_plugins.lth_runner import ResumableSweeper  # pyright: ignore[reportMissingImports] (mapped by pyproject.toml)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from lth_runner.config import schema
from lth_runner.config.build import settings
from lth_runner.core import checks
from lth_runner.core.errors import LthError
from lth_runner.record.terminal import Terminal

schema.register()
Plugins.instance().register(ResumableSweeper)  # Hydra's own search does not see packages installed as editable
CONFIGS = "lth_runner.configs"
INTERRUPTED = 130  # the exit code of a command that was stopped from the keyboard
OPEN = ("network.arguments.", "target.names.", "target.optimizer_arguments.")  # settings whose keys are the user's


def main() -> None:
    """Runs `lth-run`; with no arguments it prints the menu of experiments."""
    arguments = sys.argv[1:] = [opened(word) for word in sys.argv[1:]]
    if not arguments:
        sys.stdout.write(menu())
        return
    asked = os.environ.get("HYDRA_FULL_ERROR")
    wants_traceback = asked == "1" or "hydra.verbose=true" in arguments
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra must hand errors to us instead of printing them
    try:
        task()
    except KeyboardInterrupt:
        sys.stderr.write("lth-run: interrupted; the same command takes it up again\n")
        sys.exit(INTERRUPTED)
    except (Exception, RunError) as raised:
        error = raised.error if isinstance(raised, RunError) else raised
        if wants_traceback:
            raise error from None
        sys.exit(f"lth-run: {explain(error, arguments)}")
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked


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

        return run_job(settings(cfg), Path(hydra_config.sweep.dir), hydra_config.job.num)
    try:
        config = settings(cfg)
        from lth_runner.run import run  # torch is imported only when something runs

        run(config, Terminal(), Terminal())
    except Exception as error:
        raise RunError(error) from error


def opened(word: str) -> str:
    """An override of a key that belongs to somebody else's code, which no config file can list, as Hydra takes it."""
    return f"++{word}" if word.startswith(OPEN) else word


def menu() -> str:
    """The experiments, each with the first sentence of its file, and how to go on."""
    lines = ["lth-run experiment=NAME [key=value ...]", ""]
    for path in sorted(Path(str(resources.files(CONFIGS))).glob("experiment/*.yaml")):
        comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        about = next((line for line in comments if not line.startswith("@package")), "")
        lines.append(f"  {path.stem:<22} {about}")
    lines += [
        "",
        "lth-run --help lists every choice and setting; --cfg job shows a run's settings without running it.",
        "",
    ]
    return "\n".join(lines)


def explain(error: BaseException, arguments: list[str]) -> str:
    """One sentence for a person: what was refused and what to do."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, LthError):
            return str(cause)
    for cause in chain:
        if isinstance(cause, OverrideParseException):
            return _unreadable(str(cause.override))
        if isinstance(cause, MissingConfigException):
            return _unknown_choice(str(cause))
        if match := re.search(r"Could not override '([^']+)'", str(cause)):
            return unknown_key(match[1], _known_keys(arguments))
        if isinstance(cause, ConfigKeyError) and (match := re.search(r"Key '([^']+)' not in", str(cause))):
            return unknown_key(str(cause.full_key or match[1]), _known_keys([]))
        if isinstance(cause, ValidationError):
            return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    first = str(chain[-1]).strip().splitlines()
    what = f"{type(chain[-1]).__name__}: {first[0] if first else 'no message'}"
    if isinstance(error, HydraException | OmegaConfBaseException | ConfigCompositionException):
        return what
    return f"{what} (not foreseen; HYDRA_FULL_ERROR=1 shows where)"


def unknown_key(key: str, known: list[str]) -> str:
    """The refusal of a key that is not a setting, with the nearest one that is."""
    near = checks.nearest(key, known)
    if not near:  # the last part may be right in a neighbouring branch: method.epsilonn -> epsilon
        near = checks.nearest(key.rsplit(".", 1)[-1], known)
    return f"{key} is not a setting{near}; lth-run --cfg job lists them all"


def _known_keys(arguments: list[str]) -> list[str]:
    """Dotted keys of the config with the group choices among `arguments`, or of the plain root if those fail."""
    choices = [word for word in arguments if re.fullmatch(r"[\w/@.]+=[\w/]+", word) and "." not in word.split("=")[0]]
    for overrides in (choices, [word for word in choices if word.startswith("experiment=")], []):
        try:
            with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
                cfg = hydra.compose("config", overrides=overrides)
            return _dotted(OmegaConf.to_container(cfg, resolve=False))
        except HydraException:
            continue
    return []


def _dotted(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [name for key, value in node.items() for name in (prefix + str(key), *_dotted(value, f"{prefix}{key}."))]


def _unreadable(override: str) -> str:
    if re.fullmatch(r"\w+", override):
        return f"{override} is no override; an override reads key=value: lth-run experiment={override}"
    return f"{override!r} is no override; an override reads key=value, and a value with special signs needs quotes"


def _unknown_choice(message: str) -> str:
    words = re.findall(r"[\w./-]+", message.split("Available options", 1)[-1])[1:] if "Available" in message else []
    match = re.search(r"Could not find '([^']+)/([^'/]+)'", message)
    if not match:
        return message.splitlines()[0]
    group, option = match.groups()
    options = [word for word in words if word not in ("in", group)]
    more = "; more come with pip install 'lth_runner[cluster]'" if group == "hydra/launcher" else ""
    return (
        f"{group}={option} does not exist{checks.nearest(option, options)}; choose one of: {', '.join(options)}{more}"
    )


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
