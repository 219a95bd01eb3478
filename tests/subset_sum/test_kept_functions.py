"""Compiled functions kept on disk never outlive a change of what they were compiled from."""

import os
from pathlib import Path

from lth_runner.subset_sum.kernels import drop_stale


def test_what_is_older_than_the_newest_source_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    for name, time in (("sums.py", 100), ("bitmap.py", 50), ("__pycache__/old.nbi", 99), ("__pycache__/new.nbi", 101)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    drop_stale(tmp_path)
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == ["new.nbi"]
