"""Rows as bytes: two rows have the same bytes exactly if all their values are the same, bit by bit.

-0.0 and 0.0 differ, and so do two NaNs with different bits; NULL differs from every value.
"""

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

_DIGEST_BYTES = 16


def digests(batch: pa.RecordBatch, columns: Sequence[str]) -> list[bytes]:
    """Return one digest of 16 bytes a row over these columns (own types, see `batches.arrow_type`)."""
    rows = row_bytes([batch.column(name) for name in columns])
    return [hashlib.blake2b(row, digest_size=_DIGEST_BYTES).digest() for row in rows.to_pylist()]


def row_bytes(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return for every row the bytes of its values, each with its length; an Arrow array of large_binary."""
    parts: list[pa.Array] = []
    for array in arrays:
        values = _value_bytes(array)
        # The length of a NULL is -1, so that NULL differs from the empty text.
        lengths = pc.fill_null(pc.binary_length(values).cast(pa.int64()), -1)
        parts.append(_fixed_bytes(lengths, 8))
        parts.append(pc.fill_null(values, b""))
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))


def same_bits(left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
    """Tell whether two columns of one type hold the same bits in every row."""
    return bool(_comparable(left).equals(_comparable(right)))


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not _has_float(column.type):
        return column
    chunks = [_value_bytes(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.large_binary())


def _has_float(held: pa.DataType) -> bool:
    return pa.types.is_floating(held) or (pa.types.is_list(held) and _has_float(held.value_type))


def _value_bytes(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    held = array.type
    types = pa.types
    if types.is_string(held) or types.is_binary(held) or types.is_large_string(held) or types.is_large_binary(held):
        return array.cast(pa.large_binary())
    if pa.types.is_boolean(held):
        return _fixed_bytes(array.cast(pa.int8()), 1)
    if pa.types.is_list(held) or pa.types.is_large_list(held):
        return _list_bytes(array)
    if pa.types.is_nested(held):
        # Others' columns only. Python's text of a value tells -0.0 from 0.0.
        texts = [None if value is None else repr(value).encode() for value in array.to_pylist()]
        return pa.array(texts, pa.large_binary())
    return _fixed_bytes(array, held.bit_width // 8)


def _fixed_bytes(array: pa.Array, width: int) -> pa.Array:
    if array.offset:
        array = pa.concat_arrays([array])
    if array.offset:
        array = array.take(pa.array(range(len(array)), pa.int64()))
    validity, values = array.buffers()
    fixed = pa.Array.from_buffers(pa.binary(width), len(array), [validity, values], array.null_count)
    return fixed.cast(pa.binary()).cast(pa.large_binary())


def _list_bytes(array: pa.Array) -> pa.Array:
    elements = row_bytes([array.flatten()])
    encoded: list[bytes | None] = []
    position = 0
    flat = elements.to_pylist()
    for length in pc.list_value_length(array).to_pylist():
        if length is None:
            encoded.append(None)
            continue
        encoded.append(length.to_bytes(8, "little") + b"".join(flat[position : position + length]))
        position += length
    return pa.array(encoded, pa.large_binary())
