"""Spark's SQL for UUIDs, which are 16 bytes there: read, written and made of names."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, concatenated, number, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.spark.builders import cast, matches, named
from transhume.dialects.spark.texts import BLANK, trim

_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_NAMESPACE_DIGITS = 32
_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
"""Where the five groups of digits begin, from 1, and how long they are."""


def _uuid_text(node: op.Operation) -> exp.Expression:
    def written(digits: exp.Expression) -> exp.Expression:
        groups = [_part(digits, start, length) for start, length in _PARTS]
        return call("concat_ws", text_literal("-"), *groups)

    digits = call("lower", call("hex", node.this))
    return when((exp.Not(this=_is_null(node.this)), named(digits, written, "digits")))


def _parse_uuid(node: op.Operation) -> exp.Expression:
    digits = call("replace", trim(node.this), text_literal("-"), text_literal(""))
    return when((matches(node.this, f"{BLANK}{_UUID}{BLANK}"), call("unhex", digits)))


def _uuid5(node: op.Operation) -> exp.Expression:
    """Version 5 stands for the 13th digit; of the 17th the two highest bits become 10 (RFC 9562)."""
    namespace = text_argument(node, "namespace")
    if len(namespace) != _NAMESPACE_DIGITS or not set(namespace) <= set("0123456789abcdefABCDEF"):
        message = "argument 'namespace' of Uuid5 must be 32 hexadecimal digits"
        raise LoweringError(message)
    name = concatenated(call("unhex", text_literal(namespace)), cast(node.this, "BINARY"))

    def marked(digits: exp.Expression) -> exp.Expression:
        variant = call("translate", _part(digits, 17, 1), text_literal("0123456789abcdef"), text_literal("89ab" * 4))
        parts = (_part(digits, 1, 12), text_literal("5"), _part(digits, 14, 3), variant, _part(digits, 18, 15))
        return call("unhex", call("concat", *parts))

    return named(call("sha1", name), marked, "digits")


def _part(digits: exp.Expression, start: int, length: int) -> exp.Expression:
    return call("substr", digits, number(start), number(length))


def _is_null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null())


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.UuidText: _uuid_text,
    op.UuidBytes: lambda node: node.this.copy(),
    op.UuidFromBytes: lambda node: node.this.copy(),
    op.ParseUuid: _parse_uuid,
    op.Uuid5: _uuid5,
}
