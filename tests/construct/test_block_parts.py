"""Block tickets made in parts: the same bytes as at once, however they are divided; what does not fit is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorders import Memory
from small_networks import SMALL, dataset, target

from lth_runner.construct.block import Block
from lth_runner.construct.compensation import Compensation
from lth_runner.construct.rows import TILE
from lth_runner.core.errors import DataError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import from_tensors
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import InParts, Problem, Share
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.part import read_part, save_part

PLAIN = Block(
    n=6, block=4, factor=1.2, group=None, escape=3.0, rotate=False, stored=[], distribution=Orthonormal(),
    compensate="none", compensation=Compensation(order="inputs", damping=0.01, samples=60, follow="target"),
)  # fmt: skip
TARGET = replace(PLAIN, compensate="inputs")
PRUNED = replace(TARGET, compensation=replace(TARGET.compensation, follow="pruned"))
METHODS = {
    "plain": PLAIN,
    "grouped and rotated": replace(PLAIN, group=8, rotate=True),
    "the target's inputs": TARGET,
    "rotated, the target's inputs": replace(TARGET, rotate=True),
    "pruned inputs": PRUNED,
    "rotated, pruned inputs": replace(PRUNED, rotate=True, group=8),
}


def wide(seed: int = 0) -> Problem:
    """A network of three layers, two of which have more rows than a tile."""
    network = FullyConnected(inputs=18, hidden=TILE + 60, outputs=10, depth=3, biases=True)
    rng = np.random.default_rng(0)
    weights = {name: 0.1 * rng.standard_t(4, shape) for name, shape in parameter_shapes(network).items()}
    x, y = torch.rand(60, 18, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 10
    data = from_tensors(x, y, x, y)
    return Problem(network=network, target=weights, data=data, streams=Streams(seed), device="cpu")


def small(name: str) -> Problem:
    own = SMALL[name]
    return Problem(network=own.make(), target=target(own), data=dataset(own), streams=Streams(0), device="cpu")


def made_in_parts(method: Block, problem: Problem, count: int, folder: Path) -> Problem:
    """The problem with all parts, each made by itself out of files of those before."""
    assert isinstance(method, InParts) and problem.network is not None
    done: list[Path] = []
    for stage in range(method.stages(problem.network)):
        now: list[Path] = []
        for k in range(count):
            path = folder / f"run-{stage}-{k}" / "part.safetensors"
            share = Share(index=k, count=count)
            save_part(method.make(replace(problem, parts=tuple(done)), Memory(), share), path)
            now.append(path)
        done += now
    return replace(problem, parts=tuple(done))


@pytest.mark.parametrize("name", METHODS)
def test_parts_make_the_bytes_of_a_single_process(name: str, tmp_path: Path) -> None:
    method, problem = METHODS[name], wide()
    whole = to_bytes(method.find(problem, Memory()).ticket)
    for count in (1, 4):
        parts = made_in_parts(method, problem, count, tmp_path / str(count))
        assert to_bytes(method.find(parts, Memory()).ticket) == whole


@pytest.mark.parametrize("name", ["conv", "language", "convolutions", "tied_layers"])
@pytest.mark.parametrize("method", [TARGET, PRUNED], ids=["target", "pruned"])
def test_any_network_can_be_made_in_parts(name: str, method: Block, tmp_path: Path) -> None:
    whole = to_bytes(method.find(small(name), Memory()).ticket)
    assert to_bytes(method.find(made_in_parts(method, small(name), 2, tmp_path), Memory()).ticket) == whole


def test_a_part_works_on_its_own_rows_alone() -> None:
    problem, counted = wide(), []
    for k in range(4):
        memory = Memory()
        TARGET.make(problem, memory, Share(index=k, count=4))
        ((_, total, bar),) = memory.bars
        assert bar.done == total
        counted.append(total)
    weights = [array.size for array in (problem.target or {}).values() if array.ndim == 2]
    assert sum(counted) == sum(weights)


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    parts = made_in_parts(PLAIN, wide(), 4, tmp_path).parts
    for wrong in (parts[:1], parts[1:], parts[2:], parts[:3]):
        with pytest.raises(DataError, match=r"the parts do not have each row of fc\d\.weight once: make them again"):
            PLAIN.find(replace(wide(), parts=wrong), Memory())


def test_a_tampered_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run-0" / "part.safetensors"
    tensors = PLAIN.make(wide(), Memory(), Share(index=0, count=2))
    save_part(tensors, path)
    again = read_part(path)
    assert again.keys() == tensors.keys()
    assert all(np.array_equal(again[name], tensors[name]) for name in tensors)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not what its run wrote, it was damaged or altered: make this part again"):
        PLAIN.find(replace(wide(), parts=(path,)), Memory())
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match="is no part of a ticket, or a damaged one"):
        read_part(path)
    path.unlink()
    with pytest.raises(DataError, match="there is no file"):
        read_part(path)


def test_a_part_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run-0" / "part.safetensors"
    save_part(PLAIN.make(wide(), Memory(), Share(index=0, count=2)), path)
    moved = tmp_path / "run-1" / path.name
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="is not what its run wrote"):
        read_part(moved)
