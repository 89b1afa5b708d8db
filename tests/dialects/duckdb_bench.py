"""A real DuckDB that evaluates trees over columns of Python values, for the tests of dialect and expressions."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from transhume.batches import arrow_type
from transhume.dialects import DIALECTS
from transhume.operations import UuidFromBytes
from transhume.schema import Kind, LogicalType

DUCKDB = DIALECTS["duckdb"]


def connect() -> duckdb.DuckDBPyConnection:
    """A connection with the settings that the dialect counts on."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")
    connection.execute("SET arrow_lossless_conversion = true")
    return connection


def column(name: str) -> exp.Expression:
    """A reference to a column of the values."""
    return exp.column(name, table="v", quoted=True)


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    trees: Sequence[exp.Expression],
    columns: Mapping[str, tuple[LogicalType, Sequence[Any]]],
) -> list[list[Any]]:
    """The values of each tree, row by row; a column of UUIDs is of type UUID inside."""
    return [found.to_pylist() for found in run(connection, trees, columns).columns]


def result_types(
    connection: duckdb.DuckDBPyConnection,
    tree: exp.Expression,
    columns: Mapping[str, tuple[LogicalType, Sequence[Any]]],
) -> list[pa.DataType]:
    """The Arrow types in which a tree's value leaves, without DuckDB's extension types."""
    kinds = [found.type for found in run(connection, [tree], columns).columns]
    plain = {pa.uuid(): pa.binary(16), pa.bool8(): pa.bool_()}
    return [plain.get(kind, kind) for kind in kinds]


def run(
    connection: duckdb.DuckDBPyConnection,
    trees: Sequence[exp.Expression],
    columns: Mapping[str, tuple[LogicalType, Sequence[Any]]],
) -> pa.Table:
    """The trees' values as an Arrow table, in the order of the rows."""
    arrays = {
        name: pa.array([value.bytes if isinstance(value, uuid.UUID) else value for value in values], arrow_type(kind))
        for name, (kind, values) in columns.items()
    }
    connection.register("raw", pa.table({"_row": pa.array(range(len(next(iter(arrays.values()))))), **arrays}))
    typed = [
        exp.alias_(UuidFromBytes(this=exp.column(name, quoted=True)), name, quoted=True)
        if kind.kind is Kind.UUID
        else exp.column(name, quoted=True)
        for name, (kind, _) in columns.items()
    ]
    inner = exp.select(exp.column("_row", quoted=True), *typed).from_("raw")
    outputs = [exp.alias_(tree, f"x{index}") for index, tree in enumerate(trees)]
    select = exp.select(*outputs).from_(inner.subquery("v")).order_by(exp.column("_row", table="v", quoted=True))
    return connection.sql(DUCKDB.render(select)).to_arrow_table()


def same(left: Any, right: Any) -> bool:
    """Equality that tells -0.0 from 0.0, holds NaN equal to itself, and compares types."""
    if isinstance(left, float) and isinstance(right, float):
        return left.hex() == right.hex()
    return type(left) is type(right) and left == right
