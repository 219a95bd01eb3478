"""Iterative magnitude pruning against a plain loop; levels, rewinding, controls; killed anywhere, the same ticket."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pruning import NETWORK, dense_masks, method, problem
from recorders import Fragile, Killed, Memory
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import images
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.mlp import Mlp
from lth_runner.prune.imp import rounds
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.loop import Batches

pytestmark = pytest.mark.usefixtures("one_thread")

LENET = Mlp(inputs=784, hidden=[300, 100], outputs=10, biases=True)
WEIGHTS = [name for name, shape in parameter_shapes(NETWORK).items() if len(shape) == 2]
HALF = 0.512  # three rounds of a fifth


def tickets(folder: Path, densities: Sequence[float], seed: int = 0, **settings: Any) -> list[Ticket]:
    found = method("imp", **settings).find_each(problem(seed), Memory(folder), densities)
    return [each.ticket for each in found]


def test_the_levels_of_lenet_have_the_densities_of_the_paper() -> None:
    shapes = {name: shape for name, shape in parameter_shapes(LENET).items() if len(shape) == 2}
    rates = {"fc1.weight": 0.2, "fc2.weight": 0.2, "fc3.weight": 0.1}
    published = {1: 0.800, 3: 0.513, 7: 0.211, 9: 0.135, 12: 0.070, 15: 0.036, 18: 0.0185, 24: 0.005}
    for at, wanted in published.items():
        exact = (265_200 * 0.8**at + 1000 * 0.9**at) / 266_200
        assert exact == pytest.approx(wanted, abs=6e-4)
        assert rounds(shapes, rates, exact) == at
    assert rounds(shapes, rates, 1.0) == 0
    assert 3 < rounds(shapes, rates, 0.45) < 4


@pytest.mark.parametrize("retrain", ["weights", "learning_rate", "fine_tune"])
@pytest.mark.parametrize("rewind", ["0it", "3it"])
def test_it_is_the_plain_loop(tmp_path: Path, rewind: str, retrain: str) -> None:
    settings = {"rewind": rewind, "retrain": retrain, "training": {"schedule": "cosine"}}
    found = tickets(tmp_path, [1.0, 0.8, 0.64], **settings)
    for ticket, (masks, weights) in zip(found, plain_loop(3, int(rewind[:-2]), retrain), strict=True):
        for name in WEIGHTS:
            source = ticket.weights[name]
            assert isinstance(source, Stored)
            np.testing.assert_array_equal(ticket.masks[name].dense(), masks[name])
            np.testing.assert_allclose(source.array, weights[name], rtol=1e-4, atol=1e-6)  # sums in another order


def plain_loop(levels: int, rewind: int, retrain: str) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Masks and trained weights of every level, with nothing of the package but its streams and its batches."""
    data, streams = problem().data, problem().streams
    assert data is not None and data.train_labels is not None
    order = streams("training", "validation").permutation(len(data.train_labels))[30:]
    inputs, labels = images(data.train_inputs)[order], data.train_labels[order]
    batches = Batches(inputs=inputs, labels=labels, size=50, streams=streams, purpose="training", augment=None)
    drawn = method("imp").trainings(problem(), Memory(Path())).start
    module = NETWORK.module()
    for name, parameter in module.named_parameters():
        source = drawn[name]
        array = source.draw(0) if isinstance(source, Drawn) else source.array
        parameter.data = torch.from_numpy(array).float()
    masks = {name: torch.ones_like(module.get_parameter(name), dtype=torch.bool) for name in WEIGHTS}
    length, found, back = 2 * batches.per_epoch, [], None

    def run(first: int, last: int, optimizer: torch.optim.Optimizer, fixed: float | None = None) -> None:
        for step in range(first, last):
            epoch, number = divmod(step, batches.per_epoch)
            ((_, x, y),) = batches.epoch(epoch, range(number, number + 1))
            optimizer.param_groups[0]["lr"] = rate(epoch) if fixed is None else fixed
            optimizer.zero_grad()
            assert y is not None
            cross_entropy(module(x), y).backward()
            for name, mask in masks.items():
                gradient = module.get_parameter(name).grad
                assert gradient is not None
                gradient *= mask
            optimizer.step()
            for name, mask in masks.items():
                module.get_parameter(name).data *= mask

    def rate(epoch: int) -> float:
        return 0.05 * (1 + np.cos(np.pi * epoch / 2)) / 2

    for _ in range(levels):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
        if back is None:
            run(0, rewind, optimizer)
            back = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
            run(rewind, length, optimizer)
        else:
            if retrain == "weights":
                for name, parameter in module.named_parameters():
                    parameter.data = back[name].clone()
            for name, mask in masks.items():
                module.get_parameter(name).data *= mask
            run(rewind, length, optimizer, rate(1) if retrain == "fine_tune" else None)
        weights = {name: module.get_parameter(name).detach().numpy().copy() for name in WEIGHTS}
        found.append(({name: mask.numpy().copy() for name, mask in masks.items()}, weights))
        for name, mask in masks.items():
            kept = round(mask.numel() * 0.8 ** len(found))
            size = module.get_parameter(name).abs().detach() * mask
            mask[:] = False
            mask.view(-1)[size.view(-1).argsort(descending=True, stable=True)[:kept]] = True
    return found


