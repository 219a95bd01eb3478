"""Figures of comparisons whose points have outputs beside the target's, and what one against width measures."""

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Widened
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.ticket.ticket import Ticket

WIDTH_COLUMNS = {
    "width": Column("hidden neurons per input", "number"),
    "changed": Column("changed predictions", "percent"),
}
FAR = 0.012  # below the target's accuracy, of which a figure of widths shows no more


def hidden_per_input(ticket: Ticket) -> float:
    """Of the ticket's network.

    Raises:
        ConfigError: it adds no hidden neurons.
    """
    if not isinstance(ticket.architecture, Widened):
        raise ConfigError("study.against=width is for methods that add hidden neurons, such as pensia and block")
    return ticket.architecture.hidden_per_input


def width_figure(accuracy: float | None, labels: dict[str, str]) -> Description:
    """Accuracies near the target's, and the share of outputs that differ from it in their largest entry."""
    common = {"x": "width", "x_label": "hidden neurons for each input of a layer", "x_scale": "linear"}
    shown = {"level": None, "y_limits": [None, None]}
    if accuracy is not None:
        shown = {"level": [accuracy, "target network"], "y_limits": [accuracy - FAR, accuracy + FAR / 8]}
    changed = {"y_scale": "log", "y_limits": [None, None], "level": None}
    return {
        "kind": "panels",
        "labels": labels,
        "caption": "The network of each method is random, pruned, and twice as deep as its target.",
        "panels": [
            {**common, "y": "accuracy", "y_label": "test accuracy (%)", "y_scale": "percent", **shown},
            {**common, "y": "changed", "y_label": "share of changed predictions", **changed},
        ],
    }


def outputs_figure(
    accuracy: float | None, labels: dict[str, str], axis: str, axis_label: str, *, log_axis: bool
) -> Description:
    """Accuracies and mean output differences over a setting of the methods, or over the numbers they draw.

    Args:
        accuracy: of the target, a dashed line, if it is known.
        axis: the name of that setting in the points.
    """
    common = {"x": axis, "x_label": axis_label, "x_scale": "log" if log_axis else "linear", "y_limits": [None, None]}
    level = None if accuracy is None else [accuracy, "target network"]
    return {
        "kind": "panels",
        "labels": labels,
        "caption": "Pruned random networks beside their target.",
        "panels": [
            {**common, "y": "accuracy", "y_label": "test accuracy (%)", "y_scale": "percent", "level": level},
            {
                **common,
                "y": "output_difference_mean",
                "y_label": "output difference, mean of all entries",
                "y_scale": "log",
                "level": None,
            },
        ],
    }
