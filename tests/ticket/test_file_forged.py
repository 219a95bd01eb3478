"""Ticket files that were forged, whole but for what they say, are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ticket.small_ticket import forged

from lth_runner.core.errors import DataError
from lth_runner.ticket.file import read_ticket


def _shadow(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """A stored tensor under the name of a random one, which would go on being counted as drawn and kept."""
    tensors["stored/fc1.weight"] = np.zeros((3, 4), np.float32)


def _extra(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["weights"]["fc9.weight"] = recipe["weights"]["fc1.weight"]


def _extra_mask(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["masks"]["fc9.weight"], tensors["mask/fc9.weight"] = [8], np.full(1, 255, np.uint8)


def _padding(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    tensors["mask/fc1.weight"] = tensors["mask/fc1.weight"].copy()
    tensors["mask/fc1.weight"][-1] |= 1  # 3 * 4 * 5 = 60 entries: 4 bits are left over


def _other_shape(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["weights"]["fc1.weight"]["shape"] = [3, 5, 5]


def _missing(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    del recipe["weights"]["fc2.weight"], recipe["masks"]["fc2.weight"], tensors["mask/fc2.weight"]


def _negative_seed(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["seed"] = -1


def _odd_pairs(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["weights"]["fc1.weight"]["mirrored"] = True  # five numbers for each weight


def _scaled_by_nothing(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    recipe["weights"]["fc1.weight"]["scaled"] = True


def _wide_scales(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    _scaled_by_nothing(recipe, tensors)
    tensors["stored/fc1.weight"] = np.ones((3, 1), np.float32)


def _scales_of_other_rows(recipe: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    _scaled_by_nothing(recipe, tensors)
    tensors["stored/fc1.weight"] = np.ones((5, 1), np.float16)


@pytest.mark.parametrize(
    "change",
    [
        _shadow,
        _extra,
        _extra_mask,
        _padding,
        _other_shape,
        _missing,
        _negative_seed,
        _odd_pairs,
        _scaled_by_nothing,
        _wide_scales,
        _scales_of_other_rows,
    ],
)
def test_files_whose_parts_make_no_ticket_are_refused(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "forged.safetensors"
    forged(path, lambda recipe, tensors: None)
    read_ticket(path)  # the forger's digest is right
    forged(path, change)
    with pytest.raises(DataError):
        read_ticket(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"@": "mnist", "root": {"_target_": "os.mkdir", "path": "made"}}, "where files lie"),
        ({"@": "mnist", "root": "elsewhere"}, "where files lie"),
        ({"@": "mnist", "normalize": {"_target_": "os.mkdir", "path": "made"}}, "normalize is no plain value"),
        ({"@": "mnist", "_target_": "os.mkdir"}, "_target_ is no setting"),
        ({"@": "mnist", "pool": [1]}, "pool is no plain value"),
        ({"@": "some_lab:Data", "law": [{"_target_": "os.mkdir", "path": "made"}]}, "law is no plain value"),
        ({"@": "some_lab:Data", "_args_": ["made"]}, "_args_ is no"),
        ({"@": 5}, "no name"),
        ({}, "no name"),
        (5, "no name"),
    ],
)
def test_a_dataset_cannot_name_code_to_run(tmp_path: Path, data: Any, message: str) -> None:
    forged(tmp_path / "forged.safetensors", lambda recipe, tensors: recipe["origin"].update(data=data))
    with pytest.raises(DataError, match=message):
        read_ticket(tmp_path / "forged.safetensors", trust=["some_lab"])


@pytest.mark.parametrize("value", ["high", None, [1], float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["claims", "facts"])
def test_claims_and_facts_are_numbers(tmp_path: Path, what: str, value: Any) -> None:
    path = tmp_path / "forged.safetensors"
    forged(path, lambda recipe, tensors: recipe[what].update(epsilon=value))
    with pytest.raises(DataError, match=f"its {what} hold epsilon"):
        read_ticket(path)
    forged(path, lambda recipe, tensors: recipe.update({what: [value]}))
    with pytest.raises(DataError, match=f"its {what} have no names"):
        read_ticket(path)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "a"},
        {"centred": 1},
        {"mirrored": 1},
        {"scaled": 0},
        {"scale": None},
        {"scale": float("nan")},
        {"stream": [1, 2]},
        {"stream": "abc"},
        {"shape": [3.0]},
    ],
    ids=str,
)
def test_what_is_drawn_can_be_drawn(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "forged.safetensors"
    forged(path, lambda recipe, tensors: recipe["weights"]["fc1.weight"].update(change))
    with pytest.raises(DataError, match=r"its fc1\.weight is drawn in shape"):
        read_ticket(path)
