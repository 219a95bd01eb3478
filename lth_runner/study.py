"""What a study is: methods put to a question, and an answer of table rows, numbers, points and tickets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lth_runner.core.recorder import Recorder
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import TICKET_COLUMNS, Column, Row
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study found.

    Attributes:
        rows: of the table, by column; they may hold more than the columns show.
        columns: of the table, in their order; those of tickets unless the study has its own.
        summary: flat, units in the keys; becomes summary.json.
        points: of the study's curves, by column; they become points.csv, from which the figures are drawn.
        figures: by file name without ending: `kind`, a module of `lth_runner.report.kinds`, and what that kind draws
            besides points (labels, captions, published values), as plain values; they become figures.json.
        texts: further files by name: tables in the study's own words, as Markdown.
        tickets: by row name, with their claims.
        parts: tensors of parts of a ticket, by file name without ending.
    """

    rows: Sequence[Row]
    columns: Mapping[str, Column] = field(default_factory=lambda: TICKET_COLUMNS)
    summary: dict[str, float | int | str | None]
    points: Sequence[Point] = ()
    figures: Mapping[str, Description] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    parts: dict[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


@runtime_checkable
class Study(Protocol):
    """One question. Implementations are frozen keyword-only dataclasses."""

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods, or settings of them that the study will vary, before anything is read or trained.

        Raises:
            ConfigError: the study cannot be made of these methods.
        """
        ...

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Answers the question.

        Args:
            methods: by the name of their row.

        Raises:
            ConfigError: the study cannot be made of these parts.
        """
        ...


@runtime_checkable
class Tries(Protocol):
    """A study that varies its methods, or puts them to other networks than the run's."""

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method that it will use, and the network of which that is to find a ticket.

        Args:
            network: the run's.
        """
        ...


@runtime_checkable
class Scales(Protocol):
    """A study that knows what its time grows with."""

    def amounts(self) -> Mapping[str, float]:
        """What the time is in proportion to, by name of the setting: epochs, seeds, points."""
        ...


def flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """{"accuracy": x} under "closest" becomes {"closest/accuracy": x}: the names used in summary.json and in W&B."""
    return {f"{prefix}/{key}": value for key, value in values.items()}
