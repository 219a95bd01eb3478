"""The list of runs: what varies, how each stands, and what filters choose."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from lth_runner.config.compose import composed
from lth_runner.core.errors import ConfigError
from lth_runner.core.files import locked
from lth_runner.report.listing import Entry, age, chosen, entries, flat, numbers
from lth_runner.report.read import read_runs

STARTED = "2026-01-01T12:00:{:02d}+00:00"


def make_run(folder: Path, number: int, *words: str, status: str = "ok", results: Any = (), **summary: Any) -> Path:
    path = folder / f"smoke-{number:010x}"
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(composed(["experiment=smoke", *words])))
    content = {
        "status": status,
        "error": None,
        "started": STARTED.format(number),
        "wall_time_s": 1.5,
        **dict(results),
        **summary,
    }
    (path / "summary.json").write_text(json.dumps(content))
    (path / ".lock").touch()
    return path


RESULTS = {
    "target/accuracy": 0.9, "closest/accuracy": 0.89, "closest/kept_ratio": 5.0, "sparsest/accuracy": 0.89,
    "sparsest/kept_ratio": 2.0, "malach/accuracy": 0.5, "malach/kept_ratio": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs, 1, results=RESULTS)
    make_run(runs, 2, "seed=1", results={**RESULTS, "target/accuracy": "nan"})
    make_run(runs, 3, "network.hidden=40", "epsilon=0.003", results={"malach/accuracy": 0.25})
    make_run(runs, 4, "target=synthetic", status="failed", error="it [broke]")
    make_run(runs, 5, "method=pensia", status="running", wall_time_s=None)
    (make_run(runs, 6) / "summary.json").write_text("{")
    return runs


def listed(folder: Path) -> dict[int, Entry]:
    return {int(entry.folder.name[-10:]): entry for entry in entries(read_runs([folder]))}


@pytest.mark.slow
def test_each_run_says_what_varies_and_how_it_stands(folder: Path) -> None:
    found = listed(folder)
    assert list(found) == [6, 1, 2, 3, 4, 5], "the youngest last, those of no known age first"
    assert {number: entry.varies for number, entry in found.items()} == {
        1: {"seed": 0},
        2: {"seed": 1},
        3: {"network.hidden": 40, "epsilon": 0.003, "seed": 0},
        4: {"target": "synthetic", "seed": 0},
        5: {"method": "pensia", "seed": 0},
        6: {},
    }
    assert [found[number].status for number in range(1, 7)] == ["ok", "ok", "ok", "failed", "killed", "damaged"]
    assert {entry.name for entry in found.values()} == {"smoke"}
    with locked(folder / f"smoke-{5:010x}" / ".lock"):  # by this very thread, which may take it again
        assert listed(folder)[5].status == "killed"


def test_key_numbers(folder: Path) -> None:
    found = listed(folder)
    assert numbers(found[1]) == "target 90.00 %, sparsest 89.00 % (2.00x)", "the best, and of equal ones the smallest"
    assert numbers(found[2]) == "sparsest 89.00 % (2.00x)"
    assert numbers(found[3]) == "malach 25.00 %"
    assert numbers(found[4]) == "it [broke]"
    assert numbers(found[5]) == ""
    assert numbers(found[6]).startswith("cannot be read: ")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d"), (-5, "0 s")]
)
def test_age(folder: Path, seconds: float, said: str) -> None:
    entry = listed(folder)[1]
    assert entry.started is not None
    assert age(entry, entry.started + timedelta(seconds=seconds)) == said
    assert age(listed(folder)[6], entry.started) == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [6, 1, 2, 3, 4, 5]),
        (["status=failed"], [4]),
        (["status=failed,killed,damaged"], [6, 4, 5]),
        (["status=ok", "seed=0"], [1, 3]),
        (["seed=0,1", "status=ok"], [1, 2, 3]),
        (["method=pensia"], [5]),
        (["method=subset_sum", "status=ok"], [1, 2, 3]),
        (["method=sparsest", "seed=1"], [2]),
        (["target=synthetic"], [4]),
        (["network=fc", "network.hidden=40"], [3]),
        (["epsilon=3e-3"], [3]),
        (["name=smoke", "epsilon=0.0030"], [3]),
        (["study.values=[2,4,8,12]", "seed=1"], [2]),
        (["method=null", "status=ok"], [1, 2, 3]),
        (["name=other"], []),
        (["network.hidden=true"], []),
        ([f"name=smoke-{2:010x}"], [2]),
    ],
)
def test_filters(folder: Path, words: list[str], expected: list[int]) -> None:
    assert [int(entry.folder.name[-10:]) for entry in chosen(list(listed(folder).values()), words)] == expected


@pytest.mark.parametrize(("word", "said"), [("failed", "no filter"), ("netwrk.hidden=1", "no run here has a setting")])
def test_what_is_no_filter_is_refused(folder: Path, word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(list(listed(folder).values()), [word])


def test_machines_get_everything(folder: Path) -> None:
    headings, rows = flat(list(listed(folder).values()))
    table = {row[headings.index("folder")][-1]: dict(zip(headings, row, strict=True)) for row in rows}
    assert table["3"]["network.hidden"] == 40
    assert table["3"]["malach/accuracy"] == 0.25
    assert table["4"]["error"] == "it [broke]"
    assert table["4"]["target"] == "synthetic"
    assert table["1"]["started"] == STARTED.format(1)
    assert table["6"]["status"] == "damaged"
