"""A command line that answers a mistake with one sentence."""

import argparse
from importlib import metadata
from typing import NoReturn

MISUSED = 2  # the exit code of a command line that cannot be read


class Arguments(argparse.ArgumentParser):
    """argparse without the usage before every error, and with `--version`."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog)
        version = f"lth_runner {metadata.version('lth_runner')}"
        self.add_argument("--version", action="version", version=version, help="show it and stop")

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message}; {self.prog} --help lists everything\n")
