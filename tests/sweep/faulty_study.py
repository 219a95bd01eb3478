"""A study of somebody else's, in which jobs meet with what happens to jobs. FAULTS=no lets them all end well."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import torch

from lth_runner.core.recorder import Recorder
from lth_runner.problem import Method, Problem
from lth_runner.study import Outcome


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Ends as `fate` says: memory takes more than 1 GB, kill and interrupt send its own process a signal."""

    fate: str
    number: int
    seconds: float

    def check(self, methods: Mapping[str, Method]) -> None:
        del methods

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        time.sleep(self.seconds)
        if os.environ.get("FAULTS") != "no":
            FATES[self.fate]()
        threads: dict[str, Any] = {"torch_threads": torch.get_num_threads(), "numba_threads": numba.get_num_threads()}
        return Outcome(rows=[], summary={"number": self.number, **threads})


def _raise() -> None:
    raise ZeroDivisionError("a job's own error")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def _stuck() -> None:
    """Works for a minute, and for another to tidy up once it is interrupted."""
    try:
        _say("at work")
        time.sleep(60)
    finally:
        _say("tidying up")
        time.sleep(60)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _memory() -> None:
    """Takes 3 GB and waits to be stopped for it: no more, because other processes need memory, too."""
    held = bytearray(b"x") * (3 * 2**30)
    time.sleep(30)
    raise AssertionError(f"nobody minded that a job of 1 GB took {len(held)} bytes")


FATES = {"well": int, "raise": _raise, "kill": _kill, "memory": _memory, "interrupt": _interrupt, "stuck": _stuck}
