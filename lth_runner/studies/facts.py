"""What tickets tell of themselves beside their accuracy, as a table and a figure over the fraction of weights kept."""

from collections.abc import Mapping, Sequence

from lth_runner.report.points import Description, Point
from lth_runner.report.series import series
from lth_runner.report.tables import NOTHING, markdown, number

Names = Mapping[str, str]


def facts_figure(facts: Names, labels: Names, points: Sequence[Point], caption: str) -> Description:
    """One panel per fact that any ticket tells.

    Args:
        facts: columns of the points, with their names for people.
        labels: names of the curves for people, where they should differ.
    """
    common = {"x": "density", "x_label": "weights kept (%)", "x_scale": "density"}
    common |= {"y_scale": "linear", "y_limits": [None, None], "level": None}
    told = [fact for fact in facts if series(points, "density", fact)]
    shown = [{**common, "y": fact, "y_label": facts[fact]} for fact in told]
    return {"kind": "panels", "labels": labels, "caption": caption, "panels": shown}


def facts_table(facts: Names, labels: Names, points: Sequence[Point]) -> str:
    """One line per curve and density, means over the seeds with the least and the greatest; arguments as above."""
    found = {fact: series(points, "density", fact) for fact in facts}
    lines = []
    for curve, density in dict.fromkeys((point["curve"], point["density"]) for point in points):
        cells = []
        for curves in found.values():
            here = curves.get(curve)
            cells.append(NOTHING)
            for x, mean, low, high in zip(here.x, here.mean, here.low, here.high, strict=True) if here else ():
                if x == density:
                    cells[-1] = number(mean) + (f" ({number(low)} to {number(high)})" if high > low else "")
        lines.append([labels.get(curve, curve), f"{100 * density:g} %", *cells])
    return markdown(["ticket", "kept", *facts.values()], lines)
