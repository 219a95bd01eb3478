"""The figures of a folder, from the points and the descriptions that it holds and nothing else."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lth_runner.core import checks
from lth_runner.core.errors import DataError
from lth_runner.report import kinds
from lth_runner.report.plots import save_figure
from lth_runner.report.points import FIGURES, Description, Point, read_figures, read_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(folder: Path, out: Path | None = None) -> list[Path]:
    """Draws every figure of a folder (a run's, or any other with points.csv and figures.json); gives the files.

    Args:
        out: where the PNG and SVG files go; beside the points if not given.

    Raises:
        LthError: points or descriptions are missing, damaged, or of an unknown kind, or the disk refuses the figures.
    """
    folder = Path(folder)
    descriptions, points = read_figures(folder), read_points(folder)
    drawn = []
    for name, description in descriptions.items():
        try:
            drawn += save_figure(figure(points, description), (out or folder) / name)
        except KeyError as missing:
            raise DataError(f"the figure {name} in {folder / FIGURES} lacks {missing}: run it again") from missing
    return drawn


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """The figure of some points, by the module of `lth_runner.report.kinds` that the description's kind names.

    Raises:
        ConfigError: there is no such kind.
        KeyError: the description lacks something that its kind draws.
    """
    checks.choice("the kind of a figure", description.get("kind"), known_kinds())
    module = importlib.import_module(f"{kinds.__name__}.{description['kind']}")
    return module.figure(points, description)


def known_kinds() -> list[str]:
    """The kinds of figures there are."""
    return [module.name for module in pkgutil.iter_modules(kinds.__path__)]
