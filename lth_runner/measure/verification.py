"""Every claim that a ticket's file makes, computed again from its random numbers and masks."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lth_runner.core.digest import checksum
from lth_runner.core.errors import DataError
from lth_runner.data.interface import Dataset, num_samples
from lth_runner.measure.approximation import curvature_error, weight_errors
from lth_runner.measure.bits import bits
from lth_runner.measure.ticket import network_accuracy
from lth_runner.ticket.materialise import Materialised, approximated_by, target_names
from lth_runner.ticket.source import Stored
from lth_runner.ticket.ticket import Ticket

COUNTS = ("drawn", "offered", "kept", "stored")
BITS = ("bits_per_weight", "bits_per_weight_coded")
CURVATURE = "curvature_error_max"
ERRORS = ("weight_error_max", "weight_error_median", "over_epsilon")
RELATIVE = 1e-9  # float64 sums in another order differ by less
IMAGES = 2  # float32 outputs on another machine may round a draw between two classes differently


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One claim beside what was found.

    Attributes:
        found: None where something is missing to find it.
        needs: what is missing ("--target", "--data"); empty where nothing is.
        agrees: whether both are equal up to rounding; True while something is missing.
    """

    claim: str
    claimed: float
    found: float | None = None
    needs: str = ""
    agrees: bool = True


def findings(network: Materialised, target: Mapping[str, np.ndarray] | None, data: Dataset | None) -> Iterator[Finding]:
    """The claims in turn, the cheapest first: counts from the masks, then weights, then the pruned network's accuracy.

    Args:
        network: the ticket's, drawn when the first claim asks for it.
        target: the weights that the ticket claims to approximate; without them claims of errors are not checked.
        data: the dataset whose test images the claimed accuracy is of.

    Raises:
        DataError: the file claims something that is not checked here, or no counts, or its parts do not fit together.
    """
    ticket, claims = network.ticket, network.ticket.claims
    if missing := [name for name in COUNTS if name not in claims]:
        raise DataError(f"the ticket does not claim its {', '.join(missing)}, so there is too little to verify")
    unknown = set(claims) - {*COUNTS, *BITS, *ERRORS, CURVATURE, "accuracy", "epsilon"}
    if unknown:
        raise DataError(
            f"the ticket makes claims that this version cannot check: {', '.join(sorted(unknown))}; verify it with the "
            "version of lth_runner that made it"
        )
    _check_origin(ticket, target, data)
    counts = {name: getattr(ticket, name)() for name in COUNTS}
    for claim in COUNTS:
        yield _compared(claim, claims[claim], counts[claim], 0)
    if claimed_bits := [claim for claim in BITS if claim in claims]:
        found = bits(ticket)
        yield from (_compared(claim, claims[claim], found[claim], RELATIVE * found[claim]) for claim in claimed_bits)
    if target is not None:
        yield from _untrue_copies(ticket, target)
    claimed_errors = [claim for claim in ERRORS if claim in claims]
    if claimed_errors and target is None:
        yield from (Finding(claim=claim, claimed=claims[claim], needs="--target") for claim in claimed_errors)
    elif claimed_errors and target is not None:
        if "epsilon" not in claims:
            raise DataError("the ticket claims weight errors without the epsilon they were counted with")
        if not network.approximated:
            raise DataError("the ticket claims weight errors, but nothing of it is random")
        errors = weight_errors(network.approximated, approximated_by(ticket, target), claims["epsilon"])
        for claim in claimed_errors:
            slack = RELATIVE * max(abs(claims[claim]), 1e-3) if claim != "over_epsilon" else 0
            yield _compared(claim, claims[claim], errors[claim], slack)
    if CURVATURE in claims:
        found = curvature_error(network.deviations).get(CURVATURE, 0.0)
        yield _compared(CURVATURE, claims[CURVATURE], found, RELATIVE * found)
    if "accuracy" in claims and data is None:
        yield Finding(claim="accuracy", claimed=claims["accuracy"], needs="--data")
    elif "accuracy" in claims and data is not None:
        found = network_accuracy(network.module(), data)
        yield _compared("accuracy", claims["accuracy"], found, IMAGES / num_samples(data.test_inputs) + RELATIVE)


def _check_origin(ticket: Ticket, target: Mapping[str, np.ndarray] | None, data: Dataset | None) -> None:
    """Refuses a target or a dataset other than those that the claims were made with.

    Raises:
        DataError: its checksum is another.
    """
    noted = ticket.origin.target_checksum
    if target is not None and noted is not None and checksum(target) != noted:
        raise DataError(
            "the target given is not the one that the ticket approximates: its weights have another checksum; "
            "give the file of the ticket's own target"
        )
    noted = ticket.origin.data_checksum
    if data is not None and noted is not None and data.test_checksum() != noted:
        raise DataError(
            f"the dataset {data.name} is not the one that the ticket's accuracy was measured on: its test inputs or "
            "labels have another checksum; leave out --data, or give its settings as they were"
        )


def _untrue_copies(ticket: Ticket, target: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """The tensors that are stored as the target's own and differ from them, up to rounding; none in an honest file."""
    own, names = approximated_by(ticket, target), target_names(ticket)
    for name, source in ticket.weights.items():
        if not isinstance(source, Stored) or source.origin != "target":
            continue
        error = _largest_difference(source.array, own.get(names.get(name, name)))
        if error:
            yield Finding(claim=f"difference of {name} from the target's", claimed=0.0, found=error, agrees=False)


def _largest_difference(copy: np.ndarray, true: np.ndarray | None) -> float:
    """Between a stored tensor and the target's in the same type; 0 if it is rounding, infinite if they don't fit."""
    if true is None or copy.shape != true.shape:
        return math.inf
    if np.array_equal(copy, true.astype(copy.dtype), equal_nan=copy.dtype.kind == "f"):
        return 0.0
    ours = copy.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = float(np.abs(ours - true.astype(copy.dtype).astype(np.float64)).max())
    return 0.0 if error <= RELATIVE * float(np.abs(ours).max()) else error


def _compared(claim: str, claimed: float, found: float, slack: float) -> Finding:
    agrees = math.isfinite(claimed) and abs(claimed - found) <= slack
    return Finding(claim=claim, claimed=claimed, found=found, agrees=agrees)
