"""A ticket in parts by the command: jobs that make them, a run that puts them together, and what it refuses."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from sweep.dying_target import JOB
from sweep.sweeping import lth_run_here

PARTS = [
    "method=block", "method.n=6", "method.block=4", "data=synthetic", "data.train_count=100", "data.test_count=50",
    "network.inputs=64", "network.hidden=1100", "target=synthetic", "device=cpu", "wandb.mode=disabled",
]  # fmt: skip
FOUR = ["parts=4", "part=range(4)"]
AWARE = ["method.compensate=inputs", "method.compensation.samples=100"]
WAYS = {
    "none": ([], []),
    "target": ([*AWARE, "method.compensation.follow=target"], []),
    "pruned": (AWARE, ["layer=range(2)"]),
}


def tickets(runs: Path) -> dict[str, bytes]:
    """By the name of the run's folder."""
    return {path.parent.name: path.read_bytes() for path in runs.glob("*/ticket.safetensors")}


def statuses(folder: Path) -> list[str]:
    """Of the runs that made parts, in their order."""
    found = {}
    for path in folder.glob("runs/run-*/summary.json"):
        part = OmegaConf.select(OmegaConf.load(path.parent / "config.yaml"), "part")
        found[part] = json.loads(path.read_text())["status"]
    return [found[part] for part in sorted(found)]


@pytest.mark.parametrize("way", ["none", *(pytest.param(way, marks=pytest.mark.slow) for way in ("target", "pruned"))])
def test_parts_make_the_ticket_of_a_single_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    settings, layers = WAYS[way]
    assert lth_run_here(monkeypatch, tmp_path, "-m", *PARTS, *settings, *FOUR, *layers) is None
    assert tickets(tmp_path / "runs") == {}
    assert lth_run_here(monkeypatch, tmp_path, *PARTS, *settings, "parts=4") is None
    assert lth_run_here(monkeypatch, tmp_path, *PARTS, *settings, "runs_dir=whole") is None
    (found,), (whole,) = tickets(tmp_path / "runs").items(), tickets(tmp_path / "whole").items()
    assert found == whole, "it is the same run, and the same bytes"


def test_a_part_that_died_is_made_again_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dying = [*PARTS, "target._target_=sweep.dying_target.Dying"]
    assert lth_run_here(monkeypatch, tmp_path, "-m", *dying, "parts=4", "part=0,1,3") is None
    monkeypatch.setenv(JOB, "raise")
    assert "memory" in (lth_run_here(monkeypatch, tmp_path, *dying, "parts=4", "part=2") or "")
    assert statuses(tmp_path) == ["ok", "ok", "failed", "ok"]
    said = lth_run_here(monkeypatch, tmp_path, *dying, "parts=4")
    assert said == "lth-run: 1 of 4 parts are not there: run them first, -m parts=4 part=2"
    monkeypatch.delenv(JOB)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/part.safetensors")}
    capsys.readouterr()
    assert lth_run_here(monkeypatch, tmp_path, "-m", *dying, *FOUR) is None
    assert "4 jobs: 1 finished, 3 skipped, 0 failed" in capsys.readouterr().out
    assert len(made) == 3 and all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert lth_run_here(monkeypatch, tmp_path, *dying, "parts=4") is None
    assert len(tickets(tmp_path / "runs")) == 1


def test_a_layer_is_not_begun_without_all_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jobs of a wave wait for the wave before; where that fails they are not run."""
    dying = [*PARTS, *AWARE, "target._target_=sweep.dying_target.Dying"]
    said = lth_run_here(monkeypatch, tmp_path, *dying, "parts=2", "layer=1", "part=0")
    assert said == "lth-run: 2 of 2 parts are not there: run them first, -m parts=2 layer=0 part=0,1"
    monkeypatch.setenv(JOB, "raise")
    assert lth_run_here(monkeypatch, tmp_path, "-m", *dying, "parts=2", "part=0,1", "layer=0,1") is not None
    assert "4 jobs: 0 finished, 0 skipped, 2 failed, 2 not run" in capsys.readouterr().out
    monkeypatch.delenv(JOB)
    assert lth_run_here(monkeypatch, tmp_path, "-m", *dying, "parts=2", "part=0,1", "layer=1,0") is None
    told = [line.split()[2:4] for line in capsys.readouterr().out.splitlines() if " ok " in line]
    assert [words[1] for words in told] == ["layer=0", "layer=0", "layer=1", "layer=1"]


def test_a_tampered_part_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lth_run_here(monkeypatch, tmp_path, "-m", *PARTS, *FOUR) is None
    path = max(tmp_path.glob("runs/*/part.safetensors"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    said = lth_run_here(monkeypatch, tmp_path, *PARTS, "parts=4") or ""
    assert "is not what its run wrote, it was damaged or altered: make this part again, with rerun=true" in said
    path.unlink()
    said = lth_run_here(monkeypatch, tmp_path, *PARTS, "parts=4") or ""
    assert "1 of 4 parts are not there: run them first, -m parts=4 part=" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["part=0"], "part=0 is one of several: set parts to how many there are"),
        (["parts=2", "part=2"], "part must be at most 1, got 2"),
        (["parts=0"], "parts must be at least 1"),
        (["layer=0", "parts=2"], "layer is of a run that makes a part: set part, or leave layer out"),
        (["parts=2", "part=0", "layer=0"], "here no layer waits for another"),
        ([*AWARE, "parts=2", "part=0"], "set layer, in a sweep 'layer=range(2)'"),
        ([*AWARE, "parts=2", "part=0", "layer=2"], "a part is of one of 2 layers"),
        (["parts=2", "method=subset_sum"], "a ticket of subset_sum cannot be made in parts"),
        (["parts=2", "part=1", "+method@compare.other=block"], "parts are of the ticket of one method"),
        (["parts=2", "study.values=[6,8]", "study.curves=[block]"], "parts make one ticket, and this study"),
    ],
)  # fmt: skip
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str) -> None:
    settings = [word for word in PARTS if "method=subset_sum" not in words or not word.startswith("method")]
    assert said in (lth_run_here(monkeypatch, tmp_path, *settings, *words) or "")
    assert not list(tmp_path.glob("runs/run-*")), "and leaves no folder behind"
