"""Table expressions over files: a table without rows has no file, and is a SELECT of typed NULLs instead."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.conversion import typed_null
from transhume.schema import BIGINT, BYTES, ODD, ROW, TEXT, Carrier, Kind, LogicalType, Table, physical_names


def parquet(paths: Sequence[str]) -> exp.Expression:
    """Return the rows of these Parquet files; at least one."""
    return op.ParquetFiles(expressions=[exp.Literal.string(path) for path in paths])


def scan(paths: Sequence[str], columns: Mapping[str, LogicalType]) -> exp.Expression:
    """Return the rows of these files; without any file, no row of these columns."""
    if paths:
        return parquet(paths)
    nulls = [exp.alias_(typed_null(carried(kind)), name, quoted=True) for name, kind in columns.items()]
    return exp.select(*nulls, copy=False).where(exp.false(), copy=False)


def carried(kind: LogicalType) -> LogicalType:
    """Return the type in which files that do not come from the engine hold a logical type: UUIDs are 16 bytes."""
    return BYTES if kind.kind is Kind.UUID else kind


def extract_columns(table: Table) -> dict[str, LogicalType]:
    """Return the columns of a table's extract, by physical name, as `batches.extract_schema` has them."""
    names = physical_names(column.name for column in table.columns)
    columns = {
        names[column.name]: TEXT if column.carrier is Carrier.TEXT else column.type
        for column in table.columns
        if column.type is not None
    }
    # Nothing reads `_odd` of a table without rows, so any type does.
    return {ROW: BIGINT, **columns, ODD: TEXT}
