"""What a folder holds of its figures: points.csv, every point in full precision, and figures.json, their looks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lth_runner.core.errors import DataError
from lth_runner.core.files import read_text
from lth_runner.report.tables import csv_rows, csv_text, json_text

POINTS, FIGURES = "points.csv", "figures.json"
TEXTS = ("curve", "panel")  # columns of names, whatever they read as

Point = Mapping[str, Any]  # one line of points.csv; None, or nothing, where a column has no meaning
Description = Mapping[str, Any]  # of one figure: its kind, and what the kind draws besides points; plain values


def points_csv(points: Sequence[Point]) -> str:
    """The points as CSV, one column per key in the order of first appearance: floats round-trip, None is empty."""
    columns = list(dict.fromkeys(column for point in points for column in point))
    return csv_text(columns, [[point.get(column) for column in columns] for point in points])


def figures_json(figures: Mapping[str, Description]) -> str:
    """The descriptions by the names of the figures' files."""
    return json_text(figures)


def read_points(folder: Path) -> list[dict[str, Any]]:
    """The points of a folder.

    Raises:
        DataError: there are none, or they are damaged.
    """
    try:
        return csv_rows(_read(folder / POINTS), TEXTS)
    except DataError as error:
        raise DataError(f"{folder / POINTS}: {error}") from error


def read_figures(folder: Path) -> dict[str, Description]:
    """The descriptions of a folder's figures by their names.

    Raises:
        DataError: there are none, or they are damaged, or a name is not one of a file in the folder.
    """
    path = folder / FIGURES
    try:
        figures = json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): run it again, or mend it") from error
    if not isinstance(figures, dict) or not all(isinstance(figure, dict) for figure in figures.values()):
        raise DataError(f"{path} must describe figures by their names, each a mapping with its kind: mend it")
    for name in figures:
        if not name or Path(name).name != name:
            raise DataError(f"{path} names a figure {name!r}, which is no name of a file: rename it")
    return figures


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error}): name a folder that holds {POINTS} and {FIGURES}") from error
