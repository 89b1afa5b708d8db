"""Values as cells of tables that people repair, and cells as values again: nothing is lost on the way there and back.

An empty cell is NULL. A cell that begins with an apostrophe holds exactly the text behind it: so the empty text is one
apostrophe, and a text that a spreadsheet would take for a formula is none.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from transhume.schema import Carrier, Column, Kind, LogicalType

_GUARD = "'"
_GUARDED = ("=", "+", "-", "@", "\t", "\r", _GUARD)
"""First signs by which a spreadsheet takes a text for a formula, and the guard. Source: OWASP, CSV Injection."""
_UUID_BYTES = 16
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)
_NUMBER = re.compile(r"([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|nan|-?inf)\Z", re.ASCII)
_BITS = {Kind.INT: 32, Kind.BIGINT: 64}
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def readable(value: Any) -> str:
    """Return a value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str) and (not value or value.startswith(_GUARDED)):
        return _GUARD + value
    return str(value)


def cell_of(value: Any, column: Column) -> str:
    """Return the value of a source column, as the extract holds it, as the text of a cell."""
    if isinstance(value, bytes) and column.type is not None:
        if column.type.kind is Kind.UUID and len(value) == _UUID_BYTES:
            return str(UUID(bytes=value))
        return "\\x" + value.hex()
    return readable(value)


def is_same(cell: str, original: str) -> bool:
    """Say whether a cell is still what was written, whatever a spreadsheet made of its line breaks and its guard."""
    return _plain(cell) == _plain(original)


def value_of(cell: str, column: Column) -> Any:
    """Return what a cell says, as the extract holds values of this column; None for an empty cell.

    Raises: ValueError, in words for people and without the value, if the column cannot hold it.
    """
    if not cell:
        return None
    text = cell.removeprefix(_GUARD)
    logical = column.type
    assert logical is not None
    if column.carrier is Carrier.TEXT or logical.kind in {Kind.TEXT, Kind.JSON}:
        return text
    if logical.kind not in _READERS:
        message = "lists cannot be repaired here: correct the row in the source"
        raise ValueError(message)
    text = text.strip()
    if not text:
        message = "is neither empty, which is NULL, nor a value: only text columns hold the empty text"
        raise ValueError(message)
    return _READERS[logical.kind](text, logical)


def _plain(cell: str) -> str:
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    # A workbook may have taken the guard for its own mark of a text.
    return text[1:] if len(text) > 1 and text.startswith(_GUARD) else text


def _integer(text: str, logical: LogicalType) -> int:
    # A spreadsheet may have made 5.0 of 5.
    found = re.sub(r"\.0+\Z", "", text)
    if not _INTEGER.match(found):
        message = "is no whole number"
        raise ValueError(message)
    bits = _BITS[logical.kind]
    if not -(2 ** (bits - 1)) <= int(found) < 2 ** (bits - 1):
        message = f"does not fit into {bits} bits"
        raise ValueError(message)
    return int(found)


def _decimal(text: str, logical: LogicalType) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not _NUMBER.match(text) or not found.is_finite():
        message = "is no decimal number"
        raise ValueError(message)
    precision, scale = logical.precision or 38, logical.scale or 0
    exponent = found.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > scale or abs(found) >= 10 ** (precision - scale):
        message = f"has more digits than {logical} holds"
        raise ValueError(message)
    return found


def _double(text: str, _: LogicalType) -> float:
    if not _NUMBER.match(text):
        message = "is no number"
        raise ValueError(message)
    return float(text)


def _boolean(text: str, _: LogicalType) -> bool:
    if text.lower() not in _TRUTHS:
        message = "is neither true nor false"
        raise ValueError(message)
    return _TRUTHS[text.lower()]


def _moment(text: str, logical: LogicalType) -> datetime:
    zoned = logical.kind is Kind.TIMESTAMPTZ
    shape = "YYYY-MM-DD HH:MM:SS" + ("+00:00" if zoned else "")
    message = f"is no time of the form {shape}"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(message) from None
    if (found.tzinfo is not None) is not zoned:
        raise ValueError(message)
    return found.astimezone(UTC) if zoned else found


def _date(text: str, _: LogicalType) -> date:
    try:
        return date.fromisoformat(text.removesuffix(" 00:00:00"))
    except ValueError:
        message = "is no date of the form YYYY-MM-DD"
        raise ValueError(message) from None


def _time(text: str, _: LogicalType) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        message = "is no time of the form HH:MM:SS"
        raise ValueError(message) from None


def _uuid(text: str, _: LogicalType) -> bytes:
    try:
        return UUID(text).bytes
    except ValueError:
        message = "is no UUID"
        raise ValueError(message) from None


def _bytes(text: str, _: LogicalType) -> bytes:
    try:
        if text.startswith("\\x"):
            return bytes.fromhex(text[2:])
    except ValueError:
        pass
    message = "is not bytes of the form \\x00ff"
    raise ValueError(message)


_READERS: Mapping[Kind, Callable[[str, LogicalType], Any]] = {
    Kind.UUID: _uuid,
    Kind.INT: _integer,
    Kind.BIGINT: _integer,
    Kind.DECIMAL: _decimal,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _moment,
    Kind.TIMESTAMPTZ: _moment,
    Kind.TIME: _time,
    Kind.BYTES: _bytes,
}
