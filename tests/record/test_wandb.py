"""W&B gets a copy offline, falls back to offline, and can neither fail a run nor hold it up."""

import importlib
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.core.finished import is_finished
from lth_runner.record import wandb as module
from lth_runner.record.folder import RunFolder
from lth_runner.record.terminal import Terminal
from lth_runner.record.wandb import NoCopy, Wandb, history_row

OPTIONS: dict[str, Any] = {
    "project": "p",
    "entity": None,
    "group": "sweep",
    "tags": ["a", "b"],
    "dir": None,
    "id": None,
}
PNG = bytes.fromhex(  # one grey pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636800000082008177cd72b60000"
    "000049454e44ae426082"
)
RUN = """
    import sys
    from pathlib import Path
    from lth_runner.record.folder import RunFolder
    from lth_runner.record.terminal import Terminal
    from lth_runner.record.wandb import Wandb
    wandb = Wandb(mode=sys.argv[2], project="p", entity=None, group="sweep", tags=["a", "b"], dir=None, id=None)
    with RunFolder(sys.argv[1], "seed: 3\\n", terminal=Terminal(), wandb=wandb) as folder:
        for n in (3, 5, 9):
            folder.metrics(curve="closest", n=n, accuracy=n / 10)
        folder.metrics(curve="train", axis="epoch", epoch=1, loss=0.5)
        folder.add_table("networks", ["network", "accuracy"], [["target", 0.97], ["closest", None]])
        (folder.path / "curves.png").write_bytes(bytes.fromhex(sys.argv[3]))
        folder.add_figure("curves", folder.path / "curves.png")
        folder.finish(kept_ratio=9.5, best="closest")
"""


def run_in_a_process(folder: Path, mode: str, **environment: str) -> tuple[list[str], str]:
    """Lines on standard output, and standard error, of a run with a copy."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN), str(folder), mode, PNG.hex()],
        capture_output=True, text=True, timeout=60, check=True, cwd=folder.parent,
        env={**clean, "HOME": str(folder.parent), **environment},
    )  # fmt: skip
    return done.stdout.splitlines(), done.stderr


def records(folder: Path) -> list[Any]:
    """What the offline copy holds: a LevelDB log, in blocks of 32 KiB, of wandb's protocol buffers."""
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    (path,) = (path for path in folder.glob("wandb/offline-run-*/run-*.wandb") if path.stat().st_size)
    data, position, parsed, partial = path.read_bytes(), 7, [], b""  # 7: the header of the file
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        partial += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a record in one piece, or the last piece of one
            record = messages.Record()
            record.ParseFromString(partial)
            parsed.append(record)
            partial = b""
    return parsed


def key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def check_copy(folder: Path) -> None:
    """The offline copy has the run's curves, summary, table, figure, group and tags."""
    found = records(folder)
    history = [{key(i): json.loads(i.value_json) for i in r.history.item} for r in found if r.HasField("history")]
    curve = [(row["n"], row["closest/accuracy"]) for row in history if "closest/accuracy" in row]
    assert curve == [(3, 0.3), (5, 0.5), (9, 0.9)]
    assert [(row["epoch"], row["train/loss"]) for row in history if "train/loss" in row] == [(1, 0.5)]
    assert [row["networks/nrows"] for row in history if "networks/nrows" in row] == [2]
    assert [row["curves/_type"] for row in history if "curves/_type" in row] == ["image-file"]
    axes = {(r.metric.glob_name, r.metric.step_metric) for r in found if r.HasField("metric")}
    assert {("closest/*", "n"), ("train/*", "epoch")} <= axes
    summary = {key(i): json.loads(i.value_json) for r in found if r.HasField("summary") for i in r.summary.update}
    assert (summary["status"], summary["kept_ratio"], summary["best"]) == ("ok", 9.5, "closest")
    (run,) = (r.run for r in found if r.HasField("run"))
    assert (run.project, run.run_group, list(run.tags), run.display_name) == ("p", "sweep", ["a", "b"], folder.name)
    assert {i.key: i.value_json for i in run.config.update}["seed"] == "3"
    assert [r.exit.exit_code for r in found if r.HasField("exit")] == [0]


@pytest.mark.slow
def test_offline_needs_no_account_and_writes_into_the_run_folder(tmp_path: Path) -> None:
    out, err = run_in_a_process(tmp_path / "run", "offline")
    assert (out, err) == ([f"run folder: {tmp_path / 'run'}"], "")
    check_copy(tmp_path / "run")


