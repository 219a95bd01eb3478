"""Outputs compared on tensors whose numbers are known."""

import math
from typing import Any

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.measure.approximation import output_difference
from lth_runner.measure.outputs import compare, cosine, kl_softmax

LOG2, LOG3 = math.log(2), math.log(3)


class Named(torch.nn.Module):
    """Hands on the input of its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, block: dict[str, torch.Tensor]) -> torch.Tensor:
        return block[self.name]


def double(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def compared(pruned: Any, target: Any, mask: Any = None, pool: str | None = None, batch: int = 2) -> dict[str, float]:
    inputs: dict[str, torch.Tensor] = {"pruned": double(pruned), "target": double(target)}
    if mask is not None:
        inputs["real"] = torch.tensor(mask)
    return compare(Named("pruned"), Named("target"), inputs, None if mask is None else "real", pool, batch)


PRUNED = [[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]]
TARGET = [[5.0, 0.0], [2.0, 0.0], [4.0, 3.0]]


@pytest.mark.parametrize("batch", [1, 2, 3, 10])
def test_every_number_of_three_pairs_whatever_the_batch(batch: int) -> None:
    found = compared(PRUNED, TARGET, batch=batch)
    assert found["output_difference_max"] == 3
    assert found["output_difference_mean"] == (2 + 0 + 2 + 2 + 3 + 2) / 6
    assert found["output_cosine_min"] == 0
    assert found["output_cosine_mean"] == pytest.approx((1 + 0 + 7 / (5 * math.sqrt(2))) / 3, rel=1e-15)
    assert found["agreement"] == 2 / 3  # of the equal entries of the third the first counts
    assert "token_cosine_mean" not in found


def test_kl_is_that_of_the_target_relative_to_the_pruned() -> None:
    """p = (1/2, 1/2), q = (3/4, 1/4): KL(p || q) = log 2 - (1/2) log 3; KL(q || p) = (3/4) log 3 - log 2."""
    even, skewed = [[0.0, 0.0]], [[LOG3, 0.0]]
    assert compared(skewed, even)["kl_softmax_mean"] == pytest.approx(LOG2 - LOG3 / 2, rel=1e-14)
    assert compared(even, skewed)["kl_softmax_mean"] == pytest.approx(0.75 * LOG3 - LOG2, rel=1e-14)
    assert float(kl_softmax(torch.tensor([7.0, 7.0]), torch.tensor([0.0, 0.0]))) == 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 0.1, 0.7], [1.0, 0.1, 0.7], 1.0),
        ([1.0, 2.0], [-1.0, -2.0], -1.0),
        ([0.0, 0.0], [0.0, 0.0], 1.0),
        ([0.0, 0.0], [1.0, 0.0], 0.0),
        ([3e-200, 4e-200], [3e200, 0.0], 0.6),
        ([float("nan"), 1.0], [1.0, 1.0], float("nan")),
    ],
)
def test_cosines(one: list[float], other: list[float], expected: float) -> None:
    found = cosine(double([one]), double([other]))
    assert float(found) == pytest.approx(expected, nan_ok=True, rel=1e-15, abs=0)


def test_equal_networks_differ_in_nothing() -> None:
    outputs = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    found = compared(outputs, outputs, batch=6)
    assert (found["output_difference_max"], found["output_difference_mean"], found["kl_softmax_mean"]) == (0, 0, 0)
    assert (found["output_cosine_min"], found["output_cosine_mean"], found["agreement"]) == (1, 1, 1)


def test_a_nan_is_never_lost() -> None:
    found = compared([[1.0, 2.0], [float("nan"), 0.0], [1.0, 2.0]], [[1.0, 2.0]] * 3, batch=1)
    for name in ("output_difference_max", "output_difference_mean", "output_cosine_min", "kl_softmax_mean"):
        assert math.isnan(found[name])


MASK = [[1, 1, 0], [1, 0, 0]]
TOKENS = [[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]], [[0.0, 2.0], [float("nan"), 5.0], [7.0, 7.0]]]
WANTED = [[[1.0, 0.0], [1.0, 1.0], [-9.0, 9.0]], [[0.0, 4.0], [5.0, -5.0], [8.0, 7.0]]]


@pytest.mark.parametrize("batch", [1, 2])
def test_only_real_positions_enter(batch: int) -> None:
    found = compared(TOKENS, WANTED, MASK, batch=batch)
    assert found["output_difference_max"] == 2
    assert found["output_difference_mean"] == (1 + 2) / 6
    assert found["output_cosine_mean"] == pytest.approx((2 / math.sqrt(2 * 3) + 1) / 2, rel=1e-15)
    assert found["output_cosine_min"] == pytest.approx(2 / math.sqrt(6), rel=1e-15)
    assert found["agreement"] == 2 / 3  # (0, 1) against (1, 1): the second entry against the first of equal ones
    assert found["token_cosine_mean"] == pytest.approx((1 + math.sqrt(0.5) + 1) / 3, rel=1e-15)
    assert found["token_cosine_min"] == pytest.approx(math.sqrt(0.5), rel=1e-15)
    no_padding = compared([TOKENS[0][:2]], [WANTED[0][:2]], [[1, 1]])
    assert compared(TOKENS[:1], WANTED[:1], MASK[:1]) == no_padding


@pytest.mark.parametrize("batch", [1, 2])
def test_pooled_outputs_are_means_over_real_positions(batch: int) -> None:
    found = compared(TOKENS, WANTED, MASK, "mean", batch)
    tokens = compared(TOKENS, WANTED, MASK, None, batch)
    pooled = compared([[0.5, 0.5], [0.0, 2.0]], [[1.0, 0.5], [0.0, 4.0]], batch=batch)
    assert found == {**pooled, **{name: tokens[name] for name in ("token_cosine_mean", "token_cosine_min")}}


def test_without_a_mask_all_positions_are_real() -> None:
    tokens, wanted = ([row[:1] + row[2:] for row in part] for part in (TOKENS, WANTED))  # without the NaN
    every = [[1, 1], [1, 1]]
    assert compared(tokens, wanted, None, "mean") == compared(tokens, wanted, every, "mean")
    plain = compared(tokens, wanted)
    assert plain.items() <= compared(tokens, wanted, every).items()
    assert "token_cosine_mean" not in plain


def test_a_mask_leaves_outputs_without_positions_alone() -> None:
    assert compared(PRUNED[:2], TARGET[:2], MASK) == compared(PRUNED[:2], TARGET[:2])


def test_one_output_per_sample_is_a_vector_of_length_1() -> None:
    found = compared([1.0, -2.0], [1.0, 2.0])
    assert (found["output_difference_max"], found["output_cosine_min"], found["kl_softmax_mean"]) == (4, -1, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_work_in_their_own_precision_and_keep_their_modes(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    one, other = (torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Dropout(0.5)).to(dtype) for _ in range(2))
    other.eval()
    images = torch.randn(11, 5)
    found = compare(one, other, images, None, None, 4)
    assert (one.training, other.training) == (True, False)
    assert found["output_difference_max"] == pytest.approx(output_difference(one.eval(), other, images, 4), rel=1e-5)
    assert found == compare(one, other, images, None, None, 4)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"network\.pool=mean needs outputs \(N, T, D\), got \(2, 2\): set it to null"
    ):
        compared(PRUNED, TARGET, pool="mean")
    with pytest.raises(ConfigError, match="pool must be one of mean, got 'max'"):
        compared(TOKENS, WANTED, pool="max")
    with pytest.raises(ConfigError, match=r"have the shape \(2, 2\) and those of its target \(2, 1\)"):
        compared(PRUNED, [[1.0], [2.0], [3.0]])
