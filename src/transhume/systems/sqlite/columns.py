"""What a SQLite column is and how its values become Arrow: declared type, storage class, exact conversion. No I/O.

SQLite lets any value stand in any column. A column has one type here; a value of another storage class is `odd`:
it travels beside the row, with its class, and the rule decides about it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transhume.batches import OddValue
from transhume.schema import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DECIMAL_PRECISION_MAX,
    DOUBLE,
    JSON,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    Carrier,
    Column,
    Kind,
    LogicalType,
)

_DECIMAL = re.compile(r"(?:DECIMAL|DEC|NUMERIC|NUMBER)\s*\(\s*([0-9]{1,3})\s*(?:,\s*([0-9]{1,3})\s*)?\)")
_NAMED: dict[str, LogicalType] = {
    "DATE": DATE,
    "DATETIME": TIMESTAMP,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP WITHOUT TIME ZONE": TIMESTAMP,
    "TIMESTAMPTZ": TIMESTAMPTZ,
    "TIMESTAMP WITH TIME ZONE": TIMESTAMPTZ,
    "TIME": TIME,
    "JSON": JSON,
    "JSONB": JSON,
}
_BOOLEAN = {"BOOLEAN", "BOOL"}
_WHOLE_DOUBLE_MAX = 2**53


def affinity(declared: str) -> str:
    """Return the affinity that SQLite gives a declared type.

    Source: https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """
    name = declared.upper()
    if "INT" in name:
        return "INTEGER"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    if any(word in name for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def declared_type(declared: str) -> tuple[LogicalType, Carrier] | None:
    """Return what a declared type means here, or None where only the values can say it.

    A width as in VARCHAR(20) is not kept: SQLite does not enforce it, so it promises nothing.
    """
    if not declared:
        return None
    kind = affinity(declared)
    if kind != "NUMERIC":
        plain = {"INTEGER": BIGINT, "TEXT": TEXT, "REAL": DOUBLE, "BLOB": BYTES}
        return plain[kind], Carrier.NATIVE
    name = " ".join(declared.upper().split())
    if match := _DECIMAL.fullmatch(name):
        precision, scale = int(match[1]), int(match[2] or 0)
        if scale <= precision <= DECIMAL_PRECISION_MAX and precision > 0:
            return LogicalType(Kind.DECIMAL, precision=precision, scale=scale), Carrier.TEXT
        return None
    word = re.sub(r"\s*\([^)]*\)", "", name)
    if word in _BOOLEAN:
        return BOOLEAN, Carrier.NATIVE
    return (_NAMED[word], Carrier.TEXT) if word in _NAMED else None


def found_type(declared: str, counts: Mapping[str, int]) -> tuple[LogicalType, Carrier]:
    """Return the type of a column from its number of values by storage class (`integer`, `real`, `text`, `blob`).

    The most frequent class wins. Integers beside reals in a NUMERIC column are doubles: SQLite itself stores 10.0
    there as the integer 10, so the class says nothing.
    """
    held = {name: counts.get(name, 0) for name in ("text", "integer", "real", "blob")}
    if affinity(declared) == "NUMERIC" and held["real"]:
        held["real"] += held.pop("integer")
    most = max(held, key=lambda name: held[name])
    types = {"text": TEXT, "integer": BIGINT, "real": DOUBLE, "blob": BYTES}
    return types[most] if held[most] else TEXT, Carrier.NATIVE


@dataclass(frozen=True, slots=True)
class Converter:
    """Turns the values of one column, as the driver gives them, into an Arrow array and its odd values.

    `accepts` are the Python types that may be the column's own; `keeps` says it of one value; `to_array` raises
    ArrowInvalid where a value of such a type is not the column's own after all.
    """

    accepts: frozenset[type]
    keeps: Callable[[Any], bool]
    to_array: Callable[[Sequence[Any]], pa.Array]

    def convert(self, values: Sequence[Any]) -> tuple[pa.Array, dict[int, OddValue]]:
        """Return the array and the odd values by position; odd values are NULL in the array."""
        kept = values
        odd: dict[int, OddValue] = {}
        if not self.accepts.issuperset(map(type, values)):
            odd = {place: odd_value(value) for place, value in enumerate(values) if type(value) not in self.accepts}
            kept = _without(values, odd)
        try:
            return self.to_array(kept), odd
        except pa.ArrowInvalid:
            # Only now is each value looked at: nearly all batches are sound.
            odd |= {
                place: odd_value(value)
                for place, value in enumerate(kept)
                if value is not None and not self.keeps(value)
            }
            return self.to_array(_without(kept, odd)), odd


def odd_value(value: Any) -> OddValue:
    """Return class and bytes of a value that is not of its column's class."""
    if isinstance(value, int):
        return "integer", str(value).encode()
    if isinstance(value, float):
        return "real", repr(value).encode()
    if isinstance(value, bytearray):
        return ("text" if _is_utf8(value) else "invalid"), bytes(value)
    return "blob", bytes(value)


def converter_name(column: Column) -> str:
    """Return which of `CONVERTERS` is a carried column's own; a name can be told to another process."""
    assert column.type is not None
    if column.carrier is Carrier.TEXT:
        return "decimal text" if column.type.kind is Kind.DECIMAL else Kind.TEXT.value
    if column.type.kind is Kind.DOUBLE and affinity(column.native) == "NUMERIC":
        return "widened"
    return column.type.kind.value


def _is_utf8(value: bytes | bytearray) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _without(values: Sequence[Any], odd: Mapping[int, OddValue]) -> list[Any]:
    kept = list(values)
    for place in odd:
        kept[place] = None
    return kept


def _always(_: Any) -> bool:
    return True


def _text(values: Sequence[Any]) -> pa.Array:
    # The cast validates; invalid UTF-8 raises ArrowInvalid.
    return pa.array(values, pa.binary()).cast(pa.string())


def _boolean(values: Sequence[Any]) -> pa.Array:
    if not {0, 1, None}.issuperset(values):
        raise pa.ArrowInvalid
    return pa.array(values, pa.int64()).cast(pa.bool_())


def _decimal_text(values: Sequence[Any]) -> pa.Array:
    # repr is the shortest decimal that reads back as the same double; SQLite's own CAST keeps 15 digits only.
    return _text([str(v).encode() if type(v) is int else repr(v).encode() if type(v) is float else v for v in values])


CONVERTERS: dict[str, Converter] = {
    Kind.TEXT.value: Converter(frozenset({bytearray, type(None)}), _is_utf8, _text),
    "decimal text": Converter(
        frozenset({bytearray, int, float, type(None)}),
        lambda value: type(value) is not bytearray or _is_utf8(value),
        _decimal_text,
    ),
    "widened": Converter(
        frozenset({int, float, type(None)}),
        lambda value: type(value) is float or abs(value) <= _WHOLE_DOUBLE_MAX,
        lambda values: pa.array(values, pa.float64()),
    ),
    Kind.BIGINT.value: Converter(frozenset({int, type(None)}), _always, lambda values: pa.array(values, pa.int64())),
    Kind.DOUBLE.value: Converter(
        frozenset({float, type(None)}), _always, lambda values: pa.array(values, pa.float64())
    ),
    Kind.BOOLEAN.value: Converter(frozenset({int, type(None)}), lambda value: value in (0, 1), _boolean),
    Kind.BYTES.value: Converter(frozenset({bytes, type(None)}), _always, lambda values: pa.array(values, pa.binary())),
}
"""The ways from values of SQLite to Arrow, by name."""
