"""The wheel carries code and configs, and works where the repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_from_an_unrelated_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:  # building in place would leave its traces in the repository
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run([sys.executable, *build], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    yaml = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {f"lth_runner/{name}" for name in yaml} <= held
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lth_runner").rglob("*.py")}
    plugin = {"lth_runner/sweep/hydra_plugin/__init__.py"}  # Hydra looks for plugins in a package of its own
    assert code - plugin | {"hydra_plugins/lth_runner/__init__.py"} <= held
    program = "import sys; from lth_runner.cli.run import main; sys.argv = ['lth-run', 'experiment=smoke']; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "LTH_CACHE": str(tmp_path / "cache")}
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import lth_runner; print(lth_runner.__file__)\n" + program],
        cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "run folder: runs/smoke-" in done.stdout
