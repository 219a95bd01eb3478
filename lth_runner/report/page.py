"""A report as Markdown, and as one HTML page that needs nothing but itself."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth_runner.report.groups import Section, Statistic, text
from lth_runner.report.read import Found
from lth_runner.report.tables import NOTHING, TICKET_COLUMNS, Column, markdown

OTHER_MEASURES = 8  # shown of an experiment that has none of the ticket table's
NOTE = (
    "Numbers are means ± sample standard deviations over the runs of a row, which differ in their seeds alone; where "
    "there is no ±, the runs agree, or there is one."
)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { vertical-align: bottom; white-space: normal; font-weight: 600; border-bottom: 1px solid #888; }
td { border-bottom: 1px solid #eee; }
.text { text-align: left; } .fold { white-space: normal; overflow-wrap: anywhere; }
.fold:nth-child(3) { min-width: 16rem; }
.spread { color: #666; }
figure { margin: 1.5rem 0; }
figure svg { width: 100%; height: auto; min-width: 32rem; max-width: 54rem; display: block; }
figcaption { font-size: .875rem; } code { font-size: .8125rem; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure on disk, as `stem`.png and `stem`.svg.

    Attributes:
        link: the way to `stem` from the page.
    """

    stem: Path
    link: str
    caption: str
    commands: list[str]


@dataclass(frozen=True)
class Part:
    """A section and its figures."""

    section: Section
    pictures: list[Picture]


def markdown_page(found: Found, parts: Sequence[Part], command: str) -> str:
    """Tables, figures by their files, and what did not end well."""
    lines = ["# Report", "", f"{found.caption()}. {NOTE} Made by `{command}`.", ""]
    for part in parts:
        headings, rows = _table(part.section)
        lines += [
            f"## {part.section.name}",
            "",
            markdown(headings, [[" ".join(filter(None, cell)) for cell in row] for row in rows]),
        ]
        for picture in part.pictures:
            lines += [f"![{picture.caption}]({picture.link}.svg)", "", f"{picture.caption}. Runs by", ""]
            lines += [*(f"    {line}" for line in picture.commands), ""]
    failed = _failed(found)
    if failed:
        lines += ["## Runs without a result", "", markdown(["folder", "status", "why", "log"], failed)]
    return "\n".join(lines)


def html_page(found: Found, parts: Sequence[Part], command: str) -> str:
    """The same, with the figures inside: it opens from disk, and without a network."""
    body = ["<h1>Report</h1>", f"<p>{html.escape(found.caption())}. {NOTE}</p>"]
    body.append(f"<p>Made by <code>{html.escape(command)}</code></p>")
    for part in parts:
        body += [f"<h2>{html.escape(part.section.name)}</h2>", _html_table(*_table(part.section))]
        body += [_html_figure(picture) for picture in part.pictures]
    failed = _failed(found)
    if failed:
        rows = [[(cell, "") for cell in row] for row in failed]
        body += ["<h2>Runs without a result</h2>", _html_table(["folder", "status", "why", "log"], rows, fold=True)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = "<title>lth_runner report</title>"
    top = f'<!DOCTYPE html>\n<html lang="en"><head>{head}{title}<style>{STYLE}</style></head>\n<body>'
    return "\n".join([top, *body, "</body></html>", ""])


def _table(section: Section) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """Headings, and for each group and network the cells as (mean, spread)."""
    shown = _columns(section)
    headings = [*section.varying, "network", "runs", *[column.heading for column in shown.values()]]
    rows = []
    for group in section.groups:
        for network, row in group.rows.items():
            if not any(measure in shown for measure in row):
                continue
            names = [*map(text, group.settings), network or NOTHING, str(len(group.runs))]
            cells = [_cell(row.get(measure), column) for measure, column in shown.items()]
            rows.append([(name, "") for name in names] + cells)
    return headings, rows


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


def _cell(statistic: Statistic | None, column: Column) -> tuple[str, str]:
    if statistic is None:
        return NOTHING, ""
    return column.text(statistic.mean), f"± {column.text(statistic.spread)}" if statistic.spread else ""


def _failed(found: Found) -> list[list[str]]:
    rows = []
    for run in found.not_ok():
        log = next((name for name in ("traceback.txt", "log.txt") if (run.folder / name).exists()), None)
        why = str(run.summary.get("error") or "it is still running, or was killed")
        rows.append([run.folder.name, str(run.summary["status"]), why, f"{run.folder.name}/{log}" if log else NOTHING])
    return rows + [
        [damaged.folder.name, "damaged", _without_path(damaged.reason), NOTHING] for damaged in found.damaged
    ]


def _without_path(reason: str) -> str:
    return re.sub(r"\S*/", "", reason)


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], fold: bool = False) -> str:
    numbers = [bool(rows) and all(_is_numeric(row[i][0]) for row in rows) for i in range(len(headings))]
    kinds = [' class="text fold"' if fold else "" if number else ' class="text"' for number in numbers]
    head = "".join(f"<th{kind}>{html.escape(name)}</th>" for kind, name in zip(kinds, headings, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{_html_cell(*cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _html_cell(mean: str, spread: str) -> str:
    return html.escape(mean) + (f' <span class="spread">{html.escape(spread)}</span>' if spread else "")


def _is_numeric(cell: str) -> bool:
    return cell == NOTHING or cell[:1].isdigit() or cell[:1] == "-"


def _html_figure(picture: Picture) -> str:
    svg = picture.stem.with_name(f"{picture.stem.name}.svg").read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{html.escape(picture.caption)}"', 1)
    commands = "".join(f"<br><code>{html.escape(line)}</code>" for line in picture.commands)
    caption = f"<figcaption>{html.escape(picture.caption)}. Runs by{commands}</figcaption>"
    return f'<figure><div class="wide">\n{svg}\n</div>{caption}</figure>'
