"""The ticket table: exact for machines, rounded for people."""

import io
import re

from rich.console import Console

from lth_runner.report.tables import (
    TicketRow,
    csv_text,
    markdown,
    read_ticket_csv,
    seconds,
    ticket_csv,
    ticket_markdown,
    ticket_terminal,
)

NOTHING = dict.fromkeys(("weight_error_max", "weight_error_median", "over_epsilon", "solve_time_s"))
ROWS = [
    TicketRow(network="target", accuracy=0.9719, offered_ratio=1.0, kept_ratio=1.0, **NOTHING),
    TicketRow(
        network="closest",
        accuracy=0.1 + 0.2,
        offered_ratio=21.0,
        kept_ratio=9.8715,
        weight_error_max=6.2e-4,
        weight_error_median=1.8123456789e-6,
        over_epsilon=1234,
        solve_time_s=3.0456,
    ),
    TicketRow(
        network="malach",
        accuracy=None,
        offered_ratio=21.0,
        kept_ratio=0.0,
        weight_error_max=0.0,
        weight_error_median=0.0,
        over_epsilon=0,
        solve_time_s=77266.0,
    ),
]


def test_csv_is_exact() -> None:
    assert ticket_csv(ROWS) == (
        "network,accuracy,offered_ratio,kept_ratio,weight_error_max,weight_error_median,over_epsilon,solve_time_s\n"
        "target,0.9719,1.0,1.0,,,,\n"
        "closest,0.30000000000000004,21.0,9.8715,0.00062,1.8123456789e-06,1234,3.0456\n"
        "malach,,21.0,0.0,0.0,0.0,0,77266.0\n"
    )


def test_csv_can_be_read_back() -> None:
    back = read_ticket_csv(ticket_csv(ROWS))
    assert back == ROWS
    assert type(back[1].over_epsilon) is int


def test_people_read_rounded_numbers_in_eighty_columns() -> None:
    text = io.StringIO()
    Console(file=text, width=80).print(ticket_terminal(ROWS))
    heading, _, body = text.getvalue().partition("─" * 40)
    assert [re.split(r"\s{2,}", line.strip("─ ")) for line in body.splitlines()[1:4]] == [
        ["target", "97.19 %", "1.00x", "1.00x", "—", "—", "—", "—"],
        ["closest", "30.00 %", "21.00x", "9.87x", "6.2e-04", "1.8e-06", "1,234", "3.05 s"],
        ["malach", "—", "21.00x", "0.00x", "0", "0", "0", "77,266 s"],
    ]
    assert "…" not in text.getvalue()
    assert heading.split()[-8:] == ["network", "accuracy", "offered", "kept", "error", "error", "epsilon", "time"]


def test_markdown() -> None:
    lines = ticket_markdown(ROWS).splitlines()
    assert lines[0].startswith("| network | test accuracy | weights offered | weights kept |")
    assert lines[1] == "| --- |" + " ---: |" * 7
    assert lines[3] == "| closest | 30.00 % | 21.00x | 9.87x | 6.2e-04 | 1.8e-06 | 1,234 | 3.05 s |"


def test_any_table() -> None:
    assert csv_text(["a", "b"], [["x,y", None], ['"', 1e-17]]) == 'a,b\n"x,y",\n"""",1e-17\n'
    assert markdown(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"


def test_seconds() -> None:
    assert [seconds(value) for value in (0.0312, 3.0456, 99.96, 1234.4)] == ["0.0312 s", "3.05 s", "100 s", "1,234 s"]
