"""Bars on a terminal, plain lines elsewhere, nothing when quiet."""

import io
import itertools
import re

import pytest
from rich.table import Table

from lth_runner.record import terminal as module
from lth_runner.record.terminal import Terminal, duration


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_lines_at_the_start_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 2.0)  # each look at the clock is two seconds later
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with Terminal(file=out).progress("solving", 8) as bar:
        for i in range(8):
            bar.advance(1, note=f"layer {i}")
    assert out.getvalue().splitlines() == [
        "solving: 8 to do",
        "solving: 3/8, 6.0 s elapsed, 10 s left, layer 2",
        "solving: 6/8, 12 s elapsed, 4.0 s left, layer 5",
        "solving: 8/8 in 18 s, layer 7",
    ]


def test_bars_that_follow_each_other_are_not_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve of a hundred points, a bar of a second each: a line every five seconds or so."""
    clock = itertools.count(0.0, 0.5)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    terminal = Terminal(file=out)
    for point in range(100):
        with terminal.progress(f"point {point}", 1) as bar:
            bar.advance(1)
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["point 0: 1 to do", "point 4: 1 to do", "point 8: 1 to do"]
    assert 20 <= len(lines) <= 30


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_no_number_of_a_bar_is_cut_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = Tty()
    terminal = Terminal(file=out)
    with terminal.progress("closest sums, n = 21", 1_234_567) as bar:
        bar.advance(123_456, note="layer fc1")
    with terminal.progress("scores", 8) as bar:
        bar.advance(3, note="test accuracy 0.9719")
    text = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", out.getvalue())
    assert max(map(len, re.split(r"[\r\n]+", text))) <= width
    words = text.split()
    for number in ("123456/1234567", "21", "3/8", "0.9719", "0:00:00", "fc1"):
        assert number in words, text
    assert ("━" in text) == (width >= 80)


NUMBERS = ["97.19 %", "21.00x", "123,456,789", "1.8e-06", "3.05 s"]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
def test_no_number_is_cut_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table = Table(title="[b]numbers", caption="all of them")
    for heading in ("network", *(f"a long heading {number}" for number in range(len(NUMBERS)))):
        table.add_column(heading, justify="right")
    table.add_row("closest [x]", *NUMBERS)
    table.add_row("none", *[""] * len(NUMBERS))
    out = Tty()
    Terminal(file=out).show(table)
    text = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = text.split()
    assert all(word in words for number in NUMBERS for word in number.split()), text
    if width == 40:
        assert "  a long heading 2: 123,456,789\n" in text
        assert text.startswith("numbers:\n") and text.endswith("(all of them)\n")
    if width == 200:
        assert "123,456,789 ┃" in text or "123,456,789 │" in text, "as a table where there is room"


def test_bars_on_a_terminal_may_be_nested() -> None:
    out = Tty()
    terminal = Terminal(file=out)
    with terminal.progress("outer [x]", 2) as outer:
        for _ in range(2):
            with terminal.progress("inner", 3) as inner:
                inner.advance(3)
                terminal.say("said meanwhile")
            outer.advance(1)
    with terminal.progress("after", 1) as bar:
        bar.advance(1)
    last = out.getvalue()
    assert "outer [x]" in last
    assert "2/2" in last
    assert last.count("said meanwhile") == 2
    assert "to do" not in last
    assert "1/1" in last


def test_a_failing_bar_leaves_the_terminal_usable() -> None:
    out = Tty()
    terminal = Terminal(file=out)
    with pytest.raises(ValueError, match="no"), terminal.progress("a", 2):
        raise ValueError("no")
    with terminal.progress("b", 2) as bar:
        bar.advance(2)
    assert "2/2" in out.getvalue()


def test_a_line_is_printed_as_it_is() -> None:
    out = io.StringIO()
    line = "figure: /" + "very/long/" * 40 + "[red]path.png"
    Terminal(file=out).say(line)
    assert out.getvalue() == line + "\n"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.say("a")
    terminal.show(Table("a"))
    with terminal.progress("a", 2) as bar:
        bar.advance(2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (18120, "5 h 02 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
