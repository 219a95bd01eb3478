"""The `lth-report` command: run folders in; tables, figures and one page out."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lth_runner.cli.arguments import Arguments
from lth_runner.cli.interruptible import interruptible
from lth_runner.core.errors import LthError
from lth_runner.core.files import replace_file
from lth_runner.report.draw import draw
from lth_runner.report.figures import commands, figures, spread
from lth_runner.report.groups import Section, flat_table, sections
from lth_runner.report.page import Part, Picture, html_page, markdown_page
from lth_runner.report.plots import save_figure
from lth_runner.report.read import Run, figure_folders, read_runs, run_folders
from lth_runner.report.tables import csv_text

NAME = "report"  # of the files, and of their folder where none is named
MOST_RUNS = 24  # of one experiment whose own figures are redrawn: each takes about a second


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the arguments of the command line, or those given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    try:
        with interruptible("lth-report: interrupted"):
            written = redraw(options.folders, options.out)
            if not written or run_folders(options.folders):
                command = shlex.join(["lth-report", *words])
                written.append(report(options.folders, options.out or options.folders[0] / NAME, command))
    except LthError as error:
        sys.exit(f"lth-report: {error}")
    sys.stdout.write("".join(f"{path}\n" for path in written))


def redraw(folders: Sequence[Path], out: Path | None) -> list[Path]:
    """Redraws the figures of folders that hold points but are no runs, in their places or below `out`; gives the files.

    Raises:
        LthError: there is no such folder, or its points or descriptions are damaged.
    """
    places = _places(folders, out) if out else {}
    return [path for folder in figure_folders(folders) for path in draw(folder, places.get(folder))]


def report(folders: Sequence[Path], out: Path, command: str) -> Path:
    """Writes report.csv, report.md, report.html and the figures into `out`; gives the page.

    Args:
        command: that makes this report, as it will stand in it.

    Raises:
        DataError: there is no such folder, or none to write to.
    """
    found = read_runs(folders)
    places = _places(folders, out)
    parts = [
        Part(section, [*_together(section, out), *_alone(section, places, out)]) for section in sections(found.runs)
    ]
    _write(out / f"{NAME}.csv", csv_text(*flat_table([part.section for part in parts])))
    _write(out / f"{NAME}.md", markdown_page(found, parts, command))
    _write(out / f"{NAME}.html", html_page(found, parts, command))
    return out / f"{NAME}.html"


def _places(folders: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the figures of each folder go: below `out` as it lies below what holds them all."""
    found = [*run_folders(folders), *figure_folders(folders)]
    top = os.path.commonpath(found) if found else ""
    return {folder: out / folder.relative_to(top) for folder in found}


def _together(section: Section, out: Path) -> Iterator[Picture]:
    """The figures of several runs."""
    for drawn in figures(section):
        save_figure(drawn.figure, out / drawn.name)
        yield Picture(stem=out / drawn.name, link=drawn.name, caption=drawn.caption, commands=drawn.commands)


def _alone(section: Section, places: dict[Path, Path], out: Path) -> Iterator[Picture]:
    """Every run's own figures, from its folder alone; one that cannot be drawn is said and stops no report."""
    able = [run for group in section.groups for run in group.runs if run.draws_itself]
    shown = spread(able, MOST_RUNS)
    left_out = f"; one of {len(shown)} redrawn of {len(able)} runs" if len(able) > len(shown) else ""
    for run in shown:
        for path in _redrawn(run, places[run.folder]):
            yield Picture(
                stem=path.with_suffix(""),
                link=path.with_suffix("").relative_to(out).as_posix(),
                caption=f"{section.name}: {path.stem} of {run.folder.name}{left_out}",
                commands=commands([run]),
            )


def _redrawn(run: Run, out: Path) -> list[Path]:
    try:
        return [path for path in draw(run.folder, out) if path.suffix == ".png"]
    except LthError as error:
        sys.stderr.write(f"lth-report: {error}\n")
        return []


def _write(path: Path, text: str) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parser() -> Arguments:
    parser = Arguments(
        prog="lth-report",
        description="Reads run folders and writes a table (CSV, Markdown), figures (PNG, SVG) and one HTML page. Runs "
        "are grouped by what varies between them; means and spreads are over seeds; failed runs are listed. Folders of "
        "points.csv and figures.json that are no runs, as those of published figures, are drawn again in their places.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="holds runs, or points of figures, at any depth"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=f"where to write; if not given, FOLDER/{NAME} of the first folder, and figures of points beside these",
    )
    return parser
