"""A small problem for tests of searches that train scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from recorders import Memory

from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.problem import Problem
from lth_runner.ticket.ticket import Ticket

DATA: Any = Synthetic(train_count=400, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
PLAIN = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=False)
REDUNDANT = RedundantFullyConnected(inputs=36, hidden=12, outputs=10, depth=2, redundancy=3, relu=True)


def problem(seed: int = 0, **changes: Any) -> Problem:
    posed = Problem(network=PLAIN, target=None, data=DATA, streams=Streams(seed), device="cpu")
    return replace(posed, **changes)


def bits(ticket: Ticket) -> dict[str, bytes]:
    return {name: mask.bits.tobytes() for name, mask in ticket.masks.items()}


class Cut(Memory):
    """A recorder in whose hands the run ends, at the metrics of an epoch."""

    def __init__(self, folder: Path, epoch: int) -> None:
        super().__init__(folder)
        self.epoch = epoch

    def metrics(self, **values: float | int | str) -> None:
        super().metrics(**values)
        if values["score_epoch"] == self.epoch:
            raise KeyboardInterrupt
