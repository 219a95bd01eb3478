"""What is counted is enough: a ticket is rebuilt from so many bits, and each of them is named."""

import math
from typing import Any

import numpy as np
import pytest
from small_networks import FC, SMALL, dataset, target

import lth_runner as lth
from lth_runner.api import Loaded
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bits import bits, parts
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Packed, parameter_shapes
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import CODE, Drawn, Stored
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=100, hidden=50, outputs=10, depth=2, biases=True)


def ticket(n: int, share: float) -> Ticket:
    """Sums of n numbers for the weights, of which a fixed number is kept; biases are stored."""
    law, generator = Uniform(low=-0.25, high=0.75), np.random.default_rng(0)
    weights: dict[str, Any] = {}
    masks = {}
    for name, shape in parameter_shapes(NETWORK).items():
        if name.endswith("bias"):
            weights[name] = Stored(array=np.zeros(shape, np.float32), origin="target")
            continue
        weights[name] = Drawn(shape=(*shape, n), distribution=law, stream=(name,))
        masks[name] = Mask.random((*shape, n), round(share * math.prod(shape) * n), generator)
    return Ticket(architecture=NETWORK, seed=0, weights=weights, masks=masks)


@pytest.mark.parametrize(("n", "share"), [(21, 0.0271), (21, 0.475), (6, 0.2)])
def test_a_ticket_of_fixed_density_costs_its_binary_entropy(n: int, share: float) -> None:
    found = bits(ticket(n, share))
    weights, stored, apart = 5500, 60, 64 + 2 * 2 * 64  # the seed, and two ends of the range for either tensor
    entropy = -(share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert found["weights_approximated"] == weights
    assert found["bits_mask"] == n * weights
    assert found["bits_per_weight"] == pytest.approx((n * weights + apart) / weights, rel=1e-12)
    assert found["bits_per_weight_ideal"] == pytest.approx((n * weights * entropy + apart) / weights, rel=1e-3)
    assert found["bits_mask_coded"] < 1.01 * entropy * n * weights + 150
    assert found["bits_stored"] == 32 * stored
    total = n * weights + apart + 32 * stored
    assert found["network_bits_per_weight"] == pytest.approx(total / (weights + stored), rel=1e-12)


@pytest.mark.parametrize(("method", "name"), [("subset_sum", "resnet"), ("subset_sum", "vit"), ("pensia", "fc")])
def test_networks_of_some_width_are_counted_like_all_others(method: str, name: str) -> None:
    """Channels, tokens and expansions have a width too, which is none of the bits of an entry."""
    small = SMALL[name]
    found = lth.find(method, small.make(), n=6, target=target(small), data=dataset(small), progress=False).ticket
    assert not isinstance(found.ticket.architecture, Packed)
    assert found.bits()["bits_mask"] == sum(mask.size for mask in found.ticket.masks.values())


def test_of_a_winning_ticket_the_kept_numbers_and_the_mask_are_stored() -> None:
    masks = {"fc1.weight": Mask.random((50, 100), 600, np.random.default_rng(1))}
    weights = {
        name: Stored(array=np.ones(shape, np.float32), origin="trained")
        for name, shape in parameter_shapes(NETWORK).items()
    }
    found = bits(Ticket(architecture=NETWORK, seed=0, weights=weights, masks=masks))
    assert found["weights_approximated"] == 0 and found["bits_per_weight"] == 0
    assert found["bits_stored"] == 5000 + 32 * (600 + 500 + 60)


@pytest.mark.parametrize("method", ["round_to_nearest", "nf4", "lloyd_max", "gptq"])
def test_a_scalar_code_costs_its_indices_and_its_scales(method: str) -> None:
    changes: dict[str, Any] = {"escape": None} if method == "lloyd_max" else {}
    found = lth.find(method, FC, target=target(SMALL["fc"]), data=dataset(SMALL["fc"]), progress=False, **changes)
    weights, groups = 8 * 64 + 4 * 8, 8 + 4
    zeros = 4 * groups if method in ("round_to_nearest", "gptq") else 0
    assert bits(found.ticket.ticket)["bits_code"] == 4 * weights + 16 * groups + zeros
    assert bits(found.ticket.ticket)["weights_approximated"] == weights


def test_blocks_cost_their_signs_scales_and_escapes() -> None:
    small = SMALL["fc"]
    found = lth.find("block", FC, n=8, block=2, escape=2.0, target=target(small), data=dataset(small), progress=False)
    ticket = found.ticket.ticket
    first, second = (ticket.weights[f"fc{k}.escape_place"].shape[0] for k in (1, 2))
    assert first > 0 and second > 0
    assert bits(ticket)["weights_approximated"] == 544 and bits(ticket)["bits_mask"] == 8 * 544 / 2
    assert bits(ticket)["bits_code"] == 16 * (8 + 4) + (9 + 16) * first + (5 + 16) * second


def test_seedlm_costs_what_its_authors_say_and_padding_counts() -> None:
    found = lth.find(
        "seedlm", FC, target=target(SMALL["fc"]), data=dataset(SMALL["fc"]), register=9, block=12, progress=False
    )
    blocks = math.ceil(512 / 12) + math.ceil(32 / 12)
    assert found.ticket.bits()["bits_code"] == blocks * (9 + 4 + 4 * 3) + 2 * 16


@pytest.mark.parametrize("method", ["round_to_nearest", "nf4", "lloyd_max", "gptq", "seedlm"])
def test_the_count_is_enough_to_rebuild_every_part(method: str) -> None:
    """Each entry is written in as many bits as are counted, and read back."""
    changes: dict[str, Any] = {"register": 9} if method == "seedlm" else {"escape": 2.0}
    found = lth.find(method, FC, target=target(SMALL["fc"]), data=dataset(SMALL["fc"]), progress=False, **changes)
    ticket = found.ticket.ticket
    assert isinstance(ticket.architecture, Packed)
    counted = {part.name: part.raw for part in parts(ticket) if part.kind == "code"}
    assert counted.keys() == {name for name, s in ticket.weights.items() if isinstance(s, Stored) and s.origin == CODE}
    weights, written = dict(ticket.weights), 0
    for name in counted:
        source, width = ticket.weights[name], ticket.architecture.entry_bits(name)
        assert isinstance(source, Stored) and width is not None
        stream = packed(source.array, width)
        assert len(stream) == counted[name]
        written += len(stream)
        again = unpacked(stream, width, source.array.dtype, source.shape)
        np.testing.assert_array_equal(again, source.array)
        weights[name] = Stored(array=again, origin=CODE)
    assert bits(ticket)["bits_code"] == written
    rebuilt = Ticket(architecture=ticket.architecture, seed=0, weights=weights, masks={})
    x = dataset(SMALL["fc"]).test_inputs
    assert (Loaded(rebuilt).module()(x) == found.ticket.module()(x)).all()


def packed(array: np.ndarray, width: int) -> str:
    """As zeros and ones, `width` of them for each entry."""
    whole = array.view(np.uint16) if array.dtype == np.float16 else array.astype(np.int64) % (1 << width)
    return "".join(format(int(entry), f"0{width}b") for entry in whole.ravel())


def unpacked(stream: str, width: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    entries = np.array([int(stream[k : k + width], 2) for k in range(0, len(stream), width)], np.int64)
    if dtype == np.float16:
        return entries.astype(np.uint16).view(np.float16).reshape(shape)
    if np.dtype(dtype).kind == "i" and width <= 8 * np.dtype(dtype).itemsize and np.dtype(dtype).itemsize == 1:
        entries = np.where(entries >= 1 << (width - 1), entries - (1 << width), entries)  # two's complement
    return entries.astype(dtype).reshape(shape)


@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3), (0.1, 0.2)])
def test_signs_with_zeros_cost_the_entropy_of_three_symbols(shares: tuple[float, float]) -> None:
    n, weights = 12, 5500
    positive, negative = shares
    generator = np.random.default_rng(0)
    sources: dict[str, Any] = {}
    masks = {}
    for name, shape in parameter_shapes(NETWORK).items():
        if name.endswith("bias"):
            sources[name] = Stored(array=np.zeros(shape, np.float32), origin="target")
            continue
        law = Uniform(low=-0.25, high=0.75)
        sources[name] = Drawn(shape=(*shape, 2 * n), distribution=law, stream=(name,), mirrored=True)
        uniform = generator.random((*shape, n))
        pairs = np.stack((uniform < positive, uniform > 1 - negative), axis=-1)
        masks[name] = Mask.pack(pairs.reshape(*shape, 2 * n))
    found = bits(Ticket(architecture=NETWORK, seed=0, weights=sources, masks=masks))
    probabilities = np.array([positive, negative, 1 - positive - negative])
    entropy = float(-probabilities @ np.log2(probabilities))
    assert found["bits_mask"] == 2 * n * weights
    assert found["bits_mask_coded"] == pytest.approx(entropy * n * weights, rel=0.01)
