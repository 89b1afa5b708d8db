"""Spark's SQL for rows: the files that they stand in, how many differ, their odd values and their reasons."""

import re
from collections.abc import Callable, Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, concatenated, number, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.spark.builders import cast
from transhume.dialects.spark.json import quoted

_GLOB = re.compile(r"([\\*?\[\]{}])")


def parquet_files(escaped: Callable[[str], str]) -> Lowering:
    """Return the lowering of ParquetFiles, one scan a file, in their order; `escaped` makes a path of a name."""

    def lowered(node: op.Operation) -> exp.Expression:
        if not node.expressions:
            message = "ParquetFiles needs at least one file"
            raise LoweringError(message)
        scans = [
            exp.select("*").from_(exp.table_(escaped(path.name), db="parquet", quoted=True))
            for path in node.expressions
        ]
        return exp.Subquery(this=_union(scans))

    return lowered


def _union(scans: Sequence[exp.Query]) -> exp.Query:
    """Return all rows of these scans, as a tree of few levels: an engine goes down a level for each of a chain.

    Of some hundred files Sail ran out of its stack.
    """
    if len(scans) == 1:
        return scans[0]
    middle = len(scans) // 2
    halves = [_union(scans[:middle]), _union(scans[middle:])]
    one, other = (exp.Subquery(this=half) if isinstance(half, exp.Union) else half for half in halves)
    return exp.Union(this=one, expression=other, distinct=False)


def _for_hadoop(path: str) -> str:
    """Escape what Hadoop takes for a pattern of names."""
    return _GLOB.sub(r"\\\1", path)


def _odd_value(node: op.Operation, field: str, classes: Sequence[str] = ()) -> exp.Expression:
    entry = exp.to_identifier("_k odd value", quoted=True)

    def part(name: str) -> exp.Expression:
        return exp.Dot(this=entry.copy(), expression=exp.to_identifier(name, quoted=True))

    wanted: exp.Expression = exp.EQ(this=part("name"), expression=text_literal(text_argument(node, "name")))
    if classes:
        known = exp.In(this=part("class"), expressions=[text_literal(name) for name in classes])
        wanted = exp.And(this=exp.Paren(this=wanted), expression=exp.Paren(this=known))
    chosen = call("filter", node.this, exp.Lambda(this=wanted, expressions=[entry.copy()]))
    return exp.Dot(this=call("get", chosen, number(0)), expression=exp.to_identifier(field, quoted=True))


def _odd_text(node: op.Operation) -> exp.Expression:
    return call("decode", _odd_value(node, "value", ("integer", "real", "text")), text_literal("UTF-8"))


def _join_reasons(node: op.Operation) -> exp.Expression:
    if not node.expressions:
        return cast(exp.Null(), "STRING")
    texts = [expression.copy() for expression in node.expressions]
    known = exp.Coalesce(this=texts[0], expressions=[*texts[1:], exp.Null()])
    holds = exp.Not(this=exp.Is(this=known, expression=exp.Null()))
    return when((holds, call("concat_ws", text_literal("\n"), *texts)))


def gathered_object(written: Callable[[exp.Expression], exp.Expression]) -> Lowering:
    """Return the lowering of GatheredObject where `written` writes a text as a JSON string.

    Spark orders texts by their bytes, which in UTF-8 is the order of code points.
    """

    def lowered(node: op.Operation) -> exp.Expression:
        value = exp.Coalesce(this=written(node.expression), expressions=[text_literal("null")])
        member = concatenated(written(node.this), text_literal(":"), value)
        pair = call("struct", node.this, when((exp.Not(this=_is_null(node.this)), member)))
        named_only = exp.Filter(
            this=call("collect_list", pair), expression=exp.Where(this=exp.Not(this=_is_null(node.this)))
        )
        entry = exp.to_identifier("_k member", quoted=True)
        text = exp.Dot(this=entry.copy(), expression=exp.to_identifier("col2", quoted=True))
        members = call("transform", call("array_sort", named_only), exp.Lambda(this=text, expressions=[entry]))
        some = binary(exp.GT, call("count", node.this), number(0))
        body = concatenated(text_literal("{"), call("array_join", members, text_literal(",")), text_literal("}"))
        return when((some, body))

    return lowered


def _is_null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null())


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.ParquetFiles: parquet_files(_for_hadoop),
    op.ApproximateDistinct: lambda node: call("approx_count_distinct", node.this),
    op.Total: lambda node: call("sum", node.this),
    op.HashShare: lambda node: call("pmod", call("xxhash64", *node.expressions), node.args["shares"]),
    op.OddClass: lambda node: _odd_value(node, "class"),
    op.OddText: _odd_text,
    op.JoinReasons: _join_reasons,
    op.GatheredObject: gathered_object(quoted),
}
