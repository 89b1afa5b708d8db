"""Every operation of the Spark dialect against the same tables of values that DuckDB's stands against."""

import datetime as dt
import itertools
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from tests.dialects.duckdb_bench import column, same
from tests.dialects.operation_cases import Table, tables
from tests.rules.twins import Bench
from transhume import operations as op
from transhume.batches import ODD_TYPE, arrow_type
from transhume.dialects import DIALECTS, LoweringError
from transhume.schema import TEXT, Kind, LogicalType

TABLES = list(tables())
_files = itertools.count()
Columns = Mapping[str, tuple[LogicalType, Sequence[Any]]]


def evaluate(spark: Bench, trees: Sequence[exp.Expression], columns: Columns) -> pa.Table:
    """Return the trees' values over columns of Python values, in the order of the rows."""
    arrays = {
        name: pa.array([value.bytes if isinstance(value, uuid.UUID) else value for value in values], arrow_type(kind))
        for name, (kind, values) in columns.items()
    }
    count = len(next(iter(arrays.values())))
    return over(spark, trees, pa.table({"_row": pa.array(range(count), pa.int64()), **arrays}))


def over(spark: Bench, trees: Sequence[exp.Expression], rows: pa.Table) -> pa.Table:
    path = f"v{next(_files)}.parquet"
    pq.write_table(rows, spark.work / path)
    files = exp.alias_(exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(path)])), "v", table=True)
    outputs = [exp.alias_(tree, f"x{index}") for index, tree in enumerate(trees)]
    select = exp.select(*outputs).from_(files).order_by(exp.column("_row", table="v", quoted=True))
    return spark.engine.query(render(spark, select))


def render(spark: Bench, tree: exp.Expression) -> str:
    return DIALECTS[spark.engine.dialect].render(tree)


def texts(spark: Bench, node: exp.Expression, values: Sequence[str | None]) -> list[Any]:
    return evaluate(spark, [node], {"x": (TEXT, values)}).column(0).to_pylist()


def _plain(value: Any, table: Table) -> Any:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) and table.gives.kind is Kind.UUID else value


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.operation.__name__)
def test_values_of_columns_are_those_of_the_table(spark: Bench, table: Table) -> None:
    """Over columns, each operation gives exactly the expected value, sign of zero included."""
    operands = {f"c{index}": (kind, [row[0][index] for row in table.rows]) for index, kind in enumerate(table.takes)}
    found = evaluate(spark, [table.node(*(column(name) for name in operands))], operands).column(0).to_pylist()
    wrong = [
        (values, expected, value)
        for (values, expected), value in zip(table.rows, found, strict=True)
        if not same(_plain(value, table), expected)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "table", [t for t in TABLES if t.takes[0].kind is Kind.TEXT], ids=lambda t: t.operation.__name__
)
def test_values_of_literals_are_those_of_the_table(spark: Bench, table: Table) -> None:
    """A text literal, whatever signs it holds, gives what a column gives."""
    rows = [row for row in table.rows if row[0][0] is not None]
    trees = [table.node(exp.Literal.string(values[0])) for values, _ in rows]
    found = evaluate(spark, trees, {"c0": (table.takes[0], ["x"])})
    values = [_plain(one.to_pylist()[0], table) for one in found.columns]
    assert [pair for pair in zip(rows, values, strict=True) if not same(pair[1], pair[0][1])] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.operation.__name__)
def test_the_result_leaves_as_the_declared_arrow_type(spark: Bench, table: Table) -> None:
    """A value leaves in the type that the compiler counts on, even where all values are NULL; a UUID as its bytes."""
    operands = {f"c{index}": (kind, [None]) for index, kind in enumerate(table.takes)}
    found = evaluate(spark, [table.node(*(column(name) for name in operands))], operands)
    expected = pa.binary() if table.gives.kind is Kind.UUID else arrow_type(table.gives)
    assert found.schema.types == [expected]


@pytest.mark.parametrize(
    "value", ["", "'", "a\0b", "\0" + "12", "\\", "\\'", "\n", "${x}", "--", "日本", '"', "`", "\\u0041"]
)
def test_text_literals_arrive_as_they_are(spark: Bench, value: str) -> None:
    """No character of a literal is an escape, a variable, or the end of the statement."""
    assert texts(spark, exp.Literal.string(value), ["x"]) == [value]


