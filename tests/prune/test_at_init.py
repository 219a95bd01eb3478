"""Tickets pruned at initialisation: exact counts, rounds, controls, and the training of what is kept."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pruning import NETWORK, dense_masks, method, problem
from recorders import Memory
from searching import bits
from torch import nn

import lth_runner as lth
from lth_runner.core.errors import ConfigError
from lth_runner.distributions.normal import Normal
from lth_runner.networks.imported import Imported
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.mlp import Mlp
from lth_runner.prune.at_init import Samples
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_thread")

SCORED = ("snip", "grasp", "synflow", "magnitude_at_init")
SIZES = {name: int(np.prod(shape)) for name, shape in parameter_shapes(NETWORK).items() if len(shape) == 2}
TOTAL = sum(SIZES.values())


def tickets(folder: Path, name: str, densities: Sequence[float], seed: int = 0, **settings: Any) -> list[Ticket]:
    settings = ({"rounds": 5} if name == "synflow" else {}) | settings
    found = method(name, **settings).find_each(problem(seed), Memory(folder), densities)
    return [each.ticket for each in found]


def ticket(folder: Path, name: str, density: float = 0.2, seed: int = 0, **settings: Any) -> Ticket:
    return tickets(folder, name, [density], seed, **settings)[0]


def kept(ticket: Ticket) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in dense_masks(ticket).items()}


@pytest.mark.parametrize("name", SCORED)
def test_counts_are_exact_together_or_in_every_layer(tmp_path: Path, name: str) -> None:
    for density in (0.03, 0.2, 1.0):
        assert sum(kept(ticket(tmp_path, name, density, scope="global")).values()) == round(density * TOTAL)
        each = kept(ticket(tmp_path, name, density, scope="layer"))
        assert each == {layer: round(density * size) for layer, size in SIZES.items()}


def drawn(ticket: Ticket) -> dict[str, np.ndarray]:
    """The weights at the start."""
    assert ticket.start is not None
    sources = {name: ticket.start[name] for name in SIZES}
    assert all(isinstance(source, Drawn) for source in sources.values())
    return {name: source.draw(ticket.seed) for name, source in sources.items() if isinstance(source, Drawn)}


def test_the_largest_weights_of_the_start_are_kept(tmp_path: Path) -> None:
    found = ticket(tmp_path, "magnitude_at_init", scope="global")
    size = np.concatenate([np.abs(array).ravel() for array in drawn(found).values()])
    threshold = np.sort(size)[-round(0.2 * TOTAL)]
    for name, mask in dense_masks(found).items():
        np.testing.assert_array_equal(mask, np.abs(drawn(found)[name]) >= threshold)


@pytest.mark.parametrize("name", [*SCORED, "random_mask"])
def test_what_is_kept_is_trained_from_its_start_and_the_rest_stays_0(tmp_path: Path, name: str) -> None:
    found = ticket(tmp_path, name)
    for layer, mask in dense_masks(found).items():
        source = found.weights[layer]
        assert isinstance(source, Stored) and source.origin == "trained"
        assert (source.array[~mask] == 0).all()
        assert (source.array[mask] != drawn(found)[layer].astype(np.float32)[mask]).mean() > 0.9
    assert found.facts["density"] == sum(kept(found).values()) / TOTAL
    assert {"early_stop_step", "early_stop_accuracy", "validation_accuracy_last"} <= found.facts.keys()


@pytest.mark.parametrize("name", SCORED)
def test_inverted_keeps_what_the_method_would_prune(tmp_path: Path, name: str) -> None:
    """In one round, where no two scores are equal: the complement of the masks of the other density."""
    rounds = {} if name == "magnitude_at_init" else {"rounds": 1}
    own, inverted = (
        dense_masks(ticket(tmp_path, name, density, control=control, **rounds))
        for density, control in ((0.75, "none"), (0.25, "inverted"))
    )
    for layer in SIZES:
        np.testing.assert_array_equal(inverted[layer], ~own[layer])


@pytest.mark.parametrize("name", SCORED)
def test_shuffled_keeps_as_many_in_every_layer_from_the_same_start(tmp_path: Path, name: str) -> None:
    own, shuffled, another = (
        ticket(tmp_path, name, seed=seed, control=control)
        for seed, control in ((0, "none"), (0, "shuffled"), (1, "shuffled"))
    )
    assert kept(own) == kept(shuffled)
    for layer in SIZES:
        np.testing.assert_array_equal(drawn(own)[layer], drawn(shuffled)[layer])
    first, second, third = (
        np.concatenate([m.ravel() for m in dense_masks(t).values()]) for t in (own, shuffled, another)
    )
    # of 200 kept of 1000 some 40 meet by chance: 80 are more than six standard deviations away
    assert (first & second).sum() < 80 and (second & third).sum() < 80


@pytest.mark.parametrize("name", SCORED)
def test_reinitialised_keeps_the_masks_and_draws_another_start(tmp_path: Path, name: str) -> None:
    own, again = (ticket(tmp_path, name, control=control) for control in ("none", "reinitialised"))
    assert bits(own) == bits(again)
    for layer in SIZES:
        first, second = drawn(own)[layer], drawn(again)[layer]
        assert not (first == second).any()
        assert first.std() == pytest.approx(second.std(), rel=0.35)


@pytest.mark.parametrize("name", [*SCORED, "random_mask"])
def test_tickets_found_together_are_those_found_alone(tmp_path: Path, name: str) -> None:
    together = tickets(tmp_path, name, [0.5, 0.1])
    alone = []
    for density in (0.5, 0.1):
        (tmp_path / f"{density}").mkdir()
        alone.append(ticket(tmp_path / f"{density}", name, density))
    assert [to_bytes(found) for found in together] == [to_bytes(found) for found in alone]


def test_rounds_keep_equal_shares_of_what_is_left_and_other_weights_than_one() -> None:
    built = method("synflow", rounds=4)
    assert built.schedule(0.0625) == pytest.approx([0.5, 0.25, 0.125, 0.0625])
    assert method("synflow", rounds=1).schedule(0.3) == [0.3]
    with pytest.raises(ConfigError, match="rounds must be at least 1"):
        method("snip", rounds=0)


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_what_a_round_prunes_stays_pruned(tmp_path: Path, name: str) -> None:
    """Two rounds to a quarter lie within one round to a half, whose images and weights are those of the first."""
    half, quarter = ticket(tmp_path, name, 0.5, rounds=1), ticket(tmp_path, name, 0.25, rounds=2)
    once = ticket(tmp_path, name, 0.25, rounds=1)
    for layer in SIZES:
        assert not (dense_masks(quarter)[layer] & ~dense_masks(half)[layer]).any()
    assert bits(quarter) != bits(once)


class Dropping(nn.Module):
    """With layers that change when they are called, or draw from torch's global state."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.dropout(self.norm(self.first(x.flatten(1))).relu(), 0.5, self.training))


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_scoring_leaves_the_start_and_torchs_global_state_as_they_were(tmp_path: Path, name: str) -> None:
    before = torch.get_rng_state()
    posed = problem(network=Imported(builder=f"{__name__}.Dropping", arguments={}, output=None, pool="none"))
    built = method(name)
    first = built.masks(built.trainings(posed, Memory(tmp_path)), Memory(), 0.2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)  # what dropout draws is the seed's, whatever the global state
    again = built.masks(built.trainings(posed, Memory(tmp_path)), Memory(), 0.2)
    for layer in first:
        np.testing.assert_array_equal(first[layer], again[layer])
    found = built.find(posed, Memory(tmp_path)).ticket
    start = found.start["norm.running_mean"]
    assert isinstance(start, Stored) and not start.array.any()
    other = method(name).masks(built.trainings(problem(1, network=posed.network), Memory(tmp_path)), Memory(), 0.2)
    assert any((first[layer] != other[layer]).any() for layer in first)


