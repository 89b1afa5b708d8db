"""Every operation of the DuckDB dialect against tables of values that were written by hand."""

import inspect

import pytest
from sqlglot import exp

from tests.dialects.duckdb_bench import column, connect, evaluate, result_types, same
from tests.dialects.operation_cases import Table, tables
from transhume import operations as op
from transhume.batches import arrow_type
from transhume.dialects import DIALECTS
from transhume.schema import Kind

TABLES = list(tables())
ELSEWHERE = {
    *(op.ParquetFiles, op.OddClass, op.OddText, op.JoinReasons, op.GatheredObject, op.ApproximateDistinct),
    op.HashShare,
    op.Total,
    *(op.OpenJson, op.JsonMember, op.HasJsonKeyTwice, op.Element, op.ListMap, op.ListAny, op.HmacSha256),
}
"""Operations over tables, lists and forms of a dialect's own: test_duckdb.py, test_values_inside.py."""
OPERATIONS = {
    kind
    for _, kind in inspect.getmembers(op, inspect.isclass)
    if issubclass(kind, op.Operation) and kind is not op.Operation
}


def test_every_operation_has_a_table_or_a_test_of_its_own():
    """No operation is without hand-written expectations."""
    assert {table.operation for table in TABLES} | ELSEWHERE == OPERATIONS


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_operation_has_a_lowering_in_every_dialect(name):
    """A dialect that forgets an operation fails here and not in a run."""
    assert set(DIALECTS[name].lowerings) == OPERATIONS


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.operation.__name__)
def test_values_of_columns_are_those_of_the_table(table: Table):
    """Over columns, each operation gives exactly the expected value, sign of zero included."""
    operands = {f"c{index}": (kind, [row[0][index] for row in table.rows]) for index, kind in enumerate(table.takes)}
    found = evaluate(connect(), [table.node(*(column(name) for name in operands))], operands)[0]
    wrong = [
        (values, expected, value)
        for (values, expected), value in zip(table.rows, found, strict=True)
        if not same(value, expected)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "table", [t for t in TABLES if t.takes[0].kind is Kind.TEXT], ids=lambda t: t.operation.__name__
)
def test_values_of_literals_are_those_of_the_table(table: Table):
    """A text literal, which some lowerings treat on their own, gives what a column gives."""
    rows = [row for row in table.rows if row[0][0] is not None]
    trees = [table.node(exp.Literal.string(values[0])) for values, _ in rows]
    found = [values[0] for values in evaluate(connect(), trees, {"c0": (table.takes[0], ["x"])})]
    assert [pair for pair in zip(rows, found, strict=True) if not same(pair[1], pair[0][1])] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.operation.__name__)
def test_the_result_leaves_as_the_declared_arrow_type(table: Table):
    """A value leaves in the type that the compiler counts on, even where all values are NULL."""
    operands = {f"c{index}": (kind, [None]) for index, kind in enumerate(table.takes)}
    result = result_types(connect(), table.node(*(column(name) for name in operands)), operands)
    assert result == [arrow_type(table.gives)]
