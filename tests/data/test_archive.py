"""Where the files come from: only whole files are handed out, and each source is tried once, in order."""

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_mnist as tiny

from lth_runner.core.errors import DataError
from lth_runner.data.archive import TRAIN_IMAGES, TRAIN_LABELS, Archive, Source


def archive(*sources: Source) -> Archive:
    return Archive(
        name="tiny", folder="Tiny", inner="raw", checksums=tiny.SHA256, sources=sources, by_hand="carry them"
    )


def broken(label: str) -> Source:
    def fetch(scratch: Path) -> Path:
        (scratch / TRAIN_IMAGES).write_bytes(b"half")
        raise DataError("the line was cut")

    return Source(label=label, fetch=fetch)


def good(label: str = "the good one", fetch: Callable[[Path], Path] = tiny.write) -> Source:
    return Source(label=label, fetch=fetch)


def check(arrays: dict[str, np.ndarray]) -> None:
    for name, array in tiny.ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_files_in_the_data_folder_need_no_source_and_no_word(tmp_path: Path) -> None:
    tiny.write(tmp_path / "Tiny" / "raw")
    said: list[str] = []
    check(archive().arrays(tmp_path, said.append))
    assert not said


def test_packed_files_brought_by_hand_are_read(tmp_path: Path) -> None:
    raw = tiny.write(tmp_path / "Tiny" / "raw")
    for name, content in tiny.FILES.items():
        (raw / f"{name}.gz").write_bytes(gzip.compress(content))
        (raw / name).unlink()
    check(archive().arrays(tmp_path, lambda line: None))


def test_sources_are_tried_in_order_and_named(tmp_path: Path) -> None:
    said: list[str] = []
    never = good("never needed", lambda scratch: pytest.fail("a later source was tried"))
    check(archive(broken("first"), good("second"), never).arrays(tmp_path, said.append))
    assert [line for line in said if "trying" in line] == ["tiny: trying first", "tiny: trying second"]
    assert "tiny: first: the line was cut" in said
    check(archive().arrays(tmp_path, lambda line: None))  # they were kept


def test_only_the_four_files_and_the_lock_are_left(tmp_path: Path) -> None:
    archive(broken("first"), good()).arrays(tmp_path, lambda line: None)
    left = {path.relative_to(tmp_path / "Tiny").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {f"raw/{name}" for name in tiny.FILES} | {"raw.lock"}


@pytest.mark.parametrize("name", list(tiny.FILES))
def test_a_damaged_file_is_found_and_fetched_again(tmp_path: Path, name: str) -> None:
    raw = tiny.write(tmp_path / "Tiny" / "raw")
    content = bytearray(tiny.FILES[name])
    content[-1] ^= 1  # one bit
    (raw / name).write_bytes(content)
    said: list[str] = []
    check(archive(good()).arrays(tmp_path, said.append))
    assert f"{name} in {raw} is damaged" in said[0]
    assert (raw / name).read_bytes() == tiny.FILES[name]


def test_a_source_with_other_bytes_is_not_used(tmp_path: Path) -> None:
    def wrong(scratch: Path) -> Path:
        tiny.write(scratch)
        (scratch / TRAIN_LABELS).write_bytes(tiny.FILES[TRAIN_IMAGES])
        return scratch

    with pytest.raises(DataError, match=f"the wrong one: {TRAIN_LABELS} in .* is damaged"):
        archive(good("the wrong one", wrong)).arrays(tmp_path, lambda line: None)
    assert not list((tmp_path / "Tiny").rglob("*ubyte"))


def test_where_nothing_works_the_error_lists_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        archive(broken("first"), broken("second")).arrays(tmp_path, lambda line: None)
    message = str(caught.value)
    for part in (f"{TRAIN_IMAGES} is not in", "first: the line was cut", "second: the line was cut"):
        assert part in message
    assert f"to bring the files by hand, carry them, and put {', '.join(tiny.FILES)}" in message
    assert str(tmp_path / "Tiny" / "raw") in message


def test_a_data_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=f"cannot write {tmp_path / 'file'}"):
        archive(good()).arrays(tmp_path / "file", lambda line: None)


def test_of_two_runs_at_once_one_fetches_and_the_other_waits(tmp_path: Path) -> None:
    fetched: list[str] = []
    said: list[str] = []

    def slow(scratch: Path) -> Path:
        fetched.append("once")
        time.sleep(0.3)
        return tiny.write(scratch)

    runs = [
        threading.Thread(target=lambda: check(archive(good(fetch=slow)).arrays(tmp_path, said.append)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert fetched == ["once"]
    lock = tmp_path / "Tiny" / "raw.lock"
    assert f"tiny: waiting for another run's download ({lock} is its lock)" in said
