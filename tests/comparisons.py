"""A comparison as tests need it: a table of its rows, and what else they ask for."""

from typing import Any

from lth_runner.studies.comparison import Comparison


def comparison(**changes: Any) -> Comparison:
    """Rows alone, without curves or laws, weights counted beyond 0.05; but for the changes."""
    plain: dict[str, Any] = {
        "axis": "n", "axis_label": "", "values": [], "own_values": {}, "curves": [], "against": "axis",
        "outputs": False, "labels": {}, "laws": {}, "epsilon": 0.05,
    }  # fmt: skip
    return Comparison(**{**plain, **changes})
