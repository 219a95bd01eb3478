"""Points of a figure are found once, whatever happens in between."""

from pathlib import Path
from typing import Any

import pytest
from recorders import Memory

from lth_runner.core.recorder import Recorder
from lth_runner.record.points import Points


def measured(recorder: Recorder, value: int) -> list[dict[str, Any]]:
    recorder.metrics(epoch=1)
    recorder.checkpoint(f"method-{value}").write_text("far")
    return [{"curve": "a", "value": value, "nothing": None}]


def study(recorder: Recorder, values: list[int], found: list[int]) -> None:
    points = Points(recorder, "key")
    for value in values:

        def find(work: Recorder, value: int = value) -> list[dict[str, Any]]:
            found.append(value)
            return measured(work, value)

        points.get(f"part {value}", find)


LINES = [{"part": "part 1", "epoch": 1}, {"curve": "a", "value": 1}, {"part": "part 2", "epoch": 1}, {"curve": "a", "value": 2}]  # fmt: skip # noqa: E501


def test_a_second_attempt_finds_only_what_is_missing(tmp_path: Path) -> None:
    found: list[int] = []
    study(Memory(tmp_path), [1], found)
    second = Memory(tmp_path)
    study(second, [1, 2], found)
    assert found == [1, 2]
    assert second.lines == LINES, "what was found before is told again"
    assert any("1 parts of this study were finished before" in line for line in second.said)


def test_checkpoints_of_finished_parts_are_removed(tmp_path: Path) -> None:
    study(Memory(tmp_path), [1, 2], [])
    assert [path.name[:6] for path in tmp_path.iterdir()] == ["points"]


def test_what_parts_share_stays_until_it_is_not_needed(tmp_path: Path) -> None:
    points = Points(Memory(tmp_path), "key")

    def share(work: Recorder) -> list[dict[str, Any]]:
        path = work.checkpoint("level", shared=True)
        assert path.exists() == (path in begun), "the second part goes on from the first one's"
        begun.append(path)
        path.write_text("far")
        return measured(work, 1)

    begun: list[Path] = []
    for part in ("one", "two"):
        points.get(part, share)
        assert sorted(path.name[:6] for path in tmp_path.iterdir()) == ["level.", "points"]
    points.forget_shared()
    assert [path.name[:6] for path in tmp_path.iterdir()] == ["points"]


def test_those_of_an_unfinished_part_stay(tmp_path: Path) -> None:
    def cut(work: Recorder) -> list[dict[str, Any]]:
        measured(work, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Points(Memory(tmp_path), "key").get("part 3", cut)
    assert (tmp_path / "method-3.safetensors").read_text() == "far"


def test_points_of_another_key_are_not_taken(tmp_path: Path) -> None:
    study(Memory(tmp_path), [1], [])
    other = Points(Memory(tmp_path), "another key")
    assert other.get("part 1", lambda work: measured(work, 7))[0]["value"] == 7
