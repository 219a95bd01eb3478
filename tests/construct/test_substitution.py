"""Direct substitution: what is offered, what is chosen, and that the ticket alone gives it back."""

import tempfile
import tracemalloc
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from construct.substitutions import MALACH, METHOD, NETWORK, SIGNED, SIGNS
from recorders import Memory

from lth_runner.construct import substitution
from lth_runner.construct.malach import Malach
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.construct.substitution import offered_per_weight, without_pairs
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bits import bits
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket import masked_tensor
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket


def problem(seed: int = 0) -> Problem:
    rng = np.random.default_rng(1)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(NETWORK).items()}
    target["fc1.weight"][0, :2] = (0.0, 0.004)
    return Problem(network=NETWORK, target=target, data=None, streams=Streams(seed), device="cpu")


def errors(method: SubsetSum | Malach, posed: Problem) -> np.ndarray:
    assert posed.target is not None
    weights = materialise(method.find(posed, Memory()).ticket).readings
    return np.concatenate([np.abs(weights[name] - posed.target[name]).ravel() for name in posed.target])


def test_the_ticket_is_optimal_for_what_it_was_offered() -> None:
    posed = problem()
    assert posed.target is not None
    ticket = METHOD.find(posed, Memory()).ticket
    weights = materialise(ticket).readings
    every = (np.arange(2**8)[:, None] >> np.arange(8)) & 1  # all subsets
    for name, target in posed.target.items():
        sums = ticket.random[name].draw(ticket.seed) @ every.T
        best = np.abs(sums - target[..., None]).min(-1)
        np.testing.assert_allclose(np.abs(weights[name] - target), best, rtol=0, atol=1e-14)


@pytest.mark.parametrize("sharing", ["weight", "row"])
def test_signs_are_optimal_too(sharing: str) -> None:
    """Beside all 2^n sums of +a or -a, of the numbers that the distribution gives."""
    posed = problem()
    assert posed.target is not None
    ticket = replace(SIGNS, sharing=sharing).find(posed, Memory()).ticket
    weights = materialise(ticket).readings
    every = 2 * ((np.arange(2**8)[:, None] >> np.arange(8)) & 1) - 1
    for name, target in posed.target.items():
        source = ticket.random[name]
        numbers = replace(source, scale=1.0, centred=False).draw(ticket.seed)
        assert np.abs(numbers).max() <= 1, "as the distribution has them"
        best = np.abs(numbers @ every.T - target[..., None]).min(-1)
        np.testing.assert_allclose(np.abs(weights[name] - target), best, rtol=0, atol=1e-14)
        signed = (numbers * (2.0 * ticket.masks[name].dense() - 1)).sum(-1)
        np.testing.assert_allclose(weights[name], signed, rtol=0, atol=1e-14)


CENTRED = replace(METHOD, centred=True)


def every_sum(method: SubsetSum, numbers: np.ndarray) -> np.ndarray:
    """All sums of n numbers (..., n) that masks of this kind can leave, (..., choices)."""
    entries = {
        "zero_one": (-0.5, 0.5) if method.centred else (0.0, 1.0),
        "signs": (-1.0, 1.0),
        "signed": (-1.0, 0.0, 1.0),
    }
    return numbers @ np.array(list(product(entries[method.mask], repeat=numbers.shape[-1]))).T


