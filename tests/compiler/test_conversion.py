"""What each conversion gives, row by row, executed; the expected values are written by hand."""

import datetime as dt
import itertools
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from tests.compiler.workbench import Broken, Workbench, column, fates, plan_of
from transhume.compiler.conversion import convert
from transhume.rules.rule import RuleProblem, Sql
from transhume.schema import Carrier, Kind, LogicalType, is_convertible, parse_type

_ID = uuid.UUID("da3e586a-4bd1-55fc-925f-433257c8c5c4")
_NAN, _INFINITE = float("nan"), float("inf")

EXACT: list[tuple[str, str, Any, Any]] = [
    ("text", "bigint", " 42\n", 42),
    ("text", "int", "-2147483648", -2147483648),
    ("text", "decimal(5,2)", "1.50", Decimal("1.50")),
    ("text", "double", "1e-3", 0.001),
    ("text", "boolean", "t", True),
    ("text", "uuid", str(_ID).upper(), _ID),
    ("text", "date", "2024-02-29", dt.date(2024, 2, 29)),
    ("text", "time", "23:59:59.5", dt.time(23, 59, 59, 500000)),
    ("text", "timestamp", "2024-01-15T10:30:00", dt.datetime.fromisoformat("2024-01-15 10:30")),
    ("text", "timestamptz", "2024-01-15 10:30:00+02:00", dt.datetime(2024, 1, 15, 8, 30, tzinfo=dt.UTC)),
    ("int", "text", -7, "-7"),
    ("bigint", "text", 2**63 - 1, "9223372036854775807"),
    ("uuid", "text", _ID, str(_ID)),
    ("uuid", "uuid", _ID, _ID),
    ("decimal(5,2)", "text", Decimal("1.50"), "1.50"),
    ("json", "text", '{"a":1}', '{"a":1}'),
    ("int", "bigint", 5, 5),
    ("bigint", "int", -5, -5),
    ("bigint", "decimal(5,2)", 999, Decimal("999.00")),
    ("bigint", "double", 2**53, float(2**53)),
    ("int", "double", 3, 3.0),
    ("bigint", "boolean", 1, True),
    ("int", "boolean", 0, False),
    ("boolean", "bigint", True, 1),
    ("boolean", "int", False, 0),
    ("decimal(5,2)", "bigint", Decimal("3.00"), 3),
    ("decimal(5,2)", "int", Decimal("-3.00"), -3),
    ("decimal(5,2)", "decimal(6,1)", Decimal("3.50"), Decimal("3.5")),
    ("decimal(5,2)", "double", Decimal("0.10"), 0.1),
    ("double", "bigint", 1e15, 10**15),
    ("double", "int", -4.0, -4),
    ("date", "timestamp", dt.date(2024, 1, 15), dt.datetime.fromisoformat("2024-01-15")),
    ("bytes", "bytes", b"\x00\xff", b"\x00\xff"),
    ("text", "text(5)", "日本語😀é", "日本語😀é"),
]

BAD: list[tuple[str, str, Any, str]] = [
    ("text", "bigint", "12.0", "bad_integer"),
    ("text", "bigint", "9223372036854775808", "bad_integer"),
    ("text", "int", "2147483648", "out_of_range"),
    ("text", "int", "x", "bad_integer"),
    ("text", "decimal(5,2)", "1.505", "bad_number"),
    ("text", "double", "1e400", "bad_number"),
    ("text", "double", "1e-400", "bad_number"),
    ("text", "boolean", "yes", "bad_boolean"),
    ("text", "uuid", "da3e586a4bd155fc925f433257c8c5c4", "bad_uuid"),
    ("text", "date", "2023-02-29", "bad_date"),
    ("text", "time", "24:00:00", "bad_time"),
    ("text", "timestamp", "2024-01-15", "bad_timestamp"),
    ("text", "timestamptz", "2024-01-15 10:30:00", "bad_timestamp"),
    ("bigint", "int", 2**31, "out_of_range"),
    ("bigint", "decimal(5,2)", 1000, "inexact"),
    ("bigint", "double", 2**53 + 1, "inexact"),
    ("bigint", "boolean", 2, "bad_boolean"),
    ("decimal(5,2)", "bigint", Decimal("3.01"), "inexact"),
    ("decimal(5,2)", "decimal(5,1)", Decimal("3.01"), "inexact"),
    ("decimal(12,0)", "int", Decimal(2**31), "out_of_range"),
    ("double", "bigint", 0.5, "inexact"),
    ("double", "bigint", _NAN, "not_finite"),
    ("double", "int", 1e12, "out_of_range"),
    ("double", "double", _INFINITE, "not_finite"),
    ("double", "double", _NAN, "not_finite"),
    ("text", "text(5)", "abcdef", "too_long"),
    ("text", "text", "a\0b", "nul_character"),
]

ODD: list[tuple[str, str, Any, Any]] = [
    ("bigint", "bigint", "17", 17),
    ("bigint", "text", "n/a", "n/a"),
    ("bigint", "text", 1.5, "1.5"),
    ("bigint", "double", 1.5, 1.5),
    ("text", "text", 12, "12"),
    ("text", "bigint", 12, 12),
    ("double", "double", "1.25", 1.25),
    ("date", "date", "2024-01-15", dt.date(2024, 1, 15)),
]
"""Source type, wanted type, a value of another class than the column's, what becomes of it."""

