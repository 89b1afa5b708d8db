"""Cells that people repair: every value comes back as what it was, and what a column cannot hold is said."""

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest

from transhume.report.repair_sheets import write_repair_sheet
from transhume.schema import Carrier, Column, parse_type
from transhume.stages.cells import cell_of, is_same, value_of
from transhume.stages.repaired_files import read_repaired

TEXTS = [
    "plain",
    "",
    "'",
    "''",
    "'007",
    "007",
    "=1+1",
    "+1",
    "-5",
    "@x",
    "\tx",
    " spaced ",
    "a,b;c\td",
    'quo"ted',
    "two\nlines",
    "NULL",
    "1e5",
    "2024-01-01",
    "TRUE",
    "İß日本\U0001f33f",
    "_x0041_",
]
VALUES = [
    ("int", -5),
    ("bigint", 2**63 - 1),
    ("decimal(20,4)", Decimal("-12345678901234.5000")),
    ("double", 0.1 + 0.2),
    ("double", -0.0),
    ("double", math.inf),
    ("boolean", True),
    ("boolean", False),
    ("date", date(2024, 2, 29)),
    ("timestamp", datetime(2024, 1, 15, 10, 30, 0, 123456)),  # noqa: DTZ001 - a naive local time is the type
    ("timestamptz", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
    ("time", time(23, 59, 59, 5)),
    ("uuid", UUID(int=7).bytes),
    ("bytes", b"\x00\xff'="),
    ("json", '{"a": 1}'),
]


def _column(kind: str, **more) -> Column:
    return Column("c", parse_type(kind), **more)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back_as_it_was(text):
    """Formula signs, apostrophes, white space and look-alikes of other types change nothing."""
    assert value_of(cell_of(text, _column("text")), _column("text")) == text


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_comes_back_as_it_was(kind, value):
    """The cell of a value is read as the same value, its sign of zero included."""
    found = value_of(cell_of(value, _column(kind)), _column(kind))
    assert (found, repr(found)) == (value, repr(value))


def test_null_and_the_empty_text_are_told_apart():
    """An empty cell is NULL, an apostrophe alone the empty text."""
    assert (cell_of(None, _column("text")), cell_of("", _column("text"))) == ("", "'")
    assert (value_of("", _column("text")), value_of("'", _column("text"))) == (None, "")
    assert not is_same("", "'")


@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_files_give_every_cell_back(tmp_path, form):
    """What is written for people and read again are the same cells, in both forms, whatever the texts are."""
    header = ["transhume_row", "reasons", "c"]
    rows = [[f"r.m000.{number}", "why", cell_of(text, _column("text"))] for number, text in enumerate(TEXTS)]
    write_repair_sheet(tmp_path / f"f.{form}", [header, *rows, ["r.m000.99", "why", ""]], form)
    found = read_repaired(tmp_path / f"f.{form}")
    assert found.header == tuple(header)
    assert [list(row) for _, row in found.rows] == [*rows, ["r.m000.99", "why", ""]]


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-8")])
def test_csv_may_come_back_in_the_forms_that_spreadsheets_save(tmp_path, delimiter, encoding):
    """Delimiter and encoding are found out."""
    lines = [["transhume_row", "reasons", "c"], ["r.m000.1", "", "é"]]
    path = tmp_path / "f.csv"
    path.write_text("".join(delimiter.join(line) + "\r\n" for line in lines), encoding=encoding)
    assert read_repaired(path).rows == ((2, ("r.m000.1", "", "é")),)


@pytest.mark.parametrize(
    ("kind", "cell", "told"),
    [
        ("int", "2147483648", "32 bits"),
        ("int", "1.5", "whole number"),
        ("bigint", "1_000", "whole number"),
        ("decimal(4,2)", "1.234", "more digits"),
        ("decimal(4,2)", "123.4", "more digits"),
        ("decimal(4,2)", "NaN", "no decimal"),
        ("double", "0x10", "no number"),
        ("boolean", "yes", "true nor false"),
        ("date", "31.01.2024", "YYYY-MM-DD"),
        ("timestamp", "2024-01-01T00:00:00+01:00", "no time"),
        ("timestamptz", "2024-01-01 00:00:00", "no time"),
        ("uuid", "7", "no UUID"),
        ("bytes", "abc", "bytes of the form"),
        ("int", "'", "empty text"),
        ("list(int)", "[1]", "lists"),
    ],
)
def test_what_a_column_cannot_hold_is_said_without_the_value(kind, cell, told):
    """The message names what is expected, and no value of the row."""
    with pytest.raises(ValueError, match=told) as caught:
        value_of(cell, _column(kind))
    assert cell not in str(caught.value) or cell in {"'", "7"}


def test_a_column_that_is_carried_as_text_takes_any_text():
    """Its rules parse it, and reject what they cannot place."""
    assert value_of("31.01.2024", _column("timestamp", carrier=Carrier.TEXT)) == "31.01.2024"
