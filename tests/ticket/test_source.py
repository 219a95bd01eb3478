"""Random tensors: any block of them is what stands there in the whole."""

from typing import Any

import numpy as np
import pytest

from lth_runner.core.errors import DataError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Scales
from lth_runner.ticket.ticket import Ticket

LAW = Uniform(low=-1.0, high=1.0)
SCALES = Scales(array=np.array([[1.0, 0.5, 0.25], [2.0, 4.0, 0.0], [1.0, 1.0, 8.0]], np.float16))


@pytest.mark.parametrize("scales", [None, SCALES])
@pytest.mark.parametrize("mirrored", [False, True])
def test_blocks_are_parts_of_the_whole(mirrored: bool, scales: Scales | None) -> None:
    source = Drawn(shape=(3, 7, 4), distribution=LAW, stream=("a",), mirrored=mirrored, scales=scales, scale=2.0)
    whole = source.draw(5)
    for start, stop in ((0, 84), (0, 1), (1, 2), (3, 50), (28, 84), (83, 84), (7, 7)):
        np.testing.assert_array_equal(source.draw(5, start, stop - start), whole.ravel()[start:stop])
    if mirrored:
        np.testing.assert_array_equal(whole[..., ::2], -whole[..., 1::2])
        assert source.drawn_shape == (3, 7, 2)
    if scales is not None:  # seven places of a row in groups of three, three and one
        plain = Drawn(shape=(3, 7, 4), distribution=LAW, stream=("a",), mirrored=mirrored, scale=2.0).draw(5)
        factors = scales.array.astype(float)[:, [0, 0, 0, 1, 1, 1, 2], None]
        np.testing.assert_array_equal(whole, factors * plain)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 1), np.float32),
        np.ones(3, np.float16),
        np.ones((3, 0), np.float16),
        np.array([[np.inf]], np.float16),
        -np.ones((1, 1), np.float16),
    ],
)
def test_what_are_no_scales_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scales"):
        Scales(array=array)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (3, 7, 3), "mirrored": True},
        {"shape": (), "mirrored": True},
        {"shape": (4, 7, 4), "scales": SCALES},
        {"shape": (3, 2, 4), "scales": SCALES},
        {"shape": (), "scales": SCALES},
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="random tensor"):
        Drawn(distribution=LAW, stream=(), **changes)


def test_mirrored_numbers_need_a_mask_for_each() -> None:
    network = FullyConnected(inputs=2, hidden=2, outputs=2, depth=1, biases=False)
    (name,) = (name for name, _ in network.module().named_parameters())
    source = Drawn(shape=(2, 2, 6), distribution=LAW, stream=(), mirrored=True)
    for masks in ({}, {name: Mask.pack(np.ones((2, 2, 1), bool))}):
        with pytest.raises(DataError, match="holds every number twice"):
            Ticket(architecture=network, seed=0, weights={name: source}, masks=masks)


def test_pruned_entries_are_zeros_without_a_sign() -> None:
    drawn, kept = np.array([[-0.5, 0.25], [-1.0, -2.0]]), np.array([[False, True], [True, False]])
    found = Drawn(shape=(2, 2), distribution=LAW, stream=("a",)).masked(drawn, kept)
    np.testing.assert_array_equal(found, [[0.0, 0.25], [-1.0, 0.0]])
    assert not np.signbit(found[~kept]).any()
