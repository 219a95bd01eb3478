"""The `lth-report` command: run folders in; tables, figures and one page out."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lth_runner.core.errors import LthError
from lth_runner.core.files import replace_file
from lth_runner.report.figures import figures
from lth_runner.report.groups import Section, flat_table, sections
from lth_runner.report.page import Part, Picture, html_page, markdown_page
from lth_runner.report.plots import save_figure
from lth_runner.report.read import read_runs
from lth_runner.report.tables import csv_text

NAME = "report"  # of the files, and of their folder where none is named


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the arguments of the command line, or those given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    try:
        page = report(options.folders, options.out or options.folders[0] / NAME, shlex.join(["lth-report", *words]))
    except LthError as error:
        sys.exit(f"lth-report: {error}")
    sys.stdout.write(f"{page}\n")


def report(folders: Sequence[Path], out: Path, command: str) -> Path:
    """Writes report.csv, report.md, report.html and the figures into `out`; gives the page.

    Args:
        command: that makes this report, as it will stand in it.

    Raises:
        DataError: there is no such folder, or none to write to.
    """
    found = read_runs(folders)
    parts = [Part(section, _draw(section, out)) for section in sections(found.runs)]
    _write(out / f"{NAME}.csv", csv_text(*flat_table([part.section for part in parts])))
    _write(out / f"{NAME}.md", markdown_page(found, parts, command))
    _write(out / f"{NAME}.html", html_page(found, parts, command))
    return out / f"{NAME}.html"


def _draw(section: Section, out: Path) -> list[Picture]:
    pictures = []
    for drawn in figures(section):
        stem = out / drawn.name
        save_figure(drawn.figure, stem)
        pictures.append(Picture(stem=stem, caption=drawn.caption, commands=drawn.commands))
    return pictures


def _write(path: Path, text: str) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lth-report",
        description="Reads run folders and writes a table (CSV, Markdown), figures (PNG, SVG) and one HTML page. Runs "
        "are grouped by what varies between them; means and spreads are over seeds; failed runs are listed.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="holds runs, at any depth")
    parser.add_argument("--out", type=Path, help=f"where to write; FOLDER/{NAME} of the first folder if not given")
    return parser
