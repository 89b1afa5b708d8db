"""Spark's SQL for JSON: an OpenJson value is JSON text without white space, numbers as they were written.

What Spark's own functions bend (they read numbers as doubles, take what RFC 8259 does not, forget repeated names) is
done by functions of the session, whose names stand in FUNCTIONS_NEEDED.
"""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, equal, number, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering, LoweringError

FUNCTIONS_NEEDED = (
    "transhume_json_written",
    "transhume_json_keeps_value",
    "transhume_json_member",
    "transhume_json_key_twice",
    "transhume_json_text",
)
_WRITTEN, _KEEPS, _MEMBER, _TWICE, _TEXT = FUNCTIONS_NEEDED


def _parse_json(node: op.Operation) -> exp.Expression:
    written = call(_WRITTEN, node.this)
    return when((exp.Not(this=exp.Is(this=written, expression=exp.Null())), node.this))


def _pointed(function: str, node: op.Operation) -> exp.Expression:
    pointer = text_argument(node, "pointer")
    if pointer and not pointer.startswith("/"):
        message = f"'{pointer}' is no JSON pointer: it begins with '/' or is empty"
        raise LoweringError(message)
    return call(function, node.this, text_literal(pointer))


def _kind(node: op.Operation) -> exp.Expression:
    first = call("left", node.this, number(1))
    signs = (('"', "string"), ("{", "object"), ("[", "array"), ("n", "null"), ("t", "boolean"), ("f", "boolean"))
    known = [(equal(first, text_literal(sign)), text_literal(kind)) for sign, kind in signs]
    is_there = exp.Not(this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null()))
    return when(*known, (is_there, text_literal("number")))


def quoted(value: exp.Expression) -> exp.Expression:
    """Return the text as a JSON string: what Spark writes into a list of one, without the list's brackets."""
    written = call("to_json", call("array", value))
    inside = call("substring", written, number(2), binary(exp.Sub, call("length", written), number(2)))
    return when((exp.Not(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null())), inside))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.ParseJson: _parse_json,
    op.JsonKeepsValue: lambda node: call(_KEEPS, node.this),
    op.OpenJson: lambda node: call(_WRITTEN, node.this),
    op.JsonMember: lambda node: _pointed(_MEMBER, node),
    op.HasJsonKeyTwice: lambda node: _pointed(_TWICE, node),
    op.JsonKind: _kind,
    op.JsonText: lambda node: call(_TEXT, node.this),
    op.JsonWritten: lambda node: node.this.copy(),
    op.JsonQuoted: lambda node: quoted(node.this),
}
