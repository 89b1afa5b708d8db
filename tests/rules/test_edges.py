"""Edges of rules that one wrong comparison would move, through both twins. Expected by hand."""

from decimal import Decimal
from typing import Any

import pytest

from tests.rules.twins import Bench, Result, Setting, column
from transhume.schema import parse_type

LONGEST = "123456789012345678"


@pytest.mark.parametrize(
    ("rule", "kind", "into", "rows"),
    [
        ({"parse": "a", "format": "%Y-%m-%d"}, "text", "date", {"2024-01- 5": "bad_format", "2024-+1-5": "bad_format"}),
        ({"parse": "a", "format": "%Y-%m-%d"}, "text", "date", {"2O24-01-05": "bad_format", "2024-0X-5": "bad_format"}),
        ({"parse": "a", "format": "%H:%M:%S.%f"}, "text", "time", {"01:02:03.1_0000": "bad_format"}),
        ({"parse": "a", "format": "%H:%M:%S.%f"}, "text", "time", {"01:02:03.12345 ": "01:02:03.123450"}),
        ({"scale": "a", "times": LONGEST}, "decimal(38,20)", "decimal(38,20)", {Decimal(1): "bad_number"}),
        ({"scale": "a", "times": LONGEST}, "decimal(38,20)", "decimal(38,20)", {Decimal(0): "0E-20"}),
        ({"scale": "a", "times": LONGEST}, "decimal(38,20)", "decimal(38,20)",
         {Decimal("0.5"): "61728394506172839.00000000000000000000"}),
        ({"scale": "a", "times": "9" * 18}, "bigint", "bigint", {2**63 - 1: "overflow", -(2**62): "overflow"}),
        ({"scale": "a", "times": "9" * 18}, "bigint", "bigint", {9: "8999999999999999991", 10: "overflow"}),
        ({"utc": "a", "zone": "UTC"}, "text", "text", {"0000-00-00 \t": "zero_date", "\n0000-00-00": "zero_date"}),
        ({"utc": "a", "zone": "UTC"}, "text", "text", {"0000-00-00 00:00:00.x": "bad_timestamp"}),
        ({"boolean": "a", "true": "X", "false": ""}, "text", "boolean", {"X": "True", " X\t": "True", " ": "False"}),
        ({"codes": "a", "to": {"X": "x", "": "none"}}, "text", "text", {"X": "x", " X\t": "x", " ": "none"}),
    ],
    ids=str,
)  # fmt: skip
def test_both_twins_say_the_same_at_an_edge(
    rule: Any, kind: str, into: str, rows: dict[Any, str], bench: Bench
) -> None:
    """The value as Python shows it, or the reason why there is none."""
    setting = Setting(rule, {"a": column("a", kind)}, parse_type(into))
    given = [{"a": value} for value in rows]
    for found in (bench.python(setting, given), bench.sql(setting, given)):
        assert [_told(result) for result in found] == list(rows.values())


def _told(result: Result) -> str:
    return result.reasons[0].removesuffix(":a") if result.reasons else str(result.value)
