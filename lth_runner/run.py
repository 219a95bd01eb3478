"""The life of one run, from a config to a finished folder: the only reader of the config, the only builder of parts."""

import itertools
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lth_runner.config.build import build
from lth_runner.config.compose import load_data
from lth_runner.core import checks
from lth_runner.core.devices import device
from lth_runner.core.errors import ConfigError
from lth_runner.core.files import locked
from lth_runner.core.finished import LOCK, damaged_files, is_finished
from lth_runner.core.identity import identity
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.problem import NEEDS, Checked, Method, Problem, Share, check_fit, check_taken
from lth_runner.record.folder import RunFolder
from lth_runner.record.terminal import Terminal
from lth_runner.record.wandb import Wandb
from lth_runner.report.draw import draw
from lth_runner.report.points import FIGURES, POINTS, figures_json, points_csv
from lth_runner.report.tables import Results, read_results
from lth_runner.studies.part import PART, PartOfTicket, check_whole, in_parts
from lth_runner.study import Outcome, Study, Tries
from lth_runner.targets.interface import KeptInFile
from lth_runner.ticket.file import needed_trust, save_ticket
from lth_runner.ticket.part import save_part
from lth_runner.ticket.ticket import Ticket

TABLE, LOOKS = "table.csv", "table.json"


def run(config: dict[str, Any], terminal: Terminal, notices: Terminal) -> str | None:
    """Does what the config says, unless its folder says that it is done; gives the reason if there was nothing to do.

    A run that another process is working on is waited for, and then done already, or left by a crash and taken up.

    Args:
        config: of `settings`.
        terminal: where a person follows the run; its last line names the folder.
        notices: where a line says why nothing happens for a while; also where `terminal` is quiet.

    Raises:
        LthError: a setting is impossible, or a file or a device is missing. What can be seen before the target is
            trained is refused before the folder is made; of all else the folder's summary has the reason.
    """
    config = {**config, "device": device(config["device"])}
    path = place(config)
    if is_finished(path) and not config["rerun"]:
        return skip(path, terminal)
    study, methods, parts = build_study(config), build_methods(config), build_parts(config)
    study.check(methods)
    check_parts(methods, parts)
    made = made_before(config, study, methods, parts["network"])
    wandb = Wandb(**config["wandb"])
    said: list[str] = []  # before there is a log

    def say(line: str) -> None:
        said.append(line)
        terminal.say(line)

    data = load_parts(config, parts, say)
    if parts["network"] is not None:
        check_tries(study, methods, parts, data)

    def waiting(lock: str) -> None:
        notices.say(f"another process is working on {path}: waiting for it ({lock} is its lock)")

    with locked(path / LOCK, on_wait=waiting):
        if is_finished(path) and not config["rerun"]:  # it may have been finished meanwhile
            return skip(path, terminal)
        lost = damaged_files(path)
        with RunFolder(path, OmegaConf.to_yaml(config), terminal=terminal, wandb=wandb) as folder:
            folder.log(said)
            if lost:
                folder.say(f"this run was finished, but {', '.join(lost)} is gone or damaged: it is run again")
            problem = replace(build_problem(config, parts, data, folder), parts=made)
            outcome = study.run(problem, methods, folder)
            write(outcome, folder, config["ticket"]["coded"])
            show(path, terminal)
            if outcome.tickets:
                folder.say(f"check it: {verify_command(path, outcome.tickets, parts['target'], problem)}")
    return None


def place(config: dict[str, Any]) -> Path:
    """The folder of the run: its name, and a hash of all that can change its results.

    The device need not be there: a sweep is planned on machines that have none.

    Raises:
        LthError: no device of that name, or a file that the config names cannot be read.
    """
    asked = config["device"]
    checks.device("device", asked)
    resolved = {**config, "device": device(asked) if asked == "auto" else asked}
    return Path(config["runs_dir"]).expanduser() / f"{config['name']}-{identity(resolved)}"


