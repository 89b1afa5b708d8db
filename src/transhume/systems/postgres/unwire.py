"""PostgreSQL's binary values to Arrow, without bending one: the counterpart of `wire`. No connection here."""

import struct
import sys
from array import array
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import arrow_type
from transhume.errors import SystemRefused
from transhume.schema import Kind, LogicalType

_EPOCH_US = 946_684_800_000_000  # 2000-01-01, PostgreSQL's zero, in microseconds since 1970
_EPOCH_DAYS = 10_957
_FIXED: dict[Kind, tuple[str, int]] = {
    Kind.INT: ("i", 0),
    Kind.BIGINT: ("q", 0),
    Kind.DOUBLE: ("q", 0),
    Kind.DATE: ("i", _EPOCH_DAYS),
    Kind.TIME: ("q", 0),
    Kind.TIMESTAMP: ("q", _EPOCH_US),
    Kind.TIMESTAMPTZ: ("q", _EPOCH_US),
}
"""Python's array code for the value's bytes, and what lies between PostgreSQL's zero and Arrow's."""
_SMALLINT_BYTES = 2
_STORAGE = {"h": pa.int16(), "i": pa.int32(), "q": pa.int64()}
_INFINITE = {Kind.DATE: (-(2**31), 2**31 - 1), Kind.TIMESTAMP: (-(2**63), 2**63 - 1)}
_INFINITE[Kind.TIMESTAMPTZ] = _INFINITE[Kind.TIMESTAMP]
Values = Sequence[bytes | None]


def to_arrow(values: Values, logical: LogicalType, place: str) -> pa.Array:
    """Return values as the server sent them as an Arrow array of `arrow_type(logical)`.

    Shape: one entry per value, None is NULL; smallint is widened.
    Raises: SystemRefused, naming `place`, for what Arrow or the logical type cannot hold (infinity, NaN numerics).
    """
    kind = logical.kind
    if kind in _FIXED:
        return _fixed(values, logical, place)
    if kind is Kind.BOOLEAN:
        return pa.array([None if value is None else value == b"\x01" for value in values], pa.bool_())
    if kind is Kind.DECIMAL:
        return _decimals(values, logical, place)
    if kind is Kind.LIST:
        return _lists(values, logical, place)
    if kind is Kind.JSON:
        # jsonb travels with one byte in front, its format's version; json is plain text.
        values = [value[1:] if value is not None and value[:1] == b"\x01" else value for value in values]
    if kind in {Kind.TEXT, Kind.JSON}:
        return pa.array(values, pa.binary()).cast(pa.string())
    return pa.array(values, arrow_type(logical))


def to_text(value: bytes | None, logical: LogicalType, place: str) -> str:
    """Return one value as a person reads it, for a message."""
    if value is None:
        return "NULL"
    try:
        found = to_arrow([value], logical, place)[0]
        plain = found.as_py()
    except (SystemRefused, ValueError, OverflowError):
        return f"bytes {value.hex()}"
    return plain.hex() if isinstance(plain, bytes) else str(plain)


def _fixed(values: Values, logical: LogicalType, place: str) -> pa.Array:
    code, shift = _FIXED[logical.kind]
    if logical.kind is Kind.INT and any(value is not None and len(value) == _SMALLINT_BYTES for value in values):
        code = "h"
    numbers = array(code)
    zero = bytes(numbers.itemsize)
    numbers.frombytes(b"".join([zero if value is None else value for value in values]))
    if sys.byteorder == "little":
        numbers.byteswap()
    bits = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    stored = pa.Array.from_buffers(_STORAGE[code], len(values), [bits, pa.py_buffer(numbers)])
    if logical.kind in _INFINITE:
        extremes = pc.min_max(stored).as_py()
        low, high = _INFINITE[logical.kind]
        if extremes["min"] == low or extremes["max"] == high:
            message = f"{place} holds 'infinity', which no {logical} of transhume can carry exactly"
            raise SystemRefused(message)
    if shift:
        stored = pc.add_checked(stored, pa.scalar(shift, stored.type))
    return stored.cast(pa.int32()) if code == "h" else stored.view(arrow_type(logical))


def _decimals(values: Values, logical: LogicalType, place: str) -> pa.Array:
    numbers = [None if value is None else decimal(value, place) for value in values]
    try:
        return pa.array(numbers, arrow_type(logical))
    except pa.ArrowInvalid:
        message = f"{place} holds a number that {logical} cannot carry exactly"
        raise SystemRefused(message) from None


def decimal(value: bytes, place: str) -> Decimal:
    """Return the number of a NUMERIC on the wire: digits in base 10000, weight of the first, sign, printed scale.

    Raises: SystemRefused for NaN and the infinities.
    Source: https://doxygen.postgresql.org/backend_2utils_2adt_2numeric_8c_source.html (numeric_send)
    """
    count, weight, sign, scale = struct.unpack_from(">hhHh", value)
    if sign not in {0x0000, 0x4000}:
        message = f"{place} holds a NUMERIC that is not a number (NaN or infinity); no decimal can carry it"
        raise SystemRefused(message)
    whole = 0
    for digit in struct.unpack_from(f">{count}h", value, 8):
        whole = whole * 10_000 + digit
    exponent = (weight - count + 1) * 4
    # The scale says how many digits are printed: pad or cut the zeros of the last base-10000 digit.
    shift = exponent + scale
    whole = whole * 10**shift if shift >= 0 else whole // 10**-shift
    return Decimal((int(sign != 0), tuple(map(int, str(whole))), -scale))


def _lists(values: Values, logical: LogicalType, place: str) -> pa.Array:
    assert logical.element is not None
    offsets: list[int | None] = []
    flat: list[bytes | None] = []
    for value in values:
        offsets.append(None if value is None else len(flat))
        if value is not None:
            flat.extend(_elements(value, place))
    ends = [*offsets, len(flat)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), to_arrow(flat, logical.element, place))


def _elements(value: bytes, place: str) -> list[bytes | None]:
    dimensions, _, _ = struct.unpack_from(">iiI", value)
    if dimensions == 0:
        return []
    length, lower = struct.unpack_from(">ii", value, 12)
    if dimensions > 1 or lower != 1:
        message = f"{place} holds an array of {dimensions} dimensions from {lower}; only plain lists can be carried"
        raise SystemRefused(message)
    position, found = 20, list[bytes | None]()
    for _ in range(length):
        (size,) = struct.unpack_from(">i", value, position)
        position += 4
        found.append(None if size < 0 else value[position : position + size])
        position += max(size, 0)
    return found