def test_levels_are_nested_and_each_layer_keeps_its_count(tmp_path: Path) -> None:
    shapes = parameter_shapes(NETWORK)
    sizes = {name: int(np.prod(shapes[name])) for name in WEIGHTS}
    after = [sum(s * (0.9 if n == "fc3.weight" else 0.8) ** at for n, s in sizes.items()) for at in (1, 2)]
    asked = [*(kept / sum(sizes.values()) for kept in after), 0.4]
    masks = [dense_masks(ticket) for ticket in tickets(tmp_path, asked, rates={"fc3": 0.1})]
    for wider, narrower in pairwise(masks):
        assert all((narrower[name] <= wider[name]).all() for name in WEIGHTS)
    assert {n: m.sum() for n, m in masks[0].items()} == {
        n: round(size * (0.9 if n == "fc3.weight" else 0.8)) for n, size in sizes.items()
    }
    assert sum(m.sum() for m in masks[2].values()) == pytest.approx(0.4 * sum(sizes.values()), abs=2)


def test_with_global_scope_all_layers_compete_but_those_that_stay_whole(tmp_path: Path) -> None:
    dense, ticket = tickets(tmp_path, [1.0, 0.8], scope="global", rates={"fc3": 0.0}, one_shot=True)
    masks = dense_masks(ticket)
    assert masks["fc3.weight"].all()
    trained = [materialise(dense).module().get_parameter(name) for name in WEIGHTS[:2]]
    sizes = np.concatenate([np.abs(weight.numpy()).ravel() for weight in trained])
    kept = np.concatenate([masks[name].ravel() for name in WEIGHTS[:2]])
    assert sizes[kept].min() >= sizes[~kept].max()
    assert ticket.kept() == round(0.8 * ticket.offered())


def test_pruned_weights_are_zero_and_all_others_move(tmp_path: Path) -> None:
    for ticket in tickets(tmp_path, [0.8, HALF]):
        end, start = materialise(ticket).module(), materialise(ticket, at="start").module()
        for name in WEIGHTS:
            kept = torch.from_numpy(ticket.masks[name].dense())
            last, first = end.get_parameter(name), start.get_parameter(name)
            assert not last[~kept].any() and not first[~kept].any()
            assert (last[kept] != first[kept]).all()
            assert isinstance(ticket.start[name], Drawn)


def test_a_rewound_ticket_starts_where_the_dense_training_was(tmp_path: Path) -> None:
    (early,) = tickets(tmp_path, [1.0], training={"length": "4it", "schedule": "constant"})
    (ticket,) = tickets(tmp_path, [0.8], rewind="4it", training={"schedule": "constant"})
    for name in WEIGHTS:
        start, then = ticket.start[name], early.weights[name]
        assert isinstance(start, Stored) and isinstance(then, Stored) and start.origin == "rewound@4it"
        np.testing.assert_array_equal(start.array, then.array)


