"""Exact counts and ties of masks."""

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.prune.selection import counts, density, largest, masks


def test_ties_go_to_the_lowest_index() -> None:
    scores = np.array([1.0, 2.0, 1.0, -np.inf, 1.0, 2.0])
    assert largest(scores, 4).tolist() == [True, True, True, False, False, True]
    assert not largest(scores, 0).any() and largest(scores, 6).all()


def test_scores_that_cannot_be_ranked_are_refused() -> None:
    with pytest.raises(ConfigError, match="NaN"):
        largest(np.array([1.0, np.nan]), 1)


@pytest.mark.parametrize("seed", range(5))
def test_groups_compete_and_what_is_pruned_stays_pruned(seed: int) -> None:
    chance = np.random.default_rng(seed)
    scores = {"a": chance.normal(size=(7, 3)), "b": chance.normal(size=(2, 5)), "c": chance.normal(size=4)}
    before = {name: chance.random(array.shape) < 0.7 for name, array in scores.items()}
    found = masks(scores, {("a", "c"): 9, ("b",): 3}, before)
    assert list(found) == ["a", "b", "c"]
    together = sorted((scores[n][i], n, i) for n in "ac" for i in np.ndindex(scores[n].shape) if before[n][i])[-9:]
    assert {(n, i) for n in "ac" for i in np.ndindex(scores[n].shape) if found[n][i]} == {at[1:] for at in together}
    assert found["b"].sum() == 3 and not (found["b"] & ~before["b"]).any()


def test_counts_are_rounded_once_in_each_layer_or_in_all_together() -> None:
    shapes = {"a": (3, 5), "b": (7,)}
    assert counts(shapes, 0.5, "layer") == {("a",): 8, ("b",): 4}
    assert counts(shapes, 0.5, "global") == {("a", "b"): 11}
    assert density({"a": np.ones((2, 2), bool), "b": np.zeros(4, bool)}) == 0.5
