"""Pieces of an HTML page: tables that sort, figures that say their values, and what holds them; all text is escaped."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth_runner.report.look import SCRIPT, STYLE
from lth_runner.report.tables import NOTHING

LEAST, MOST = 0.9, 1.6  # pixels of a screen for each point of a figure's width


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it says.
        small: what stands in grey beside a number, or below a name.
        value: what the column is sorted by; None: the text.
        link: where the text leads to.
    """

    text: str
    small: str = ""
    value: str | None = None
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table of cells.

    Attributes:
        texts: the columns of words, which are left-aligned and may be broken.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: Sequence[int]


def escaped(text: str) -> str:
    return html.escape(text)


def document(title: str, body: Sequence[str]) -> str:
    """The whole page: it loads nothing."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escaped(title)}</title><style>{STYLE}</style>"
    top = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>'
    return "\n".join([top, *body, f"<script>{SCRIPT}</script>", "</body></html>", ""])


def table_html(table: Table) -> str:
    """A table whose columns sort where their headings are clicked."""
    kinds = [' class="text"' if i in table.texts else "" for i in range(len(table.headings))]
    head = "".join(
        f'<th{kind} scope="col"><button>{escaped(name)}</button></th>'
        for kind, name in zip(kinds, table.headings, strict=True)
    )
    body = "\n".join(
        f"<tr>{''.join(_td(kind, cell) for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in table.rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def figure_html(stem: Path, caption: str) -> str:
    """The figure `stem`.svg inside the page: it shrinks with the page as long as it can be read."""
    svg = stem.with_name(f"{stem.name}.svg").read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    size = re.search(r'viewBox="0 0 ([\d.]+) ', svg)
    width = float(size[1]) if size else 0.0
    looks = f'style="min-width: {LEAST * width:.0f}px; max-width: {MOST * width:.0f}px"'
    svg = svg.replace("<svg", f'<svg {looks} role="img" aria-label="{escaped(caption)}"', 1)
    return f'<figure><div class="wide">\n{svg}\n</div><figcaption>{escaped(caption)}</figcaption></figure>'


def folded(summary: str, inner: str) -> str:
    """What is shown only if asked for.

    Args:
        inner: HTML.
    """
    return f"<details><summary>{escaped(summary)}</summary>{inner}</details>"


def _td(kind: str, cell: Cell) -> str:
    value = "" if cell.text == NOTHING and cell.value is None else cell.value
    data = "" if value is None else f' data-value="{escaped(value)}"'
    text = f'<a href="{escaped(cell.link)}">{escaped(cell.text)}</a>' if cell.link else escaped(cell.text)
    small = f' <span class="small">{_breakable(cell.small)}</span>' if cell.small else ""
    return f"<td{kind}{data}>{text}{small}</td>"


def _breakable(text: str) -> str:
    """Lines may be broken behind the dots of `network.hidden=100`, before a word is torn."""
    return re.sub(r"(?<=[a-z_])\.", ".<wbr>", escaped(text))
