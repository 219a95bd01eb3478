"""The `lth-runs` command: the runs of a folder, a line each; and those to be removed, once somebody has agreed."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from lth_runner.cli.arguments import Arguments
from lth_runner.cli.ending import ending
from lth_runner.core.errors import ConfigError, RunBusyError
from lth_runner.core.files import locked, refusals
from lth_runner.core.finished import LOCK, SUMMARY
from lth_runner.record.terminal import Terminal
from lth_runner.report.listing import KILLED, STATUS, Entry, age, chosen, entries, flat, numbers
from lth_runner.report.read import read_runs
from lth_runner.report.settings import settings_text
from lth_runner.report.tables import csv_text

REMOVE = "rm"
DEFAULT = "runs"
HEADINGS = {"name": 8, "varies": 10, "status": 7, "results": 12, "age": 6, "folder": 16}  # least widths, in characters
LEAST_WIDTH = 72  # of a table; a narrower terminal gets a list
WIDEST = 60  # characters that a column of plain lines is padded to
OURS = re.compile(r".+-[0-9a-f]{10}")  # how lth-run names the folder of a run
NEEDED = (SUMMARY, "config.yaml")  # in every such folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the arguments of the command line, or those given."""
    terminal = Terminal()
    with ending("lth-runs", terminal):
        runs(_parser().parse_intermixed_args(arguments), terminal)


def runs(asked: argparse.Namespace, terminal: Terminal) -> None:
    """Lists runs, or lists and removes them.

    Raises:
        LthError: there is no such folder, a word is no filter, or nobody agrees to a removal.
    """
    remove = asked.words[:1] == [REMOVE]
    words = asked.words[1:] if remove else asked.words
    filters = [word for word in words if "=" in word and not Path(word).exists()]
    folders = [word for word in words if word not in filters]
    if "" in words:
        raise ConfigError("a word is empty: name a folder, or a filter as status=failed")
    if (asked.csv and remove) or (asked.yes and not remove):
        raise ConfigError("--csv lists runs and --yes removes them: give --csv without rm, or --yes with it")
    if remove and not filters:
        raise ConfigError("say which runs to remove, as in lth-runs rm status=failed; without rm they are listed only")
    found = chosen(entries(read_runs(folders or [DEFAULT])), filters)
    if asked.csv:
        terminal.write(csv_text(*flat(found)))
        return
    show(found, terminal)
    if remove and found:
        agree(len(found), asked.yes, terminal)
        terminal.say(removed(found, STATUS in [word.partition("=")[0] for word in filters], terminal.say))


def show(found: Sequence[Entry], terminal: Terminal) -> None:
    """A table on a terminal, which has room for the names of folders; elsewhere plain lines, one for each run."""
    now, on_terminal = datetime.now(UTC), terminal.console.is_terminal
    rows = [
        [
            entry.name,
            settings_text(entry.varies),
            entry.status,
            numbers(entry),
            age(entry, now),
            entry.folder.name if on_terminal else _path(entry.folder),
        ]
        for entry in found
    ]
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]  # a name may have line ends
    if not rows:
        terminal.say("no runs")
    elif on_terminal:
        terminal.show(_table(rows))
    else:
        widths = [min(WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
        for row in rows:
            terminal.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, min_width=LEAST_WIDTH)
    for heading, least in HEADINGS.items():
        table.add_column(heading, overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def agree(count: int, yes: bool, terminal: Terminal) -> None:
    """Goes on only if somebody at a terminal, or `--yes`, says so.

    Raises:
        ConfigError: nobody does.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("removing runs asks first, and there is no terminal to ask on: add --yes")
    terminal.write(f"remove {_counted(count)} for good? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was removed")


def removed(found: Sequence[Entry], killed: bool, say: Callable[[str], object]) -> str:
    """Removes runs, saying which are left alone; gives how many are gone.

    Args:
        killed: remove also those that say they are running while nobody here works on them: perhaps another machine
            does, whose locks cannot be seen.
    """
    gone = 0
    for entry in found:
        reason = "it may be running on another machine: filter by status=killed" if entry.status == KILLED else None
        reason = (None if killed else reason) or remove(entry.folder)
        gone += reason is None
        if reason:
            say(f"left alone: {_path(entry.folder)}: {reason}")
    return f"removed {_counted(gone)}"


def remove(folder: Path) -> str | None:
    """Removes a run folder; gives why it is left alone, where it is.

    Its summary goes last: what is interrupted can be taken up.

    Raises:
        DataError: the file system refuses.
    """
    if not OURS.fullmatch(folder.name) or folder.is_symlink() or not all((folder / name).is_file() for name in NEEDED):
        return "it is no folder that lth-run made"
    if any(path.parent != folder for path in folder.rglob(SUMMARY)):
        return "there are other runs inside it"
    try:
        with locked(folder / LOCK), refusals(folder):
            last = [folder / SUMMARY, folder / LOCK]
            for path in [*(path for path in folder.iterdir() if path not in last), *last]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            folder.rmdir()
    except RunBusyError:
        return "a process is working on it"
    return None


def _path(folder: Path) -> str:
    return min(str(folder), os.path.relpath(folder), key=len)


def _counted(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def _parser() -> Arguments:
    parser = Arguments(
        prog="lth-runs",
        description="Lists runs, a line for each, the youngest last: what varies between those of one experiment, how "
        "they ended, and their accuracies. With rm, lists and removes them, after asking.",
        epilog="examples: lth-runs status=failed method=pensia; lth-runs old seed=0,1 network.hidden=100 --csv; "
        "lth-runs rm status=failed,killed,damaged",
    )
    parser.usage = "lth-runs [FOLDER ...] [FILTER ...] [--csv]\n       lth-runs rm [FOLDER ...] FILTER ... [--yes]"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help=f"folders that hold runs at any depth, {DEFAULT} if none is named; and filters: status=, name=, method=, "
        "or a setting as in lth-run, several values with commas",
    )
    parser.add_argument("--csv", action="store_true", help="every setting that varies and every number, as CSV")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    return parser
