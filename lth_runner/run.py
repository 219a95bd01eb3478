"""The life of one run, from a config to a finished folder: the only reader of the config, the only builder of parts."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lth_runner.build import build, settings
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.identity import identity
from lth_runner.core.interfaces import Method, Problem
from lth_runner.core.streams import Streams
from lth_runner.core.ticket_file import save_ticket
from lth_runner.record.folder import RunFolder, is_finished
from lth_runner.record.terminal import Terminal
from lth_runner.record.wandb import Wandb
from lth_runner.report.plots import save_figure
from lth_runner.report.tables import TICKET_COLUMNS, cells, read_ticket_csv, ticket_csv, ticket_terminal
from lth_runner.studies.interface import Outcome

TABLE = "table.csv"


def run(cfg: DictConfig) -> None:
    """Does what the config says, unless its folder says that it is done; ends by naming the folder.

    Raises:
        LthError: a setting is impossible, or the world refused; the folder's summary then says failed, and why.
    """
    config = settings(cfg)
    config["device"] = device(config["device"])
    terminal = Terminal()
    path = Path(config["runs_dir"]).expanduser() / f"{config['name']}-{identity(config)}"
    if is_finished(path) and not config["rerun"]:
        terminal.say("this run is finished, so it is not run again (rerun=true does)")
        show(path, terminal)
        terminal.say(f"run folder: {path}")
        return
    study, methods = build(config["study"], "study"), build_methods(config)
    wandb = Wandb(**config["wandb"])
    with RunFolder(path, OmegaConf.to_yaml(config), terminal=terminal, wandb=wandb) as folder:
        outcome = study.run(pose(config, methods, folder), methods, folder)
        write(outcome, folder)
        show(path, terminal)


def device(asked: str) -> str:
    """cpu or cuda, whichever was asked for or, with auto, whichever is there."""
    checks.choice("device", asked, ("auto", "cpu", "cuda"))
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError("device=cuda was asked for and no CUDA device is there: use device=cpu")
    return "cuda" if there and asked != "cpu" else "cpu"


def build_methods(config: dict[str, Any]) -> dict[str, Method]:
    """The methods of `compare` by their names, then the one of `method` by its file's name."""
    recipes = dict(config["compare"])
    if config["method"] is not None:
        recipes[str(config["method"].get("_target_", "method")).split(".")[-2:][0]] = config["method"]
    return {
        name: build(recipe, f"compare.{name}" if name in config["compare"] else "method")
        for name, recipe in recipes.items()
    }


def pose(config: dict[str, Any], methods: dict[str, Method], folder: RunFolder) -> Problem:
    """Data, network and target weights, in that order; what the config leaves out stays None."""
    streams = Streams(config["seed"])
    network = config["network"] and build(config["network"], "network")
    target = config["target"] and build(config["target"], "target")
    for name, method in methods.items():
        if method.needs_target and target is None:
            raise ConfigError(f"{name} approximates a target network and there is none: add target=trained")
    data = config["data"] and build(config["data"], "data").load(folder.say).to(config["device"])
    if data is not None and network is not None:
        _check_fit(network, data.test_images[:1])
    weights = target and target.weights(network, data, streams, config["device"], folder)
    return Problem(network=network, target=weights, data=data, streams=streams, device=config["device"])


def write(outcome: Outcome, folder: RunFolder) -> None:
    """Puts table, figures, tickets and summary into the folder, each whole."""
    folder.write_text(TABLE, ticket_csv(outcome.rows))
    folder.add_table("networks", list(TICKET_COLUMNS), cells(outcome.rows))
    for name, figure in outcome.figures.items():
        png, _ = save_figure(figure, folder.path / name)
        folder.add_figure(name, png)
    for k, (name, (ticket, claims)) in enumerate(outcome.tickets.items()):
        save_ticket(ticket, folder.path / ("ticket.safetensors" if k == 0 else f"ticket_{name}.safetensors"), claims)
    folder.finish(**outcome.summary)


def show(path: Path, terminal: Terminal) -> None:
    """The table of a run folder and the paths of its figures, on the terminal."""
    terminal.show(ticket_terminal(read_ticket_csv((path / TABLE).read_text())))
    for figure in sorted([*path.glob("*.png"), *path.glob("*.svg")]):
        terminal.say(f"figure: {figure}")


def _check_fit(network: Any, image: torch.Tensor) -> None:
    try:
        network.module().to(image.device)(image)
    except RuntimeError as error:
        raise ConfigError(
            f"the network does not take images of shape {tuple(image.shape[1:])}: "
            f"set network.inputs={image[0].numel()}, or choose another network"
        ) from error
