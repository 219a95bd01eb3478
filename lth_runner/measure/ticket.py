"""The numbers of one ticket: those of the pruned network itself, rebuilt from the ticket alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lth_runner.core.errors import DataError
from lth_runner.data.interface import Dataset, labels, moved, named
from lth_runner.measure.accuracy import accuracy
from lth_runner.measure.approximation import curvature_error, weight_errors
from lth_runner.measure.outputs import compare
from lth_runner.networks.imported import pool_of
from lth_runner.networks.interface import Architecture, filled, num_parameters
from lth_runner.problem import Problem
from lth_runner.ticket.materialise import Materialised, approximated_by

BATCH = 500  # images per forward pass: the hidden layers of a network pruned for a wide target are large


def measure_ticket(
    network: Materialised, problem: Problem, epsilon: float, *, outputs: bool, approximates: bool
) -> dict[str, Any]:
    """Accuracy, counts and errors of a ticket.

    Args:
        network: the ticket, drawn once for all measures.
        epsilon: absolute weight error beyond which a weight counts in `over_epsilon`.
        outputs: also how the outputs differ from the target's over the test set, in float64.
        approximates: whether the ticket's weights are meant to be the target's: a search's are not, and have no errors.

    Returns:
        accuracy (fraction; of a float64 pass where outputs are compared), drawn, offered, kept, stored (counts),
        offered_ratio = drawn / target parameters, kept_ratio and stored_ratio alike (None where nothing is stored), the
        entries of `weight_errors` (None without a target, or where nothing is random) and of `curvature_error`, those
        of `outputs.compare`,
        and the ticket's own facts (n, unsolved).

    Raises:
        DataError: the ticket's facts have names of measures.
    """
    ticket = network.ticket
    size = num_parameters(problem.network or ticket.architecture)
    found: dict[str, Any] = {"accuracy": None, "drawn": ticket.drawn(), "offered": ticket.offered()}
    found |= {"kept": ticket.kept(), "offered_ratio": ticket.drawn() / size, "kept_ratio": ticket.kept() / size}
    found |= {"stored": ticket.stored(), "stored_ratio": ticket.stored() / size if ticket.stored() else None}
    found |= {"weight_error_max": None, "weight_error_median": None, "over_epsilon": None, "solve_time_s": None}
    if taken := sorted(ticket.facts.keys() & found.keys()):
        raise DataError(f"the ticket has facts under the names of what is measured ({', '.join(taken)}): rename them")
    found |= ticket.facts
    if problem.target is not None and approximates and network.approximated:
        found |= weight_errors(network.approximated, approximated_by(ticket, problem.target), epsilon)
        found |= curvature_error(network.deviations)
    if problem.data is not None and outputs and problem.target is not None and problem.network is not None:
        found |= _beside_target(network.module(torch.float64), problem.network, problem.target, problem.data)
    elif problem.data is not None and problem.data.test_labels is not None:
        found["accuracy"] = network_accuracy(network.module(), problem.data)
    return found


def _beside_target(
    module: torch.nn.Module, architecture: Architecture, target: Mapping[str, np.ndarray], data: Dataset
) -> dict[str, float]:
    """Accuracy and outputs beside the target's, of one float64 pass on the CPU: the same digits on every machine."""
    inputs = moved(data.test_inputs, "cpu")
    truth = None if data.test_labels is None else data.test_labels.cpu()
    reference = filled(architecture, target, torch.float64)
    return compare(module, reference, inputs, data.mask, pool_of(architecture), BATCH, truth)


def measure_target(problem: Problem) -> dict[str, Any]:
    """The target's own row: its accuracy; it offers and keeps itself, once, without error."""
    network, target = problem.need("network", "target")
    found: dict[str, Any] = {"accuracy": None, "offered_ratio": 1.0, "kept_ratio": 1.0, "solve_time_s": 0.0}
    found |= {"weight_error_max": 0.0, "weight_error_median": 0.0, "over_epsilon": 0}
    found["weights"] = num_parameters(network)
    if problem.data is not None and problem.data.test_labels is not None:
        found["accuracy"] = network_accuracy(filled(network, target, torch.float64), problem.data.to("cpu"))
    return found


def network_accuracy(module: torch.nn.Module, data: Dataset) -> float:
    """The network's accuracy on the test inputs, on the device where they lie, in the precision of its parameters."""
    device = named(data.test_inputs)[0][1].device
    dtype = next(module.parameters()).dtype
    inputs = data.test_inputs if dtype == torch.float32 else moved(data.test_inputs, dtype)
    return accuracy(module.to(device), inputs, labels(data.test_labels), BATCH)
