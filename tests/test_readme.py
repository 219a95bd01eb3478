"""What the README says is true: its Python runs, its commands compose, its files exist, its words are counted."""

import re
import sys
from pathlib import Path

import pytest

import lth_runner
from lth_runner.cli import export, run, verify
from lth_runner.config.compose import composed

ROOT = Path(lth_runner.__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"`(lth-run [^`]+)`", README)


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", section("In Python"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "t.safetensors").exists() and names["masks"]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_run_of_the_readme_composes(command: str) -> None:
    words = command.split()[1:]
    overrides = run.for_hydra([word for word in words if word not in ("-m", "--cfg", "job", "--help")])
    if any(word.startswith("-") or ("my_" in word and "config" in word) for word in overrides) or not overrides:
        return  # of a folder of configs that is not here, and --help
    if "-m" in words:
        overrides = [re.sub(r"=([^,\[]*),.*", r"=\1", word) for word in overrides]
    overrides = [word for word in overrides if not word.startswith("hydra/")]
    assert composed(overrides)["name"]


def test_its_other_commands_parse() -> None:
    for command in re.findall(r"`lth-verify ([^`]+)`", README):
        assert verify.arguments(command.split()).ticket
    for command in re.findall(r"`lth-export ([^`]+)`", README):
        assert export.arguments(command.split()).ticket


def test_the_map_names_what_is_there() -> None:
    folders = {path.name for path in (ROOT / "lth_runner").iterdir() if path.is_dir() and path.name != "__pycache__"}
    parts = set(re.findall(r"`([a-z_/]+(?:/|\.py))`", section("A map of the code")))
    named = {part.removesuffix("/") for part in parts}
    assert folders <= named
    for row in re.findall(r"^\| (`.*?) \|.*\| (.*?) \|$", section("A map of the code"), re.MULTILINE):
        homes = [ROOT / "lth_runner" / home.rstrip("/") for home in re.findall(r"`([^`]+)`", row[0])]
        for start in re.findall(r"`([^`]+)`", row[1]):
            assert any((home / start).exists() or (home.parent / start).exists() for home in homes), start


def test_the_glossary_has_fifteen_words() -> None:
    assert len(re.findall(r"^\| \w+ \|", section("Words"), re.MULTILINE)) - 1 == 15


def test_links_lead_somewhere() -> None:
    for text in (README, (ROOT / "CHANGELOG.md").read_text()):
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_change_log_knows_this_version() -> None:
    assert f"## {lth_runner.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert sys.version_info >= (3, 11)
