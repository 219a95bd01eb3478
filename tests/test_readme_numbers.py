"""The README's numbers come out to the digit on any machine, with the target that is shipped for them; times apart."""

import re
import sys
from pathlib import Path

import pytest

import lth_runner
from lth_runner.cli import run
from lth_runner.report.tables import Results, read_results

pytestmark = [pytest.mark.slow, pytest.mark.network]

README = (Path(lth_runner.__file__).parents[1] / "README.md").read_text()
NO_CURVES = ["study.values=[]", "study.curves=[]"]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the README, without its first line."""
    below = re.split(rf"^#+ {heading}$", README, flags=re.MULTILINE)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


def results(patch: pytest.MonkeyPatch, folder: Path, *words: str) -> dict[str, dict[str, str]]:
    """What a run with the shipped target shows, by row and column; MNIST is that of the user's cache."""
    folder.mkdir()
    patch.chdir(folder)
    patch.setattr(sys, "argv", ["lth-run", "target=reference", *words])
    run.main()
    (path,) = folder.glob("runs/*/table.csv")
    found: Results = read_results(path.read_text(), path.with_suffix(".json").read_text())
    return {
        row["network"]: {name: column.text(row.get(name)) for name, column in found.columns.items()}
        for row in found.rows
    }


def _megabytes(count: str) -> str:
    return f"{int(count.replace(',', '')) / 1e6:.2f} MB"


def test_of_the_paper_s_experiment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The main job, and beside the paper."""
    fresh = results(monkeypatch, tmp_path / "fresh", "experiment=mnist_fc", *NO_CURVES)
    for row in fresh.values():  # bytes of a ticket change with the names of settings in it
        row["ticket_bytes"] = re.sub(r"^[\d,]+$", lambda found: _megabytes(found[0]), row["ticket_bytes"])
    assert [list(row.values())[:-1] for row in fresh.values()] == [row[:-1] for row in table("The main job")]
    words = ["experiment=mnist_fc", "~compare.sparsest", "~compare.malach", "compare.closest.sharing=row", *NO_CURVES]
    shared = results(monkeypatch, tmp_path / "shared", *words)["closest"]
    closest, sparsest = fresh["closest"], fresh["sparsest"]
    ours = [row[2] for row in table("Beside the paper")]
    assert ours[:-1] == [
        fresh["target"]["accuracy"],
        shared["accuracy"],
        shared["kept_ratio"].removesuffix("x"),
        shared["weight_error_max"].replace("e-0", "e-"),
        f"{closest['accuracy']}, {closest['kept_ratio'].removesuffix('x')} kept",
        f"{sparsest['accuracy']}, {sparsest['kept_ratio'].removesuffix('x')} kept",
    ]


def test_of_real_random_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = ["study.function_error.restarts=2", "study.function_error.steps=1"]
    words = ["experiment=theorem_1", "~compare.wider", *(f"study.comparison.{word[6:]}" for word in NO_CURVES), *few]
    found = results(monkeypatch, tmp_path / "theorem", *words)
    assert found["target"]["accuracy"] == "98.33 %"
    for name, row in zip(("reserved", "as_drawn", "positive"), table("Real random networks"), strict=True):
        shown = found[name]
        assert row[1:] == [shown["accuracy"], shown["kept_ratio"].removesuffix("x"), shown["over_epsilon"]]
