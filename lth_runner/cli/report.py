"""The `lth-report` command: run folders in; tables, figures and one page out."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lth_runner.cli.arguments import Arguments, named_path
from lth_runner.cli.ending import ending
from lth_runner.core.errors import ConfigError, DataError, LthError
from lth_runner.core.files import refusals, replace_file
from lth_runner.core.finished import SUMMARY
from lth_runner.report.draw import draw
from lth_runner.report.figures import commands, figures, spread
from lth_runner.report.groups import Section, flat_table, sections
from lth_runner.report.page import Part, Picture, html_page, markdown_page
from lth_runner.report.plots import save_figure
from lth_runner.report.points import read_figures
from lth_runner.report.read import Run, figure_folders, read_runs, run_folders
from lth_runner.report.tables import csv_text
from lth_runner.report.variants import own_curves

NAME = "report"  # of the files, and of their folder where none is named
MOST_RUNS = 24  # of one experiment whose own figures are redrawn: each takes about a second


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the arguments of the command line, or those given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with ending("lth-report"):
        if "" in words:
            raise ConfigError("a folder's name is empty: name one that holds runs, and with --out where to write")
        options = _parser().parse_args(words)
        written = redraw(options.folders, options.out)
        if not written or run_folders(options.folders):
            command = shlex.join(["lth-report", *words])
            written.append(report(options.folders, options.out or default_out(options.folders), command))
        sys.stdout.write("".join(f"{file}\n" for file in written))


def redraw(folders: Sequence[Path], out: Path | None) -> list[Path]:
    """Redraws the figures of folders that hold points but are no runs, in their places or below `out`; gives the files.

    Raises:
        LthError: there is no such folder, or its points or descriptions are damaged.
    """
    places = _places(folders, out) if out else {}
    return [file for folder in figure_folders(folders) for file in draw(folder, places.get(folder))]


def report(folders: Sequence[Path], out: Path, command: str) -> Path:
    """Writes report.csv, report.md, report.html and the figures into `out`; gives the page.

    Args:
        command: that makes this report, as it will stand in it.

    Raises:
        DataError: there is no such folder, or none to write to.
    """
    found = read_runs(folders)
    if not found.runs and not found.damaged:
        raise DataError(f"there are no runs in {shlex.join(map(str, folders))}: name a folder that holds some")
    with refusals(out):
        out.mkdir(parents=True, exist_ok=True)
    for damaged in found.damaged:
        _warn(damaged.reason)
    places, found_sections = _places(folders, out), sections(found.runs)
    _write(out / f"{NAME}.csv", csv_text(*flat_table(found_sections)))  # first: a full disk is said once
    parts = [
        Part(
            section=section,
            pictures=[*_together(section, out), *_alone(section, places, out)],
            commands=commands(section.runs),
        )
        for section in found_sections
    ]
    _write(out / f"{NAME}.md", markdown_page(found, parts, command))
    _write(out / f"{NAME}.html", html_page(found, parts, command))
    return out / f"{NAME}.html"


def default_out(folders: Sequence[Path]) -> Path:
    """Where a report goes if nobody says: into the first folder, or beside it where it is a run's."""
    first = folders[0]
    return (first.resolve().parent if (first / SUMMARY).exists() else first) / NAME


def _places(folders: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the figures of each folder go: below `out` as it lies below what holds them all."""
    found = [*run_folders(folders), *figure_folders(folders)]
    top = os.path.commonpath(found) if found else ""
    return {folder: out / folder.relative_to(top) for folder in found}


def _together(section: Section, out: Path) -> Iterator[Picture]:
    """The figures of several runs."""
    for drawn in figures(section):
        save_figure(drawn.figure, out / drawn.name)
        yield Picture(stem=out / drawn.name, link=drawn.name, caption=drawn.caption)


def _alone(section: Section, places: dict[Path, Path], out: Path) -> Iterator[Picture]:
    """Runs' own figures, each from its folder alone, without those that another figure shows all runs' curves of.

    One that cannot be drawn is said and stops no report.
    """
    able = [run for run in section.runs if run.draws_itself and (len(section.runs) == 1 or not _only_curves(run))]
    shown = spread(able, MOST_RUNS)
    left_out = f"; {len(shown)} redrawn of {len(able)} runs" if len(able) > len(shown) else ""
    for run in shown:
        for file in _redrawn(run, places[run.folder]):
            yield Picture(
                stem=file.with_suffix(""),
                link=file.with_suffix("").relative_to(out).as_posix(),
                caption=f"{section.name}: {file.stem} of {run.folder.name}{left_out}",
            )


def _only_curves(run: Run) -> bool:
    """Whether nothing is lost where its curves stand beside others: a density has published values, too."""
    return own_curves(run) is not None and [each["kind"] for each in read_figures(run.folder).values()] == ["curves"]


def _redrawn(run: Run, out: Path) -> list[Path]:
    try:
        return [file for file in draw(run.folder, out) if file.suffix == ".png"]
    except LthError as error:
        _warn(str(error))
    except (AttributeError, IndexError, TypeError, ValueError) as error:  # points and descriptions can hold anything
        _warn(f"the figures of {run.folder} cannot be drawn ({type(error).__name__}: {error}): run it again")
    return []


def _warn(text: str) -> None:
    sys.stderr.write(f"lth-report: {' '.join(text.split())}\n")


def _write(file: Path, text: str) -> None:
    with replace_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of folders can be anything


def _parser() -> Arguments:
    parser = Arguments(
        prog="lth-report",
        description="Reads run folders and writes a table (CSV, Markdown), figures (PNG, SVG) and one HTML page. Runs "
        "are grouped by what varies between them; means and spreads are over seeds; failed runs are listed. Folders of "
        "points.csv and figures.json that are no runs, as those of published figures, are drawn again in their places.",
    )
    parser.add_argument(
        "folders", nargs="+", type=named_path, metavar="FOLDER", help="holds runs, or points of figures, at any depth"
    )
    parser.add_argument(
        "--out",
        type=named_path,
        help=f"where to write; if not given, FOLDER/{NAME} of the first folder, or beside it where that is a run, and "
        "figures of points beside these",
    )
    return parser
