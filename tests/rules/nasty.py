"""Values that break naive code, by column: what Hypothesis draws rows from."""

# ruff: noqa: DTZ001, RUF001 - local times without a zone and look-alike letters are the point

import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from transhume.oracle import Odd
from transhume.schema import Carrier, Column, Kind

TEXTS = [
    "", " ", "\t\n\v\f\r ", "\u00a0", "\u3000x", "\0", "a\0b", "a", "A", " a ", "b", "ä", "a\u0308", "ß", "ẞ", "İ", "ı",
    "ﬁ", "\U0001f600", "\U0001f468\u200d\U0001f469", "\ufeff", "\u202e", "a'b", 'a"b', "a\\b", "%", "_", "$1", "{a}",
    "x" * 300, "NULL", "null", "nan", "-inf", "Infinity", "1e5", "1E-3", "0x10", "1_000", "٣", "+7", "007", "1.", ".5",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "9007199254740993", "1e400", "1e-400", "0.1",
    "0000-00-00 00:00:00", "0000-00-00", "2024-02-30 10:00:00", "2024-03-10 02:30:00", "2024-11-03 01:30:00",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2024-01-01T00:00:00.1234567", "2024-01-01 24:00:00", "now",
    "/legacy/m/v1/a.b.pkl", "/legacy/m/v1/a", "/legacy/m//a.pkl", "a/b\nc.d", "01.02.2024", "29.02.2023", "true", "t",
    "da3e586a-4bd1-55fc-925f-433257c8c5c4", "random forest", "RANDOM-FOREST!", "RF", "r f",
    "12345678901234567890.123456789",
]  # fmt: skip
_INTEGERS = [0, 1, -1, 7, 8, 9, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 20240229]
_DOUBLES = [0.0, -0.0, 0.1, 1.0, -1.5, 2.0**53, 2.0**63, -(2.0**63), 5e-324, 1.7976931348623157e308, math.nan, math.inf]


def rows_of(columns: Mapping[str, Column]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw rows of a table, many at once: DuckDB is called once for all of them."""
    row = st.fixed_dictionaries({name: _values(column) for name, column in columns.items()})
    return st.lists(row, min_size=10, max_size=30)


def _values(column: Column) -> st.SearchStrategy[Any]:
    assert column.type is not None
    kind = Kind.TEXT if column.carrier is Carrier.TEXT else column.type.kind
    if column.type.kind is Kind.JSON:
        return st.one_of(_json(), _json(), st.sampled_from(TEXTS), st.none())
    own = _dated() if column.carrier is Carrier.TEXT and column.type.kind is Kind.TIMESTAMP else _OWN[kind]
    return (
        st.one_of(own, own, st.none(), _ODD)
        if kind in {Kind.TEXT, Kind.BIGINT, Kind.DOUBLE}
        else st.one_of(own, st.none())
    )


def _json() -> st.SearchStrategy[str]:
    """Draw documents with white space, keys that stand twice, escapes and numbers as people write them; some broken."""
    keys = st.sampled_from(['"a"', '"0"', '"/"', '""', '"n1"', '"\\u0061"', '"s"', '"b"', '"\\""'])
    blank = st.sampled_from(["", "", " ", "\n\t"])
    scalars = st.one_of(
        st.sampled_from(["true", "false", "null", "-0", "1.10", "1E5", "9007199254740993", "1e400", "-1.5e-3", "01"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map(
            lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0)
        ),
        st.sampled_from(['"n1"', '",\\"n1"', '"\\ud83d\\ude00"', '"\\ud83d"', '"[\\"s"', "NaN", "", '"\\/"']),
        st.integers().map(str),
    )

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        member = st.tuples(keys, blank, inner).map(lambda parts: f"{parts[0]}{parts[1]}:{parts[1]}{parts[2]}")
        comma = st.sampled_from([",", ",", ",", " , ", ",,"])
        many = st.tuples(comma, st.lists(member, max_size=3))
        array = st.tuples(comma, st.lists(inner, max_size=3))
        return st.one_of(
            many.map(lambda parts: "{" + parts[0].join(parts[1]) + "}"),
            array.map(lambda parts: "[" + parts[0].join(parts[1]) + "]"),
        )

    documents = st.recursive(scalars, nested, max_leaves=6)
    return st.tuples(blank, documents, blank).map("".join)


def _dated() -> st.SearchStrategy[str]:
    moments = st.datetimes(min_value=dt.datetime(1, 1, 1), max_value=dt.datetime(9999, 12, 31, 23, 59, 59))
    return st.one_of(
        moments.map(lambda moment: moment.isoformat(sep=" ")),
        st.datetimes(dt.datetime(2024, 3, 10), dt.datetime(2024, 3, 11)).map(str),
        st.datetimes(dt.datetime(2024, 11, 3), dt.datetime(2024, 11, 4)).map(str),
        st.sampled_from(TEXTS),
    )


_text = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
_integer = st.one_of(st.sampled_from(_INTEGERS), st.integers(-(2**63), 2**63 - 1))
_OWN: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: _text,
    Kind.BIGINT: _integer,
    Kind.INT: st.integers(-(2**31), 2**31 - 1),
    Kind.DOUBLE: st.one_of(st.sampled_from(_DOUBLES), st.floats()),
    Kind.DECIMAL: st.decimals(
        Decimal("-99999999.9999"), Decimal("99999999.9999"), places=4, allow_nan=False, allow_infinity=False
    ),
    Kind.BOOLEAN: st.booleans(),
    Kind.UUID: st.uuids(),
    Kind.DATE: st.dates(),
    Kind.TIMESTAMP: st.datetimes(),
}
_ODD = st.one_of(
    _text.map(lambda text: Odd("text", text.encode())),
    _integer.map(lambda number: Odd("integer", str(number).encode())),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Odd("real", repr(number).encode())),
    st.binary(max_size=5).map(lambda content: Odd("blob", content)),
    st.just(Odd("invalid", b"a\xff")),
    st.just(Odd("refused", b"0")),
)
