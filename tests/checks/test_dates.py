"""Dates that stand as text, in DuckDB, against Python's calendar and by hand."""

import datetime as dt

import duckdb
import pytest
from sqlglot import exp

from transhume.checks.dates import is_impossible, is_of_other_form, is_zero
from transhume.dialects import DIALECTS


def _found(condition, values: list[str | None]) -> list[str | None]:
    """Return the values for which a condition is TRUE."""
    said = DIALECTS["duckdb"].render(condition(exp.column("v", quoted=True)))
    with duckdb.connect() as server:
        rows = server.execute(f"SELECT v FROM (SELECT unnest(?) AS v) WHERE {said}", [values]).fetchall()
    return [value for (value,) in rows]


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def test_a_day_is_impossible_where_pythons_calendar_has_none():
    """Every month from 0 to 13 and day from 0 to 32 of the years that leap rules differ in, with a time behind."""
    years = [0, 1, 4, 96, 99, 100, 104, 196, 200, 400, 1600, 1700, 1896, 1900, 1904, 1999, 2000, 2023, 2024, 2100, 9999]
    days = [f"{y:04}-{m:02}-{d:02}" for y in years for m in range(14) for d in range(33)]
    days.remove("0000-00-00")
    wrong = [day for day in days if not _is_day(day)]
    assert _found(is_impossible, days) == wrong
    late = [f"{day} 10:00:00" for day in wrong[::7]]
    assert _found(is_impossible, [*late, None]) == late


def test_what_is_no_date_at_all_is_no_impossible_day():
    """It has another form, which another check says; a zero date has a check of its own."""
    texts = ["2024-2-30", "0000-00-00 01:00:00", "24-02-30", "", " 2024-02-30", "2024/02/30", "20240230", "x2024-02-30"]
    assert _found(is_impossible, texts) == []


def test_a_zero_date_is_one_with_any_time_behind_it():
    """The first ten characters decide."""
    texts = ["0000-00-00", "0000-00-00 00:00:00", "0000-00-00T01", "0000-00-01", "000-00-00", " 0000-00-00", "", None]
    assert _found(is_zero, texts) == texts[:3]


@pytest.mark.parametrize("more", ["", ".5", "+02:00", " x"])
@pytest.mark.parametrize("text", ["2024-01-31 00:00:00", "9999-99-99T23:59:59", "2024-02-30 09:08:07"])
def test_a_date_with_a_time_is_of_the_form_whatever_follows(text, more):
    """Days that no calendar has, too."""
    assert _found(is_of_other_form, [text + more]) == []


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-31", "2024-01-31 10:00", "2024-01-31 24:00:00", "2024-01-31 23:60:00", "2024-01-31 23:59:60"),
        *("2024-01-31_10:00:00", "2024-01-31  0:00:00", "2024-1-31 10:00:000", "a024-01-31 10:00:00", ""),
        *("2024-01-31 -1:00:00", "2024-01-31 10-00-00", "2024-01-31 10:0a:00", "2024-01-31 10:00:0a"),
        *(" 2024-01-31 10:00:00", "2024-01-31 30:00:00", "2024-01-31 10:70:00", "2024-01-31 10:00:90"),
    ],
)
def test_anything_else_is_of_another_form(text):
    """No time, a wrong sign between, an hour, minute or second that no clock has."""
    assert _found(is_of_other_form, [text]) == [text]
    assert _found(is_of_other_form, [None]) == []
