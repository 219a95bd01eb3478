"""What a ticket claims of itself, and what binds the claims to the data, the target and the method behind them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lth_runner.core.digest import checksum
from lth_runner.problem import Problem
from lth_runner.ticket.names import recipe
from lth_runner.ticket.ticket import Origin, Ticket

CLAIMS = (
    "accuracy", "weight_error_max", "weight_error_median", "over_epsilon", "curvature_error_max", "kept", "drawn",
    "offered", "stored", "bits_per_weight", "bits_per_weight_coded",
)  # fmt: skip


def claimed(ticket: Ticket, measured: Mapping[str, Any], method: Any, problem: Problem, epsilon: float) -> Ticket:
    """The ticket with what was measured of it as its claims, and with its origin.

    Args:
        measured: of `measure_ticket`.
        epsilon: with which weight errors were counted.
    """
    claims = {key: measured[key] for key in CLAIMS if measured.get(key) is not None} | {"epsilon": epsilon}
    data, target = problem.data, problem.target
    origin = Origin(
        method=recipe(method),
        data=None if data is None else data.recipe,
        data_checksum=None if data is None else data.test_checksum(),
        target_checksum=None if target is None else checksum(target),
    )
    return replace(ticket, claims=claims, origin=origin)