@pytest.mark.slow
def test_online_without_an_account_is_offline_with_one_warning(tmp_path: Path) -> None:
    out, err = run_in_a_process(tmp_path / "run", "online")
    assert len(out) == 2
    assert out[0].startswith("warning: W&B did not start online in 0 s, the copy is offline: ")
    assert err == ""
    check_copy(tmp_path / "run")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
def test_online_with_a_silent_server_is_offline_within_the_bound(tmp_path: Path, silent_server: str) -> None:
    start = time.monotonic()
    out, _ = run_in_a_process(tmp_path / "run", "online", WANDB_API_KEY="a" * 40, WANDB_BASE_URL=silent_server)
    assert time.monotonic() - start < module.WAIT_S["online"]  # the end of the process included
    assert len(out) == 2
    assert out[0].startswith("warning: W&B did not start online in ")
    check_copy(tmp_path / "run")


FAKE = """
    import os, time
    def maybe(name):
        os.write(1, b"chatter that is no answer\\n")
        if name == os.environ["FAILING"]:
            time.sleep(float(os.environ.get("HANGING", 0)))
            os.environ.get("DYING") and os._exit(1)
            raise BlockingIOError("broken " + name)
    class Settings:
        model_fields = {}
        def __init__(self): maybe("Settings")
    def setup(settings): maybe("setup")
    def teardown(): maybe("teardown")
    class Run:
        def __getattr__(self, name):
            return Run() if name == "summary" else lambda *a, **k: maybe(name)
    def init(**k):
        maybe("init")
        maybe(k["mode"])
        return Run()
    def Image(*a): maybe("Image")
    def Table(**k): maybe("Table")
    maybe("import")
"""
CALLS = ["import", "setup", "Settings", "init", "define_metric", "log", "Image", "Table", "update", "finish"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A wandb of our own making, in a process that no earlier test has started."""
    (tmp_path / "fakes" / "wandb").mkdir(parents=True)
    (tmp_path / "fakes" / "wandb" / "__init__.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fakes"))
    monkeypatch.setattr(module, "_idle", [])
    return monkeypatch


def run(folder: Path, terminal: Terminal | None = None, mode: str = "offline") -> None:
    with RunFolder(folder, "a: 1", terminal=terminal, wandb=Wandb(mode=mode, **OPTIONS)) as record:
        record.metrics(curve="closest", n=1, accuracy=0.5)
        record.add_figure("curves", folder / "curves.png")
        record.add_table("networks", ["a"], [[1]])
        record.finish()


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_no_failing_call_fails_a_run(
    tmp_path: Path, fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    fake.setenv("FAILING", call)
    run(tmp_path / "run", Terminal())
    assert is_finished(tmp_path / "run")
    assert capsys.readouterr().out.splitlines() == [
        f"warning: the copy in W&B is incomplete: BlockingIOError: broken {call}",
        f"run folder: {tmp_path / 'run'}",
    ]
    _end(module._idle)


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.kill()


def test_one_failing_run_does_not_spoil_the_next(
    tmp_path: Path, fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.setenv("FAILING", "nothing")
    run(tmp_path / "first", Terminal())
    (process,) = module._idle
    run(tmp_path / "second", Terminal())
    assert module._idle == [process]  # the runs of a sweep share one process
    assert "warning" not in capsys.readouterr().out
    process.kill()  # between two runs
    run(tmp_path / "third", Terminal())
    assert "warning" not in capsys.readouterr().out
    _end(module._idle)


@pytest.mark.slow
def test_a_sweep_waits_for_an_absent_server_once(
    tmp_path: Path, fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.setenv("FAILING", "online")
    fake.setenv("HANGING", "2")
    run(tmp_path / "first", Terminal(), "online")
    start = time.monotonic()
    run(tmp_path / "second", Terminal(), "online")
    assert time.monotonic() - start < 1.5
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert (
        warnings
        == ["warning: W&B did not start online in 2 s, the copy is offline: BlockingIOError: broken online"] * 2
    )
    _end(module._idle)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "problem"), [("HANGING", "did not finish within 1 s"), ("DYING", "process has died")])
@pytest.mark.parametrize("call", ["init", "log", "finish"])
def test_a_wandb_that_hangs_or_dies_is_left_behind(
    tmp_path: Path, fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str, name: str, problem: str
) -> None:  # fmt: skip
    fake.setenv("FAILING", call)
    fake.setenv(name, "60")
    if name == "DYING":
        fake.setenv("HANGING", "0")
    fake.setattr(module, "WAIT_S", {"offline": 1.0})
    start = time.monotonic()
    run(tmp_path / "run", Terminal())
    assert time.monotonic() - start < 5
    assert is_finished(tmp_path / "run")
    warning, _ = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: the copy in W&B is incomplete: ")
    assert problem in warning
    assert module._idle == []


@pytest.mark.slow
def test_a_hanging_wandb_does_not_block_a_talkative_run(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    """More lines than a pipe holds."""
    fake.setenv("FAILING", "init")
    fake.setenv("HANGING", "60")
    fake.setattr(module, "WAIT_S", {"offline": 1.0})
    start = time.monotonic()
    with RunFolder(tmp_path / "run", "a: 1", wandb=Wandb(mode="offline", **OPTIONS)) as folder:
        for n in range(5000):
            folder.metrics(curve="closest", n=n, accuracy=0.5)
        folder.finish()
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_failed_run_is_a_failed_copy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), RunFolder(tmp_path, "a: 1", wandb=Wandb(mode="offline", **OPTIONS)):
        raise ValueError("no")
    module._end_idle_processes()
    found = records(tmp_path)
    assert [r.exit.exit_code for r in found if r.HasField("exit")] == [1]
    summary = {key(i): json.loads(i.value_json) for r in found if r.HasField("summary") for i in r.summary.update}
    assert summary["error"] == "ValueError: no"


@pytest.mark.slow
def test_every_folder_has_an_id_of_its_own_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says: what counts of it is a setting by now."""
    monkeypatch.setattr(module, "_idle", [])
    monkeypatch.setenv("WANDB_RUN_ID", "everybodys")
    ids: dict[str, list[str]] = {}
    for name in ("first", "second", "first"):
        run(tmp_path / name)
        module._end_idle_processes()
        ids.setdefault(name, []).append((tmp_path / name / "wandb_id.txt").read_text().strip())
        found = [path.name.rpartition("-")[2] for path in (tmp_path / name).glob("wandb/offline-run-*")]
        assert set(found) == {ids[name][0]}, "W&B's folder ends with the id"
    assert ids["first"][0] == ids["first"][1] != ids["second"][0] != "everybodys"


@pytest.mark.slow
def test_a_run_may_be_given_its_id_and_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_idle", [])
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "ignored"))
    asked = {**OPTIONS, "id": "mine", "dir": str(tmp_path / "deep" / "place")}
    for wanted in (asked, {**asked, "id": "later"}):  # the first is kept
        with RunFolder(tmp_path / "run", "a: 1", wandb=Wandb(mode="offline", **wanted)) as folder:
            folder.finish()
        module._end_idle_processes()
    assert not (tmp_path / "run" / "wandb").exists() and not (tmp_path / "ignored").exists()
    found = [path.name.rpartition("-")[2] for path in (tmp_path / "deep" / "place").glob("wandb/offline-run-*")]
    assert set(found) == {"mine"}


