"""One part of a ticket, made by a run of its own; a later run puts the ticket together."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.networks.interface import Architecture
from lth_runner.problem import InParts, Method, Problem, Share
from lth_runner.report.tables import Column
from lth_runner.study import Outcome, Study, Tries

PART = "part"  # name of the file without ending
COLUMNS = {
    "network": Column("", "text"),
    "bytes": Column("bytes", "count"),
    "solve_time_s": Column("time", "seconds"),
}


@dataclass(frozen=True, kw_only=True)
class PartOfTicket:
    """Makes a share of the ticket of a single method, and measures nothing."""

    share: Share

    def check(self, methods: Mapping[str, Method]) -> None:
        """See `Study.check`."""
        in_parts(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The part, as the tensors of a file."""
        method, started = in_parts(methods), time.perf_counter()
        tensors = method.make(problem, recorder, self.share)
        seconds = time.perf_counter() - started
        row = {"bytes": sum(tensor.nbytes for tensor in tensors.values()), "solve_time_s": seconds}
        name = f"part {self.share.index} of {self.share.count}"
        return Outcome(rows=[{"network": name, **row}], columns=COLUMNS, summary=row, parts={PART: tensors})


def in_parts(methods: Mapping[str, Method]) -> InParts:
    """The one method whose ticket is made in parts.

    Raises:
        ConfigError: there are several, or its ticket cannot be made in parts.
    """
    if len(methods) != 1:
        raise ConfigError(f"parts are of the ticket of one method, and there are {len(methods)}: choose one by method=")
    ((name, method),) = methods.items()
    if not isinstance(method, InParts):
        raise ConfigError(f"a ticket of {name} cannot be made in parts: leave parts out, or take method=block")
    return method


def check_whole(study: Study, methods: Mapping[str, Method], network: Architecture) -> None:
    """Refuses a study that needs more than the one ticket that the parts make.

    Raises:
        ConfigError: it varies the method, or may do so.
    """
    method = in_parts(methods)
    if not isinstance(study, Tries) or any(other != method for other, _ in study.tried(methods, network)):
        raise ConfigError("parts make one ticket, and this study needs others: set study=comparison study.values=[]")
