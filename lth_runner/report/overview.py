"""What stands above a report: each experiment in one line, with what was varied and its best ticket."""

from collections.abc import Sequence
from dataclasses import dataclass

from lth_runner.report.groups import Group, Section, Statistic
from lth_runner.report.settings import is_number, text

MOST_VALUES = 4  # of a setting that are listed
TARGET = "target"


@dataclass(frozen=True, kw_only=True)
class Best:
    """The most accurate row of an experiment that is not its target; of equal ones, that which keeps the least.

    Attributes:
        network: the row's.
        group: that it belongs to.
        target: the target's accuracy in that group, if there is one.
    """

    network: str
    group: Group
    accuracy: Statistic
    kept_ratio: Statistic | None
    target: Statistic | None


def best(section: Section) -> Best | None:
    """None where nothing has an accuracy."""
    found = [
        Best(
            network=network,
            group=group,
            accuracy=row["accuracy"],
            kept_ratio=row.get("kept_ratio"),
            target=group.rows.get(TARGET, {}).get("accuracy"),
        )
        for group in section.groups
        for network, row in group.rows.items()
        if network != TARGET and "accuracy" in row
    ]
    return max(
        found, key=lambda row: (row.accuracy.mean, -(row.kept_ratio.mean if row.kept_ratio else 0)), default=None
    )


def varied(section: Section) -> str:
    """`network.hidden: 100, 200; target: synthetic, trained`: the values of what varies, numbers in their order."""
    parts = []
    for i, key in enumerate(section.varying):
        values = {text(group.settings[i]): group.settings[i] for group in section.groups}
        if "." in key:  # groups without the part that it belongs to have none
            values.pop("null", None)
        names = sorted(values, key=lambda name: (0, values[name]) if is_number(values[name]) else (1, 0))
        parts.append(f"{key}: {_listed(names)}")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_VALUES
    return ", ".join(names[:MOST_VALUES]) + (f" and {more} more" if more > 0 else "")
