"""Logical types as Iceberg and Parquet hold them. Nothing here reads or writes a file."""

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg import types as iceberg
from pyiceberg.schema import Schema

from transhume.batches import TargetTable, arrow_type
from transhume.schema import Column, Kind, LogicalType, Table

BATCH_COLUMN = "migration_batch"
"""Text column of tables that a run creates: 'run/mapping/index' of the batch that brought the row."""

BATCH_COLUMN_PROPERTY = "transhume.batch-column"
"""Table property that says that BATCH_COLUMN is ours, and not a column of the users' own."""

FIELD_ID = b"PARQUET:field_id"

_PLAIN: dict[Kind, iceberg.PrimitiveType] = {
    Kind.UUID: iceberg.UUIDType(),
    Kind.INT: iceberg.IntegerType(),
    Kind.BIGINT: iceberg.LongType(),
    Kind.DOUBLE: iceberg.DoubleType(),
    Kind.BOOLEAN: iceberg.BooleanType(),
    Kind.TEXT: iceberg.StringType(),
    Kind.JSON: iceberg.StringType(),
    Kind.DATE: iceberg.DateType(),
    Kind.TIMESTAMP: iceberg.TimestampType(),
    Kind.TIMESTAMPTZ: iceberg.TimestamptzType(),
    Kind.TIME: iceberg.TimeType(),
    Kind.BYTES: iceberg.BinaryType(),
}
_LOGICAL = {str(held): kind for kind, held in _PLAIN.items() if kind is not Kind.JSON}


def logical_type(held: iceberg.IcebergType) -> LogicalType | None:
    """Return the logical type of an Iceberg type, or None where transhume cannot carry it exactly."""
    if isinstance(held, iceberg.DecimalType):
        return LogicalType(Kind.DECIMAL, precision=held.precision, scale=held.scale)
    if isinstance(held, iceberg.ListType):
        element = logical_type(held.element_type)
        return None if element is None else LogicalType(Kind.LIST, element=element)
    kind = _LOGICAL.get(str(held))
    return None if kind is None else LogicalType(kind)


def same_type(held: iceberg.IcebergType, wanted: LogicalType) -> bool:
    """Tell whether an Iceberg column holds exactly the values of `wanted`, without a conversion."""
    if wanted.kind is Kind.LIST and wanted.element is not None:
        return isinstance(held, iceberg.ListType) and same_type(held.element_type, wanted.element)
    if wanted.kind is Kind.DECIMAL:
        return bool(held == iceberg.DecimalType(wanted.precision or 38, wanted.scale or 0))
    return bool(held == _PLAIN[wanted.kind])


def new_schema(table: Table) -> Schema:
    """Return the schema of a table that a run creates: its columns, then BATCH_COLUMN unless the plan fills that."""
    identifiers = {name: position for position, name in enumerate((column.name for column in table.columns), start=1)}
    next_id = len(table.columns) + 2
    fields = []
    for column in table.columns:
        assert column.type is not None
        held, next_id = _held_type(column.type, next_id)
        required = not column.nullable or column.name in table.primary_key
        fields.append(iceberg.NestedField(identifiers[column.name], column.name, held, required=required))
    if table.column(BATCH_COLUMN) is None:
        fields.append(iceberg.NestedField(len(table.columns) + 1, BATCH_COLUMN, iceberg.StringType(), required=False))
    return Schema(*fields, identifier_field_ids=_identifier_ids(table, identifiers))


def _identifier_ids(table: Table, identifiers: dict[str, int]) -> list[int]:
    # The specification forbids identifiers of type float and double.
    held = [column for name in table.primary_key if (column := table.column(name)) is not None]
    if any(column.type is None or column.type.kind is Kind.DOUBLE for column in held):
        return []
    return [identifiers[column.name] for column in held]


def _held_type(wanted: LogicalType, next_id: int) -> tuple[iceberg.IcebergType, int]:
    if wanted.kind is Kind.LIST and wanted.element is not None:
        element, after = _held_type(wanted.element, next_id + 1)
        return iceberg.ListType(next_id, element, element_required=False), after
    if wanted.kind is Kind.DECIMAL:
        return iceberg.DecimalType(wanted.precision or 38, wanted.scale or 0), next_id
    return _PLAIN[wanted.kind], next_id


def file_schema(schema: Schema, table: TargetTable) -> pa.Schema:
    """Return the Arrow schema of a data file: the mapped columns by their field ids, then the batch column.

    UUIDs are Arrow's UUID extension, which Parquet annotates, so that every reader knows them as such.
    """
    fields = []
    for column in table.table.columns:
        assert column.type is not None
        field = schema.find_field(column.name)
        fields.append(_file_field(field, column.type))
    if fills_batch_column(schema, table):
        field = schema.find_field(BATCH_COLUMN)
        fields.append(_file_field(field, LogicalType(Kind.TEXT)))
    return pa.schema(fields)


def fills_batch_column(schema: Schema, table: TargetTable) -> bool:
    """Tell whether staged files carry BATCH_COLUMN: the table has it as text and the plan does not map it."""
    if table.table.column(BATCH_COLUMN) is not None:
        return False
    return any(field.name == BATCH_COLUMN and field.field_type == iceberg.StringType() for field in schema.fields)


def _file_field(field: iceberg.NestedField, logical: LogicalType) -> pa.Field:
    return pa.field(field.name, _file_type(field.field_type, logical), not field.required, _id(field.field_id))


def _file_type(held: iceberg.IcebergType, logical: LogicalType) -> pa.DataType:
    if isinstance(held, iceberg.ListType) and logical.element is not None:
        element = _file_type(held.element_type, logical.element)
        return pa.list_(pa.field("element", element, not held.element_required, _id(held.element_id)))
    return pa.uuid() if logical.kind is Kind.UUID else arrow_type(logical)


def _id(field_id: int) -> dict[bytes, bytes]:
    return {FIELD_ID: str(field_id).encode()}


def to_file(array: pa.Array, held: pa.DataType) -> pa.Array:
    """Return an array of our own types as the type that the file has; no value changes."""
    if isinstance(held, pa.UuidType):
        return pa.ExtensionArray.from_storage(held, array)
    if pa.types.is_list(held):
        # from_arrays drops what lies outside the slice, and keeps NULL lists by their mask.
        offsets, values = _compact(array)
        return pa.ListArray.from_arrays(offsets, to_file(values, held.value_type), type=held, mask=array.is_null())
    return array


def from_file(array: pa.Array, logical: LogicalType) -> pa.Array:
    """Return an array as read from a file as our own type of `logical`; no value changes.

    Raises: pyarrow.ArrowInvalid where the file's type cannot be that type without a loss.
    """
    wanted = arrow_type(logical)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if array.type == wanted:
        return array
    if logical.kind is Kind.LIST and logical.element is not None:
        offsets, values = _compact(array)
        return pa.ListArray.from_arrays(offsets, from_file(values, logical.element), type=wanted, mask=array.is_null())
    return array.cast(wanted)


def _compact(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return offsets from 0 and exactly the values that the lists use."""
    values = array.flatten()
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    return pa.concat_arrays([pa.array([0], pa.int32()), ends]), values


def catalog_column(field: iceberg.NestedField) -> Column:
    """Return one column of an existing table in logical types."""
    refused = "" if field.field_type.is_primitive or isinstance(field.field_type, iceberg.ListType) else "nested"
    return Column(
        name=field.name,
        type=logical_type(field.field_type),
        nullable=not field.required,
        native=str(field.field_type),
        has_default=field.write_default is not None,
        refused=f"'{field.field_type}' is a nested type" if refused else "",
    )
