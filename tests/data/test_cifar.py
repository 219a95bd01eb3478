"""CIFAR in both of its formats and SVHN, on small files with the real byte layout."""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from small_cifar import batch, small, write_binary, write_pickles

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data import cifar10, cifar100, svhn
from lth_runner.data.cifar import Cifar
from lth_runner.data.cifar10 import Cifar10
from lth_runner.data.cifar100 import Cifar100
from lth_runner.data.svhn import Svhn

KINDS = [(cifar10, Cifar10), (cifar100, Cifar100)]


def quiet(line: str) -> None:
    del line


WRITERS = [write_pickles, write_binary]


def loaded(module: Any, kind: Any, root: Path, files: Cifar, monkeypatch: pytest.MonkeyPatch, normalize: bool) -> Any:
    monkeypatch.setattr(module, "FILES", files)
    return kind(root=str(root), normalize=normalize).load(quiet)


@pytest.mark.parametrize(("module", "kind"), KINDS)
@pytest.mark.parametrize("write", WRITERS)
def test_every_pixel_and_label_is_in_its_place(
    module: Any, kind: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path, module.FILES)
    data = loaded(module, kind, tmp_path, files, monkeypatch, normalize=False)
    for found, labels, names in (
        (data.train_inputs, data.train_labels, files.train),
        (data.test_inputs, data.test_labels, files.test),
    ):
        expected = [batch(name, files.classes) for name in names]
        pixels = np.concatenate([images for images, _ in expected]).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(found.numpy(), pixels)
        assert found.dtype == torch.float32
        assert labels.dtype == torch.int64
        np.testing.assert_array_equal(labels.numpy(), np.concatenate([labels for _, labels in expected]))


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_both_formats_are_one_dataset(module: Any, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_pickles(tmp_path, module.FILES)
    first = loaded(module, kind, tmp_path, files, monkeypatch, normalize=True)
    write_binary(tmp_path, module.FILES)
    said: list[str] = []
    second = kind(root=str(tmp_path), normalize=True).load(said.append)
    assert "reading the binary version" in said[0]
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_normalised_is_an_affine_map_of_each_channel(
    module: Any, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_binary(tmp_path, module.FILES)
    plain, normal = (loaded(module, kind, tmp_path, files, monkeypatch, normalize) for normalize in (False, True))
    for channel, (mean, std) in enumerate(zip(*kind.MOMENTS, strict=True)):
        expected = (plain.train_inputs[:, channel] - mean) / std
        torch.testing.assert_close(normal.train_inputs[:, channel], expected)


def test_batches_pickled_by_python_3_with_keys_of_bytes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump(content: dict[str, Any]) -> bytes:
        return pickle.dumps({key.encode(): value for key, value in content.items()})

    files = write_pickles(tmp_path, cifar10.FILES, dump)
    data = loaded(cifar10, Cifar10, tmp_path, files, monkeypatch, normalize=False)
    assert data.test_labels.tolist() == batch("test_batch", 10)[1].tolist()


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    files = write_pickles(tmp_path, cifar10.FILES, lambda content: pickle.dumps({**content, "data": Runs()}))
    with pytest.raises(DataError, match=r"data_batch_1 is no pickled batch of CIFAR \(.*: fetch it again"):
        loaded(cifar10, Cifar10, tmp_path, files, monkeypatch, normalize=False)
    assert not (tmp_path / "ran").exists()


def test_one_bit_of_a_pickled_batch_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_pickles(tmp_path, cifar10.FILES)
    path = tmp_path / cifar10.FOLDER / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_3 in .* is damaged or another version: its MD5 is not the known"):
        loaded(cifar10, Cifar10, tmp_path, files, monkeypatch, normalize=False)


def cut(content: bytes) -> bytes:
    return content[:-1]


def without_an_image(content: bytes) -> bytes:
    return content[: -(3072 + 1)]


def with_a_wrong_label(content: bytes) -> bytes:
    return bytes([10]) + content[1:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"data_batch_2.bin has 12291 bytes, no multiple of the 3073 of an image: fetch it again"),
        (lambda content: b"", "data_batch_2.bin has 0 bytes"),
        (without_an_image, "data_batch_2 holds 3 images, not 4: fetch it again"),
        (with_a_wrong_label, "data_batch_2 has the label 10, and labels go from 0 to 9: correct it"),
    ],
)
def test_a_damaged_file_of_the_binary_version_is_named(
    damage: Callable[[bytes], bytes], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_binary(tmp_path, cifar10.FILES)
    path = tmp_path / files.binary / "data_batch_2.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        loaded(cifar10, Cifar10, tmp_path, files, monkeypatch, normalize=False)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_binary(tmp_path, cifar10.FILES)
    (tmp_path / files.binary / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch.bin cannot be read \(No such file.*put the whole dataset into"):
        loaded(cifar10, Cifar10, tmp_path, files, monkeypatch, normalize=False)


def test_without_files_or_network_the_remedy_is_to_unpack_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "FILES", small(cifar10.FILES))
    with pytest.raises(DataError, match=r"cifar10 was found nowhere.*unpack cifar-10-python.tar.gz"):
        Cifar10(root=str(tmp_path), normalize=False).load(quiet)


def house_numbers(root: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, dict[str, np.ndarray]]:
    """Writes both MATLAB files, height and width told apart; labels from 1 to 10."""
    random = np.random.default_rng(0)
    (root / "SVHN").mkdir()
    arrays, checksums = {}, {}
    for name, count in ((svhn.TRAIN, 6), (svhn.TEST, 3)):
        images = random.integers(256, size=(32, 32, 3, count), dtype=np.uint8)
        arrays[name] = {"X": images, "y": np.arange(11 - count, 11, dtype=np.uint8)[:, None], **changes}
        savemat(root / "SVHN" / name, arrays[name], do_compression=True)
        checksums[name] = hashlib.md5((root / "SVHN" / name).read_bytes()).hexdigest()
    monkeypatch.setattr(svhn, "ARCHIVE", replace(svhn.ARCHIVE, checksums=checksums, sources=()))
    return arrays


def test_house_numbers_have_their_axes_in_order_and_ten_is_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = house_numbers(tmp_path, monkeypatch)
    data: Any = Svhn(root=str(tmp_path), normalize=False).load(quiet)
    assert data.train_labels.tolist() == [5, 6, 7, 8, 9, 0]
    assert data.test_labels.tolist() == [8, 9, 0]
    assert data.test_inputs.shape == (3, 3, 32, 32)
    raw = arrays[svhn.TEST]["X"]
    for n, channel, row, column in ((0, 0, 0, 1), (2, 1, 30, 4), (1, 2, 7, 31)):
        assert float(data.test_inputs[n, channel, row, column]) == np.float32(
            raw[row, column, channel, n]
        ) / np.float32(255)


def test_normalised_house_numbers_have_mean_0_and_deviation_1_per_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house_numbers(tmp_path, monkeypatch)
    data: Any = Svhn(root=str(tmp_path), normalize=True).load(quiet)
    channels = data.train_inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(channels.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.array([[11], [1], [2], [3], [4], [5]], np.uint8)}, "has the label 11, and labels go from 0 to 9"),
        ({"y": np.array([[1], [2]], np.uint8)}, r"labels of type uint8 and shape \(2,\), not one integer for each of"),
        ({"X": np.zeros((32, 32, 6), np.uint8)}, "is no MATLAB file of SVHN"),
        ({"X": np.zeros((28, 28, 3, 6), np.uint8)}, r"shape \(6, 3, 28, 28\), not bytes of shape \(N, 3, 32, 32\)"),
        ({"X": np.full((32, 32, 3, 6), np.nan)}, "holds float64 of shape"),
        (
            {"X": np.zeros((32, 32, 3, 6), np.uint8), "y": np.ones((6, 1), np.uint8)},
            "a channel of the training images of .*SVHN is constant",
        ),
    ],
)
def test_other_matlab_files_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house_numbers(tmp_path, monkeypatch, **changes)
    with pytest.raises(DataError, match=message):
        Svhn(root=str(tmp_path), normalize=True).load(quiet)


@pytest.mark.parametrize("content", [b"", b"half a file", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_a_file_that_is_no_matlab_file_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"x.mat is no MATLAB file of SVHN \(.*fetch it again"):
        svhn.decode(content, "x.mat")


@pytest.mark.parametrize("kind", [Cifar10, Cifar100, Svhn])
def test_normalize_is_true_or_false(kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.normalize must be true or false"):
        kind(root="x", normalize="yes")
