"""Exact SubsetSum on a GPU, or on any device of torch that has float64: many instances side by side, as tensors.

Every instance meets in the middle. The sums of its first values, the table, are sorted; each sum of the others asks the
table for the two neighbours of what it leaves of the target. With t values in the table that is about (2^t + 2^(n-t))
log2(2^t) steps and a few dozen passes over as many float64 numbers, so the memory's speed is the limit. The table is
sorted by torch: merging it with itself, shifted by one value after the other, took half as long again on an H100.

Everything is float64: with n = 21 the two nearest of 2^21 sums are some 1e-7 apart, float32 would mistake one for the
other. Additions stand alone, so that each device rounds them alike and gives the same answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.devices import device
from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import Subsets, certify, check_instances

MAX_VALUES = 40  # two halves of 2^20 sums: 128 MiB for one instance
MAX_TABLE_VALUES = 24  # of a table shared by all instances: 1 GiB while it is sorted
BYTES_PER_SUM = 48  # of all tensors that are alive at once, at most
MOST_BYTES = 8 << 30  # 58,000 instances with n = 21: enough work for each kernel
CPU_BYTES = 64 << 20


class Table(NamedTuple):
    """Sums of R rows in ascending order, (R, p) float64, and their masks, (R, p) int32; equal sums by their masks."""

    sums: torch.Tensor
    masks: torch.Tensor


class Nearest(NamedTuple):
    """For each of B targets the best pair: its error, the place of what was sought, and the mask in the table."""

    error: torch.Tensor
    place: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Solves every instance exactly, as many at once as half of the device's free memory holds (at most 8 GiB).

    Exact up to the rounding of float64 sums: subsets whose errors differ by less than that are equally good. Of equally
    good ones the answer is that whose later half has the smallest mask (the first of its values counting least), then
    the one with the smaller sum; it depends neither on the device nor on the batch.

    One row of values shared by all targets is sorted once, and the more targets, the more of it.

    Attributes:
        device: auto, cpu, cuda or cuda:1 (or another number); auto is a CUDA device where there is one.
    """

    exact: ClassVar[bool] = True
    device: str

    def __post_init__(self) -> None:
        checks.device("method.solver.device", self.device)
        if self.device == "mps":
            raise ConfigError(
                "method.solver.device=mps was refused, since that device has no float64: "
                "use method/solver=meet_in_middle, or device=cpu"
            )

    def check_size(self, n: int) -> None:
        if n > MAX_VALUES:
            raise ConfigError(
                f"meet in the middle of n={n} values was refused (at most {MAX_VALUES}): "
                f"offer fewer, as with n={MAX_VALUES}, or choose the solver milp, which has no limit"
            )

    def check_licence(self, n: int) -> None:
        """Refuses a device that is not there; see `Licensed`."""
        device(self.device)

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        self.check_size(values.shape[1])
        place, shared, n = torch.device(device(self.device)), len(values) == 1, values.shape[1]
        values, targets = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(targets, np.float64)
        size = table_values(n, targets.size if shared else 1)
        tabulate, search = (one_table, closest) if objective == "closest" else (tables_by_terms, sparsest)
        first = torch.tensor(values[:1], device=place)
        once = tabulate(first[:, :size]) if shared else None
        chosen = np.zeros((targets.size, n), bool)
        for rows in batches(targets.size, bytes_of_instance(n, size, shared), place):
            offered = first if shared else torch.tensor(values[rows], device=place)
            tables = tabulate(offered[:, :size]) if once is None else once
            sought = torch.tensor(targets[rows], device=place)
            chosen[rows] = search(tables, offered, sought, size, epsilon).cpu().numpy()
        return certify(values, targets, chosen, epsilon)


