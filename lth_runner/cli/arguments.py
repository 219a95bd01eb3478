"""A command line that answers a mistake with one sentence."""

import argparse
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from lth_runner.cli.ending import MISUSED, stop


class Arguments(argparse.ArgumentParser):
    """argparse without the usage before every error, and with `--version`."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog)
        version = f"lth_runner {metadata.version('lth_runner')}"
        self.add_argument("--version", action="version", version=version, help="show it and stop")

    def error(self, message: str) -> NoReturn:
        stop(self.prog, f"{message}; {self.prog} --help lists everything", MISUSED)


def named_path(word: str) -> Path:
    """A path that was typed; `~` is the user's folder here where the shell has not seen it (`--to=~/net.pt`)."""
    if not word:
        raise argparse.ArgumentTypeError("its name is empty")
    try:
        return Path(word).expanduser()
    except RuntimeError:  # a user that is not known
        return Path(word)
