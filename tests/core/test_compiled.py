"""The cache of compiled functions: damaged, or nowhere to be written, it costs time and no result."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lth_runner

PROGRAM = """
import lth_runner
from lth_runner.subset_sum.kernels.sums import count_bits

assert count_bits(7) == 3
print(lth_runner.__file__, sum(count_bits.stats.cache_hits.values()))
"""


def compute(package: Path, **environment: str) -> tuple[int, str]:
    """Runs a kernel of a copy of the package in a new process: whether it was found compiled (1), and the warnings."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
    )
    assert done.returncode == 0, done.stderr
    where, hits = done.stdout.split()
    assert where.startswith(str(package))
    return int(hits), done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of a copy of the kernels without anything compiled; without the rest, which would import torch."""
    source, copy = Path(lth_runner.__file__).parent, tmp_path / "lth_runner"
    for part in ("core", "subset_sum"):
        shutil.copytree(source / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").touch()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "size"), [("nbc", 0), ("nbc", 100), ("nbi", 0)])
def test_a_truncated_file_is_written_anew(package: Path, kind: str, size: int) -> None:
    assert compute(package) == (0, "")
    (kept,) = package.rglob(f"*.{kind}")
    os.truncate(kept, size)
    assert compute(package) == (0, "")
    assert compute(package) == (1, "")


@pytest.mark.slow
def test_nowhere_to_write_costs_a_warning_once(package: Path) -> None:
    """Where a file stands in place of a folder, not even root can write."""
    (package / "lth_runner" / "subset_sum" / "kernels" / "__pycache__").touch()
    hits, warned = compute(package, HOME="/dev/null", XDG_CACHE_HOME="/dev/null")
    assert hits == 0
    assert warned.count("set NUMBA_CACHE_DIR to a folder that can be written") == 1
    for hits in range(2):
        folder = str(package / "cache")
        assert compute(package, HOME="/dev/null", XDG_CACHE_HOME="/dev/null", NUMBA_CACHE_DIR=folder) == (hits, "")


@pytest.mark.slow
def test_a_cache_that_fills_the_disk_costs_a_warning(package: Path) -> None:
    """Compiled functions are kilobytes: no file of this process may grow so large."""
    (package / "sitecustomize.py").write_text(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
    )
    hits, warned = compute(package)
    assert hits == 0
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in warned
