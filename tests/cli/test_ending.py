"""How commands end: one sentence and its exit code, whoever reads, and whatever names and streams they are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lth_runner.cli import ending as module
from lth_runner.cli.ending import MISUSED, WRONG, ending, stop
from lth_runner.core.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("n must be 1"), MISUSED),
        (DataError("it is damaged"), WRONG),
        (OSError(36, "File name too long", "xxx"), WRONG),
        (FileNotFoundError(2, "No such file or directory"), WRONG),  # of os.getcwd
    ],
)
def test_what_was_typed_and_what_was_found_differ_in_the_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, ending("lth-it"):
        raise error
    assert stopped.value.code == code
    said = capsys.readouterr().err
    assert said == f"{stopped.value}\n" and said.startswith("lth-it: ")


def test_names_with_line_ends_make_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stop("lth-it", "there is no\nfile", WRONG)
    assert capsys.readouterr().err == "lth-it: there is no file\n"


PROGRAM = """
import sys
from lth_runner.cli.ending import ending
from lth_runner.record.terminal import Terminal
terminal = Terminal()
with ending("lth-it", terminal):
    {lines}
    open({done!r}, "w").close()
"""


def lth_it(folder: Path, *lines: str, **streams: int | None) -> tuple[int, str, bool]:
    """Exit code, standard error, and whether the command came to its end."""
    done = folder / "done"
    program = PROGRAM.format(lines="\n    ".join(lines), done=str(done))
    shell = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams}
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False, text=True, **shell)
    return ended.returncode, ended.stderr or "", done.exists()


def broken_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


SAY = 'terminal.say("a"); terminal.write("b\\n")'


@pytest.mark.slow
def test_who_has_seen_enough_stops_no_command(tmp_path: Path) -> None:
    """As in `lth-run ... | head -1`: what is to be written is written, and nothing complains."""
    assert lth_it(tmp_path, SAY, 'sys.stdout.write("x")', stdout=broken_pipe()) == (0, "", True)


@pytest.mark.slow
def test_a_full_disk_behind_standard_output_is_said_once_and_stops_no_command(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        code, said, done = lth_it(tmp_path, SAY, SAY, stdout=full.fileno())
    assert (code, done) == (WRONG, True)
    assert said == "standard output cannot be written (No space left on device): nothing more is shown\n"


@pytest.mark.slow
def test_closed_streams_are_no_trouble(tmp_path: Path) -> None:
    program = PROGRAM.format(lines="terminal.say(sys.stdin.read())", done=str(tmp_path / "done"))
    command = 'exec "$0" -c "$1" <&- >&- 2>&-'
    ended = subprocess.run(["sh", "-c", command, sys.executable, program], check=False)
    assert (ended.returncode, (tmp_path / "done").exists()) == (0, True)


@pytest.mark.slow
def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        found = lth_it(tmp_path, r'terminal.say("caf\udce9")', stdout=out.fileno())
    assert found == (0, "", True)
    assert (tmp_path / "out").read_text() == "caf\\udce9\n"


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["--version"], ["--help"], ["experiment=smoke", "--cfg", "job"]])
def test_help_may_be_read_in_part(command: list[str], unbuffered: str) -> None:
    """As in `lth-run --help | head -1`, in a container that sets PYTHONUNBUFFERED, too."""
    program = "from lth_runner.cli.run import main; main()"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    ended = subprocess.run(
        [sys.executable, "-c", program, *command],
        env=environment,
        check=False,
        text=True,
        stdout=broken_pipe(),
        stderr=subprocess.PIPE,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_pipe_that_nobody_reads_is_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(broken_pipe(), "w") as stream:
        stream.write("held back")
        monkeypatch.setattr(sys, "stdout", stream)
        assert not module.is_read("lth-it")
        assert module.is_read("lth-it"), "what is left goes nowhere"
