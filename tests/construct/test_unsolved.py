"""Sums that a solver leaves unsolved are counted and told, by every construction that can have them."""

from typing import Any

import numpy as np
import pytest
from plain_choice import COPIES, ONE_BY_ONE, PLAIN_PATHS, UNMATCHED
from recorders import Memory

from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.pensia import Pensia
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Method, Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.subset_sum.milp import Milp

NETWORK = FullyConnected(inputs=2, hidden=2, outputs=2, depth=2, biases=False)
MILP = Milp(mip_gap=0.01, time_limit=None)
OFFER: dict[str, Any] = {"objective": "closest", "epsilon": 1e-3, "c": 3, "distribution": Uniform(low=-1.0, high=1.0)}


def methods(solver: Any) -> dict[str, Method]:
    layout: dict[str, Any] = {"signs": "as_drawn", "max_paths": 24}
    return {
        "subset_sum": SubsetSum(
            stored=[],
            n=3,
            sharing="weight",
            **UNMATCHED,
            threshold_small=False,
            solver=solver,
            **OFFER,
            **ONE_BY_ONE,
        ),
        "pensia": Pensia(
            **PLAIN_PATHS, stored=[], n=3, halves="positive", gains="none", solver=solver, **layout, **OFFER
        ),
        "burkholz": Burkholz(n=2, twin="needed", solver=solver, **COPIES, **layout, **OFFER),
    }


def found(method: Method) -> tuple[float, list[str]]:
    """Sums left unsolved, and what was said of them."""
    rng = np.random.default_rng(1)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(NETWORK).items()}
    recorder = Memory()
    ticket = method.find(Problem(network=NETWORK, target=target, data=None, streams=Streams(0), device="cpu"), recorder)
    return ticket.ticket.facts["unsolved"], [line for line in recorder.said if line.startswith("warning")]


@pytest.mark.parametrize("name", methods(MILP))
def test_they_are_told_in_one_sentence(name: str) -> None:
    unsolved, (said,) = found(methods(MILP)[name])
    assert unsolved > 0
    assert f"the solver left {unsolved} of " in said and "method/solver=meet_in_middle" in said


@pytest.mark.parametrize("name", methods(MILP))
def test_exact_search_leaves_none(name: str) -> None:
    assert found(methods(MeetInMiddle())[name]) == (0, [])