def test_disabled_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_Process", lambda: pytest.fail("a process was started"))
    assert Wandb(mode="disabled", **OPTIONS).start(tmp_path, "a: 1") == NoCopy()


def test_a_process_that_cannot_start_costs_the_copy_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_idle", [])
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "missing"))
    run(tmp_path / "run", Terminal())
    assert is_finished(tmp_path / "run")
    assert "warning: there is no copy in W&B: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "row", "curve", "axis"),
    [
        ({"curve": "closest", "n": 12, "accuracy": 0.97}, {"n": 12, "closest/accuracy": 0.97}, "closest", "n"),
        ({"curve": "t", "axis": "epoch", "epoch": 1, "n": 2}, {"epoch": 1, "t/n": 2}, "t", "epoch"),
        ({"curve": "t", "loss": 1.0, "error": None}, {"t/loss": 1.0}, "t", None),
        ({"accuracy": 0.97, "n": 3}, {"accuracy": 0.97, "n": 3}, None, None),
    ],
)
def test_history_row(line: dict[str, Any], row: dict[str, Any], curve: str | None, axis: str | None) -> None:
    assert history_row(line) == (row, curve, axis)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mode": "onlin"}, "did you mean online"),
        ({"project": None}, "wandb.project must be a non-empty string"),
        ({"group": 3}, "wandb.group"),
        ({"id": ""}, "wandb.id must be a non-empty string"),
        ({"tags": "a"}, "wandb.tags must be a list of strings"),
    ],
)
def test_refusals(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Wandb(**{"mode": "offline", **OPTIONS, **change})