def skip(path: Path, terminal: Terminal) -> str:
    """Shows a finished run's results instead of running it; gives the reason."""
    terminal.say("this run is finished, so it is not run again (rerun=true does)")
    show(path, terminal)
    terminal.say(f"run folder: {path}")
    return f"finished before: {path}"


def build_methods(config: dict[str, Any]) -> dict[str, Method]:
    """The methods of `compare` by their names, then the one of `method` by its file's name: always a row more."""
    recipes = dict(config["compare"])
    if config["method"] is not None:
        named = config["method"] if isinstance(config["method"], dict) else {}
        name = str(named.get("_target_", "method")).split(".")[-2:][0]
        recipes[unused(name, recipes)] = config["method"]
    return {
        name: build(recipe, f"compare.{name}" if name in config["compare"] else "method")
        for name, recipe in recipes.items()
    }


def unused(name: str, names: Collection[str]) -> str:
    """The name, or the first of name_2, name_3, ... that is none of `names`."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in names)


def build_study(config: dict[str, Any]) -> Study:
    """The study of the run; where it makes one part of a ticket, nothing but that."""
    if config["part"] is None:
        return build(config["study"], "study")
    return PartOfTicket(share=Share(index=config["part"], count=config["parts"]))


def build_parts(config: dict[str, Any]) -> dict[str, Any]:
    """Network, target and dataset as their classes have them, nothing read yet; what the config leaves out is None."""
    return {part: config[part] and build(config[part], part) for part in ("network", "target", "data")}


def check_parts(methods: dict[str, Method], parts: dict[str, Any]) -> None:
    """Refuses methods and targets that lack what they are for: a target to approximate, a network."""
    for name, method in methods.items():
        if method.needs_target and parts["target"] is None:
            raise ConfigError(f"{name} approximates a target network and there is none: add target=trained")
    for name in ("target", *methods):
        if parts["network"] is None and (name in methods or parts["target"] is not None):
            raise ConfigError(f"{name} needs {NEEDS['network']}")


def made_before(
    config: dict[str, Any], study: Study, methods: dict[str, Method], network: Architecture | None
) -> tuple[Path, ...]:
    """The files with parts of a ticket that this run goes on from: all of them, or those of the layers before its own.

    Raises:
        ConfigError: some are not there yet, or the ticket is none that parts make.
    """
    if config["parts"] is None or network is None:
        return ()
    stages = in_parts(methods).stages(network)
    if config["part"] is None:
        check_whole(study, methods, network)
        layers = range(stages)
    else:
        check_layer(config["layer"], stages)
        layers = range(config["layer"] or 0)
    found: list[Path] = []
    for layer in layers:
        own = {**config, "layer": layer if stages > 1 else None}
        folders = [place({**own, "part": part}) for part in range(config["parts"])]
        if lacking := [str(part) for part, folder in enumerate(folders) if not is_finished(folder)]:
            which = [f"layer={layer}"] if stages > 1 else []
            which = [f"parts={config['parts']}", *which, f"part={','.join(lacking)}"]
            raise ConfigError(
                f"{len(lacking)} of {len(folders)} parts are not there: run them first, -m {' '.join(which)}"
            )
        found += [folder / f"{PART}.safetensors" for folder in folders]
    return tuple(found)


def check_layer(layer: int | None, stages: int) -> None:
    """Refuses a part of no layer where layers wait for each other, and of one layer where they do not.

    Raises:
        ConfigError: it says what to set.
    """
    if stages == 1 and layer is not None:
        raise ConfigError("here no layer waits for another, so that a part has rows of all of them: leave layer out")
    if stages > 1 and (layer is None or layer >= stages):
        raise ConfigError(
            f"a part is of one of {stages} layers, each of which waits for those before it: set layer, in a sweep "
            f"'layer=range({stages})'"
        )


def load_parts(config: dict[str, Any], parts: dict[str, Any], say: Callable[[str], None]) -> Dataset | None:
    """The dataset, once it is clear that the network takes it.

    Args:
        say: takes a line of log.
    """
    data = parts["data"] and load_data(parts["data"], say).to(config["device"])
    if parts["network"] is not None and data is not None:
        check_fit(parts["network"], data)
    return data


def check_tries(study: Study, methods: dict[str, Method], parts: dict[str, Any], data: Dataset | None) -> None:
    """Refuses what target or methods would refuse at their work: what is refused leaves no folder behind."""
    network, target = parts["network"], parts["target"]
    if isinstance(target, Checked):
        target.check(network, data)
    tries = study.tried(methods, network) if isinstance(study, Tries) else ((m, network) for m in methods.values())
    for method, its in tries:
        if isinstance(method, Checked):
            method.check(its, data)
        check_taken(method, its, None if target is None else network)


def build_problem(config: dict[str, Any], parts: dict[str, Any], data: Dataset | None, folder: RunFolder) -> Problem:
    """What methods are given; a target that has to be trained is trained now."""
    streams, network, target = Streams(config["seed"]), parts["network"], parts["target"]
    weights = target and target.weights(network, data, streams, config["device"], folder)
    return Problem(network=network, target=weights, data=data, streams=streams, device=config["device"])


def write(outcome: Outcome, folder: RunFolder, coded: bool) -> None:
    """Puts tickets, table and points into the folder, each whole, and last draws the figures from there.

    What was computed is kept even where drawing fails.

    Args:
        coded: whether the tickets are written entropy-coded.
    """
    sizes = write_tickets(outcome.tickets, folder, coded)
    rows = [{"ticket_bytes": sizes.get(str(row.get("network"))), **row} for row in outcome.rows]
    table = Results(columns=outcome.columns, rows=rows)
    folder.write_text(TABLE, table.csv())
    folder.write_text(LOOKS, table.looks())
    folder.add_table("networks", list(table.shown()), table.cells())
    for name, text in outcome.texts.items():
        folder.write_text(name, text)
    for name, tensors in outcome.parts.items():
        save_part(tensors, folder.result(f"{name}.safetensors"))
    if outcome.figures:
        folder.write_text(POINTS, points_csv(outcome.points))
        folder.write_text(FIGURES, figures_json(outcome.figures))
    if outcome.figures:
        draw(folder.path)
    for name in outcome.figures:
        folder.add_figure(name, folder.path / f"{name}.png")
    folder.finish(**outcome.summary, **{f"{name}/ticket_bytes": size for name, size in sizes.items()})


def write_tickets(tickets: Mapping[str, Ticket], folder: RunFolder, coded: bool) -> dict[str, int]:
    """Puts the tickets into the folder, the first as `ticket.safetensors`; gives the bytes of each file."""
    sizes = {}
    for k, (name, ticket) in enumerate(tickets.items()):
        path = folder.result("ticket.safetensors" if k == 0 else f"ticket_{name}.safetensors")
        save_ticket(ticket, path, coded)
        sizes[name] = path.stat().st_size
        if packages := sorted(needed_trust(ticket)):
            consent = " ".join(f"--trust {package}" for package in packages)
            folder.say(f"{path.name} names code of {', '.join(packages)}: reading or verifying it needs {consent}")
    return sizes


def verify_command(path: Path, tickets: Mapping[str, Ticket], target: Any, problem: Problem) -> str:
    """The command that checks the run's first ticket, as it is typed in a shell."""
    words = ["lth-verify", str(path / "ticket.safetensors")]
    if isinstance(target, KeptInFile):
        file = target.file(problem.network, problem.data, problem.device) if problem.network else None
        words += ["--target", str(file)] if file is not None and file.exists() else []
    for package in sorted(needed_trust(next(iter(tickets.values())))):
        words += ["--trust", package]
    return shlex.join(words)


def show(path: Path, terminal: Terminal) -> None:
    """The table of a run folder and the paths of its figures, on the terminal."""
    looks = path / LOOKS
    table = read_results(
        (path / TABLE).read_text(encoding="utf-8"), looks.read_text(encoding="utf-8") if looks.exists() else None
    )
    terminal.show(table.terminal())
    for figure in sorted([*path.glob("*.png"), *path.glob("*.svg")]):
        terminal.say(f"figure: {figure}")
