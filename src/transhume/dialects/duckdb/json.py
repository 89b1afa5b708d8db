r"""DuckDB's SQL for JSON, by way of texts only: DuckDB's own reading of numbers bends them.

Measured on DuckDB 2.0: json_extract gives 1.1 for 1.10, 100000.0 for 1E5 and 0 for -0, cuts digits beyond a double,
and takes NaN, Infinity and a comma before `]` or `}` for JSON. So a OpenJson value is the text with every string
`"abc"` as `"sabc"` and every number `1.10` as `"n1.10"`: what is left for DuckDB are structure and strings.
The marks come off by `,"n`: a quote behind one of `[{,:` opens a string, since inside of strings a backslash stands
before each.
"""

import re

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, concatenated, equal, every, number, text_argument, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.duckdb.builders import cast, matches
from transhume.dialects.duckdb.texts import trim

_WHITE = r"[ \t\n\r]"
_STRING = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_WORD = "true|false|null"
_COMMA = rf"[,]{_WHITE}*(?:[\[{{]|{_WORD}|{_STRING}|{_NUMBER})"
_TOKENS = rf"(?:{_WHITE}|[\[\]{{}}:]|{_WORD}|{_STRING}|{_NUMBER}|{_COMMA})*"
"""Strict where DuckDB is not; structure is left to it."""
_NOT_NUMBERS = rf'((?:[ \t\n\r\[\]{{}},:]|{_WORD}|"(?:[^"\\]|\\.)*")*)({_NUMBER}|\z)'
"""What stands before a number, or before the end: each match begins outside of strings, where the last one ended."""
_EVERY = "g"


def _replaced(value: exp.Expression, pattern: str, by: str) -> exp.Expression:
    parts = [exp.Literal.string(text) for text in (pattern, by, _EVERY)]
    return call("regexp_replace", value, *parts)


def _parse(node: op.Operation) -> exp.Expression:
    strings = _replaced(node.this, r'"((?:[^"\\]|\\.)*)"', r'"s\1"')
    # The last match, of the space, is the one before the end, and leaves an empty "n".
    numbers = _replaced(concatenated(strings, exp.Literal.string(" ")), _NOT_NUMBERS, r'\1"n\2"')
    marked = trim(call("left", numbers, number(-3)))
    number_as_key = call("regexp_matches", marked, exp.Literal.string(rf'[{{,]{_WHITE}*"n[^"]*"{_WHITE}*:'))
    return when((every(matches(node.this, _TOKENS), exp.Not(this=number_as_key), call("json_valid", marked)), marked))


def _tokens(node: op.Operation) -> list[str]:
    pointer = text_argument(node, "pointer")
    if pointer and not pointer.startswith("/"):
        message = f"'{pointer}' is no JSON pointer: it begins with '/' or is empty"
        raise LoweringError(message)
    return pointer.split("/")[1:]


def _step(value: exp.Expression, token: str) -> exp.Expression:
    """A key has the mark of its string; only an array has a place without one."""
    member = call("json_extract", value, exp.Literal.string(f"/s{token}"))
    if not re.fullmatch("0|[1-9][0-9]{0,8}", token):
        return member
    return exp.Coalesce(this=member, expressions=[call("json_extract", value, exp.Literal.string(f"/{token}"))])


def _member(node: op.Operation) -> exp.Expression:
    value = node.this
    for token in _tokens(node):
        value = _step(value, token)
    return cast(value, "TEXT")


def _key_twice(node: op.Operation) -> exp.Expression:
    value: exp.Expression = node.this
    found: list[exp.Expression] = []
    for token in _tokens(node):
        key = "s" + token.replace("~1", "/").replace("~0", "~")
        element = exp.to_identifier("_k key", quoted=True)
        same = exp.Lambda(this=equal(element, exp.Literal.string(key)), expressions=[element.copy()], colon=True)
        count = call("len", call("list_filter", call("json_keys", value), same))
        found.append(exp.Coalesce(this=binary(exp.GT, count, number(1)), expressions=[exp.false()]))
        value = _step(value, token)
    any_twice: exp.Expression = found[0] if found else exp.false()
    for twice in found[1:]:
        any_twice = binary(exp.Or, any_twice, twice)
    return when((exp.Is(this=node.this.copy(), expression=exp.Null()), exp.Null()), otherwise=any_twice)


def _kind(node: op.Operation) -> exp.Expression:
    first = call("left", node.this, number(1))
    is_number = equal(call("left", node.this, number(2)), exp.Literal.string('"n'))
    return when(
        (is_number, exp.Literal.string("number")),
        *(
            (equal(first, exp.Literal.string(sign)), exp.Literal.string(kind))
            for sign, kind in (('"', "string"), ("{", "object"), ("[", "array"), ("n", "null"))
        ),
        (exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null())), exp.Literal.string("boolean")),
    )


def _text(node: op.Operation) -> exp.Expression:
    first = call("left", node.this, number(1))
    plain = call("json_extract_string", node.this, exp.Literal.string(""))
    return when(
        (equal(first, exp.Literal.string('"')), call("substr", plain, number(2))),
        (exp.In(this=first, expressions=[exp.Literal.string(sign) for sign in "tf"]), node.this),
    )


def _written(node: op.Operation) -> exp.Expression:
    """By way of a list of one value, so that the first mark stands behind a `[` like all others."""
    whole = call("json_extract", concatenated(exp.Literal.string("["), node.this, exp.Literal.string("]")), _ROOT)
    numbers = _replaced(cast(whole, "TEXT"), r'([\[,:])"n([0-9eE.+-]+)"', r"\1\2")
    strings = _replaced(numbers, r'([\[{,:])"s', r'\1"')
    return call("substr", call("left", strings, number(-1)), number(2))


_ROOT = exp.Literal.string("")

LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.OpenJson: _parse,
    op.JsonMember: _member,
    op.HasJsonKeyTwice: _key_twice,
    op.JsonKind: _kind,
    op.JsonText: _text,
    op.JsonWritten: _written,
    op.JsonQuoted: lambda node: cast(call("json_quote", node.this), "TEXT"),
}
