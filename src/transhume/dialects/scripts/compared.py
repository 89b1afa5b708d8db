"""Texts that are compared: marked, so that a dialect compares them by code points whatever its collations say.

MySQL compares without case and with padding, T-SQL pads, any database may have a column with a collation of its own.
"""

from collections.abc import Callable
from typing import cast

from sqlglot import exp

from transhume import operations as op
from transhume.schema import Kind, LogicalType

Types = Callable[[exp.Column], LogicalType | None]
"""Gives the type of a column as the database stores it."""


class SameText(op.Operation):
    """A text that is equal to another only where their code points are equal."""

    arg_types = {"this": True}  # noqa: RUF012


class OrderedText(op.Operation):
    """A text that is compared by the order of its code points."""

    arg_types = {"this": True}  # noqa: RUF012


_ORDER = (exp.LT, exp.LTE, exp.GT, exp.GTE)
_TEXTS = (op.TrimAscii, op.TextPart, op.IntegerText, op.UuidText, exp.DPipe)


def marked(select: exp.Select, types: Types) -> exp.Select:
    """Return the SELECT with every text that it compares, counts or groups by marked as SameText or OrderedText."""
    grouped = {column.sql() for column in _group(select) if _is_text(column, types)}
    made = cast("exp.Select", select.transform(_mark, types))
    group = made.args.get("group")
    if group is not None and grouped:
        group.set("expressions", [_same(each) if each.sql() in grouped else each for each in group.expressions])
        # all texts of a group are one text, and only what is grouped by may stand alone
        made.set("expressions", [_least(each) if each.sql() in grouped else each for each in made.expressions])
    return made


def _mark(node: exp.Expression, types: Types) -> exp.Expression:
    if isinstance(node, exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE):
        mark: type[op.Operation] = OrderedText if isinstance(node, _ORDER) else SameText
        operands = (node.this, node.expression)
        if any(_is_text(operand, types) for operand in operands):
            for name, operand in zip(("this", "expression"), operands, strict=True):
                node.set(name, mark(this=operand))
    elif isinstance(node, exp.In) and _is_text(node.this, types):
        node.set("this", SameText(this=node.this))
        node.set("expressions", [SameText(this=each) for each in node.expressions])
    elif isinstance(node, exp.Between) and _is_text(node.this, types):
        for name in ("this", "low", "high"):
            node.set(name, OrderedText(this=node.args[name]))
    elif isinstance(node, exp.Distinct) and node.expressions:
        node.set("expressions", [SameText(this=each) if _is_text(each, types) else each for each in node.expressions])
    elif isinstance(node, exp.Min | exp.Max) and _is_text(node.this, types):
        node.set("this", OrderedText(this=node.this))
    return node


def _group(select: exp.Select) -> list[exp.Expression]:
    group = select.args.get("group")
    return [] if group is None else list(group.expressions)


def _same(value: exp.Expression) -> exp.Expression:
    return SameText(this=value.copy())


def _least(column: exp.Expression) -> exp.Expr:
    return exp.alias_(exp.Min(this=column.copy()), column.name, quoted=True)


def _is_text(node: exp.Expression, types: Types) -> bool:
    if isinstance(node, exp.Literal):
        return bool(node.is_string)
    if isinstance(node, exp.Column):
        found = types(node)
        return found is not None and found.kind in {Kind.TEXT, Kind.JSON}
    if isinstance(node, exp.Paren):
        return _is_text(node.this, types)
    if isinstance(node, exp.Coalesce):
        return any(_is_text(each, types) for each in (node.this, *node.expressions))
    return isinstance(node, _TEXTS)
