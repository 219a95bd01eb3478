"""The `lth-verify` command: draws a ticket's random network again, prunes it, and checks what its file claims."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.table import Table

from lth_runner.api import Loaded, claimed_dataset, load, retrain
from lth_runner.cli.arguments import Arguments, named_path
from lth_runner.cli.ending import WRONG, ending, stop
from lth_runner.config.build import build
from lth_runner.config.compose import choices, composed
from lth_runner.config.explain import unreadable
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.files import check_file
from lth_runner.data.interface import Dataset
from lth_runner.measure.layer_use import LayerUse, layer_uses, warning
from lth_runner.measure.verification import Finding, findings
from lth_runner.networks.interface import Architecture, num_parameters
from lth_runner.prune.retraining import check
from lth_runner.record.terminal import Terminal
from lth_runner.targets.checkpoint import matched
from lth_runner.targets.match import MisfitError
from lth_runner.targets.state_dict import read_state_dict
from lth_runner.ticket.materialise import materialise, original_architecture
from lth_runner.ticket.ticket import Ticket

REMEDY = "give --target the weights that the ticket was made from"
BYTES = 4  # of a weight of the target as float32


def main() -> None:
    """Runs `lth-verify`; the exit code is 0 only if every claim that could be checked holds."""
    terminal = Terminal()
    with ending("lth-verify", terminal):
        mismatch = verify(arguments(sys.argv[1:]), terminal)
    if mismatch:
        stop("lth-verify", mismatch, WRONG)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Arguments(
        prog="lth-verify",
        description="Draws a ticket's random network again, applies the masks, and checks every claim in the file. The "
        "dataset and its settings stand in the ticket.",
        epilog="example: lth-verify runs/theorem_1-bd50fbc8bf/ticket.safetensors --target fc.safetensors",
    )
    parser.add_argument("ticket", nargs="?", type=named_path, help="a ticket.safetensors of a run folder")
    parser.add_argument(
        "--target",
        type=named_path,
        metavar="FILE",
        help="the target's weights (.pt or .safetensors), for weight errors",
    )
    parser.add_argument("--data", metavar="NAME", help="another dataset than the ticket's, as in lth-run data=NAME")
    parser.add_argument(
        "--trust", metavar="PACKAGE", action="append", default=[], help="whose code may run to build the network"
    )
    parser.add_argument(
        "--retrain", action="store_true", help="train a winning ticket again, and compare its weights bit by bit"
    )
    parser.add_argument("setting", nargs="*", help="settings of the dataset, as in lth-run: data.root=FOLDER")
    asked = parser.parse_intermixed_args(words)
    if asked.ticket is None:  # argparse would name the settings among what is missing
        parser.error("name the ticket to check")
    return asked


def verify(asked: argparse.Namespace, terminal: Terminal) -> str | None:
    """Shows each claim beside what was found, up to the first that fails; that one as a sentence, or None.

    Raises:
        LthError: a file cannot be read, was altered, or does not fit the ticket.
    """
    _check_settings(asked.setting)
    path, ticket = asked.ticket, load(asked.ticket, trust=asked.trust).ticket
    if asked.retrain:
        check(ticket, asked.trust)
    weights = None
    if asked.target is not None:
        original = original_architecture(ticket)
        weights = _target(asked.target, original, terminal)
    terminal.say(_size(path, ticket))
    found: list[Finding] = []
    data, network = _dataset(ticket, asked, terminal), materialise(ticket, bars=terminal.progress)
    for finding in findings(network, weights, data):
        found.append(finding)
        if not finding.agrees:
            break
    terminal.show(_table(found))
    if all(finding.agrees for finding in found):
        uses = layer_uses(network, data)
        if uses:  # a network that holds codes has no layer with a mask
            terminal.show(_layers(uses))
        if said := warning(str(path), uses):
            terminal.say(said)
    unchecked = sorted({finding.needs for finding in found if finding.needs})
    if unchecked:
        terminal.say(f"not everything was checked: add {' and '.join(unchecked)}")
    last = found[-1] if found else None
    if last and not last.agrees:
        return f"{path} claims {last.claim} = {last.claimed!r} and {last.found!r} was found: it is not what it says"
    return _retrained(path, ticket, data, asked.trust, terminal) if asked.retrain else None


def _retrained(
    path: Path, ticket: Ticket, data: Dataset | None, trust: Sequence[str], terminal: Terminal
) -> str | None:
    """What another training of the ticket gives in place of its weights, as a sentence; None if the same."""
    again = retrain(Loaded(ticket), data=data, trust=trust)
    if again.differing:
        return (
            f"{again.differing:,} of {again.numbers:,} weights of {path} come out otherwise when it is trained again, "
            f"by {again.largest:.3g} at most: it was trained on another machine, or with other libraries, or is not "
            "what it says"
        )
    terminal.say(f"trained again: all {again.numbers:,} weights come out equal to the bit")
    return None


def _target(path: Path, original: Architecture, terminal: Terminal) -> dict[str, np.ndarray]:
    """The weights that the ticket approximates, under the names of its original network."""
    check_file(path, REMEDY)
    try:
        return matched(original, read_state_dict(str(path)), {}, str(path), terminal.say)
    except MisfitError as error:
        raise DataError(f"{error.fact}: {REMEDY}") from error


def _dataset(ticket: Ticket, asked: argparse.Namespace, terminal: Terminal) -> Dataset | None:
    """The dataset that was asked for, or else the ticket's own; None where accuracy is not claimed."""
    if asked.data is not None:
        checks.choice("--data", asked.data, choices("data"))
        config = composed([f"data={asked.data}", *asked.setting])
        return build(config["data"], "data").load(terminal.say)
    return claimed_dataset(ticket, dict(map(_setting, asked.setting)), asked.trust, terminal.say)


def _setting(word: str) -> tuple[str, Any]:
    key, _, value = word.partition("=")
    try:
        return key.removeprefix("data."), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(unreadable(word)) from error


def _check_settings(words: Sequence[str]) -> None:
    """Refuses words that are no settings of a dataset, before anything is read."""
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals and Path(word).exists():
            raise ConfigError(f"{word} is another file: check one ticket at a time")
        if not equals or not key.startswith("data."):
            raise ConfigError(f"{word} is no setting of the dataset: write it as data.root=FOLDER")


def _size(path: Path, ticket: Ticket) -> str:
    """The file's size beside the target's: what it would take to store the weights instead."""
    count, size, stored = num_parameters(original_architecture(ticket)), path.stat().st_size, ticket.stored()
    return (
        f"{path}: {size:,} bytes, {size / (BYTES * count):.2f} times the {BYTES * count:,} bytes of its target's "
        f"{count:,} weights in float32"
        + (f"; {stored:,} of its numbers are stored as they are, not random" if stored else "")
    )


def _table(found: list[Finding]) -> Table:
    table = Table()
    for heading in ("claim", "claimed", "found", ""):
        table.add_column(heading, justify="left" if heading in ("claim", "") else "right")
    for finding in found:
        verdict = f"needs {finding.needs}" if finding.needs else "holds" if finding.agrees else "DOES NOT HOLD"
        table.add_row(finding.claim, _text(finding.claimed), _text(finding.found), verdict)
    return table


def _layers(uses: list[LayerUse]) -> Table:
    """What each layer keeps, and how much of that lies on a path from an input to an output, where this is known."""
    table = Table()
    for heading in ("layer", "weights kept", "on a path"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for use in uses:
        table.add_row(use.name, f"{use.kept:,}", "not known" if use.on_path is None else f"{use.on_path:,}")
    return table


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.10g}"
