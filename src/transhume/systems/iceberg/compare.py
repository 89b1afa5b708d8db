"""What a data file holds against what was handed over: types, field ids, then every value bit by bit."""

from collections.abc import Sequence

import pyarrow as pa

from transhume.batches import TargetTable
from transhume.systems.iceberg.files import canonical
from transhume.systems.iceberg.rowbytes import row_bytes, same_bits
from transhume.systems.iceberg.types import BATCH_COLUMN, FIELD_ID
from transhume.systems.system import Mismatch

MISMATCHES_MAX = 20
_TEXT_MAX = 200


def compare_schema(table: str, expected: pa.Schema, found: pa.Schema) -> list[Mismatch]:
    """Return the columns of a file whose name, type, field id or NOT NULL is not what the table needs; row is -1."""
    wanted = [_field_text(field) for field in expected]
    held = [_field_text(field) for field in found]
    if wanted == held:
        return []
    longest = max(len(wanted), len(held))
    wanted += ["(no column)"] * (longest - len(wanted))
    held += ["(no column)"] * (longest - len(held))
    names = [field.name for field in expected] + ["(no column)"] * (longest - len(expected))
    return [
        Mismatch(table, -1, name, left, right)
        for name, left, right in zip(names, wanted, held, strict=True)
        if left != right
    ]


def compare_rows(
    table: TargetTable, positions: Sequence[int] | None, expected: pa.Table, found: pa.Table
) -> list[Mismatch]:
    """Return the values that differ, with the row's position in the batch that was handed over; at most 20.

    `positions` gives for each staged row its position there; None where all rows were staged.
    """
    name = table.table.name
    if expected.num_rows != found.num_rows:
        return [Mismatch(name, -1, "(rows)", str(expected.num_rows), str(found.num_rows))]
    mismatches: list[Mismatch] = []
    for column in expected.column_names:
        left, right = expected.column(column), found.column(column)
        if same_bits(left, right):
            continue
        for row in _different(left, right):
            position = row if positions is None else positions[row]
            mismatches.append(Mismatch(name, position, column, _text(left[row]), _text(right[row])))
            if len(mismatches) == MISMATCHES_MAX:
                return mismatches
    return mismatches


def compare_batch_column(table: TargetTable, expected: str, found: pa.Table) -> list[Mismatch]:
    """Return rows whose batch column does not name their batch."""
    if BATCH_COLUMN not in found.column_names or table.table.column(BATCH_COLUMN) is not None:
        return []
    values = found.column(BATCH_COLUMN)
    wanted = pa.chunked_array([pa.repeat(pa.scalar(expected, pa.string()), found.num_rows)])
    if values.equals(wanted):
        return []
    rows = _different(wanted, values)[:MISMATCHES_MAX]
    return [Mismatch(table.table.name, row, BATCH_COLUMN, expected, _text(values[row])) for row in rows]


def in_own_types(table: TargetTable, found: pa.Table) -> pa.Table:
    """Return a file's rows in our own types, without the batch column."""
    names = [column.name for column in table.table.columns]
    batches = [canonical(batch, table, names) for batch in found.to_batches()]
    fields = table.arrow_schema
    schema = pa.schema([pa.field(field.name, field.type, field.nullable) for field in fields])
    return pa.Table.from_batches(batches, schema)


def _different(left: pa.ChunkedArray, right: pa.ChunkedArray) -> list[int]:
    ours = row_bytes([_joined(left)]).to_pylist()
    theirs = row_bytes([_joined(right)]).to_pylist()
    return [row for row, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _field_text(field: pa.Field) -> str:
    field_id = (field.metadata or {}).get(FIELD_ID, b"none").decode()
    required = "" if field.nullable else " not null"
    if pa.types.is_list(field.type):
        return f"{field.name}: list of ({_field_text(field.type.value_field)}){required}, field id {field_id}"
    return f"{field.name}: {field.type}{required}, field id {field_id}"


def _text(value: pa.Scalar) -> str:
    if not value.is_valid:
        return "NULL"
    plain = value.as_py()
    text = plain if isinstance(plain, str) else plain.hex() if isinstance(plain, bytes) else str(plain)
    return text[:_TEXT_MAX]
