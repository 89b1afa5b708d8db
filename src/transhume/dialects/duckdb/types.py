"""DuckDB's types for the logical types."""

from sqlglot import exp

from transhume.schema import DECIMAL_PRECISION_MAX, Kind, LogicalType

_TYPES = {
    Kind.UUID: "UUID",
    Kind.INT: "INT",
    Kind.BIGINT: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TEXT: "TEXT",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMPTZ",
    Kind.TIME: "TIME",
    Kind.BYTES: "BLOB",
    Kind.JSON: "TEXT",
}


def data_type(logical: LogicalType) -> exp.DataType:
    """Return the type in which a logical type is computed."""
    if logical.kind is Kind.DECIMAL:
        return decimal_type(logical.precision or DECIMAL_PRECISION_MAX, logical.scale or 0)
    if logical.kind is Kind.LIST and logical.element is not None:
        return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[data_type(logical.element)], nested=True)
    return exp.DataType.build(_TYPES[logical.kind], dialect="duckdb")


def decimal_type(precision: int, scale: int) -> exp.DataType:
    """Return DECIMAL with its bounds."""
    return exp.DataType.build(f"DECIMAL({precision}, {scale})")
