"""What makes a run another run, and what does not."""

from pathlib import Path
from typing import Any

import pytest

from lth_runner.core import identity as module
from lth_runner.core.errors import DataError
from lth_runner.core.identity import identity

CONFIG: dict[str, Any] = {
    "name": "run",
    "seed": 0,
    "runs_dir": "runs",
    "rerun": False,
    "wandb": {"mode": "offline"},
    "data": {"_target_": "mnist", "root": "here", "normalize": False},
    "method": {"n": 21, "epsilon": 0.01},
}


def changed(**values: Any) -> dict[str, Any]:
    return {**CONFIG, **values}


@pytest.mark.parametrize(
    "other",
    [
        changed(name="other"),
        changed(runs_dir="elsewhere"),
        changed(rerun=True),
        changed(wandb={"mode": "online"}),
        changed(data={**CONFIG["data"], "root": "there"}),
        dict(reversed(CONFIG.items())),
    ],
)
def test_where_and_under_what_name_a_run_lives_does_not_count(other: dict[str, Any]) -> None:
    assert identity(other) == identity(CONFIG)


@pytest.mark.parametrize(
    "other",
    [
        changed(seed=1),
        changed(method={"n": 22, "epsilon": 0.01}),
        changed(method={"n": 21, "epsilon": 0.010000000000000002}),
        changed(data={**CONFIG["data"], "normalize": True}),
        changed(new=None),
    ],
)
def test_anything_else_counts(other: dict[str, Any]) -> None:
    assert identity(other) != identity(CONFIG)


def test_the_version_of_the_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(CONFIG)
    monkeypatch.setattr(module, "RESULTS_VERSION", module.RESULTS_VERSION + 1)
    assert identity(CONFIG) != before


@pytest.mark.parametrize("key", ["path", "calibration"])
def test_a_named_file_counts_by_its_content(key: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    config = changed(target={key: str(weights)})
    with pytest.raises(DataError, match=r"weights.pt.*give the path of an existing file"):
        identity(config)
    weights.write_bytes(b"one")
    first = identity(config)
    weights.write_bytes(b"two")
    assert identity(config) != first


@pytest.mark.parametrize("key", ["path", "names", "calibration"])
def test_one_file_under_two_paths_is_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    (tmp_path / "weights.pt").write_bytes(b"one")
    (tmp_path / "copy.pt").write_bytes(b"one")
    (tmp_path / "other.pt").write_bytes(b"two")
    monkeypatch.chdir(tmp_path)
    names = ("weights.pt", "./weights.pt", str(tmp_path / "weights.pt"), "copy.pt", "other.pt")
    found = [identity(changed(target={key: name, "seed": 0})) for name in names]
    assert found[:4] == found[:1] * 4
    assert found[4] != found[0]


def test_two_files_exchanged_are_another_run(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    one, two = {"path": str(tmp_path / "one")}, {"path": str(tmp_path / "two")}
    assert identity(changed(target=one, data=two)) != identity(changed(target=two, data=one))


def test_names_that_are_no_file_count_as_they_are() -> None:
    given = [{"names": {}}, {"names": {"a": "b"}}, {"names": "nowhere.yaml"}, {"calibration": None}, {}]
    assert len({identity(changed(target=target)) for target in given}) == 5


def test_a_path_among_a_builders_arguments_need_not_be_a_file() -> None:
    first, second = ({"network": {"arguments": {"path": path}}} for path in ("top_down", "bottom_up"))
    assert identity(first) != identity(second)


def test_a_ticket_is_the_same_from_any_number_of_parts_and_a_part_is_a_run_of_its_own() -> None:
    none: dict[str, Any] = {"parts": None, "part": None, "layer": None}
    assert identity(changed(**none)) == identity(changed(**{**none, "parts": 4})) == identity(CONFIG)
    parts = [{"parts": n, "part": k, "layer": layer} for n in (2, 3) for k in (0, 1) for layer in (None, 0)]
    assert len({identity(changed(**part)) for part in parts} | {identity(CONFIG)}) == 9
