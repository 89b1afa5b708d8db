"""DuckDB's SQL for rows: the files that they stand in, how many differ, their odd values and their reasons."""

from collections.abc import Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, concatenated, number, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.duckdb.builders import cast


def _parquet_files(node: op.Operation) -> exp.Expression:
    """Folders named `a=b` are no columns, so hive_partitioning is off."""
    if not node.expressions:
        message = "ParquetFiles needs at least one file"
        raise LoweringError(message)
    paths = exp.Array(expressions=[path.copy() for path in node.expressions])
    plain = exp.PropertyEQ(this=exp.to_identifier("hive_partitioning"), expression=exp.false())
    return call("read_parquet", paths, plain)


def _odd_value(node: op.Operation, field: str, classes: Sequence[str] = ()) -> exp.Expression:
    entry = exp.to_identifier("_k odd value", quoted=True)

    def part(name: str) -> exp.Expression:
        return exp.Dot(this=entry.copy(), expression=exp.to_identifier(name, quoted=True))

    wanted: exp.Expression = exp.EQ(this=part("name"), expression=text_literal(text_argument(node, "name")))
    if classes:
        known = exp.In(this=part("class"), expressions=[exp.Literal.string(name) for name in classes])
        wanted = exp.And(this=exp.Paren(this=wanted), expression=exp.Paren(this=known))
    chosen = call("list_filter", node.this, exp.Lambda(this=wanted, expressions=[entry.copy()], colon=True))
    value = call("struct_extract", call("array_extract", chosen, number(1)), exp.Literal.string(field))
    # Filtering a list costs 36 ns even where there is none, and hardly any row has one.
    return when((exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null())), value))


def _odd_text(node: op.Operation) -> exp.Expression:
    return call("decode", _odd_value(node, "value", ("integer", "real", "text")))


def _join_reasons(node: op.Operation) -> exp.Expression:
    if not node.expressions:
        return cast(exp.Null(), "TEXT")
    texts = exp.Array(expressions=[expression.copy() for expression in node.expressions])
    line_feed = call("chr", number(10))
    return call("list_aggregate", texts, exp.Literal.string("string_agg"), line_feed)


def _gathered_object(node: op.Operation) -> exp.Expression:
    """DuckDB orders texts by their bytes, which in UTF-8 is the order of code points."""
    name = cast(call("json_quote", node.this), "TEXT")
    value = exp.Coalesce(
        this=cast(call("json_quote", node.expression), "TEXT"), expressions=[exp.Literal.string("null")]
    )
    member = concatenated(name, exp.Literal.string(":"), value)
    ordered = exp.Ordered(this=node.this.copy(), desc=False, nulls_first=False)
    members = exp.Anonymous(
        this="string_agg", expressions=[member, exp.Order(this=exp.Literal.string(","), expressions=[ordered])]
    )
    return concatenated(exp.Literal.string("{"), members, exp.Literal.string("}"))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.ParquetFiles: _parquet_files,
    op.ApproximateDistinct: lambda node: call("approx_count_distinct", node.this),
    op.Total: lambda node: exp.Sum(this=node.this),
    op.HashShare: lambda node: cast(call("mod", call("hash", *node.expressions), node.args["shares"]), "BIGINT"),
    op.OddClass: lambda node: _odd_value(node, "class"),
    op.OddText: _odd_text,
    op.JoinReasons: _join_reasons,
    op.GatheredObject: _gathered_object,
}
