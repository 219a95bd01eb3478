"""The heads of the experiments' files: every one can be read, and README's table says what they say."""

import re
from pathlib import Path

import pytest

import lth_runner
from lth_runner.forecast.header import parse

ROOT = Path(lth_runner.__file__).parents[1]
FILES = sorted((ROOT / "configs" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("36 s on 2 cores with MNIST to fetch, 12 s with it there.", 36),
        ("1 to 2 minutes on 2 cores.", 120),
        ("7.5 minutes on 2 cores that one other job shared.", 450),
        ("2 hours.", 7200),
        ("an hour or so.", None),
    ],
)
def test_the_time_is_read(time: str, seconds: float | None) -> None:
    header = parse(
        f"# @package _global_\n# What it is.\n# command: lth-run experiment=x grid=reduced\n# time: {time}\n"
    )
    assert (header.about, header.command) == ("What it is.", ("experiment=x", "grid=reduced"))
    assert header.seconds == seconds


def test_the_first_part_of_the_time_is_that_of_the_command() -> None:
    header = parse("# x.\n# time: 8 minutes on 2 cores; 1.4 GB of memory.\nname: x\n")
    assert (header.time, header.seconds, header.memory) == ("8 minutes on 2 cores", 480, "1.4 GB")
    assert parse("name: x\n").seconds is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_experiment_says_its_time_and_the_readme_does_too(file: Path) -> None:
    header = parse(file.read_text())
    assert f"experiment={file.stem}" in header.command
    section = (ROOT / "README.md").read_text().split("\n## Experiments\n", 1)[1].split("\n## ", 1)[0]
    (row,) = re.findall(rf"^\| `{file.stem}` \|.*\| (.*) \|$", section, re.MULTILINE)
    assert header.seconds
    assert row == header.time
