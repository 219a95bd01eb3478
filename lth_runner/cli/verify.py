"""The `lth-verify` command: draws a ticket's random network again, prunes it, and checks what its file claims."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from rich.table import Table

from lth_runner.config import schema
from lth_runner.config.build import build, settings
from lth_runner.core.errors import LthError
from lth_runner.data.interface import Dataset
from lth_runner.measure.verification import Finding, findings, target_network
from lth_runner.networks.interface import parameter_shapes
from lth_runner.record.terminal import Terminal
from lth_runner.targets.checkpoint import matched
from lth_runner.targets.state_dict import read_state_dict
from lth_runner.ticket.file import read_ticket
from lth_runner.ticket.ticket import Ticket

BYTES = 4  # of a weight of the target as float32


def main() -> None:
    """Runs `lth-verify`; the exit code is 0 only if every claim that could be checked holds."""
    asked = arguments(sys.argv[1:])
    try:
        mismatch = verify(asked.ticket, asked.target, asked.data, asked.setting, Terminal())
    except KeyboardInterrupt:
        sys.exit("lth-verify: interrupted")
    except LthError as error:
        sys.exit(f"lth-verify: {error}")
    if mismatch:
        sys.exit(f"lth-verify: {mismatch}")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="lth-verify",
        description="Draws a ticket's random network again, applies the masks, and checks every claim in the file.",
        epilog="example: lth-verify runs/theorem_1-bd50fbc8bf/ticket.safetensors --data mnist --target fc.safetensors",
    )
    parser.add_argument("ticket", type=Path, help="a ticket.safetensors of a run folder")
    parser.add_argument(
        "--target", metavar="FILE", help="the target's weights (.pt or .safetensors), for weight errors"
    )
    parser.add_argument("--data", metavar="NAME", help="the dataset, as in lth-run data=NAME, for the accuracy")
    parser.add_argument("setting", nargs="*", help="settings of the dataset, as in lth-run: data.root=FOLDER")
    return parser.parse_intermixed_args(words)


def verify(path: Path, target: str | None, data: str | None, overrides: list[str], terminal: Terminal) -> str | None:
    """Shows each claim beside what was found, up to the first that fails; that one as a sentence, or None.

    Raises:
        LthError: a file cannot be read, was altered, or does not fit the ticket.
    """
    ticket, claims = read_ticket(path)
    weights = (
        None if target is None else matched(target_network(ticket), read_state_dict(target), {}, target, terminal.say)
    )
    dataset = None if data is None else _dataset(data, overrides, terminal)
    terminal.say(_size(path, ticket))
    found: list[Finding] = []
    for finding in findings(ticket, claims, weights, dataset):
        found.append(finding)
        if not finding.agrees:
            break
    terminal.show(_table(found))
    unchecked = sorted({finding.needs for finding in found if finding.needs})
    if unchecked:
        terminal.say(f"not everything was checked: add {' and '.join(unchecked)}")
    last = found[-1] if found else None
    if last and not last.agrees:
        return f"{path} claims {last.claim} = {last.claimed!r} and {last.found!r} was found: it is not what it says"
    return None


def _dataset(name: str, overrides: list[str], terminal: Terminal) -> Dataset:
    schema.register()
    with hydra.initialize_config_module("lth_runner.configs", version_base="1.3"):
        config: dict[str, Any] = settings(hydra.compose("config", overrides=[f"data={name}", *overrides]))
    return build(config["data"], "data").load(terminal.say)


def _size(path: Path, ticket: Ticket) -> str:
    """The file's size beside the target's: what it would take to store the weights instead."""
    count = sum(int(np.prod(shape)) for shape in parameter_shapes(target_network(ticket)).values())
    size = path.stat().st_size
    frozen = sum(array.size for array in ticket.frozen.values())
    return (
        f"{path}: {size:,} bytes, {size / (BYTES * count):.2f} times the {BYTES * count:,} bytes of its target's "
        f"{count:,} weights in float32"
        + (f"; {frozen:,} of its weights are trained, not random, and stored whole" if frozen else "")
    )


def _table(found: list[Finding]) -> Table:
    table = Table()
    for heading in ("claim", "claimed", "found", ""):
        table.add_column(heading, justify="left" if heading in ("claim", "") else "right")
    for finding in found:
        verdict = f"needs {finding.needs}" if finding.needs else "holds" if finding.agrees else "DOES NOT HOLD"
        table.add_row(finding.claim, _text(finding.claimed), _text(finding.found), verdict)
    return table


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.10g}"
