"""DuckDB's SQL for lists."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, equal, number, when
from transhume.dialects.dialect import Lowering

_ELEMENT = exp.to_identifier("_k element", quoted=True)


def _split(node: op.Operation) -> exp.Expression:
    parts = call("string_split", node.this, node.args["separator"])
    none = exp.Cast(this=exp.Array(expressions=[]), to=exp.DataType.build("TEXT[]", dialect="duckdb"))
    return when((equal(node.this, exp.Literal.string("")), none), otherwise=parts)


def _each(node: op.Operation) -> exp.Expression:
    return exp.Lambda(this=node.expression.copy(), expressions=[_ELEMENT.copy()], colon=True)


def _any(node: op.Operation) -> exp.Expression:
    return binary(exp.GT, call("len", call("list_filter", node.this, _each(node))), number(0))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.SplitText: _split,
    op.Element: lambda _: exp.Column(this=_ELEMENT.copy()),
    op.ListMap: lambda node: call("list_transform", node.this, _each(node)),
    op.ListAny: _any,
}