def test_controls_keep_the_masks_or_the_start(tmp_path: Path) -> None:
    own, other, chance = (
        tickets(tmp_path / control, [HALF], control=control)[0] for control in ("none", "reinitialised", "random_mask")
    )
    assert {n: m.sum() for n, m in dense_masks(own).items()} == {n: m.sum() for n, m in dense_masks(chance).items()}
    for name in WEIGHTS:
        np.testing.assert_array_equal(own.masks[name].dense(), other.masks[name].dense())
        assert (own.masks[name].dense() != chance.masks[name].dense()).any()
        assert own.start[name] == chance.start[name] != other.start[name]


def test_one_shot_prunes_the_dense_network(tmp_path: Path) -> None:
    dense, ticket = tickets(tmp_path, [1.0, 0.1], one_shot=True)
    for name in WEIGHTS:
        source, kept = dense.weights[name], ticket.masks[name].dense()
        assert isinstance(source, Stored)
        assert kept.sum() == round(0.1 * kept.size)
        assert np.abs(source.array)[kept].min() >= np.abs(source.array)[~kept].max()
    assert ticket.facts["level"] == 1


@pytest.mark.parametrize("criterion", ["movement", "magnitude_increase", "magnitude_same_sign", "smallest"])
def test_a_criterion_chooses(tmp_path: Path, criterion: str) -> None:
    dense, ticket = tickets(tmp_path, [1.0, 0.8], criterion=criterion)
    for name in WEIGHTS:
        start, source = dense.start[name], dense.weights[name]
        assert isinstance(start, Drawn) and isinstance(source, Stored)
        first, last = start.draw(0).astype(np.float32), source.array
        score = {
            "movement": np.abs(last - first),
            "magnitude_increase": np.abs(last) - np.abs(first),
            "magnitude_same_sign": np.abs(last) * (first * last > 0),
            "smallest": -np.abs(last),
        }[criterion]
        kept = ticket.masks[name].dense()
        assert score[kept].min() >= score[~kept].max()


@pytest.mark.parametrize("after", [1, 4, 5, 9, 13, 16])
def test_killed_anywhere_it_goes_on_to_the_same_ticket(tmp_path: Path, after: int) -> None:
    imp, asked = method("imp", rewind="2it"), [0.8, HALF]
    whole = imp.find_each(problem(), Memory(tmp_path / "whole"), asked)
    with pytest.raises(Killed):
        imp.find_each(problem(), Fragile(tmp_path / "killed", lines=after), asked)
    again = imp.find_each(problem(), Memory(tmp_path / "killed"), asked)
    assert [to_bytes(each.ticket) for each in again] == [to_bytes(each.ticket) for each in whole]


def test_a_finished_level_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Memory(tmp_path), Memory(tmp_path)
    imp = method("imp")
    imp.find_each(problem(), first, [HALF])
    imp.find_each(problem(), second, [HALF])
    assert {label.partition(":")[0] for label, _, _ in first.bars} == {f"level {k}" for k in range(4)}
    assert not second.bars


def test_weights_of_levels_that_nobody_needs_are_not_kept(tmp_path: Path) -> None:
    method("imp").find_each(problem(), Memory(tmp_path), [0.8, HALF])
    sizes = {path.name.partition("-")[0]: path.stat().st_size for path in tmp_path.iterdir()}
    whole = sum(np.prod(shape) for shape in parameter_shapes(NETWORK).values()) * 4
    assert {name: size > whole for name, size in sizes.items()} == {
        "level0": False, "level1": True, "level2": True, "level3": True
    }  # fmt: skip


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="rate must lie between 0 and 1"):
        method("imp", rate=1.0)
    with pytest.raises(ConfigError, match="did you mean fc3"):
        method("imp", rates={"fc9": 0.1}).find(problem(), Memory(Path()))
    with pytest.raises(ConfigError, match="set scope=layer"):
        method("imp", scope="global", rates={"fc3": 0.1})
    with pytest.raises(ConfigError, match="layers of rate 0 hold"):
        method("imp", density=0.01, rates={"fc1": 0.0}).find(problem(), Memory(Path()))
    with pytest.raises(ConfigError, match="no step"):
        method("imp", evaluate_every="0it")