def numbers_of(source: Drawn, seed: int, n: int) -> np.ndarray:
    """The n numbers for each weight, scaled, as the docstring of `Offer` says, by definition."""
    uniform = Streams(seed).uniform(source.stream, 0, int(np.prod(source.shape[:-1])) * n)
    numbers = source.distribution.quantile(uniform).reshape(*source.shape[:-1], n)
    if source.scales is None:
        return numbers
    rows, groups = source.scales.array.shape
    places = numbers.reshape(rows, -1, n)
    width = -(-places.shape[1] // groups)
    factors = [[source.scales.array[r, k // width] for k in range(places.shape[1])] for r in range(rows)]
    return (np.array(factors, np.float64)[..., None] * places).reshape(numbers.shape)


@pytest.mark.parametrize("match", ["none", "tensor", "row", "group"])
@pytest.mark.parametrize("method", [METHOD, CENTRED, SIGNS, SIGNED], ids=["zero_one", "centred", "signs", "signed"])
def test_every_kind_of_mask_is_optimal_in_every_scale(method: SubsetSum, match: str) -> None:
    posed = problem()
    assert posed.target is not None
    method = replace(method, n=5, match=match, matching=replace(METHOD.matching, group=2))
    ticket = method.find(posed, Memory()).ticket
    again = materialise(read_back(ticket)).readings
    for name, target in posed.target.items():
        numbers = numbers_of(ticket.random[name], ticket.seed, 5)
        best = np.abs(every_sum(method, numbers) - target[..., None]).min(-1)
        np.testing.assert_allclose(np.abs(again[name] - target), best, rtol=0, atol=1e-14)


def read_back(ticket: Ticket, coded: bool = True) -> Ticket:
    with tempfile.TemporaryDirectory() as folder:
        save_ticket(ticket, f"{folder}/ticket.safetensors", coded)
        found = read_ticket(f"{folder}/ticket.safetensors")
    assert to_bytes(found) == to_bytes(ticket)
    return found


def test_of_a_pair_no_two_are_kept_and_half_of_the_places_are_drawn() -> None:
    for objective in ("closest", "sparsest"):
        ticket = replace(SIGNED, objective=objective, epsilon=0.3).find(problem(), Memory()).ticket
        for mask in ticket.masks.values():
            assert mask.dense().reshape(-1, 2).sum(1).max() <= 1
        assert (ticket.drawn(), ticket.offered()) == (5 * 32, 2 * 5 * 32)
        assert ticket.offered() == replace(SIGNED, objective=objective).offered(NETWORK)
    assert not without_pairs(np.ones((3, 4), bool)).any()


@pytest.mark.parametrize(("match", "count"), [("tensor", 2), ("row", 7), ("group", 3 * 4 + 2 * 3)])
def test_scales_are_stored_in_half_precision_and_counted(match: str, count: int) -> None:
    posed = problem()
    assert posed.target is not None
    method = replace(SIGNS, n=5, match=match, matching=replace(METHOD.matching, group=2))
    plain, ticket = (each.find(posed, Memory()).ticket for each in (replace(method, match="none"), method))
    assert ticket.stored() == count and plain.stored() == 0
    assert bits(ticket)["bits_numbers"] == bits(plain)["bits_numbers"] + 16 * count
    whole = replace(method, match="tensor", matching=replace(METHOD.matching, reach=None)).find(posed, Memory()).ticket
    for name, target in posed.target.items():
        scales = whole.random[name].scales
        assert scales is not None
        expected = 1.7 * np.sqrt(np.mean(target**2)) / np.sqrt(5 / 3)  # of U[-1, 1]
        assert float(scales.array[0, 0]) == pytest.approx(expected, rel=1e-3)


def test_the_largest_weight_takes_no_more_than_its_share_of_the_largest_sum() -> None:
    weight = np.full((2, 50), 0.01)
    weight[1, 7] = -1.0
    law, matching = Uniform(low=-1.0, high=1.0), METHOD.matching
    found = matching.scales(weight, "row", "signs", False, law, 8).array[:, 0]
    assert found[1] == np.float16(1.0 / (0.5 * 8 * 0.5)) and found[0] < 0.02
    for centred in (False, True):  # numbers of one sign add up to 8 / 4, and half of all sizes to as much
        found = matching.scales(weight, "row", "zero_one", centred, law, 8).array[:, 0]
        assert found[1] == np.float16(1.0 / (0.5 * 8 * 0.25)) and found[0] < 0.05


def test_weights_that_are_all_zero_are_exact_at_scale_zero() -> None:
    posed = problem()
    assert posed.target is not None
    posed.target["fc1.weight"][2] = 0.0  # pyright: ignore[reportIndexIssue]
    for method in (SIGNS, SIGNED, METHOD):
        for sharing in ("weight", "row"):
            found = replace(method, match="row", sharing=sharing, solver=MeetInMiddle()).find(posed, Memory()).ticket
            assert (materialise(found).readings["fc1.weight"][2] == 0).all()


def test_what_cannot_be_matched_is_refused() -> None:
    for change, reason in (
        ({"mask": "signs", "centred": True}, "no offset that could be subtracted: set centred=false"),
        ({"centred": True, "threshold_small": True}, "threshold_small needs empty subsets"),
        ({"match": "group", "sharing": "row"}, "share a scale too: set match=row"),
        ({"match": "rows"}, "match must be one of none, tensor, row, group"),
        ({"mask": "signed", "n": 11}, "exhaustive search of n=22 values was refused"),
    ):
        with pytest.raises(ConfigError, match=reason):
            replace(METHOD, **change)
    positive = replace(METHOD, match="row", distribution=Uniform(low=0.5, high=1.0))
    with pytest.raises(ConfigError, match="numbers of one sign only"):
        positive.find(problem(), Memory())
    replace(positive, mask="signs").find(problem(), Memory())
    posed = problem()
    assert posed.target is not None
    huge = replace(posed, target={name: 1e6 * weight for name, weight in posed.target.items()})
    with pytest.raises(ConfigError, match="need a scale beyond float16"):
        replace(SIGNS, match="row").find(huge, Memory())


def test_signs_need_fewer_numbers_than_subsets() -> None:
    """Their law has twice the spread of sums and no mean: the median error falls for matched scales."""
    rng = np.random.default_rng(0)
    network = FullyConnected(inputs=40, hidden=30, outputs=3, depth=2, biases=False)
    target = {name: rng.normal(0, 0.02, shape) for name, shape in parameter_shapes(network).items()}
    posed = Problem(network=network, target=target, data=None, streams=Streams(0), device="cpu")

    def median(n: int, mask: str, factor: float) -> float:
        bound = 0.02 * np.sqrt(3 / n) * factor
        method = replace(METHOD, n=n, mask=mask, distribution=Uniform(low=-bound, high=bound), solver=MeetInMiddle())
        return float(np.median(errors(method, posed)))

    assert median(10, "signs", 1.7) < 0.75 * median(10, "zero_one", 4.0)


def test_signs_leave_no_small_weight_empty() -> None:
    with pytest.raises(ConfigError, match="threshold_small needs empty subsets to be 0"):
        replace(SIGNS, threshold_small=True)
    with pytest.raises(ConfigError, match="mask must be one of zero_one, signs, signed"):
        replace(METHOD, mask="binary")


def test_a_single_number_is_never_better_than_a_subset() -> None:
    posed = problem()
    assert (errors(METHOD, posed) <= errors(MALACH, posed) + 1e-15).all()
    ticket = MALACH.find(posed, Memory()).ticket
    for name, mask in ticket.masks.items():
        assert mask.dense().sum(-1).max() <= 1
        np.testing.assert_array_equal(
            ticket.random[name].draw(0), METHOD.find(posed, Memory()).ticket.random[name].draw(0)
        )


def test_the_sparsest_is_within_epsilon_wherever_the_closest_is_and_keeps_no_more() -> None:
    posed, sparsest = problem(), replace(METHOD, objective="sparsest", epsilon=0.05)
    closest = replace(METHOD, epsilon=0.05)
    np.testing.assert_array_equal(errors(sparsest, posed) <= 0.05, errors(closest, posed) <= 0.05)
    assert sparsest.find(posed, Memory()).ticket.kept() <= closest.find(posed, Memory()).ticket.kept()


@pytest.mark.parametrize("method", [METHOD, MALACH])
def test_equal_seeds_give_equal_tickets_and_others_do_not(method: Any) -> None:
    first, again, other = (method.find(problem(seed), Memory()).ticket for seed in (3, 3, 4))
    same = [np.array_equal(first.masks[name].bits, again.masks[name].bits) for name in first.masks]
    differ = [not np.array_equal(first.masks[name].bits, other.masks[name].bits) for name in first.masks]
    assert all(same)
    assert any(differ)


@pytest.mark.parametrize("mask", ["zero_one", "signs", "signed"])
@pytest.mark.parametrize("sharing", ["weight", "row"])
def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch, sharing: str, mask: str) -> None:
    method = replace(METHOD, sharing=sharing, mask=mask, match="row" if sharing == "row" else "group")
    whole = method.find(problem(), Memory()).ticket
    monkeypatch.setattr(substitution, "BLOCK", 3)
    parts = method.find(problem(), Memory()).ticket
    for name in whole.masks:
        np.testing.assert_array_equal(whole.masks[name].bits, parts.masks[name].bits)


def test_a_row_shares_its_numbers() -> None:
    method = replace(METHOD, sharing="row", distribution=TargetRange())
    posed = problem()
    assert posed.target is not None
    ticket = method.find(posed, Memory()).ticket
    assert ticket.drawn() == 8 * (4 + 3)
    assert ticket.offered() == 8 * (20 + 12)
    every = np.concatenate([weight.ravel() for weight in posed.target.values()])
    drawn = np.concatenate([tensor.draw(0).ravel() for tensor in ticket.random.values()])
    assert every.min() < drawn.min() < drawn.max() < every.max()


def test_small_weights_can_be_rounded_to_zero_first() -> None:
    method = replace(METHOD, threshold_small=True, epsilon=0.05)
    weights, target = materialise(method.find(problem(), Memory()).ticket).readings, problem().target
    assert target is not None
    for name, weight in target.items():
        small = np.abs(weight) <= 0.05
        assert (weights[name][small] == 0).all()
        assert (weights[name][~small] != 0).all()
    assert (errors(method, problem()) >= errors(METHOD, problem()) - 1e-15).all()


@pytest.mark.slow
def test_memory_beyond_target_and_masks_does_not_grow_with_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(substitution, "BLOCK", 1 << 10)
    monkeypatch.setattr(masked_tensor, "CHUNK", 1 << 13)
    small, large = beyond(100), beyond(800)
    assert max(large) <= 1.3 * max(small)  # weights drawn or masks unpacked as a whole would make it 8 times as much


def beyond(hidden: int) -> tuple[int, int]:
    """Peaks of bytes while a ticket is found and read, without its masks and without its readings."""
    network = FullyConnected(inputs=200, hidden=hidden, outputs=3, depth=2, biases=False)
    rng = np.random.default_rng(0)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(network).items()}
    method = replace(METHOD, solver=MeetInMiddle(), objective="sparsest")
    posed = Problem(network=network, target=target, data=None, streams=Streams(0), device="cpu")
    tracemalloc.start()
    ticket = method.find(posed, Memory()).ticket
    found = tracemalloc.get_traced_memory()[1] - sum(mask.bits.nbytes for mask in ticket.masks.values())
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    readings = materialise(ticket).readings
    read = tracemalloc.get_traced_memory()[1] - held - sum(array.nbytes for array in readings.values())
    tracemalloc.stop()
    return found, read


def test_progress_counts_every_weight() -> None:
    memory = Memory()
    METHOD.find(problem(), memory)
    assert [(total, bar.done) for _, total, bar in memory.bars] == [(32, 32)]


@pytest.mark.parametrize(("epsilon", "c", "expected"), [(0.01, 3, 21), (0.001, 3, 30), (0.1, 2, 6), (0.5, 1, 1)])
def test_n_follows_from_epsilon_as_in_the_published_code(epsilon: float, c: int, expected: int) -> None:
    assert offered_per_weight(None, c, epsilon) == expected
    assert offered_per_weight(5, c, epsilon) == 5


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="offers no random weights"):
        offered_per_weight(None, 3, 1.0)
    with pytest.raises(ConfigError, match="add target=trained"):
        METHOD.find(replace(problem(), target=None), Memory())
    constant = {name: np.ones(shape) for name, shape in parameter_shapes(NETWORK).items()}
    with pytest.raises(ConfigError, match="needs target weights that differ"):
        replace(METHOD, distribution=TargetRange()).find(replace(problem(), target=constant), Memory())
