"""Tables of results: in full precision for machines (CSV), rounded for people (terminal, Markdown)."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

NOTHING = "—"  # a cell that has no meaning for its row


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    """One network of the ticket table. None stands where a column has no meaning, as the weight error of the target.

    Attributes:
        network: target, closest, sparsest, malach.
        accuracy: fraction of the test images.
        offered_ratio: random weights offered as a multiple of the target's weights.
        kept_ratio: weights kept, as the same multiple.
        weight_error_max: largest |approximated - target weight|.
        weight_error_median: the same, median.
        over_epsilon: weights not within epsilon.
        solve_time_s: of the whole network.
    """

    network: str
    accuracy: float | None
    offered_ratio: float | None
    kept_ratio: float | None
    weight_error_max: float | None
    weight_error_median: float | None
    over_epsilon: int | None
    solve_time_s: float | None


def ticket_row(network: str, found: Mapping[str, Any]) -> TicketRow:
    """The row of what was found of a network; columns that were not found have no meaning for it."""
    columns: dict[str, Any] = {field.name: found.get(field.name) for field in fields(TicketRow)}
    return TicketRow(**{**columns, "network": network})


@dataclass(frozen=True)
class Column:
    """How a column looks to a person."""

    heading: str
    text: Callable[[Any], str]


def percent(fraction: float) -> str:
    return f"{fraction:.2%}".replace("%", " %")


def spread(mean: float, low: float, high: float) -> str:
    """A mean of fractions and, where they differ, the least and the greatest of them."""
    return percent(mean) + (f" ({100 * low:.2f} to {100 * high:.2f})" if high > low else "")


def multiple(ratio: float) -> str:
    return f"{ratio:.2f}x"


def error(value: float) -> str:
    """Two significant digits; exactly zero is worth telling apart from very small."""
    return "0" if value == 0 else f"{value:.1e}"


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"


TICKET_COLUMNS = {
    "network": Column("network", str),
    "accuracy": Column("test accuracy", percent),
    "offered_ratio": Column("weights offered", multiple),
    "kept_ratio": Column("weights kept", multiple),
    "weight_error_max": Column("largest weight error", error),
    "weight_error_median": Column("median weight error", error),
    "over_epsilon": Column("not within epsilon", lambda count: f"{count:,}"),
    "solve_time_s": Column("solve time", seconds),
}
assert tuple(TICKET_COLUMNS) == tuple(f.name for f in fields(TicketRow)), "every column of a row has a heading"


def cells(rows: Iterable[TicketRow]) -> list[tuple[Any, ...]]:
    """The rows as plain tuples in the order of `TICKET_COLUMNS`."""
    return [astuple(row) for row in rows]


def ticket_csv(rows: Iterable[TicketRow]) -> str:
    """The ticket table for machines: full precision, accuracy as a fraction, None as an empty cell."""
    return csv_text(tuple(TICKET_COLUMNS), cells(rows))


def read_ticket_csv(text: str) -> list[TicketRow]:
    """The rows of a ticket table written by `ticket_csv`."""
    rows = []
    for line in csv.DictReader(io.StringIO(text)):
        numbers = {name: _number(cell) for name, cell in line.items() if name != "network"}
        rows.append(TicketRow(network=line["network"], **numbers))
    return rows


def ticket_markdown(rows: Iterable[TicketRow]) -> str:
    """The ticket table for a README."""
    return markdown([column.heading for column in TICKET_COLUMNS.values()], _rounded(rows))


def ticket_terminal(rows: Iterable[TicketRow]) -> Table:
    """The ticket table for the terminal."""
    table = Table(
        box=SIMPLE_HEAD,  # no lines between columns: eight of them fit into 80 characters
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption="weights offered and kept are multiples of the target's number of weights",
    )
    for name, column in TICKET_COLUMNS.items():
        table.add_column(column.heading, justify="left" if name == "network" else "right")
    for row in _rounded(rows):
        table.add_row(*row)
    return table


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Any table as CSV: floats round-trip exactly, None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Any table of texts as Markdown; the first column is left-aligned, the others right-aligned."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _rounded(rows: Iterable[TicketRow]) -> list[list[str]]:
    columns = TICKET_COLUMNS.values()
    return [
        [NOTHING if value is None else column.text(value) for column, value in zip(columns, row, strict=True)]
        for row in cells(rows)
    ]


def _number(cell: str) -> Any:
    if not cell:
        return None
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)
