"""Spark's types for the logical types."""

from sqlglot import exp

from transhume.schema import DECIMAL_PRECISION_MAX, Kind, LogicalType

_TYPES = {
    Kind.UUID: "BINARY",
    Kind.INT: "INT",
    Kind.BIGINT: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TEXT: "STRING",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP_NTZ",
    Kind.TIMESTAMPTZ: "TIMESTAMP",
    Kind.TIME: "TIME(6)",
    Kind.BYTES: "BINARY",
    Kind.JSON: "STRING",
}


def data_type(logical: LogicalType) -> exp.DataType:
    """Return the type in which a logical type is computed."""
    if logical.kind is Kind.DECIMAL:
        return decimal_type(logical.precision or DECIMAL_PRECISION_MAX, logical.scale or 0)
    if logical.kind is Kind.LIST and logical.element is not None:
        return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[data_type(logical.element)], nested=True)
    return spark_type(_TYPES[logical.kind])


def decimal_type(precision: int, scale: int) -> exp.DataType:
    """Return DECIMAL with its bounds."""
    return exp.DataType.build(f"DECIMAL({precision}, {scale})")


def spark_type(name: str) -> exp.DataType:
    """Return a type by Spark's name for it; SQLGlot would print TIME as TIMESTAMP."""
    if name.startswith("TIME("):
        return exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=name)
    return exp.DataType.build(name, dialect="spark")
