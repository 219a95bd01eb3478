"""A small problem for tests of searches that train scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recorders import Memory

from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.problem import Problem
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.scored import ScoredNetwork
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.ticket import Ticket

DATA: Any = Synthetic(train_count=400, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
PLAIN = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=False)
REDUNDANT = RedundantFullyConnected(inputs=36, hidden=12, outputs=10, depth=2, redundancy=3, relu=True)


def problem(seed: int = 0, **changes: Any) -> Problem:
    posed = Problem(network=PLAIN, target=None, data=DATA, streams=Streams(seed), device="cpu")
    return replace(posed, **changes)


def bits(ticket: Ticket) -> dict[str, bytes]:
    return {name: mask.bits.tobytes() for name, mask in ticket.masks.items()}


EDGE_POPUP = EdgePopup(
    density=0.4, scope="layer", epochs=7, batch=8, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=0,
    distribution=KaimingNormal(gain=2**0.5, density=1.0), scores=KaimingUniform(gain=3**-0.5, density=1.0), frozen=[],
    biases="zero",
)  # fmt: skip


def scored_lenet5(
    redundancy: int = 0, relu: bool = False, density: float = 0.4, scope: str = "layer", *, positive: bool = False
) -> ScoredNetwork:
    """A small LeNet-5 with scores, convolutions included; redundancy 0 has plain linear layers.

    Args:
        positive: scores uniform on [0, 1] in place of normal ones, and larger weights.
    """
    module = LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()
    generator, scores = torch.Generator().manual_seed(1), {}
    for name, weight in module.requires_grad_(False).eval().named_parameters():
        weight.normal_(0, 0.6 if positive else 0.2, generator=generator)
        normal = torch.randn if not positive else torch.rand
        scores[name] = normal(weight.shape, generator=generator) * (1 if positive else 0.1)
    return ScoredNetwork(module=module, scores=scores, density=density, scope=scope)


class Cut(Memory):
    """A recorder in whose hands the run ends, at the metrics of an epoch."""

    def __init__(self, folder: Path, epoch: int) -> None:
        super().__init__(folder)
        self.epoch = epoch

    def metrics(self, **values: float | int | str) -> None:
        super().metrics(**values)
        if values["score_epoch"] == self.epoch:
            raise KeyboardInterrupt


def check_cut_runs(method: ScoreSearch, folder: Path) -> None:
    """Runs of three epochs that end after the first or the last give the ticket of a whole one, to the byte."""
    (folder / "whole").mkdir()
    whole = method.find(problem(), Memory(folder / "whole"))
    for epoch in (1, 3):
        (folder / str(epoch)).mkdir()
        with pytest.raises(KeyboardInterrupt):
            method.find(problem(), Cut(folder / str(epoch), epoch))
        again = method.find(problem(), Memory(folder / str(epoch)))
        assert to_bytes(again.ticket) == to_bytes(whole.ticket)
