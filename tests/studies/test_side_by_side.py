"""Parts in processes of their own give what they give one after the other."""

import functools
import os
from pathlib import Path

import pytest
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.studies.side_by_side import side_by_side

pytestmark = pytest.mark.slow


def part(number: int, recorder: Recorder) -> tuple[int, int]:
    with recorder.progress(f"part {number}", 3) as bar:
        for _ in range(3):
            bar.advance(1, "so far")
    recorder.metrics(number=number)
    recorder.say(f"part {number} is done")
    recorder.checkpoint(f"part{number}").write_text(str(number))
    return number, os.getpid()


def failing(number: int, recorder: Recorder) -> int:
    recorder.say(f"part {number} begins")
    if number == 1:
        raise ConfigError("this part cannot be")
    return number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_they_give_and_tell_the_same_on_any_number_of_processes(tmp_path: Path, workers: int) -> None:
    recorder = Memory(tmp_path)
    found = side_by_side([functools.partial(part, number) for number in range(4)], recorder, workers)
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert (len({process for _, process in found} - {os.getpid()}) > 0) == (workers > 1)
    assert sorted(line["number"] for line in recorder.lines) == [0, 1, 2, 3]
    assert sorted(recorder.said) == [f"part {number} is done" for number in range(4)]
    assert sorted((label, total, bar.done) for label, total, bar in recorder.bars) == [
        (f"part {number}", 3, 3) for number in range(4)
    ]
    assert {path.name for path in tmp_path.iterdir()} == {f"part{number}.safetensors" for number in range(4)}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_part_raises_is_raised(tmp_path: Path, workers: int) -> None:
    recorder = Memory(tmp_path)
    with pytest.raises(ConfigError, match="this part cannot be"):
        side_by_side([functools.partial(failing, number) for number in range(2)], recorder, workers)
    assert "part 1 begins" in recorder.said
