"""A report as Markdown, and as one HTML page that needs nothing but itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth_runner.report.choices import title
from lth_runner.report.differences import differences
from lth_runner.report.groups import Section, Statistic
from lth_runner.report.html import Cell, Table, document, escaped, figure_html, folded, table_html
from lth_runner.report.overview import best, varied
from lth_runner.report.read import Found
from lth_runner.report.settings import settings_text, without_named
from lth_runner.report.tables import NOTHING, TICKET_COLUMNS, Column, markdown

OTHER_MEASURES = 8  # shown of an experiment that has none of the ticket table's
NOTE = (
    "Numbers are means ± sample standard deviations over the runs of a row, which differ in their seeds alone; where "
    "there is no ±, the runs agree, or there is one. A setting is named where it differs from the experiment's own."
)
FAILED = "Runs without a result"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure on disk, as `stem`.png and `stem`.svg.

    Attributes:
        link: the way to `stem` from the page.
    """

    stem: Path
    link: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section, its figures, and the commands that made its runs."""

    section: Section
    pictures: list[Picture]
    commands: list[str]


def markdown_page(found: Found, parts: Sequence[Part], command: str) -> str:
    """An overview, tables, figures by their files, and what did not end well."""
    lines = ["# Report", "", f"{found.caption()}. {NOTE} Made by `{command}`.", ""]
    lines += ["## Overview", "", _markdown(overview_table(parts))]
    for part in parts:
        lines += [f"## {part.section.name}", ""]
        lines += [f"{_about(part.section)}.", ""] if _about(part.section) else []
        lines += [_markdown(section_table(part.section))]
        for picture in part.pictures:
            lines += [f"![{picture.caption}]({picture.link}.svg)", "", f"{picture.caption}.", ""]
        lines += ["Runs by", "", *(f"    {line}" for line in part.commands), ""] if part.commands else []
    failed = failed_table(found)
    if failed.rows:
        lines += [f"## {FAILED}", "", _markdown(failed)]
    return "\n".join(lines)


def html_page(found: Found, parts: Sequence[Part], command: str) -> str:
    """The same, with the figures inside: it opens from disk, and without a network."""
    failed = failed_table(found)
    see = f' (<a href="#failed">{len(failed.rows)} without a result</a>)' if failed.rows else ""
    body = ["<h1>Report</h1>", f"<p>{escaped(found.caption())}{see}. {NOTE}</p>"]
    body += [f"<p>Made by <code>{escaped(command)}</code></p>", "<h2>Overview</h2>", table_html(overview_table(parts))]
    for number, part in enumerate(parts):
        body.append(f'<h2 id="{_anchor(number)}">{escaped(part.section.name)}</h2>')
        if about := _about(part.section):
            body.append(f'<p class="settings">{escaped(about)}</p>')
        body.append(table_html(section_table(part.section)))
        body += [figure_html(picture.stem, picture.caption) for picture in part.pictures]
        if part.commands:
            lines = "<br>".join(f"<code>{escaped(line)}</code>" for line in part.commands)
            body.append(folded(f"commands of these runs ({len(part.commands)})", lines))
    if failed.rows:
        body += [f'<h2 id="failed">{FAILED}</h2>', table_html(failed)]
    return document("lth_runner report", body)


def overview_table(parts: Sequence[Part]) -> Table:
    """One line for each experiment."""
    headings = ["experiment", "best ticket", "test accuracy", "of the target", "weights kept", "runs", "varied"]
    rows = []
    for number, part in enumerate(parts):
        row, section = best(part.section), part.section
        accuracy, target, kept = (row.accuracy, row.target, row.kept_ratio) if row else (None, None, None)
        rows.append(
            [
                Cell(section.name, link=f"#{_anchor(number)}"),
                Cell(row.network or NOTHING, small=row.group.label) if row else Cell(NOTHING),
                _cell(accuracy, TICKET_COLUMNS["accuracy"]),
                _cell(target, TICKET_COLUMNS["accuracy"]),
                _cell(kept, TICKET_COLUMNS["kept_ratio"]),
                Cell(str(len(section.runs))),
                Cell(varied(section) or NOTHING),
            ]
        )
    return Table(headings, rows, texts=(0, 1, 6))


def section_table(section: Section) -> Table:
    """A line for each network in each group: its results, then what tells the group from the others."""
    shown = _columns(section)
    rows = []
    for group in section.groups:
        for network, row in group.rows.items():
            if any(measure in shown for measure in row):
                cells = [_cell(row.get(measure), column) for measure, column in shown.items()]
                first = Cell(network or NOTHING, small=group.label)
                rows.append([first, *cells, Cell(str(len(group.runs)))])
    return Table(["network", *(column.heading for column in shown.values()), "runs"], rows, texts=(0,))


def failed_table(found: Found) -> Table:
    """The runs that are in no other table, and why."""
    rows = []
    for run in found.not_ok():
        log = next((name for name in ("traceback.txt", "log.txt") if (run.folder / name).exists()), None)
        why = str(run.summary.get("error") or "it is still running, or was killed")
        experiment = Cell(title(run), small=settings_text(without_named(run, differences(run))))
        log_path = f"{run.folder.name}/{log}" if log else NOTHING
        rows.append([Cell(run.folder.name), Cell(why), Cell(run.summary["status"]), experiment, Cell(log_path)])
    for damaged in found.damaged:
        why = re.sub(r"\S*/", "", damaged.reason)
        rows.append([Cell(damaged.folder.name), Cell(why), Cell("damaged"), Cell(NOTHING), Cell(NOTHING)])
    return Table(["folder", "why", "status", "experiment", "log"], rows, texts=(0, 1, 2, 3, 4))


def _about(section: Section) -> str:
    return f"All with {settings_text(section.common)}" if section.common else ""


def _anchor(number: int) -> str:
    return f"experiment-{number + 1}"


def _columns(section: Section) -> dict[str, Column]:
    """The measures that people are shown: those of the ticket table, or else the first few there are."""
    measures = section.measures()
    known = {
        name: column
        for name, column in TICKET_COLUMNS.items()
        if name in measures and not (column.optional and _is_always_zero(section, name))
    }
    plain = {name: Column(name.replace("_", " "), "number") for name in measures[:OTHER_MEASURES]}
    return known or plain


def _is_always_zero(section: Section, measure: str) -> bool:
    found = [row[measure] for group in section.groups for row in group.rows.values() if measure in row]
    return all(statistic.mean == 0 and not statistic.spread for statistic in found)


def _cell(statistic: Statistic | None, column: Column) -> Cell:
    if statistic is None:
        return Cell(NOTHING, value="")
    small = f"± {column.text(statistic.spread)}" if statistic.spread else ""
    return Cell(column.text(statistic.mean), small=small, value=repr(statistic.mean))


def _markdown(table: Table) -> str:
    """The table with what stands below the names in a column of its own, the last."""
    said = [", ".join(row[i].small for i in table.texts if row[i].small) for row in table.rows]
    cells = [
        [
            cell.text if i in table.texts else " ".join(filter(None, [cell.text, cell.small]))
            for i, cell in enumerate(row)
        ]
        for row in table.rows
    ]
    if not any(said):
        return markdown(table.headings, cells)
    return markdown([*table.headings, "settings"], [[*row, text] for row, text in zip(cells, said, strict=True)])
