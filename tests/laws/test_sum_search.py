"""Searches for sums: against brute force, against their definitions, and what none of them can beat."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.annealing import Annealing
from lth_runner.laws.sum_search.differencing import Differencing
from lth_runner.laws.sum_search.exact import Exact, ExactOfSize
from lth_runner.laws.sum_search.gates import Gates, slope
from lth_runner.laws.sum_search.interface import Sums, SumSearch, kept
from lth_runner.laws.sum_search.scores import Scores, ranked_first
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.subset_sum.milp import Milp

EXACT = Exact(solver=MeetInMiddle())
ANNEALING = Annealing(steps=300, hottest=1.0, coldest=0.1)
GATES = Gates(steps=200, learning_rate=1.0, spread=1.0)
STREAMS = Streams(3)


def random_sums(networks: int, weights: int, n: int, *, moments: bool = False) -> Sums:
    rng = np.random.default_rng(networks + 10 * weights + 100 * n)
    inputs = rng.uniform(0, 1, (50, weights))
    return Sums(
        values=rng.uniform(-1, 1, (networks, weights, n)),
        targets=rng.uniform(-1, 1, (networks, weights)),
        moments=inputs.T @ inputs / 50 if moments else None,
    )


def scores(name: str, **changes: Any) -> Scores:
    own = {"period": 2} if name == "gem_miner" else {}
    method = method_of(name, {"epochs": 4, **own})
    return replace(Scores(method=method, steps_per_epoch=10, learning_rate=0.1, keep="last", start=None), **changes)


SEARCHES: dict[str, SumSearch] = {
    "exact": EXACT,
    "half": ExactOfSize(density=0.5),
    "differencing": Differencing(),
    "annealing": ANNEALING,
    "gates": GATES,
    "edge_popup": scores("edge_popup"),
    "best": scores("edge_popup", keep="best"),
    "gem_miner": scores("gem_miner"),
}


def every_mask(n: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=n)))


@pytest.mark.parametrize("name", SEARCHES)
def test_nothing_beats_the_best_mask_and_equal_streams_give_equal_masks(name: str) -> None:
    sums = random_sums(3, 4, 8)
    found, again = (SEARCHES[name].find(sums, Streams(3)) for _ in range(2))
    np.testing.assert_array_equal(found.masks, again.masks)
    np.testing.assert_array_equal(found.used, np.where(found.masks, sums.values, 0))
    least = np.abs(sums.values @ every_mask(8).T - sums.targets[..., None]).min(axis=2)
    np.testing.assert_allclose(np.abs(EXACT.find(sums, STREAMS).errors(sums)), least, atol=1e-15)
    assert (np.abs(found.errors(sums)) >= least - 1e-15).all()


def test_the_best_of_one_size_is_that_of_brute_force() -> None:
    sums = random_sums(1, 5, 7)
    found = ExactOfSize(density=0.4).find(sums, STREAMS)
    assert (found.masks.sum(axis=2) == 3).all()
    of_size = every_mask(7)[every_mask(7).sum(axis=1) == 3]
    least = np.abs(sums.values @ of_size.T - sums.targets[..., None]).min(axis=2)
    np.testing.assert_allclose(np.abs(found.errors(sums)), least, atol=1e-15)


def test_differencing_of_a_worked_example() -> None:
    """8, 7, 6, 5, 4: 8 - 7 = 1, 6 - 5 = 1, 4 - 1 = 3, 3 - 1 = 2: parts that differ by 2, where 8 + 7 = 6 + 5 + 4."""
    sums = Sums(values=np.array([[[8.0, 7.0, 6.0, 5.0, 4.0]]]), targets=np.array([[15.0]]), moments=None)
    assert abs(Differencing().find(sums, STREAMS).errors(sums)) == 1.0
    assert EXACT.find(sums, STREAMS).errors(sums) == 0.0


@pytest.mark.parametrize("scale", [2.0, -1.0])
def test_differencing_scales_and_forgets_order_and_signs(scale: float) -> None:
    """sum m a - w with a_1 turned around is sum m' a - (w - a_1), m'_1 = 1 - m_1: the same partition."""
    sums = random_sums(1, 40, 30)
    least = np.abs(Differencing().find(sums, STREAMS).errors(sums))
    scaled = Sums(values=scale * sums.values, targets=scale * sums.targets, moments=None)
    found = np.abs(Differencing().find(scaled, STREAMS).errors(scaled))
    np.testing.assert_allclose(found, abs(scale) * least, atol=1e-14)
    order = np.random.default_rng(0).permutation(30)
    mixed = Sums(values=sums.values[..., order], targets=sums.targets, moments=None)
    np.testing.assert_allclose(np.abs(Differencing().find(mixed, STREAMS).errors(mixed)), least, atol=1e-14)
    turned = sums.values.copy()
    turned[..., 0] *= -1
    shifted = Sums(values=turned, targets=sums.targets - sums.values[..., 0], moments=None)
    np.testing.assert_allclose(np.abs(Differencing().find(shifted, STREAMS).errors(shifted)), least, atol=1e-14)


def test_differencing_gains_more_than_a_power_of_n() -> None:
    """n^(-.72 ln n) within a factor of thirty: 1.7e-2 at n = 8, 6.2e-6 at n = 64, 1.3e-8 at n = 256 [computed]."""
    for n in (8, 64, 256):
        sums = random_sums(1, 400, n)
        error = np.median(np.abs(Differencing().find(sums, STREAMS).errors(sums)))
        law = n ** (-np.log(n) / (2 * np.log(2)))
        assert law / 30 < error < 30 * law


def test_annealing_finds_the_best_of_few_masks() -> None:
    sums = random_sums(2, 5, 5)
    long = replace(ANNEALING, steps=5000)
    np.testing.assert_allclose(
        np.abs(long.find(sums, STREAMS).errors(sums)), np.abs(EXACT.find(sums, STREAMS).errors(sums)), atol=1e-15
    )


def test_more_steps_of_annealing_do_not_lose_what_was_seen() -> None:
    """Steps that are all taken are the same walk, however long."""
    sums = random_sums(1, 50, 16)
    walk = Annealing(steps=100, hottest=1e9, coldest=1e9)
    short, long = (np.abs(replace(walk, steps=steps).find(sums, STREAMS).errors(sums)) for steps in (100, 2000))
    assert (long <= short).all()
    assert (long < short).mean() > 0.5


def test_the_slope_of_gates_is_that_of_the_expected_loss() -> None:
    """By enumeration of all masks of one network, and central differences."""
    sums = random_sums(1, 2, 3, moments=True)
    p = np.random.default_rng(1).uniform(0.1, 0.9, (1, 2, 3))

    def expected(p: np.ndarray) -> float:
        masks = every_mask(6).reshape(-1, 1, 2, 3)
        chance = np.where(masks, p, 1 - p).prod(axis=(1, 2, 3))
        return float(sum(c * sums.losses(kept(sums, m).errors(sums))[0] for c, m in zip(chance, masks, strict=True)))

    found = slope(sums, p)
    for at in np.ndindex(p.shape):
        step = np.zeros(p.shape)
        step[at] = 1e-4
        assert found[at] == pytest.approx((expected(p + step) - expected(p - step)) / 2e-4, rel=1e-6)


@pytest.mark.parametrize("moments", [False, True])
def test_scores_move_as_autograd_says(moments: bool) -> None:
    """Edge-popup written the plain way: the straight-through mask of the largest |scores|, loss and SGD of torch."""
    sums = random_sums(1, 6, 5, moments=moments)
    search = scores("edge_popup", learning_rate=0.5)
    law = search.method.scores.fitted((6, 5), None)
    score = torch.tensor(law.quantile(STREAMS.uniform(("scores",), 0, 30)), dtype=torch.float32).requires_grad_()
    sgd = torch.optim.SGD([score], lr=1.0, momentum=search.method.momentum, weight_decay=search.method.weight_decay)
    values, targets = torch.from_numpy(sums.values).flatten(), torch.from_numpy(sums.targets)[0]

    def mask() -> torch.Tensor:
        return torch.zeros(30).scatter(0, score.detach().abs().topk(15).indices, 1.0)

    for t in range(40):
        through = mask() + score.abs() - score.abs().detach()
        error = (through * values).view(6, 5).sum(1) - targets
        seen = error if sums.moments is None else error @ torch.from_numpy(sums.moments)
        sgd.param_groups[0]["lr"] = 0.5 * (1 + np.cos(np.pi * t / 40)) / 2
        sgd.zero_grad()
        (error * seen).sum().backward()
        sgd.step()
    np.testing.assert_array_equal(search.find(sums, STREAMS).masks.reshape(30), mask().numpy() == 1)


def test_a_start_at_a_mask_keeps_as_many() -> None:
    sums = random_sums(6, 3, 8)
    found = scores("edge_popup", start=EXACT).find(sums, STREAMS)
    first = EXACT.find(sums, STREAMS).masks
    np.testing.assert_array_equal(found.masks.sum(axis=(1, 2)), first.sum(axis=(1, 2)))
    rows, mask = np.array([[0.1, -0.9, 0.3, -0.2]]), np.array([[False, True, False, True]])
    np.testing.assert_array_equal(ranked_first(rows, mask), [[0.1, -0.9, -0.2, 0.3]])
    still = scores("edge_popup", start=EXACT, learning_rate=1e-9).find(sums, STREAMS)
    np.testing.assert_array_equal(still.masks, first)


def test_the_best_mask_seen_is_no_worse_than_the_last() -> None:
    sums = random_sums(20, 2, 9, moments=True)
    last, best = (scores("edge_popup", keep=keep).find(sums, STREAMS).errors(sums) for keep in ("last", "best"))
    assert (sums.losses(best) <= sums.losses(last)).all()
    assert (sums.losses(best) < sums.losses(last)).any()


def test_biprop_gives_the_kept_numbers_of_a_network_one_size() -> None:
    sums = random_sums(3, 4, 6)
    found = scores("biprop").find(sums, STREAMS)
    for values, mask, used in zip(sums.values, found.masks, found.used, strict=True):
        np.testing.assert_allclose(used[mask], np.sign(values[mask]) * np.abs(values[mask]).mean(), rtol=1e-12)
        assert (used[~mask] == 0).all()


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="up to n=24, got n=25"):
        ExactOfSize(density=0.5).find(random_sums(1, 1, 25), STREAMS)
    with pytest.raises(ConfigError, match="cools down"):
        Annealing(steps=1, hottest=0.1, coldest=1.0)
    with pytest.raises(ConfigError, match="keep must be one of last, best"):
        scores("edge_popup", keep="first")
    for name in ("iterand", "multicoated", "signed_supermask", "slot_machine", "zhou"):
        with pytest.raises(ConfigError, match="more of its numbers than a subset"):
            scores(name)
    with pytest.raises(ConfigError, match="needs an exact solver"):
        Exact(solver=Milp(mip_gap=0.01, time_limit=None))
