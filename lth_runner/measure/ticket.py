"""The numbers of one ticket: those of the pruned network itself, rebuilt from the ticket alone."""

from typing import Any

import torch

from lth_runner.data.interface import Dataset, labels, moved, named
from lth_runner.measure.accuracy import accuracy
from lth_runner.measure.approximation import output_difference, weight_errors
from lth_runner.networks.interface import filled
from lth_runner.problem import Problem
from lth_runner.ticket.materialise import effective_weights, pruned_network
from lth_runner.ticket.ticket import Ticket

BATCH = 500  # images per forward pass: the hidden layers of a network pruned for a wide target are large


def measure_ticket(ticket: Ticket, problem: Problem, epsilon: float, outputs: bool) -> dict[str, Any]:
    """Accuracy, counts and errors of a ticket.

    Args:
        epsilon: absolute weight error beyond which a weight counts in `over_epsilon`.
        outputs: also the largest output difference to the target over the test set, in float64.

    Returns:
        accuracy (fraction), drawn, offered, kept (counts), offered_ratio = drawn / target weights and kept_ratio =
        kept / target weights, the entries of `weight_errors` (None without a target), output_difference_max,
        and the ticket's own facts (n, solve_time_s, unsolved).
    """
    weights = effective_weights(ticket)
    size = sum(weight.size for weight in (problem.target or weights).values())
    found: dict[str, Any] = {"accuracy": None, "drawn": ticket.drawn(), "offered": ticket.offered()}
    found |= {"kept": ticket.kept(), "offered_ratio": ticket.drawn() / size, "kept_ratio": ticket.kept() / size}
    found |= {"weight_error_max": None, "weight_error_median": None, "over_epsilon": None, "solve_time_s": None}
    found |= ticket.facts
    if problem.target is not None:
        found |= weight_errors(weights, problem.target, epsilon)
    if problem.data is not None:
        if problem.data.test_labels is not None:
            found["accuracy"] = network_accuracy(pruned_network(ticket, weights=weights), problem.data)
        if outputs and problem.target is not None and problem.network is not None:
            pruned = pruned_network(ticket, torch.float64, weights)
            target = filled(problem.network, problem.target, torch.float64)
            images = moved(problem.data.test_inputs, "cpu")
            found["output_difference_max"] = output_difference(pruned, target, images, BATCH)
    return found


def measure_target(problem: Problem) -> dict[str, Any]:
    """The target's own row: its accuracy; it offers and keeps itself, once, without error."""
    assert problem.target is not None and problem.network is not None, "a target's row needs a target"
    found: dict[str, Any] = {"accuracy": None, "offered_ratio": 1.0, "kept_ratio": 1.0, "solve_time_s": 0.0}
    found |= {"weight_error_max": 0.0, "weight_error_median": 0.0, "over_epsilon": 0}
    found["weights"] = sum(weight.size for weight in problem.target.values())
    if problem.data is not None and problem.data.test_labels is not None:
        found["accuracy"] = network_accuracy(filled(problem.network, problem.target), problem.data)
    return found


def network_accuracy(module: torch.nn.Module, data: Dataset) -> float:
    """The network's accuracy on the test images, on the device where they lie."""
    device = named(data.test_inputs)[0][1].device
    return accuracy(module.to(device), data.test_inputs, labels(data.test_labels), BATCH)
