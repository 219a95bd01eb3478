"""The ticket table: exact for machines, rounded for people."""

import io
import json
import re

import pytest
from rich.console import Console

from lth_runner.core.errors import LthError
from lth_runner.report.tables import (
    TICKET_COLUMNS,
    Column,
    Results,
    csv_text,
    json_text,
    markdown,
    read_results,
    seconds,
)

ROWS = [
    {"network": "target", "accuracy": 0.9719, "offered_ratio": 1.0, "kept_ratio": 1.0, "weights": 397_000},
    {
        "network": "closest",
        "accuracy": 0.1 + 0.2,
        "offered_ratio": 21.0,
        "kept_ratio": 9.8715,
        "weight_error_max": 6.2e-4,
        "weight_error_median": 1.8123456789e-6,
        "over_epsilon": 1234,
        "solve_time_s": 3.0456,
    },
    {
        "network": "malach",
        "accuracy": None,
        "offered_ratio": 21.0,
        "kept_ratio": 0.0,
        "weight_error_max": 0.0,
        "weight_error_median": 0.0,
        "over_epsilon": 0,
        "solve_time_s": 77266.0,
    },
]
TABLE = Results(columns=TICKET_COLUMNS, rows=ROWS)


def test_csv_is_exact() -> None:
    assert TABLE.csv() == (
        "network,accuracy,offered_ratio,kept_ratio,weight_error_max,weight_error_median,over_epsilon,solve_time_s\n"
        "target,0.9719,1.0,1.0,,,,\n"
        "closest,0.30000000000000004,21.0,9.8715,0.00062,1.8123456789e-06,1234,3.0456\n"
        "malach,,21.0,0.0,0.0,0.0,0,77266.0\n"
    )


def test_csv_can_be_read_back() -> None:
    for looks in (TABLE.looks(), None):  # without a description it is a table of tickets, as old run folders hold
        back = read_results(TABLE.csv(), looks)
        assert back.rows == [{name: row.get(name) for name in TABLE.shown()} for row in ROWS]
        assert type(back.rows[1]["over_epsilon"]) is int
        assert back.shown() == TABLE.shown()


def test_a_study_has_columns_of_its_own() -> None:
    columns = {"label": Column("law", "text"), "n": Column("smallest n", "count"), "epsilon": Column("eps", "number")}
    table = Results(columns=columns, rows=[{"label": "1e5", "n": 524_288, "epsilon": 1e-6}, {"label": "b", "n": None}])
    assert table.csv() == "label,n,epsilon\n1e5,524288,1e-06\nb,,\n"
    back = read_results(table.csv(), table.looks())
    assert back.rows == [{"label": "1e5", "n": 524_288, "epsilon": 1e-6}, {"label": "b", "n": None, "epsilon": None}]
    assert back.columns == columns
    text = terminal(back)
    assert "524,288" in text
    assert "multiples" not in text, "nothing here is a multiple of the target's weights"


def test_a_column_that_no_row_has_may_be_left_out() -> None:
    columns = {**TICKET_COLUMNS, "bits": Column("bits", "number", optional=True)}
    assert Results(columns=columns, rows=ROWS).csv() == TABLE.csv()
    more = Results(columns=columns, rows=[*ROWS[:2], {**ROWS[2], "bits": 0.5}])
    assert more.csv().splitlines()[0] == f"{','.join(TABLE.shown())},bits"
    assert "stored_ratio" not in TABLE.csv() and "stored_ratio" in TICKET_COLUMNS
    assert [row["bits"] for row in read_results(more.csv(), more.looks()).rows] == [None, None, 0.5]


def test_sums_left_unsolved_have_a_column_where_there_are_any() -> None:
    none = Results(columns=TICKET_COLUMNS, rows=[{**row, "unsolved": 0} for row in ROWS])
    assert none.csv() == TABLE.csv()
    some = Results(columns=TICKET_COLUMNS, rows=[ROWS[0], {**ROWS[1], "unsolved": 375}, {**ROWS[2], "unsolved": 0}])
    assert [row["unsolved"] for row in read_results(some.csv(), some.looks()).rows] == [None, 375, 0]
    assert "375" in terminal(some) and "unsolv" in terminal(some)


@pytest.mark.parametrize("looks", ["{", "[]", '{"a": {"heading": "a"}}', '{"a": {"heading": "a", "look": "shiny"}}'])
def test_a_damaged_description_is_refused(looks: str) -> None:
    with pytest.raises(LthError, match=r"damaged|look must be one of"):
        read_results("a\n1\n", looks)


def terminal(table: Results) -> str:
    text = io.StringIO()
    Console(file=text, width=80).print(table.terminal())
    return text.getvalue()


def test_people_read_rounded_numbers_in_eighty_columns() -> None:
    text = terminal(TABLE)
    heading, _, body = text.partition("─" * 40)
    assert [re.split(r"\s{2,}", line.strip("─ ")) for line in body.splitlines()[1:4]] == [
        ["target", "97.19 %", "1.00x", "1.00x", "—", "—", "—", "—"],
        ["closest", "30.00 %", "21.00x", "9.87x", "6.2e-04", "1.8e-06", "1,234", "3.05 s"],
        ["malach", "—", "21.00x", "0.00x", "0", "0", "0", "77,266 s"],
    ]
    assert "…" not in text
    assert heading.split()[-8:] == ["network", "accuracy", "offered", "kept", "error", "error", "epsilon", "time"]


def test_any_table() -> None:
    assert csv_text(["a", "b"], [["x,y", None], ['"', 1e-17]]) == 'a,b\n"x,y",\n"""",1e-17\n'
    assert markdown(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"


def test_seconds() -> None:
    assert [seconds(value) for value in (0.0312, 3.0456, 99.96, 1234.4)] == ["0.0312 s", "3.05 s", "100 s", "1,234 s"]


def test_json_for_people_has_lists_on_one_line() -> None:
    value = {"a": {"b": [[0.1, 2], [1e-17, None]], "c": {}}, "d": "±ß"}
    text = json_text(value)
    assert json.loads(text) == value
    assert text == '{\n  "a": {\n    "b": [[0.1, 2], [1e-17, null]],\n    "c": {}\n  },\n  "d": "±ß"\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        json_text({"a": float("nan")})
