"""Command lines that cannot be read: one sentence, exit code 2."""

import sys
from collections.abc import Callable

import pytest

from lth_runner.cli import export, report, verify

COMMANDS: dict[str, Callable[[], None]] = {
    "lth-export": export.main,
    "lth-report": report.main,
    "lth-verify": verify.main,
}


def run(patch: pytest.MonkeyPatch, *words: str) -> object:
    patch.setattr(sys, "argv", list(words))
    with pytest.raises(SystemExit) as stopped:
        COMMANDS[words[0]]()
    return stopped.value.code


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("words", [[], ["--foo"], ["x", "--out"], ["x", "--trust"]])
def test_a_mistake_is_answered_by_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    assert run(monkeypatch, name, *words) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"{name}: ") and said.endswith(f"; {name} --help lists everything\n")
    assert said.count("\n") == 1


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--data", "mnist"]):
        run(monkeypatch, "lth-verify", *words)
        assert capsys.readouterr().err.startswith("lth-verify: name the ticket to check; ")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version_is_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(monkeypatch, name, "--version") == 0
    assert capsys.readouterr().out.startswith("lth_runner ")


@pytest.mark.parametrize("words", [["lth-verify", "x"], ["lth-export", "x", "--to", "y.pt"]])
@pytest.mark.parametrize("name", ["", "my lab"])
def test_trust_in_no_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    assert run(monkeypatch, *words, "--trust", name) == 2
    assert capsys.readouterr().err.startswith(f"{words[0]}: trust must name packages, got {name!r}: write --trust ")
