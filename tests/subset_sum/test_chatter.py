"""A solver's own lines are taken out of the standard output, and nothing else."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from lth_runner.subset_sum.chatter import dropped

C = ctypes.CDLL(None)
HIGHS = """
import numpy as np
from lth_runner.subset_sum.milp import Milp
rng = np.random.default_rng(0)
print("before")
values, targets = rng.uniform(-1, 1, (300, 10)), rng.normal(0, 0.1, 300)
values, targets = values[150:160], targets[150:160]
answer = Milp(mip_gap=0.01, time_limit=None).solve(values, targets, 0.01, "closest")
print("after", int((answer.status == 0).sum()))
"""


@pytest.mark.slow
def test_highs_is_silent() -> None:
    """Two of these ten instances make it print a line, which a pipe gets at the end of the program."""
    done = subprocess.run([sys.executable, "-c", HIGHS], capture_output=True, text=True, timeout=120, check=True)
    first, second = done.stdout.splitlines()
    assert first == "before" and second.startswith("after ") and done.stderr == ""


@pytest.mark.slow
def test_without_a_standard_output_it_solves_all_the_same() -> None:
    program = f"import os, sys\nos.close(1)\nsys.stdout = sys.stderr\n{HIGHS}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert "after" in done.stderr


def test_only_what_matches_is_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    """Of C's own printing and of Python's, of this thread and of others; a bar's line may stand before it."""
    C.puts(b"one")
    with dropped(rb"Noise::[^\n]*\n"):
        C.puts(b"Noise:: of a solver")
        C.puts(b"two")
        thread = threading.Thread(target=os.write, args=(1, b"\rbar 3/4 "))
        C.fflush(None)
        thread.start()
        thread.join()
        C.puts(b"Noise:: again")
    C.puts(b"three")
    C.fflush(None)
    assert capfd.readouterr().out == "one\ntwo\n\rbar 3/4 three\n"


def test_threads_take_turns(capfd: pytest.CaptureFixture[str]) -> None:
    def work(name: bytes) -> None:
        for _ in range(50):
            with dropped(rb"Noise[^\n]*\n"):
                os.write(1, b"Noise\n" + name + b"\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().out.splitlines()
    assert sorted(lines) == ["a"] * 50 + ["b"] * 50 + ["c"] * 50


def test_an_error_passes_and_what_was_said_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with dropped(rb"Noise[^\n]*\n"):
            os.write(1, b"said\nNoise\n")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert capfd.readouterr().out == "said\n"