ODD_BAD: list[tuple[str, str, Any, str]] = [
    ("bigint", "bigint", "n/a", "bad_integer"),
    ("bigint", "bigint", 1.5, "bad_integer"),
    ("bigint", "bigint", b"\x01", "blob"),
    ("text", "text", b"\x01", "blob"),
    ("text", "text", Broken(b"caf\xe9"), "bad_encoding"),
    ("bigint", "bigint", Broken(b"\xff"), "bad_encoding"),
    ("bytes", "bytes", "text", "bad_value"),
    ("boolean", "boolean", 7, "bad_boolean"),
]


def _converted(folder: Path, given: str, wanted: str, *values: Any, carrier: Carrier = Carrier.NATIVE) -> Any:
    plan = plan_of(f"""
tables:
  t: {{from: s, key: id, create: true, types: {{id: bigint primary key, v: '{wanted}'}}, columns: {{id: id, v: v}}}}
""")
    bench = Workbench(folder, plan)
    rows = [{"id": place, "v": value} for place, value in enumerate(values)]
    bench.table("s", [column("id", "bigint"), column("v", given, carrier=carrier)], rows)
    return bench.transform("t")


@pytest.mark.parametrize(("given", "wanted", "value", "expected"), [*EXACT, *ODD])
def test_exact_values_arrive(tmp_path: Path, given: str, wanted: str, value: Any, expected: Any) -> None:
    """A value that the wanted type holds arrives unchanged, and NULL beside it stays NULL."""
    rows = _converted(tmp_path, given, wanted, value, None)
    assert fates(rows) == [("loaded", None), ("loaded", None)]
    assert [row["v"] for row in rows] == [expected, None]
    assert type(rows[0]["v"]) is type(expected)


@pytest.mark.parametrize(("given", "wanted", "value", "reason"), [*BAD, *ODD_BAD])
def test_other_values_are_rejected_by_name(tmp_path: Path, given: str, wanted: str, value: Any, reason: str) -> None:
    """A value that the wanted type does not hold exactly rejects its row with one reason, and no other row."""
    rows = _converted(tmp_path, given, wanted, value, None)
    assert fates(rows) == [("rejected", f"{reason}:v"), ("loaded", None)]


@pytest.mark.parametrize(
    ("given", "wanted", "text", "expected"),
    [
        ("decimal(10,2)", "decimal(10,2)", "12.30", Decimal("12.30")),
        ("decimal(10,2)", "double", "0.1", 0.1),
        ("decimal(10,2)", "bigint", "5.00", 5),
        ("decimal(10,2)", "text", "007.50", "007.50"),
        ("timestamp", "timestamp", "2024-01-15 10:30:00", dt.datetime.fromisoformat("2024-01-15 10:30")),
        ("date", "timestamp", "2024-01-15", dt.datetime.fromisoformat("2024-01-15")),
        ("date", "text", "0044-03-15 BC", "0044-03-15 BC"),
        ("json", "json", '{"a": 1}', '{"a": 1}'),
    ],
)
def test_text_carriers_are_parsed_by_the_columns_grammar(
    tmp_path: Path, given: str, wanted: str, text: str, expected: Any
) -> None:
    """A column that the extract carries as text gives its typed value, or the very text where text is wanted."""
    rows = _converted(tmp_path, given, wanted, text, carrier=Carrier.TEXT)
    assert fates(rows) == [("loaded", None)]
    assert rows[0]["v"] == expected


@pytest.mark.parametrize(
    ("given", "text", "reason"),
    [
        ("timestamp", "infinity", "bad_timestamp"),
        ("date", "0044-03-15 BC", "bad_date"),
        ("decimal(10,2)", "NaN", "bad_number"),
    ],
)
def test_text_carriers_reject_what_the_type_has_no_place_for(
    tmp_path: Path, given: str, text: str, reason: str
) -> None:
    """PostgreSQL's infinity, BC dates and numeric NaN become reasons, never other values."""
    assert fates(_converted(tmp_path, given, given, text, carrier=Carrier.TEXT)) == [("rejected", f"{reason}:v")]


def test_the_compiler_converts_exactly_what_the_schema_promises() -> None:
    """For every pair of kinds, `convert` has a way exactly where `is_convertible` says so."""
    kinds = [LogicalType(kind) for kind in Kind if kind is not Kind.LIST]

    def bind(expression: Any) -> Any:
        return expression

    for given, wanted in itertools.product(kinds, kinds):
        try:
            convert(Sql(exp.column("c", quoted=True), given), wanted, "c", bind)
            found = True
        except RuleProblem:
            found = False
        assert found is is_convertible(given, wanted), (given, wanted)


def test_a_double_has_no_text() -> None:
    """A double is never printed as text: engines print it differently, so the plan is refused."""
    with pytest.raises(RuleProblem, match="cannot become text"):
        convert(Sql(exp.column("c", quoted=True), parse_type("double")), parse_type("text"), "score", exp.column)