def test_odd_values_are_found_by_the_column_name(spark: Bench) -> None:
    """Class and text of a row's odd value; bytes and text that is not UTF-8 have no text."""
    entries = [
        None,
        [],
        [{"name": "n", "class": "text", "value": "é".encode()}],
        [{"name": "m", "class": "integer", "value": b"1"}, {"name": "n", "class": "real", "value": b"0.1"}],
        [{"name": "n", "class": "blob", "value": b"\xff"}],
        [{"name": "n", "class": "invalid", "value": b"\xff\xfe"}],
        [{"name": "N", "class": "text", "value": b"x"}],
    ]
    rows = pa.table({"_row": pa.array(range(len(entries)), pa.int64()), "_odd": pa.array(entries, ODD_TYPE)})
    nodes = [kind(this=column("_odd"), name=exp.Literal.string("n")) for kind in (op.OddClass, op.OddText)]
    found = over(spark, nodes, rows)
    assert found.column(0).to_pylist() == [None, None, "text", "real", "blob", "invalid", None]
    assert found.column(1).to_pylist() == [None, None, "é", "0.1", None, None, None]


def test_odd_values_stay_with_their_rows(spark: Bench) -> None:
    """Of ten thousand rows, some of whose lists a condition takes away, no row gets the list of another."""
    count, every = 10_000, 37
    odd = {row: [{"name": "n", "class": "text", "value": f"{row} h".encode()}] for row in range(5, count, every)}
    rows = pa.table(
        {
            "_row": pa.array(range(count), pa.int64()),
            "kept": pa.array([row % 3 != 1 for row in range(count)]),
            "_odd": pa.array([odd.get(row) for row in range(count)], ODD_TYPE),
        }
    )
    kept = exp.Case(ifs=[exp.If(this=column("kept"), true=column("_odd"))])
    found = over(spark, [op.OddText(this=kept, name=exp.Literal.string("n"))], rows).column(0).to_pylist()
    assert found == [f"{row} h" if row in odd and row % 3 != 1 else None for row in range(count)]


def test_reasons_are_joined_in_order_without_nulls(spark: Bench) -> None:
    """Only reasons that hold, a line feed between them; NULL where none holds."""
    a, b = exp.Literal.string("a"), exp.Literal.string("b")
    nodes = [
        op.JoinReasons(expressions=each) for each in ([a, exp.Null(), b], [exp.Null(), b], [exp.Null(), exp.Null()], [])
    ]
    found = evaluate(spark, nodes, {"x": (TEXT, ["x"])})
    assert [one.to_pylist()[0] for one in found.columns] == ["a\nb", "b", None, None]


def test_an_object_is_gathered_in_the_order_of_its_names(spark: Bench) -> None:
    """Members by code points, null for a NULL value, RFC 8259's escapes and no others; NULL without a name."""
    names = ["b", "B", "é", "\U0001f600", "\ufb01", None, '"', "\\", "\x01\n\x1f"]
    values = ["1", None, "/", "\u2028", "\x7f", "lost", "q", "", "\t"]
    first = '{"\\u0001\\n\\u001F":"\\t","\\"":"q","B":null,"\\\\":"","b":"1",'
    expected = first + '"é":"/","\ufb01":"\x7f","\U0001f600":"\u2028"}'
    gathered = op.GatheredObject(this=column("x"), expression=column("y"))
    for rows, result in (((names, values), expected), (([None], ["x"]), None), (([], []), None)):
        path = f"v{next(_files)}.parquet"
        pq.write_table(
            pa.table({"x": pa.array(rows[0], pa.string()), "y": pa.array(rows[1], pa.string())}), spark.work / path
        )
        files = exp.alias_(exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(path)])), "v", table=True)
        found = spark.engine.query(render(spark, exp.select(exp.alias_(gathered, "g")).from_(files)))
        assert found.column(0).to_pylist() == [result]


def test_equal_values_fall_into_one_share_and_many_into_all(spark: Bench) -> None:
    """The share is a number below the count, NULL has one too, and of 300 texts each of three gets its part."""
    node = op.HashShare(expressions=[column("x")], shares=exp.Literal.number(3))
    values = [*(str(n) for n in range(300)), None]
    shares = texts(spark, node, [*values, *values])
    assert shares[: len(values)] == shares[len(values) :]
    assert set(shares) == {0, 1, 2}
    assert min(shares.count(share) for share in (0, 1, 2)) > 150


def test_a_group_that_may_be_empty_is_told_from_no_match(spark: Bench) -> None:
    """An empty capture is a text, no match is NULL; a group that may be left out and empty is refused."""
    captured = op.RegexCapture(this=column("x"), pattern=exp.Literal.string("a([b]*)c"), group=exp.Literal.number(1))
    assert texts(spark, captured, ["ac", "abc", "a", "", "ac\n"]) == ["", "b", None, None, None]
    left_out = op.RegexCapture(this=column("x"), pattern=exp.Literal.string("(b*)?c"), group=exp.Literal.number(1))
    with pytest.raises(LoweringError, match="left out"):
        render(spark, exp.select(left_out))


