"""Named tensors: what is an input, what is a label, and what the mask must be."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data.inputs import NamedInputs
from lth_runner.data.interface import DataSource

IDS = torch.arange(12).reshape(4, 3)
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1]])
WORDS = {"input_ids": IDS, "attention_mask": MASK}


def quiet(line: str) -> None:
    del line


def source(folder: Path, tensors: dict[str, Any], **changes: Any) -> NamedInputs:
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "batch.safetensors")
    settings: dict[str, Any] = {"path": str(folder / "batch.safetensors"), "calibration": None, "mask": None}
    return NamedInputs(**{**settings, **changes})


def test_without_labels_and_calibration_there_are_test_inputs_alone(tmp_path: Path) -> None:
    said: list[str] = []
    data = source(tmp_path, WORDS, mask="attention_mask").load(said.append)
    assert isinstance(data.test_inputs, dict)
    assert torch.equal(data.test_inputs["input_ids"], IDS)
    assert data.test_inputs["attention_mask"].dtype == torch.int64
    assert data.train_inputs is data.train_labels is data.test_labels is None
    assert data.mask == "attention_mask"
    assert said == [f"{tmp_path / 'batch.safetensors'}: 4 samples of attention_mask, input_ids, without labels"]


def test_labels_are_kept_apart_and_floats_become_float32(tmp_path: Path) -> None:
    labels = torch.tensor([2, 0, 1, 1], dtype=torch.int32)
    half = torch.linspace(-1, 1, 8).reshape(4, 2).bfloat16()
    data = source(tmp_path, {"x": half, "labels": labels}).load(quiet)
    assert isinstance(data.test_inputs, dict)
    assert list(data.test_inputs) == ["x"]
    assert torch.equal(data.test_inputs["x"], half.float())
    assert data.test_labels is not None
    assert data.test_labels.tolist() == [2, 0, 1, 1]
    assert data.test_labels.dtype == torch.int64


def test_calibration_is_the_training_part(tmp_path: Path) -> None:
    save_file({"input_ids": IDS[:2] + 1, "attention_mask": MASK[:2].clone()}, tmp_path / "more.safetensors")
    data = source(tmp_path, WORDS, calibration=str(tmp_path / "more.safetensors")).load(quiet)
    assert isinstance(data.train_inputs, dict)
    assert torch.equal(data.train_inputs["input_ids"], IDS[:2] + 1)
    save_file({"ids": IDS}, tmp_path / "more.safetensors")
    with pytest.raises(DataError, match=r"more.safetensors holds ids and .* give both files the same names"):
        source(tmp_path, WORDS, calibration=str(tmp_path / "more.safetensors")).load(quiet)
    with pytest.raises(DataError, match=r"set data\.calibration to an existing one"):
        source(tmp_path, WORDS, calibration=str(tmp_path / "none.safetensors")).load(quiet)


@pytest.mark.parametrize(
    ("changes", "mask", "message"),
    [
        ({}, "mask", r"has no mask mask, it has attention_mask, input_ids: set data\.mask"),
        ({"attention_mask": MASK * 2}, "attention_mask", "must be zeros and ones of shape"),
        ({"attention_mask": MASK[:, 0]}, "attention_mask", "must be zeros and ones of shape"),
        ({"attention_mask": MASK * torch.tensor([[1], [1], [0], [1]])}, "attention_mask", "leaves nothing of sample 2"),
        ({"input_ids": IDS[:3]}, None, r"attention_mask has 4, input_ids has 3\): make them equal"),
        ({"labels": IDS}, None, r"labels is int64 of shape \(4, 3\), not one integer for each of 4 samples"),
        ({"x": torch.full((4, 2), float("inf"))}, None, "x has NaN, infinite or complex values"),
        ({"x": torch.zeros(0, 2)}, None, r"x has the shape \(0, 2\): give it at least one sample"),
    ],
)
def test_a_mistake_is_named_with_its_file(
    changes: dict[str, Any], mask: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"batch.safetensors.*{message}"):
        source(tmp_path, {**WORDS, **changes}, mask=mask).load(quiet)


def test_labels_alone_are_no_inputs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds labels alone: add the tensors that the module takes"):
        source(tmp_path, {"labels": IDS[:, 0]}).load(quiet)
    with pytest.raises(DataError, match="holds no tensors"):
        source(tmp_path, {}).load(quiet)
    with pytest.raises(ConfigError, match=r"data\.mask must name an input"):
        source(tmp_path, WORDS, mask="labels")


def test_it_keeps_to_the_interface(tmp_path: Path) -> None:
    assert isinstance(source(tmp_path, WORDS), DataSource)