def test_grasps_images_are_as_many_of_each_class_as_there_are() -> None:
    truth = torch.tensor([2, 0, 0, 1, 2, 2, 0])
    order = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    inputs, chosen = Samples(part=(torch.arange(7.0), truth), order=order).of_each_class(2)
    assert chosen.tolist() == [0, 0, 1, 2, 2]
    assert isinstance(inputs, torch.Tensor) and inputs.tolist() == [6, 2, 3, 5, 4]


def test_scores_that_overflow_are_refused_in_one_sentence(tmp_path: Path) -> None:
    deep = Mlp(inputs=36, hidden=[4] * 9, outputs=10, biases=False)
    huge = replace(method("synflow"), distribution=Normal(std=1e37))
    with pytest.raises(ConfigError, match=r"infinite or no numbers.*set another method\.distribution") as refused:
        huge.find(problem(network=deep), Memory(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCORED, "random_mask"])
def test_a_strangers_module_is_taken(name: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 9), nn.ReLU(), nn.Linear(9, 10))
    data = problem().data
    settings = {"training": {"length": "1ep", "batch": 50}, "validation": 10, "density": 0.3}
    found = lth.find(name, module, data=data, progress=False, **settings)
    assert found.measured["kept"] == round(0.3 * (36 * 9 + 90))
