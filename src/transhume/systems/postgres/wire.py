"""Arrow rows to PostgreSQL's binary COPY stream, in the very bytes that the server sends back. No connection here.

Source: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 and the types' send functions
"""

import struct
from collections.abc import Iterator, Sequence

import pyarrow as pa

from transhume.batches import TargetTable
from transhume.errors import DriverMissing
from transhume.schema import Kind, LogicalType

try:
    from pgpq import ArrowToPostgresBinaryEncoder
except ImportError as _missing:  # pragma: no cover - needs an environment without the extra
    _message = "the PostgreSQL encoder is not installed; install it with: pip install 'transhume[postgres]'"
    raise DriverMissing(_message) from _missing

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"
_ROWS = 8192
"""Rows that are encoded at once, so that memory follows the slice and not the batch."""

_ELEMENT_OID = {
    Kind.UUID: 2950,
    Kind.INT: 23,
    Kind.BIGINT: 20,
    Kind.DECIMAL: 1700,
    Kind.DOUBLE: 701,
    Kind.BOOLEAN: 16,
    Kind.TEXT: 25,
    Kind.DATE: 1082,
    Kind.TIMESTAMP: 1114,
    Kind.TIMESTAMPTZ: 1184,
    Kind.TIME: 1083,
    Kind.BYTES: 17,
    Kind.JSON: 114,
}
VARCHAR_OID = 1043


def encode(table: TargetTable, natives: Sequence[str], rows: pa.Table) -> Iterator[bytes]:
    """Yield the COPY stream of `rows`, header and trailer included, in pieces that need not end with a row.

    Shape: `rows` has the columns of `table.arrow_schema`, in this order; `natives` are the columns' types as the
    server names them. The same rows give the same bytes.
    """
    logicals = [column.type for column in table.table.columns]
    rows = rows.cast(table.arrow_schema)
    encoder: ArrowToPostgresBinaryEncoder | None = None
    for batch in rows.to_batches(max_chunksize=_ROWS):
        arrays = [
            _on_the_wire(array, logical, native)
            for array, logical, native in zip(batch.columns, logicals, natives, strict=True)
        ]
        ready = pa.RecordBatch.from_arrays(arrays, names=[str(ordinal) for ordinal in range(len(arrays))])
        if encoder is None:
            encoder = ArrowToPostgresBinaryEncoder(ready.schema)
            yield encoder.write_header()
        yield encoder.write_batch(ready)
    yield encoder.finish() if encoder else HEADER + TRAILER


def _on_the_wire(array: pa.Array, logical: LogicalType | None, native: str) -> pa.Array:
    """Return the array in the Arrow type whose encoding is the column's own wire format."""
    assert logical is not None
    if logical.kind is Kind.LIST:
        assert logical.element is not None
        return _arrays_as_bytes(array, logical.element, native)
    if native == "smallint":
        return array.cast(pa.int16())
    return array


def _arrays_as_bytes(array: pa.ListArray, element: LogicalType, native: str) -> pa.Array:
    """Return each list as the bytes of a one-dimensional PostgreSQL array; an empty one has no dimension.

    Written here because pgpq sends elements of UUIDs as bytea, instants as naive times, and an empty list with a
    dimension of length 0, which the server takes but does not send back.
    Source: https://doxygen.postgresql.org/arrayfuncs_8c_source.html (array_send)
    """
    oid = VARCHAR_OID if native.startswith("character varying") else _ELEMENT_OID[element.kind]
    flat, offsets = array.flatten(), array.value_lengths().to_pylist()
    pieces = _fields(flat)
    made: list[bytes | None] = []
    position = 0
    for length in offsets:
        if length is None:
            made.append(None)
            continue
        mine = pieces[position : position + length]
        position += length
        if not mine:
            made.append(struct.pack(">iiI", 0, 0, oid))
            continue
        has_null = any(piece == b"\xff\xff\xff\xff" for piece in mine)
        made.append(struct.pack(">iiIii", 1, int(has_null), oid, length, 1) + b"".join(mine))
    return pa.array(made, pa.binary())


def _fields(flat: pa.Array) -> list[bytes]:
    """Return each value with its length in front, as it stands in a row or in an array."""
    batch = pa.RecordBatch.from_arrays([flat], names=["0"])
    encoder = ArrowToPostgresBinaryEncoder(batch.schema)
    stream = encoder.write_header() + encoder.write_batch(batch) + encoder.finish()
    return [_with_length(value) for (value,) in split_rows(stream)]


def _with_length(value: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if value is None else struct.pack(">i", len(value)) + value


def split_rows(stream: bytes) -> Iterator[list[bytes | None]]:
    """Yield the fields of each row of a whole COPY stream."""
    position, end = len(HEADER), len(stream) - len(TRAILER)
    while position < end:
        (count,) = struct.unpack_from(">h", stream, position)
        position += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, position)
            position += 4
            if length < 0:
                fields.append(None)
                continue
            fields.append(stream[position : position + length])
            position += length
        yield fields
