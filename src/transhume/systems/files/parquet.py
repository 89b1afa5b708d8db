"""One Parquet file: which of its types are carried, and how; its rows as Arrow.

| type | carried as |
|---|---|
| boolean; integers of 8, 16 and 32 bits, signed or not; int64 | boolean, int, bigint |
| float, double | double; a float is widened, which is exact |
| decimal up to 38 digits | decimal, as text |
| string, binary, fixed_len_byte_array, UUID | text, bytes, uuid |
| date, time and timestamp in milliseconds or microseconds, with a zone or without | their kind, as text |
| every other (uint64, nanoseconds, INT96, decimals beyond 38 digits, halves, dictionaries, nested) | not carried |

As text, because years beyond 9999 are legal there: the rule's grammar judges them.
Source: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.errors import SystemRefused
from transhume.schema import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DECIMAL_PRECISION_MAX,
    DOUBLE,
    INT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    Carrier,
    Column,
    Kind,
    LogicalType,
)
from transhume.systems.files.folder import TableFile
from transhume.systems.files.parts import Part

_PART_ROWS = 8192
_UUID_BYTES = 16
_PLAIN: dict[pa.DataType, tuple[LogicalType, Carrier]] = {
    pa.bool_(): (BOOLEAN, Carrier.NATIVE),
    pa.int8(): (INT, Carrier.NATIVE),
    pa.int16(): (INT, Carrier.NATIVE),
    pa.int32(): (INT, Carrier.NATIVE),
    pa.int64(): (BIGINT, Carrier.NATIVE),
    pa.uint8(): (INT, Carrier.NATIVE),
    pa.uint16(): (INT, Carrier.NATIVE),
    pa.uint32(): (BIGINT, Carrier.NATIVE),
    pa.float32(): (DOUBLE, Carrier.NATIVE),
    pa.float64(): (DOUBLE, Carrier.NATIVE),
    pa.string(): (TEXT, Carrier.NATIVE),
    pa.large_string(): (TEXT, Carrier.NATIVE),
    pa.binary(): (BYTES, Carrier.NATIVE),
    pa.large_binary(): (BYTES, Carrier.NATIVE),
    pa.date32(): (DATE, Carrier.TEXT),
    pa.time32("ms"): (TIME, Carrier.TEXT),
    pa.time64("us"): (TIME, Carrier.TEXT),
}


def read_columns(file: TableFile, opened: BinaryIO) -> tuple[tuple[Column, ...], int]:
    """Return the columns of an opened file and its number of rows; a type that is not carried is None.

    Raises: SystemRefused for a damaged file, or names that occur twice.
    """
    with _opened(file, opened) as found:
        schema, physical = found.schema_arrow, found.schema
        names = schema.names
        if twice := sorted({name for name in names if names.count(name) > 1 or not name.strip()}):
            message = f"'{file.path.name}': columns without a name, or of one name: {twice}"
            raise SystemRefused(message)
        is_int96 = {
            physical.column(place).path
            for place in range(len(physical))
            if physical.column(place).physical_type == "INT96"
        }
        columns = []
        for field in schema:
            native = "INT96" if field.name in is_int96 else str(field.type)
            kind = None if field.name in is_int96 else _carried(field.type)
            logical, carrier = kind or (None, Carrier.NATIVE)
            columns.append(Column(field.name, logical, field.nullable, native, carrier))
        return tuple(columns), found.metadata.num_rows


def read_parts(file: TableFile, opened: BinaryIO, columns: Sequence[Column], schema: pa.Schema) -> Iterator[Part]:
    """Yield the rows of an opened file in its order; `schema` is the extract's.

    Raises: SystemRefused where the file is damaged, or its columns are not these any more.
    """
    held, _ = read_columns(file, opened)
    if held != tuple(columns):
        message = (
            f"'{file.path.name}' has other columns than a moment ago; nothing was read; run the same command again"
        )
        raise SystemRefused(message)
    carried = [column for column in columns if column.type is not None]
    types = [field.type for field in list(schema)[1:-1]]
    with _opened(file, opened) as found:
        names = [column.name for column in carried]
        # A table of a plan may carry nothing but columns without a type; its rows still count.
        for batch in found.iter_batches(_PART_ROWS, columns=names or None, use_threads=False):
            try:
                arrays = [_as(batch.column(column.name), kind) for column, kind in zip(carried, types, strict=True)]
            except pa.ArrowInvalid:  # its text would quote a value
                message = f"'{file.path.name}' holds a value that its type does not allow; nothing of it is used"
                raise SystemRefused(message) from None
            yield Part(arrays, None, row_count=batch.num_rows)


def _opened(file: TableFile, opened: BinaryIO) -> pq.ParquetFile:
    opened.seek(0)
    try:
        # What Arrow's own writer noted of its types is not asked: the Parquet types are what any reader sees.
        return pq.ParquetFile(pa.PythonFile(opened, "r"), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as problem:
        message = f"'{file.path.name}' cannot be read as Parquet ({str(problem).splitlines()[0][:200]}); repair it"
        raise SystemRefused(message) from None


def _carried(kind: pa.DataType) -> tuple[LogicalType, Carrier] | None:
    if pa.types.is_timestamp(kind) and kind.unit in {"ms", "us"}:
        return (TIMESTAMP if kind.tz is None else TIMESTAMPTZ), Carrier.TEXT
    if pa.types.is_decimal128(kind) and 0 <= kind.scale <= kind.precision <= DECIMAL_PRECISION_MAX:
        return LogicalType(Kind.DECIMAL, precision=kind.precision, scale=kind.scale), Carrier.TEXT
    if isinstance(kind, pa.UuidType):
        return UUID, Carrier.NATIVE
    if pa.types.is_fixed_size_binary(kind):
        return BYTES, Carrier.NATIVE
    return _PLAIN.get(kind)


def _as(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # As UTC, whatever zone the file notes: an instant is one.
        naive = array.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us"))
        return pc.binary_join_element_wise(naive.cast(pa.string()), "+00:00", "")
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("us")).cast(pa.string())
    if array.type == wanted:
        array.validate(full=True)
        return array
    return array.cast(wanted)