def table_values(n: int, targets: int) -> int:
    """How many of n values to tabulate for so many targets: where 2^t, once, equals 2^(n-t) for each target."""
    return min(n, MAX_TABLE_VALUES, (n + targets.bit_length() - 1) // 2) if targets else 0


def bytes_of_instance(n: int, size: int, shared: bool) -> int:
    """Memory that an instance takes at most, a shared table not counted."""
    return BYTES_PER_SUM * (2 ** (n - size) + (0 if shared else 2**size))


def batches(count: int, bytes_each: int, place: torch.device) -> Iterator[slice]:
    """Slices of so many instances that half of the free memory holds."""
    free = 2 * CPU_BYTES
    if place.type == "cuda":  # what torch keeps for later is free too
        free = torch.cuda.mem_get_info(place)[0]
        free += torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    size = max(1, min(free // 2, MOST_BYTES) // bytes_each)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def closest(
    tables: list[Table], values: torch.Tensor, targets: torch.Tensor, size: int, epsilon: float
) -> torch.Tensor:
    """The closest subsets, (B, n) bool; epsilon plays no part.

    Args:
        tables: one, of the sums of the first `size` values; values: (B, n) or (1, n); targets: (B,).
    """
    found = nearest(tables[0], targets[:, None] - sums_by_mask(values[:, size:]))
    return subsets(found.mask, found.place, values.shape[1], size)


def sparsest(
    tables: list[Table], values: torch.Tensor, targets: torch.Tensor, size: int, epsilon: float
) -> torch.Tensor:
    """The sparsest subsets within epsilon, (B, n) bool: size by size, each with those instances that are left.

    Args:
        tables: of the sums of 0, 1, ... of the first `size` values.
    """
    n = values.shape[1]
    chosen = torch.zeros((len(targets), n), dtype=torch.bool, device=values.device)
    left = torch.arange(len(targets), device=values.device)
    sought = targets[:, None] - sums_by_mask(values[:, size:])
    places = masks_by_terms(n - size, values.device)
    for terms in range(n + 1):
        found = nearest_of_terms(tables, sought, places, terms)
        within = found.error <= epsilon
        chosen[left[within]] = subsets(found.mask[within], found.place[within], n, size)
        left, sought = left[~within], sought[~within]
        if len(values) > 1:
            tables = [Table(sums[~within], masks[~within]) for sums, masks in tables]
        if not len(left):
            return chosen
    hopeless = values if len(values) == 1 else values[left]
    chosen[left] = closest(one_table(hopeless[:, :size]), hopeless, targets[left], size, epsilon)
    return chosen


def nearest_of_terms(tables: list[Table], sought: torch.Tensor, places: list[torch.Tensor], terms: int) -> Nearest:
    """The best pairs with so many terms in all, over every way to divide these among table and rest."""
    best = None
    for first in range(max(0, terms - len(places) + 1), min(terms, len(tables) - 1) + 1):
        columns = places[terms - first]
        found = nearest(tables[first], sought[:, columns])
        found = found._replace(place=columns[found.place])
        if best is None:
            best = found
        else:
            better = found.error < best.error
            best = Nearest(*(torch.where(better, new, old) for new, old in zip(found, best, strict=True)))
    assert best is not None, "from 0 to n terms there is always a way to divide them"
    return best


def nearest(table: Table, sought: torch.Tensor) -> Nearest:
    """For each row of `sought` (B, q) the entry that a sum of the table comes closest to, the first of equals.

    Args:
        table: of B rows, or of one that serves all.
    """
    edge = torch.full_like(table.sums[:, :1], torch.inf)
    padded = torch.cat([-edge, table.sums, edge], 1)
    rank = torch.searchsorted(table.sums[0] if len(table.sums) == 1 else table.sums, sought)  # sums below it
    under = look_up(padded[:, :-1], rank)
    error = look_up(padded[:, 1:], rank).sub_(sought)
    torch.minimum(error, torch.sub(sought, under, out=under), out=error)
    best, place = error.min(1, keepdim=True)
    rank = rank.gather(1, place)
    lower = under.gather(1, place) == best
    mask = look_up(table.masks, rank - lower.long())
    return Nearest(best[:, 0], place[:, 0], mask[:, 0])


def look_up(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Entries (B, q) of rows (B, p), or of one row (1, p), at columns (B, q)."""
    return rows[0][columns] if len(rows) == 1 else rows.gather(1, columns)


def sums_by_mask(values: torch.Tensor) -> torch.Tensor:
    """All subset sums of rows (R, k), (R, 2^k): entry m is that of the values whose bit is set in m."""
    rows, k = values.shape
    sums = values.new_zeros(rows, 2**k)
    for i in range(k):
        torch.add(sums[:, : 2**i], values[:, i : i + 1], out=sums[:, 2**i : 2 ** (i + 1)])
    return sums


def masks_by_terms(k: int, place: torch.device) -> list[torch.Tensor]:
    """The masks of k values with 0, 1, ..., k bits set, ascending."""
    terms = sums_by_mask(torch.ones((1, k), device=place))[0]
    return [torch.nonzero(terms == count)[:, 0] for count in range(k + 1)]


def one_table(values: torch.Tensor) -> list[Table]:
    """All subset sums of rows (R, k), in one table."""
    return [sorted_table(sums_by_mask(values), torch.arange(2 ** values.shape[1], device=values.device))]


def tables_by_terms(values: torch.Tensor) -> list[Table]:
    """The sums of 0, 1, ..., k values of rows (R, k), a table for each."""
    sums = sums_by_mask(values)
    return [sorted_table(sums[:, masks], masks) for masks in masks_by_terms(values.shape[1], values.device)]


def sorted_table(sums: torch.Tensor, masks: torch.Tensor) -> Table:
    """The table of sums (R, p), whose masks (p,) ascend."""
    ordered, places = sums.sort(dim=1, stable=True)
    return Table(ordered, masks.int()[places])


def subsets(first: torch.Tensor, later: torch.Tensor, n: int, size: int) -> torch.Tensor:
    """Masks of the first `size` values and of the others, (B,) each, as (B, n) bool."""
    bits = torch.arange(n, device=later.device)
    return (first.long() | later << size)[:, None] >> bits & 1 == 1
