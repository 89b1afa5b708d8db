"""Spark's SQL for lists."""

import re

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, equal, number, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering

_ELEMENT = exp.to_identifier("_k element", quoted=True)


def _split(node: op.Operation) -> exp.Expression:
    """The separator is a pattern there, so its signs are escaped; -1 keeps empty parts at the end."""
    separator = re.sub(r"([^0-9A-Za-z\s])", r"\\\1", text_argument(node, "separator"), flags=re.ASCII)
    parts = call("split", node.this, text_literal(separator), number(-1))
    none = call("filter", parts, exp.Lambda(this=exp.false(), expressions=[_ELEMENT.copy()]))
    return when((equal(node.this, text_literal("")), none), otherwise=parts)


def _each(node: op.Operation) -> exp.Expression:
    return exp.Lambda(this=node.expression.copy(), expressions=[_ELEMENT.copy()])


def _any(node: op.Operation) -> exp.Expression:
    return binary(exp.GT, call("array_size", call("filter", node.this, _each(node))), number(0))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.SplitText: _split,
    op.Element: lambda _: exp.Column(this=_ELEMENT.copy()),
    op.ListMap: lambda node: call("transform", node.this, _each(node)),
    op.ListAny: _any,
}
