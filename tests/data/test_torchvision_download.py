"""torchvision in a process of its own: its answer, its failure and its time limit."""

from pathlib import Path

import pytest
import tiny_mnist as tiny

from lth_runner.core.errors import DataError
from lth_runner.data import torchvision_download


@pytest.mark.slow
def test_torchvisions_layout_is_ours(tmp_path: Path) -> None:
    """With the files there, torchvision reads them, downloads nothing, and we find them where it looked."""
    tiny.write(tmp_path / "MNIST" / "raw")
    folder = torchvision_download.source("MNIST").fetch(tmp_path)
    assert {name: (folder / name).read_bytes() for name in tiny.FILES} == tiny.FILES


@pytest.mark.slow
def test_splits_are_asked_for_one_by_one(tmp_path: Path) -> None:
    """Of a class that has them, the first without a file is the one that fails."""
    with pytest.raises(DataError, match="Unknown value 'second' for argument split"):
        torchvision_download.source("SVHN", "", splits=("second",)).fetch(tmp_path)


@pytest.mark.slow
def test_a_failure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NoSuchDataset") as caught:
        torchvision_download.source("NoSuchDataset").fetch(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_download_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_download, "WHOLE_TIMEOUT_S", 0.05)
    with pytest.raises(DataError, match="not finished within"):
        torchvision_download.source("MNIST").fetch(tmp_path)
