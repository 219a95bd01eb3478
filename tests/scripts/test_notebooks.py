"""The notebooks run, cell by cell and in little time, from a folder where nothing lies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lth_runner

NOTEBOOKS = sorted((Path(lth_runner.__file__).parents[1] / "scripts").glob("*.ipynb"))
LIMIT_S = 120


def code(notebook: Path) -> str:
    """Its cells of code, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["first_ticket.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_within_two_minutes(notebook: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code(notebook)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "LTH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ticket.safetensors").stat().st_size
    assert (tmp_path / "ticket.png").stat().st_size > 10_000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs_and_opens_as_a_notebook(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