def test_files_are_read_whatever_their_names(spark: Bench) -> None:
    """The rows of all files; patterns, backquotes, quotes and a=b in a name are only a name."""
    folder = Path("a=1") / "it's `x` {a,b} [c]*"
    (spark.work / folder).mkdir(parents=True)
    for index in range(2):
        pq.write_table(pa.table({"n": [index * 2, index * 2 + 1]}), spark.work / folder / f"{index}.parquet")
    names = [exp.Literal.string(str(folder / f"{index}.parquet")) for index in (1, 0)]
    files = exp.alias_(exp.Table(this=op.ParquetFiles(expressions=names)), "t", table=True)
    found = spark.engine.query(render(spark, exp.select("*").from_(files)))
    assert found.column_names == ["n"]
    assert sorted(found["n"].to_pylist()) == [0, 1, 2, 3]


def test_many_files_are_read_at_once(spark: Bench) -> None:
    """As many segments as a table of twenty million rows has make one statement, whose rows are those of all."""
    count = 400
    names = [f"many-{number}.parquet" for number in range(count)]
    for number, name in enumerate(names):
        pq.write_table(pa.table({"_row": pa.array([number], pa.int64())}), spark.work / name)
    files = exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(name) for name in names]))
    tables = [exp.alias_(files.copy(), alias, table=True) for alias in ("v", "w")]
    same = exp.EQ(
        this=exp.column("_row", table="v", quoted=True), expression=exp.column("_row", table="w", quoted=True)
    )
    select = (
        exp.select(exp.alias_(exp.column("_row", table="v", quoted=True), "n"))
        .from_(tables[0])
        .join(tables[1], on=same)
    )
    assert sorted(spark.engine.query(render(spark, select))["n"].to_pylist()) == list(range(count))


def test_totals_are_exact_and_leave_nulls_out(spark: Bench) -> None:
    """The sum of decimals keeps every digit; without any value there is none."""
    kind = LogicalType(Kind.DECIMAL, precision=20, scale=4)
    values = [Decimal("9999999999999999.9999"), None, Decimal("0.0001"), Decimal("-1.5")]
    for rows, expected in ((values, Decimal("9999999999999998.5000")), ([None], None)):
        path = f"v{next(_files)}.parquet"
        pq.write_table(pa.table({"x": pa.array(rows, arrow_type(kind))}), spark.work / path)
        files = exp.alias_(exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(path)])), "v", table=True)
        total = exp.alias_(op.Total(this=column("x")), "t")
        assert spark.engine.query(render(spark, exp.select(total).from_(files))).column(0).to_pylist() == [expected]


DISTINCT = {
    TEXT: ["a", "b"],
    LogicalType(Kind.BIGINT): [1, 2],
    LogicalType(Kind.DOUBLE): [0.5, 1.5],
    LogicalType(Kind.DECIMAL, precision=10, scale=2): [Decimal("1.50"), Decimal("2.50")],
    LogicalType(Kind.BOOLEAN): [True, False],
    LogicalType(Kind.DATE): [dt.date(2024, 1, 1), dt.date(2024, 1, 2)],
    LogicalType(Kind.TIME): [dt.time(1), dt.time(2)],
    LogicalType(Kind.TIMESTAMP): [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)],  # noqa: DTZ001 - it has no zone
    LogicalType(Kind.BYTES): [b"\xff", b"\xfe"],
    LogicalType(Kind.UUID): [uuid.UUID(int=1), uuid.UUID(int=2)],
}


@pytest.mark.parametrize("kind", DISTINCT, ids=lambda kind: kind.kind.value)
def test_different_values_of_every_type_are_counted(spark: Bench, kind: LogicalType) -> None:
    """Two values, one of them twice, beside a NULL are two, and no value is none."""
    first, second = DISTINCT[kind]
    counted = op.ApproximateDistinct(this=column("x"), kind=exp.Literal.string(kind.kind.value))
    for values, expected in (([first, second, None, first], 2), ([None], 0)):
        path = f"v{next(_files)}.parquet"
        plain = [value.bytes if isinstance(value, uuid.UUID) else value for value in values]
        pq.write_table(pa.table({"x": pa.array(plain, arrow_type(kind))}), spark.work / path)
        files = exp.alias_(exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(path)])), "v", table=True)
        select = exp.select(exp.alias_(counted, "d")).from_(files)
        assert spark.engine.query(render(spark, select)).column(0).to_pylist() == [expected]
