"""Words that Hydra cannot read, choices that do not exist, configs that are no YAML: each answer can be followed."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from lth_runner.cli import run as cli
from lth_runner.config import explain


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["lth-run", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    message = str(stopped.value)
    assert "\n" not in message and "not foreseen" not in message
    assert not Path("runs").exists(), "what is refused leaves no folder"
    return message


@pytest.mark.parametrize(
    "word",
    [
        "target.path=epoch=3-step=100.ckpt",
        "target.path=my nets/a,b(1).pt",
        "name=it's=so",
        'name=a="b"=c\\d',
        "name=a:b{",
    ],
)
def test_the_quoting_that_is_advised_works(word: str) -> None:
    parser = OverridesParser.create()
    with pytest.raises(OverrideParseException):
        parser.parse_overrides([word])
    (typed,) = shlex.split(explain.unreadable(word).partition(": write ")[2])
    assert parser.parse_overrides([typed])[0].value() == word.partition("=")[2]


def test_several_values_without_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, "seed=0,1")
    assert "seed=0,1 gives several values: add -m to run each of them" in message


def test_an_unknown_choice_lists_choices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, "experiment=foo")
    assert "theorem_1_vit" in message
    assert "provider" not in message and "Config" not in message and "hydra" not in message


def test_a_config_that_is_no_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "bad.yaml").write_text("# @package _global_\nseed: [1\nfoo: : 3\n")
    message = refusal(monkeypatch, "--config-dir", str(tmp_path / "mine"), "experiment=bad")
    assert f"{tmp_path}/mine/experiment/bad.yaml, line 3 is no YAML" in message


@pytest.mark.slow
@pytest.mark.parametrize("part", ["data", "network", "target", "method", "experiment"])
def test_a_part_left_out_by_null(part: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from lth_runner.cli.run import main; main()", f"{part}=null", "--cfg", "job"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"\n{part}:\n" not in done.stdout


def test_the_version_is_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["lth-run", "--version"])
    cli.main()
    assert capsys.readouterr().out.startswith("lth_runner ")
