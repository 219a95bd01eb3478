"""Tables of results: in full precision for machines (CSV), rounded for people (terminal, Markdown)."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lth_runner.core import checks
from lth_runner.core.errors import DataError

NOTHING = "—"  # a cell that has no meaning for its row


Row = Mapping[str, Any]  # by column; None, or nothing, where a column has no meaning


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


def count(value: float) -> str:
    """A mean of counts need not be whole."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def number(value: float) -> str:
    return f"{value:.4g}"


LOOKS: dict[str, Callable[[Any], str]] = {
    "text": str,
    "percent": percent,
    "multiple": multiple,
    "error": error,
    "count": count,
    "number": number,
    "seconds": seconds,
}


@dataclass(frozen=True)
class Column:
    """How a column looks to a person.

    Attributes:
        heading: above it.
        look: how its cells are rounded, one of `LOOKS`; a multiple is one of the target's number of weights.
        optional: left out of a table in which no row has a value other than 0.
    """

    heading: str
    look: str
    optional: bool = False

    def __post_init__(self) -> None:
        checks.choice("look", self.look, LOOKS)

    def text(self, value: Any) -> str:
        return NOTHING if value is None else LOOKS[self.look](value)


TICKET_COLUMNS = {  # of a table of tickets, one network a row
    "network": Column("network", "text"),
    "accuracy": Column("test accuracy", "percent"),
    "offered_ratio": Column("weights offered", "multiple"),
    "kept_ratio": Column("weights kept", "multiple"),
    "stored_ratio": Column("weights stored", "multiple", optional=True),
    "ticket_bytes": Column("bytes of ticket", "count", optional=True),
    "layers_without_path": Column("layers without a path", "count", optional=True),
    "weight_error_max": Column("largest weight error", "error"),
    "weight_error_median": Column("median weight error", "error"),
    "over_epsilon": Column("not within epsilon", "count"),
    "unsolved": Column("left unsolved", "count", optional=True),
    "solve_time_s": Column("solve time", "seconds"),
}

OUTPUT_COLUMNS = {  # beside those where no labels tell an accuracy
    "output_cosine_mean": Column("mean cosine of outputs", "number"),
    "output_cosine_min": Column("least cosine", "number"),
    "agreement": Column("same largest output", "percent"),
}


@dataclass(frozen=True, kw_only=True)
class Results:
    """A table: its columns in their order, and its rows, which may hold more than the columns show."""

    columns: Mapping[str, Column]
    rows: Sequence[Row]

    def shown(self) -> dict[str, Column]:
        """The columns without the optional ones of which no row has anything."""
        return {
            name: column
            for name, column in self.columns.items()
            if not column.optional or any(row.get(name) for row in self.rows)
        }

    def cells(self) -> list[list[Any]]:
        """The rows as plain lists in the order of the columns shown."""
        return [[row.get(name) for name in self.shown()] for row in self.rows]

    def csv(self) -> str:
        """For machines: full precision, fractions as fractions, None as an empty cell."""
        return csv_text(list(self.shown()), self.cells())

    def looks(self) -> str:
        """How the columns look to people, as JSON, for `read_results`."""
        return json_text(
            {name: {"heading": column.heading, "look": column.look} for name, column in self.shown().items()}
        )

    def terminal(self) -> Table:
        """For people: rounded."""
        columns = self.shown().values()
        multiples = any(column.look == "multiple" for column in columns)
        table = Table(
            box=SIMPLE_HEAD,  # no lines between columns: eight of them fit into 80 characters
            padding=(0, 1, 0, 0),
            pad_edge=False,
            caption="weights offered and kept are multiples of the target's number of weights" if multiples else None,
        )
        for column in columns:
            table.add_column(column.heading, justify="left" if column.look == "text" else "right")
        for line in self.cells():
            table.add_row(*(column.text(value) for column, value in zip(columns, line, strict=True)))
        return table


def read_results(csv_content: str, looks: str | None) -> Results:
    """A table that was written as `csv` and `looks`; without the latter, as runs before 0.2 left it, one of tickets.

    Raises:
        DataError: `looks` is damaged.
    """
    try:
        columns = {name: Column(**look) for name, look in json.loads(looks).items()} if looks else TICKET_COLUMNS
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the description of a table's columns is damaged ({error}): run it again") from error
    texts = [name for name, column in columns.items() if column.look == "text"]
    return Results(columns=columns, rows=csv_rows(csv_content, texts))


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


def csv_rows(text: str, texts: Collection[str]) -> list[dict[str, Any]]:
    """The rows of a CSV: an empty cell is None, what reads as a number is one, exactly as it was written.

    Args:
        texts: columns whose cells stay texts, whatever they read as.

    Raises:
        DataError: it is damaged.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error as error:
        raise DataError(f"a table cannot be read ({error}): run it again") from error
    if any(None in row for row in rows):
        raise DataError("a table has lines longer than its headings: run it again")
    return [{name: cell if cell and name in texts else _value(cell) for name, cell in row.items()} for row in rows]


def json_text(value: Any, indent: int = 0) -> str:
    """JSON for people to read and change: a line per key, lists on one line."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    margin = " " * (indent + 2)
    inner = ",\n".join(f"{margin}{json.dumps(key)}: {json_text(part, indent + 2)}" for key, part in value.items())
    return f"{{\n{inner}\n{' ' * indent}}}" + ("" if indent else "\n")


def _value(cell: str) -> Any:
    if not cell:
        return None
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell
