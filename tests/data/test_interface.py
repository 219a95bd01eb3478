"""Datasets and their inputs: one tensor or several by name, cut, moved and hashed alike."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data import interface
from lth_runner.data.interface import Dataset, Inputs, moved, never_negative, num_samples, select, split
from lth_runner.data.synthetic import Synthetic

ONE = torch.arange(10.0).reshape(5, 2)
NAMED: dict[str, torch.Tensor] = {
    "input_ids": torch.arange(15).reshape(5, 3),
    "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]]),
    "scale": torch.linspace(0, 1, 5),
}
WORDS = Dataset(
    name="words",
    train_inputs=None,
    train_labels=None,
    test_inputs=NAMED,
    test_labels=torch.arange(5),
    mask="attention_mask",
)


def joined(blocks: list[Inputs]) -> Any:
    if isinstance(blocks[0], torch.Tensor):
        return torch.cat(blocks)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}  # pyright: ignore[reportArgumentType, reportCallIssue]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("inputs", [ONE, NAMED])
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_the_blocks_of_a_split_are_the_inputs(inputs: Inputs, batch: int) -> None:
    blocks = list(split(inputs, batch))
    assert [num_samples(block) for block in blocks] == [min(batch, 5 - start) for start in range(0, 5, batch)]
    assert equal(joined(blocks), inputs)


@pytest.mark.parametrize("inputs", [ONE, NAMED])
def test_the_same_samples_of_every_tensor_are_selected(inputs: Inputs) -> None:
    order = torch.tensor([3, 0, 3])
    found = dict(interface.named(select(inputs, order)))
    assert found.keys() == dict(interface.named(inputs)).keys()
    for name, tensor in interface.named(inputs):
        assert torch.equal(found[name], tensor[order])


def test_only_floating_tensors_change_their_dtype() -> None:
    found: Any = moved(NAMED, torch.float64)
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        "input_ids": torch.int64,
        "attention_mask": torch.int64,
        "scale": torch.float64,
    }
    assert all(tensor.device.type == "meta" for _, tensor in interface.named(moved(NAMED, "meta")))


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [(ONE, True), (ONE - 1e-6, False), (NAMED, True), ({**NAMED, "more": -ONE}, False), (ONE * float("nan"), False)],
)
def test_one_negative_entry_is_seen(inputs: Inputs, expected: bool) -> None:
    assert never_negative(inputs) is expected
    assert replace(WORDS, mask=None, test_inputs=inputs).never_negative() is expected


def test_training_inputs_count_for_the_sign_too() -> None:
    assert not replace(WORDS, mask=None, train_inputs=-ONE).never_negative()


def test_the_digest_of_a_dataset_of_images_is_what_it_always_was() -> None:
    """Cached targets and checkpoints are found by it."""
    data = Synthetic(train_count=200, test_count=50, side=6, classes=10, seed=0, noise=0.1).load(lambda line: None)
    assert data.fingerprint() == "192933ff4e0e46dc68d1630e3f0ba5bbd7955bb2c1093c635aa57cc20c39e32b"
    assert replace(data, recipe={"seed": 0}).fingerprint() == data.fingerprint()


OTHERS = [
    replace(WORDS, test_inputs={**NAMED, "scale": NAMED["scale"] + 1}),
    replace(WORDS, test_inputs={**NAMED, "scale": NAMED["scale"].double()}),
    replace(WORDS, test_inputs={**NAMED, "scale": NAMED["scale"].bfloat16()}),
    replace(WORDS, test_inputs={"ids" if name == "input_ids" else name: value for name, value in NAMED.items()}),
    replace(WORDS, test_inputs={name: value for name, value in NAMED.items() if name != "scale"}),
    replace(WORDS, test_labels=torch.tensor([0, 1, 2, 3, 5])),
    replace(WORDS, test_labels=None),
]


def test_the_digest_sees_names_values_types_labels_mask_and_parts() -> None:
    others = [*OTHERS, replace(WORDS, mask=None), replace(WORDS, train_inputs=NAMED)]
    assert len({data.fingerprint() for data in [WORDS, *others]}) == 1 + len(others)
    assert WORDS.fingerprint() == replace(WORDS, test_inputs=dict(reversed(NAMED.items()))).fingerprint()


def test_the_test_checksum_sees_the_test_part_alone() -> None:
    assert len({data.test_checksum() for data in [WORDS, *OTHERS]}) == 1 + len(OTHERS)
    trained = replace(WORDS, train_inputs=NAMED, train_labels=torch.arange(5), name="other")
    assert trained.test_checksum() == WORDS.test_checksum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_labels": torch.arange(4)}, "tensor scale has 5, labels has 4"),
        ({"test_inputs": {**NAMED, "x": ONE[:2]}}, "tensor x has 2"),
        ({"test_inputs": {}}, "the test part is empty"),
        ({"train_inputs": ONE[:0], "mask": None}, "the training part is empty"),
        ({"train_labels": torch.arange(5)}, "training labels without training inputs"),
        ({"mask": "mask"}, "no mask mask, it has attention_mask, input_ids, scale"),
        ({"test_inputs": ONE}, "no mask attention_mask, it has one tensor without a name"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(WORDS, **change)


def test_a_step_that_needs_images_or_labels_says_so() -> None:
    assert interface.images(ONE) is ONE
    with pytest.raises(ConfigError, match="has attention_mask, input_ids, scale by name: take data=arrays"):
        interface.images(NAMED)
    with pytest.raises(ConfigError, match=r"set data\.calibration=FILE"):
        interface.images(None)
    with pytest.raises(ConfigError, match="needs labels and the data has none"):
        interface.labels(None)


def test_another_device_takes_everything_along() -> None:
    data = replace(WORDS, train_inputs=ONE, mask=None).to("meta")
    assert data.train_labels is None
    assert data.test_labels is not None
    assert {t.device.type for _, t in [*interface.named(data.test_inputs), ("", data.test_labels)]} == {"meta"}
