"""environment.json says which code ran, and never whose checkout it merely lies in."""

import json
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from lth_runner.record import environment as module
from lth_runner.record.environment import environment
from lth_runner.record.folder import RunFolder


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one commit that seems to be the package's own."""
    package = tmp_path / "lth_runner"
    package.mkdir()
    (package / "code.py").write_text("a = 1\n")
    (tmp_path / "notes.txt").write_text("x\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(module, "PACKAGE", package)
    module._code.cache_clear()
    yield tmp_path
    module._code.cache_clear()


def head(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_checkout(checkout: Path) -> None:
    assert environment()["code"] == {"commit": head(checkout), "dirty": False}


@pytest.mark.parametrize(
    ("changed", "dirty"), [("lth_runner/code.py", True), ("lth_runner/new.py", True), ("notes.txt", False)]
)
def test_only_code_and_configs_make_it_dirty(checkout: Path, changed: str, dirty: bool) -> None:
    (checkout / changed).write_text("changed\n")
    assert environment()["code"]["dirty"] is dirty


def test_a_package_installed_inside_another_checkout_has_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "lth_runner"
    installed.mkdir(parents=True)
    monkeypatch.setattr(module, "PACKAGE", installed)
    assert environment()["code"] == {"commit": None, "dirty": None}


def test_versions_and_machine(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "a: 1") as folder:
        folder.finish()
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written["python"] == platform.python_version()
    assert written["versions"]["numpy"] == metadata.version("numpy")
    assert written["versions"]["lth_runner"] == metadata.version("lth_runner")
    assert written["machine"]["cores"] >= written["machine"]["cores_usable"] >= 1
    assert written["machine"]["cpu"]
