"""PostgreSQL's array texts to Arrow lists, without bending one. No connection here.

A list has one dimension and counts from 1; PostgreSQL's type says neither, each value does. A value that is no such
list, or an element that the element's type cannot hold (infinity, NaN, years before Christ), makes the whole value
odd: it travels as the server's own text beside the row, and the rule rejects it.
Source: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

import datetime as dt
import math
import re
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from transhume.batches import arrow_type
from transhume.schema import Kind, LogicalType

_ELEMENT = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^",{}\\]+))([,}])', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"


def to_lists(texts: Sequence[str | None], element: LogicalType) -> tuple[pa.Array, dict[int, tuple[str, bytes]]]:
    """Return array texts as an Arrow array of lists, and the odd ones by position, which are NULL in it.

    Shape: an odd value is its class and its bytes, as `batches.ODD_TYPE` has them.
    """
    read = _READERS[element.kind]
    lists: list[list[Any] | None] = []
    odd: dict[int, tuple[str, bytes]] = {}
    for position, text in enumerate(texts):
        found = None if text is None else _read(text, read)
        if text is not None and found is None:
            odd[position] = ("text", text.encode())
        lists.append(found)
    return pa.array(lists, arrow_type(LogicalType(Kind.LIST, element=element))), odd


def _read(text: str, read: Callable[[str], Any]) -> list[Any] | None:
    """Return the elements of `{a,"b",NULL}`; None for a text of more dimensions, other bounds, or a bad element."""
    if text == "{}":
        return []
    if not text.startswith("{"):
        return None
    found: list[Any] = []
    position = 1
    try:
        while match := _ELEMENT.match(text, position):
            quoted, bare, end = match.groups()
            is_null = bare is not None and bare.upper() == "NULL"
            found.append(None if is_null else read(bare if quoted is None else _ESCAPED.sub(r"\1", quoted)))
            position = match.end()
            if end == "}":
                break
    except (ValueError, InvalidOperation):
        return None
    return found if position == len(text) else None


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return number


def _gated(pattern: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    grammar = re.compile(pattern)

    def gated(text: str) -> Any:
        if not grammar.fullmatch(text):
            raise ValueError
        return read(text)

    return gated


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.INT: int,
    Kind.BIGINT: int,
    Kind.DOUBLE: _double,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: lambda text: text == "t",
    Kind.TEXT: str,
    Kind.JSON: str,
    Kind.BYTES: lambda text: bytes.fromhex(text[2:]),
    Kind.UUID: lambda text: uuid.UUID(text).bytes,
    Kind.DATE: _gated(_DAY, dt.date.fromisoformat),
    Kind.TIME: _gated(_CLOCK, dt.time.fromisoformat),
    Kind.TIMESTAMP: _gated(f"{_DAY} {_CLOCK}", dt.datetime.fromisoformat),
    Kind.TIMESTAMPTZ: _gated(rf"{_DAY} {_CLOCK}\+00", dt.datetime.fromisoformat),
}
