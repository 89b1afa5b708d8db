"""Spark's SQL for texts: trimming, length, likeness, and reading a text by a closed grammar."""

from collections.abc import Callable

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, number, operand, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering
from transhume.dialects.spark.builders import cast, matches, try_cast

BLANK = r"[\t-\r ]*"
DIGITS = "[0-9]+"
_BLANKS = "\t\n\v\f\r "
_TRUE = "true|t|1"


def trim(value: exp.Expression) -> exp.Expression:
    """Return the text without ASCII white space around it."""
    return call("btrim", value, text_literal(_BLANKS))


def gated(value: exp.Expression, grammar: str, kind: exp.DataType | str) -> exp.Expression:
    """Cast the trimmed text if the whole text is of the grammar; NULL if not, or if the cast finds no value."""
    return when((matches(value, f"{BLANK}(?:{grammar}){BLANK}"), try_cast(trim(value), kind)))


def parse_by(grammar: str, kind: str) -> Callable[[op.Operation], exp.Expression]:
    """Return the lowering of an operation that reads a text of this grammar as a type."""
    return lambda node: gated(node.this, grammar, kind)


def _parse_boolean(node: op.Operation) -> exp.Expression:
    is_one = matches(node.this, f"{BLANK}(?:{_TRUE}|false|f|0){BLANK}")
    return when((is_one, matches(node.this, f"{BLANK}(?:{_TRUE}){BLANK}")))


def _text_like(node: op.Operation) -> exp.Expression:
    """LIKE takes a backslash for an escape, so each one of the pattern is escaped itself."""
    pattern = text_argument(node, "pattern").replace("\\", "\\\\")
    return exp.Like(this=operand(node.this), expression=text_literal(pattern))


def _before_last(node: op.Operation) -> exp.Expression:
    after = call("substring_index", node.this, node.args["find"], number(-1))
    shorter = binary(exp.Sub, call("char_length", node.this), call("char_length", after))
    return _where_it_occurs(node, call("left", node.this, binary(exp.Sub, shorter, number(1))))


def _where_it_occurs(node: op.Operation, part: exp.Expression) -> exp.Expression:
    occurs = call("contains", node.this, node.args["find"])
    return when((occurs, exp.Nullif(this=part, expression=text_literal(""))))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.TrimAscii: lambda node: trim(node.this),
    op.CodePoints: lambda node: cast(call("char_length", node.this), "BIGINT"),
    op.TextPart: lambda node: call("substring", node.this, node.args["start"], node.args["length"]),
    op.TextBeforeLast: _before_last,
    op.TextAfterLast: lambda node: _where_it_occurs(
        node, call("substring_index", node.this, node.args["find"], number(-1))
    ),
    op.HasNul: lambda node: call("contains", node.this, text_literal("\0")),
    op.TextLike: _text_like,
    op.ReplaceText: lambda node: call("replace", node.this, node.args["find"], node.args["by"]),
    op.ParseBoolean: _parse_boolean,
}
