"""What a study is: methods put to a question, and an answer of table rows, numbers, figures and tickets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lth_runner.core.recorder import Recorder
from lth_runner.problem import Method, Problem
from lth_runner.report.tables import TicketRow
from lth_runner.ticket.ticket import Ticket

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study found.

    Attributes:
        rows: of the table, one per network.
        summary: flat, units in the keys; becomes summary.json.
        figures: by file name without ending.
        texts: further files by name: a study's own tables, as CSV and Markdown.
        tickets: by row name, with their claims.
    """

    rows: list[TicketRow]
    summary: dict[str, float | int | str | None]
    figures: dict[str, "Figure"] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)


@runtime_checkable
class Study(Protocol):
    """One question. Implementations are frozen keyword-only dataclasses."""

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Answers the question.

        Args:
            methods: by the name of their row.

        Raises:
            ConfigError: the study cannot be made of these parts.
        """
        ...


def flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """{"accuracy": x} under "closest" becomes {"closest/accuracy": x}: the names used in summary.json and in W&B."""
    return {f"{prefix}/{key}": value for key, value in values.items()}
